"""Dtype policies: in which dtype a layer computes, and in which it keeps its weights; ``keras.dtype_policies``.

A policy is named after one dtype for both (``"float32"``, ``"bfloat16"``), ``"mixed_bfloat16"`` or ``"mixed_float16"``
(16-bit computation, float32 weights), or ``MODE_from_POLICY`` for a quantized layer (``"int8_from_float32"``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from unifront.dtypes import BY_NAME, DType, DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, DTypeError, UnknownName
from unifront.serialization import deserialize_keras_object, serialize_keras_object

QUANTIZATION_MODES = ("int8", "float8", "int4", "gptq", "awq")
"""What a quantized policy may begin with."""
MIXED = {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}
"""The policies with two dtypes: of computation, and of weights."""


class DTypePolicy:
    """The dtypes of a layer's computation and of its weights (``keras.DTypePolicy``).

    Args:
        name: of a dtype, for both; ``"mixed_float16"`` or ``"mixed_bfloat16"``; the default policy's unless given.

    Raises `DTypeError` for what is no string, `UnknownName` for another name.

    Example::

        layer = layers.Dense(8, dtype=uf.dtype_policies.DTypePolicy("mixed_bfloat16"))
        layer.compute_dtype, layer.variable_dtype  # bfloat16, float32
    """

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        self._name: str | None = name
        self._compute_dtype, self._variable_dtype = _dtypes(name)
        self._quantization_mode: str | None = None

    @property
    def name(self) -> str:
        """What it was made with."""
        return self._name or ""

    @property
    def compute_dtype(self) -> DType:
        """The dtype of computation: float inputs and weights are cast to it, and outputs have it."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> DType:
        """The dtype of weights."""
        return self._variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        """How the layer's weights are quantized; None if they are not."""
        return self._quantization_mode

    def convert_input(self, x: Any, autocast: bool, dtype: DTypeLike) -> Any:
        """``x`` as an input of a layer that computes in ``dtype``: floats are cast if ``autocast``, others kept."""
        from unifront.ops import cast, convert_to_tensor
        from unifront.opset.tensor import is_tensor, type_of

        if not is_tensor(x):
            if not hasattr(x, "__array__"):
                return x
            x = convert_to_tensor(x)
        wanted, own = dtype_of(dtype), type_of(x).dtype
        return cast(x, wanted) if autocast and own.is_float and own != wanted else x

    def get_config(self) -> dict[str, Any]:
        """The name, to make it again with."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The policy that `get_config` described, here or in Keras."""
        return cls(**config)

    def _parts(self) -> tuple[Any, ...]:
        """What two equal policies have in common."""
        kind = DTypePolicy if type(self) is FloatDTypePolicy else type(self)
        return (kind, self._name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        kind = DTypePolicy if type(self) is FloatDTypePolicy else type(self)
        return f'<{kind.__name__} "{self._name}">'


def _dtypes(name: Any) -> tuple[DType, DType]:
    """The dtypes of computation and weights that a policy called ``name`` has."""
    if not isinstance(name, str):
        raise DTypeError(
            f"'name' must be a string, such as 'mixed_float16'; {name!r} of {type(name)} was given."
        )
    names = MIXED.get(name, (name, name))
    if names[0] not in BY_NAME or names[0] == "key":
        error = UnknownName("dtype", name, [*MIXED, *(one for one in BY_NAME if one != "key")])
        error.args = (f"Cannot convert {name[:100]!r} to a DTypePolicy. {error.args[0]}",)
        raise error
    return BY_NAME[names[0]], BY_NAME[names[1]]


class FloatDTypePolicy(DTypePolicy):
    """Another name of `DTypePolicy`."""


class QuantizedDTypePolicy(DTypePolicy):
    """The policy of a layer whose weights are quantized (``keras.dtype_policies.QuantizedDTypePolicy``).

    Args:
        mode: one of `QUANTIZATION_MODES`.
        source_name: the policy of the layer before; the default one's unless given.

    Raises `ArgumentError` for another mode, or for one that float16 is too narrow for.
    """

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        source = dtype_policy().name if source_name is None else source_name
        self._compute_dtype, self._variable_dtype = _dtypes(source)
        if mode not in QUANTIZATION_MODES:
            raise ArgumentError(
                f"Invalid quantization mode. It is one of {', '.join(QUANTIZATION_MODES)}; mode={mode!r} was given."
            )
        check_range(mode, self._compute_dtype)
        self._name = f"{mode}_from_{source}"
        self._source_name: str | None = source
        self._quantization_mode = mode

    def _parts(self) -> tuple[Any, ...]:
        return (*super()._parts(), self._quantization_mode, self._source_name)

    def get_config(self) -> dict[str, Any]:
        return {"mode": self._quantization_mode, "source_name": self._source_name}


def check_range(mode: str, compute_dtype: DType) -> None:
    """Raise `ArgumentError` where the scales of ``mode`` would leave the range of ``compute_dtype``."""
    if mode == "int8" and compute_dtype == "float16":
        raise ArgumentError(
            "Quantization mode='int8' doesn't work well with compute_dtype='float16', whose range is too small for "
            "the sums; use bfloat16 or float32."
        )


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """The policy of a layer trained in float8.

    Args:
        mode, source_name: as for `QuantizedDTypePolicy`.
        amax_history_length: over how many steps the largest magnitudes are remembered.
    """

    default_amax_history_length = 1024

    def __init__(self, mode: str, source_name: str | None = None, amax_history_length: int = 1024) -> None:
        super().__init__(mode, source_name)
        if not isinstance(amax_history_length, int) or isinstance(amax_history_length, bool):
            raise DTypeError(f"`amax_history_length` must be an integer. {amax_history_length!r} was given.")
        self._amax_history_length = amax_history_length

    @property
    def amax_history_length(self) -> int:
        """Over how many steps the largest magnitudes are remembered."""
        return self._amax_history_length

    def _parts(self) -> tuple[Any, ...]:
        return (*super()._parts(), self._amax_history_length)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amax_history_length": self._amax_history_length}


class _Blockwise(QuantizedDTypePolicy):
    """A policy whose mode has numbers behind it: ``algorithm/number/number``."""

    algorithm = ""
    numbers: tuple[str, ...] = ()
    allowed: Mapping[str, tuple[int, ...]] = {}
    """The values that a number may have; of others -1, or any above 0."""

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        form = "/".join([self.algorithm, *(f"<{name}>" for name in self.numbers)])
        name, *given = str(mode).split("/")
        whole = len(given) == len(self.numbers) and all(re.fullmatch(r"-?\d+", one) for one in given)
        if name != self.algorithm or not whole:
            raise ArgumentError(
                f"Invalid mode for {type(self).__name__}. It has the form {form!r}, with ints; {mode!r} was given."
            )
        found = dict(zip(self.numbers, map(int, given), strict=True))
        for what, number in found.items():
            known = self.allowed.get(what)
            if number not in known if known else number < -1 or number == 0:
                only = f" {name.upper()} only supports {known[0]}-bit weights." if known == (4,) else ""
                raise ArgumentError(
                    f"Invalid {what} in mode.{only} It is {' or '.join(map(str, known or ('-1', 'an int above 0')))}; "
                    f"{number} in {mode!r} was given."
                )
        super().__init__(name, source_name)
        self.mode = name
        self._numbers = found
        for what, number in found.items():
            setattr(self, what, number)
        self._name = f"{mode}_from_{self._source_name}"

    def _parts(self) -> tuple[Any, ...]:
        return (*super()._parts(), *self._numbers.values())

    def get_config(self) -> dict[str, Any]:
        numbers = "/".join(map(str, self._numbers.values()))
        return {**super().get_config(), "mode": f"{self.mode}/{numbers}"}


class Int4DTypePolicy(_Blockwise):
    """The policy of a layer quantized to int4, as ``"int4/<block_size>"``: -1 is a scale for each output channel."""

    algorithm, numbers = "int4", ("block_size",)
    block_size: int


class GPTQDTypePolicy(_Blockwise):
    """The policy of a layer quantized by GPTQ, as ``"gptq/<weight_bits>/<group_size>"``."""

    algorithm, numbers = "gptq", ("weight_bits", "group_size")
    allowed: Mapping[str, tuple[int, ...]] = {"weight_bits": (2, 3, 4, 8)}
    weight_bits: int
    group_size: int


class AWQDTypePolicy(_Blockwise):
    """The policy of a layer quantized by AWQ, as ``"awq/<weight_bits>/<group_size>"``."""

    algorithm, numbers = "awq", ("weight_bits", "group_size")
    allowed: Mapping[str, tuple[int, ...]] = {"weight_bits": (4,)}
    weight_bits: int
    group_size: int


class DTypePolicyMap(DTypePolicy, MutableMapping[str, DTypePolicy]):
    """A policy for each path of a layer, for models whose layers differ (``keras.dtype_policies.DTypePolicyMap``).

    Args:
        default_policy: of layers that no key is for; the default policy unless given.
        policy_map: policies by path, or by a pattern (``re.fullmatch``) of paths.

    Raises `ArgumentError` for a key given twice, a value that is no policy, or a path that several patterns are for.
    """

    def __init__(
        self, default_policy: Any = None, policy_map: Mapping[str, DTypePolicy] | None = None
    ) -> None:
        if isinstance(default_policy, DTypePolicyMap):
            raise ArgumentError("`default_policy` cannot be a `DTypePolicyMap`.")
        if policy_map is not None and not isinstance(policy_map, dict):
            raise DTypeError(f"If specified, `policy_map` must be a dict. {policy_map!r} was given.")
        self._default_policy_arg = default_policy
        self._default_policy = get(default_policy)
        self._policy_map: dict[str, DTypePolicy] = policy_map or {}

    @property
    def name(self) -> str:
        return f"map_{self.default_policy.name}"

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of layers that no key is for."""
        return get(self._default_policy)

    @property
    def variable_dtype(self) -> DType:
        return self.default_policy.variable_dtype

    @property
    def compute_dtype(self) -> DType:
        return self.default_policy.compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        return self.default_policy.quantization_mode

    def __getitem__(self, key: str) -> DTypePolicy:
        if key in self._policy_map:
            return self._policy_map[key]
        found = [pattern for pattern in self._policy_map if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ArgumentError(
                f"Path {key!r} matches multiple dtype policy keys: {found}. Let one at most be for each path."
            )
        return self._policy_map[found[0]] if found else self.default_policy

    def __setitem__(self, key: str, policy: Any) -> None:
        if key in self._policy_map:
            raise ArgumentError(
                f"{key} already exist in the DTypePolicyMap with value {self._policy_map[key]}; delete it first."
            )
        try:
            self._policy_map[key] = get(policy)
        except ValueError as error:
            raise ArgumentError(f"Cannot interpret the assigned value. {error}") from None

    def __delitem__(self, key: str) -> None:
        del self._policy_map[key]

    def pop(self, key: str, *default: Any) -> Any:
        """Take the policy of ``key``, itself and no pattern for it, out of the map."""
        return self._policy_map.pop(key, *default)

    def __contains__(self, key: object) -> bool:
        return key in self._policy_map

    def __len__(self) -> int:
        return len(self._policy_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._policy_map)

    def _parts(self) -> tuple[Any, ...]:
        return (DTypePolicyMap, self.name, *sorted(self._policy_map.items(), key=lambda item: item[0]))

    __eq__, __hash__ = DTypePolicy.__eq__, DTypePolicy.__hash__  # which a mapping would have otherwise

    def get_config(self) -> dict[str, Any]:
        """Without a default policy, the policies are told without names: those of the process that reads it."""
        told = {key: serialize_keras_object(policy) for key, policy in self._policy_map.items()}
        if self._default_policy_arg is None:
            for one in told.values():
                for name in ("name", "source_name"):
                    if name in one["config"]:
                        one["config"][name] = None
        return {"default_policy": self._default_policy_arg, "policy_map": told}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """The map that `get_config` described, here or in Keras."""
        made = deserialize_keras_object(config["policy_map"], custom_objects)
        return cls(**{**config, "policy_map": {key: get(one) for key, one in made.items()}})

    def __repr__(self) -> str:
        default = None if self._default_policy is None else self._default_policy.name
        mapping = [(key, policy.name) for key, policy in self._policy_map.items()]
        return f"<DTypePolicyMap at {hex(id(self))} default_policy={default}, mapping={mapping}>"


KINDS: dict[str, type[DTypePolicy]] = {
    one.__name__: one
    for one in (
        DTypePolicy, FloatDTypePolicy, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy, Int4DTypePolicy,
        GPTQDTypePolicy, AWQDTypePolicy, DTypePolicyMap,
    )
}  # fmt: skip
"""Every class of policies by name."""

_global: list[DTypePolicy] = []


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Make ``policy``, or the one of that name, that of layers made from now on.

    That of `floatx` means what was there before: layers follow `floatx`, also when it changes.

    Raises `ArgumentError` for anything else. Source: ``keras.config.set_dtype_policy``.

    Example::

        uf.mixed_precision.set_global_policy("mixed_bfloat16")
        uf.mixed_precision.set_global_policy("float32")
    """
    if not isinstance(policy, str | DTypePolicy):
        raise ArgumentError(
            f"Invalid `policy` argument. It is the name of a policy, such as 'mixed_float16', or a policy; {policy!r} "
            "was given."
        )
    made = get(policy)
    _global[:] = [] if type(made) is DTypePolicy and made.name == floatx().name else [made]


def dtype_policy() -> DTypePolicy:
    """The policy of layers to which none is given: what `set_dtype_policy` was given, else that of `floatx`."""
    return _global[-1] if _global else DTypePolicy(floatx().name)


def chosen_policy() -> DTypePolicy | None:
    """What `set_dtype_policy` was given last; None if it was not called, or given the policy of `floatx`."""
    return _global[-1] if _global and _global[-1].name != floatx().name else None


def _get_quantized_dtype_policy_by_str(policy: Any) -> DTypePolicy:
    """The quantized policy called so; see `get`."""
    if not isinstance(policy, str):
        raise DTypeError(f"`policy` must be a string. {policy!r} was given.")
    if not policy.startswith(QUANTIZATION_MODES):
        raise ArgumentError(
            f"{policy!r} is incompatible with the current supported quantization. It begins with one of "
            f"{', '.join(QUANTIZATION_MODES)}."
        )
    parts = policy.split("_from_")
    if len(parts) != 2:
        raise ArgumentError(
            f"Cannot convert `policy` into a valid pair (mode, source_name): {policy!r} is not MODE_from_POLICY."
        )
    algorithm = parts[0].partition("/")[0]
    kinds: dict[str, Callable[..., DTypePolicy]] = {
        "gptq": GPTQDTypePolicy, "awq": AWQDTypePolicy, "float8": QuantizedFloat8DTypePolicy,
        "int4": Int4DTypePolicy if "/" in parts[0] else QuantizedDTypePolicy,
    }  # fmt: skip
    return kinds.get(algorithm, QuantizedDTypePolicy)(*parts)


def get(identifier: Any) -> DTypePolicy:
    """The policy meant by a name, a dtype, a description, or by itself; None means the default one.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these. Source:
    ``keras.dtype_policies.get``.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        quantized = identifier.startswith(QUANTIZATION_MODES) and identifier not in BY_NAME
        return _get_quantized_dtype_policy_by_str(identifier) if quantized else DTypePolicy(identifier)
    try:
        return DTypePolicy(dtype_of(identifier).name)
    except UnknownName:
        raise ArgumentError(
            f"Cannot interpret `dtype` argument. It is a dtype, a DTypePolicy or the name of one; {identifier!r} was "
            "given."
        ) from None


def serialize(dtype_policy: DTypePolicy) -> Any:
    """``dtype_policy`` as plain data."""
    return serialize_keras_object(dtype_policy)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> DTypePolicy:
    """The policy that `serialize` described, here or in Keras; `ArgumentError` for what is none."""
    found = deserialize_keras_object(config, custom_objects, module_objects=KINDS)
    if not isinstance(found, DTypePolicy):
        raise ArgumentError(f"A description of a dtype policy is needed; {found!r} came of it.")
    return found
