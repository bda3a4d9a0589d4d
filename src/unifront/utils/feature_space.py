"""`FeatureSpace`: the columns of a table as numbers, each in its way, and crosses of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unifront import layers, ops, tree
from unifront.arguments import Size, checked, shown
from unifront.backends import backend_of, placement, use_backend
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DataError, NotBuiltError, UnknownName
from unifront.layers.arguments import LayerName
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import DataLayer, array_of
from unifront.layers.preprocessing.strings import Awaited, on_host, told
from unifront.opset.tensor import Tensor
from unifront.paths import model_destination
from unifront.saving.keras_write import save_keras
from unifront.serialization import Configured, deserialize_keras_object, serialize_keras_object

MODES = ("int", "one_hot", "float")
"""How a feature is given on: as an integer, a vector with a one at its place, or as the floats that it is."""
_ROWS = 32
"""As many single rows are one batch to adapt to, as in Keras: the boundaries of bins depend on it a little."""


class TFDIdentity(DataLayer):
    """Numbers as they are: the way of a feature ``"float"``. It is called as in Keras's files."""

    def call(self, x: Any) -> Any:
        return ops.cast(x, self.compute_dtype)


class Feature(Configured):
    """One column: its dtype (``"string"`` or one of numbers), the layer that prepares it, and how it is given on."""

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str) -> None:
        described = isinstance(preprocessor, dict)
        self.dtype, self.preprocessor = (
            dtype,
            deserialize_keras_object(preprocessor) if described else preprocessor,
        )
        self.output_mode = _mode(output_mode, MODES)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with."""
        return {**super().get_config(), "preprocessor": serialize_keras_object(self.preprocessor)}

    @property
    def cardinality(self) -> int | None:
        """How many integers the layer gives; None where nobody knows."""
        match self.preprocessor:
            case layers.IntegerLookup() | layers.StringLookup() as lookup:
                return lookup.vocabulary_size()
            case layers.CategoryEncoding(num_tokens=count):
                return int(count)
            case layers.Discretization(num_bins=None, bin_boundaries=[*boundaries]):
                return len(boundaries) + 1
            case layers.Discretization(num_bins=int(count)) | layers.Hashing(num_bins=int(count)):
                return count
        return None

    @property
    def adapts(self) -> bool:
        """Whether the layer learns from data, and was not told what it would learn."""
        layer = self.preprocessor
        told = (
            getattr(getattr(layer, "lookup", layer), "_given", False)
            or getattr(layer, "input_mean", None) is not None
        )
        return hasattr(layer, "adapt") and not told and getattr(layer, "num_bins", 0) is not None


class Cross(Configured):
    """Several columns as one: what the hash of their values together says."""

    def __init__(self, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot") -> None:
        self.feature_names, self.crossing_dim = tuple(feature_names), crossing_dim
        self.output_mode = _mode(output_mode, MODES[:2])

    @property
    def name(self) -> str:
        """The columns' names, joined."""
        return "_X_".join(self.feature_names)

    @property
    def cardinality(self) -> int:
        """How many buckets there are."""
        return self.crossing_dim


def _mode(given: Any, known: Sequence[str]) -> str:
    if given not in known:
        raise ArgumentError(
            f"Invalid value for argument `output_mode`. Expected one of {set(known)}. Received: output_mode={given}"
        )
    return str(given)


class FeatureSpace(Layer):
    """The columns of a table as numbers: each prepared in its own way, and crosses of them.

    It works on data, as the layers on strings do: on dicts of columns (lists, arrays of any framework; of one row or
    many), and inside the map of a ``tf.data.Dataset``.

    Args:
        features: for each column by name how it is prepared: ``"float"``, ``"float_normalized"``, ``"float_rescaled"``,
            ``"float_discretized"``, ``"integer_categorical"``, ``"string_categorical"``, ``"integer_hashed"``,
            ``"string_hashed"``, or what the methods of these names give, which take more; `feature` takes any layer.
        output_mode: ``"concat"``: one vector of all, first the columns in the order of their names, then the crosses.
            ``"dict"``: each by itself.
        crosses: tuples of names of columns of integers, or of what `cross` gives.
        crossing_dim: of how many buckets a cross is, unless it says so itself.
        hashing_dim: likewise of columns that are hashed.
        num_discretization_bins: how many bins a column ``"float_discretized"`` has.

    Its ``preprocessors`` and ``crossers`` are the layers by name. Raises `ArgumentError` for columns or crosses that
    are none, `NotBuiltError` where a layer has to learn from data by `adapt` first.

    Source: ``keras.utils.FeatureSpace``.

    Example::

        space = uf.utils.FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
        space.adapt({"age": [31.0, 54.0], "city": ["Bonn", "Rome"]})
        space({"age": 40.0, "city": "Rome"})  # 4 numbers
    """

    autocast = False
    notes_arguments = False

    @checked
    def __init__(
        self,
        features: Any,
        output_mode: Any = "concat",
        crosses: Any = None,
        crossing_dim: Size | None = 32,
        hashing_dim: Size = 32,
        num_discretization_bins: Size = 32,
        name: LayerName = None,
    ) -> None:
        super().__init__(name=name)
        if not features or not isinstance(features, Mapping):
            raise ArgumentError(
                "The `features` argument cannot be None or empty: it is a dict of columns by name."
            )
        self.crossing_dim, self.hashing_dim = crossing_dim, hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features: dict[str, Feature] = {
            key: self._feature(key, value) for key, value in features.items()
        }
        self.crosses = [self._cross(one) for one in crosses or ()]
        if output_mode not in ("dict", "concat"):
            raise ArgumentError(
                "Invalid value for argument `output_mode`. Expected one of {'dict', 'concat'}. "
                f"Received: output_mode={output_mode}"
            )
        self.output_mode = output_mode
        self.preprocessors = {key: value.preprocessor for key, value in self.features.items()}
        self.crossers = {
            one.name: layers.HashedCrossing(one.crossing_dim, name=one.name) for one in self.crosses
        }
        self._is_adapted = False
        self._inputs: dict[str, Any] | None = None
        self._encoded: Any = None

    # ------------------------------------------------------------ columns

    @classmethod
    def cross(cls, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot") -> Cross:
        """A cross of columns in ``crossing_dim`` buckets, given on as ``"one_hot"`` or ``"int"``."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Feature:
        """A column of ``dtype``, prepared by any layer, given on as ``"float"``, ``"int"`` or ``"one_hot"``."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Floats as they are."""
        return Feature("float32", TFDIdentity(dtype="float32", name=_named("float", name)), "float")

    @classmethod
    def float_rescaled(cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None) -> Feature:
        """Floats times ``scale``, plus ``offset``."""
        return Feature(
            "float32", layers.Rescaling(scale, offset, name=_named("float_rescaled", name)), "float"
        )

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Floats of the mean 0 and the variance 1, as `adapt` measures them."""
        return Feature(
            "float32", layers.Normalization(axis=-1, name=_named("float_normalized", name)), "float"
        )

    @classmethod
    def float_discretized(
        cls, num_bins: Any, bin_boundaries: Any = None, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Floats as the bins they lie in, which `adapt` makes of about the same size."""
        layer = layers.Discretization(bin_boundaries, num_bins, name=_named("float_discretized", name))
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: Any = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Integers as their places in a vocabulary, which `adapt` learns."""
        layer = layers.IntegerLookup(max_tokens, num_oov_indices, name=_named("integer_categorical", name))
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: Any = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Strings as their places in a vocabulary, which `adapt` learns."""
        layer = layers.StringLookup(max_tokens, num_oov_indices, name=_named("string_categorical", name))
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Strings as the buckets that their hashes say."""
        return Feature("string", layers.Hashing(num_bins, name=_named("string_hashed", name)), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Integers as the buckets that their hashes say."""
        return Feature("int32", layers.Hashing(num_bins, name=_named("integer_hashed", name)), output_mode)

    def _feature(self, name: str, given: Any) -> Feature:
        if isinstance(given, dict):
            given = deserialize_keras_object(given)
        if isinstance(given, Feature):
            return given
        more = {
            "float_discretized": (self.num_discretization_bins,), "integer_hashed": (self.hashing_dim,),
            "string_hashed": (self.hashing_dim,),
        }  # fmt: skip
        if given not in _BY_NAME:
            raise UnknownName(f"type of the feature {name!r} (Invalid feature type)", given, _BY_NAME)
        made: Feature = getattr(self, given)(*more.get(given, ()), name=name)
        return made

    def _cross(self, given: Any) -> Cross:
        if isinstance(given, dict):
            given = deserialize_keras_object(given)
        if isinstance(given, Cross):
            names = given.feature_names
        elif not self.crossing_dim:
            raise ArgumentError(
                "When specifying `crosses`, the argument `crossing_dim` (dimensionality of the crossing space) should "
                "be specified as well."
            )
        else:
            names = tuple(given)
        if not set(names) <= set(self.features):
            raise ArgumentError(
                "All features referenced in the `crosses` argument should be present in the `features` dict. Received "
                f"unknown features: {tuple(names)}"
            )
        return given if isinstance(given, Cross) else Cross(names, self.crossing_dim or 0)

    # ------------------------------------------------------------ learning

    def adapt(self, dataset: Any) -> None:
        """Let each layer that learns from data do so.

        Args:
            dataset: a dict of columns; or an iterable of rows or batches that are such dicts, as a ``tf.data.Dataset``
                is. It is gone through once for each layer that learns.
        """
        if not isinstance(dataset, Mapping) and (
            isinstance(dataset, str) or not isinstance(dataset, Iterable)
        ):
            raise ArgumentError(
                "`adapt()` can only be called on a tf.data.Dataset or a dict of arrays/lists, or an iterable of such "
                f"dicts. Received instead: {shown(dataset)} (of type {type(dataset)})"
            )
        if iter(dataset) is dataset:
            dataset = list(dataset)  # a generator, which is used up
        for name, feature in self.features.items():
            if feature.adapts:
                feature.preprocessor.adapt(_Column(dataset, name))
        self._is_adapted = True
        self.built = True

    def _check_adapted(self) -> None:
        if not self._is_adapted and any(feature.adapts for feature in self.features.values()):
            raise NotBuiltError(
                "You need to call `.adapt(dataset)` on the FeatureSpace before you can start using it."
            )
        self._is_adapted = self.built = True

    # ------------------------------------------------------------ columns to numbers

    def __call__(self, data: Any) -> Any:  # type: ignore[override]  # a dict, whatever is around it
        """The columns in ``data`` as numbers, on the backend of its arrays, else on the default one."""
        self._check_adapted()
        if not isinstance(data, Mapping):
            raise ArgumentError(
                f"A FeatureSpace can only be called with a dict. Received: data={shown(data)} (of type {type(data)})"
            )
        missing = [name for name in self.features if name not in data]
        if missing:
            raise DataError(f"The data lack the features {missing}; there are {sorted(data)}.")
        given = {name: data[name] for name in self.features}
        if any(isinstance(leaf, Tensor) for leaf in tree.leaves(given)):
            raise ArgumentError(
                f"{self.name}: a FeatureSpace works on data, and a tensor of uf.Input(...) has none. Build the model "
                "on get_encoded_features(), and map the FeatureSpace over the data."
            )
        found = on_host(self._numbers, [given], map(self._examples, given))
        if found is not None:
            return found
        frameworks = (backend_of(leaf) for leaf in given.values())
        backend = next(
            (one for one in frameworks if one is not None and one.name != "numpy"), placement().backend
        )
        result = self._numbers(given)
        return result if backend.name == "numpy" else tree.map_leaves(backend.array, result)

    def _examples(self, name: str) -> tuple[Any, Any]:
        """Two values that the feature ``name`` may have."""
        layer = self.preprocessors[name]
        return layer.examples() if hasattr(layer, "examples") else (0, 0)

    def _numbers(self, data: Mapping[str, Any]) -> Any:
        """Likewise, in NumPy."""
        with use_backend("numpy"):
            return self._merged(data)

    def _merged(self, data: Mapping[str, Any]) -> Any:
        columns = {name: _column(value) for name, value in data.items()}
        single = any(not np.ndim(one) for one in columns.values())
        columns = {name: _as_rows(one) for name, one in columns.items()}
        found = {name: _host(layer(columns[name])) for name, layer in self.preprocessors.items()}
        crossed = {
            one.name: _host(self.crossers[one.name]([found[name] for name in one.feature_names]))
            for one in self.crosses
        }
        encoded = {
            name: self._encoded_as(name, spec, part)
            for parts, specs in ((found, self.features), (crossed, {one.name: one for one in self.crosses}))
            for (name, part), spec in ((pair, specs[pair[0]]) for pair in sorted(parts.items()))
        }
        if single:
            encoded = {
                name: one[0] if (one.ndim == 2 and len(one) == 1) or self.output_mode == "concat" else one
                for name, one in encoded.items()
            }
        if self.output_mode == "dict":
            return encoded
        for name, one in encoded.items():
            if one.dtype.kind != "f":
                raise ArgumentError(
                    f"Cannot concatenate features because feature '{name}' has not been encoded (it has dtype "
                    f"{one.dtype}). Consider using `output_mode='dict'`."
                )
        return np.concatenate(list(encoded.values()), axis=-1)

    def _encoded_as(self, name: str, spec: Feature | Cross, part: np.ndarray) -> np.ndarray:
        if spec.output_mode != "one_hot":
            return part
        if part.dtype.kind not in "iu":
            raise ArgumentError(
                f"Feature '{name}' has `output_mode='one_hot'`. Thus its preprocessor should return an integer dtype. "
                f"Instead it returns a {part.dtype} dtype."
            )
        if spec.cardinality is None:
            raise ArgumentError(
                f"Feature '{name}' has `output_mode='one_hot'`. However it isn't a standard feature and the "
                "dimensionality of its output space is not known, thus it cannot be one-hot encoded. Try using "
                "`output_mode='int'`."
            )
        return _host(layers.CategoryEncoding(spec.cardinality, "multi_hot", dtype="float32")(part))

    # ------------------------------------------------------------ models behind it

    def get_inputs(self) -> dict[str, Any]:
        """The `Input` tensors of the columns, ``[batch, 1]``, where all layers can be part of a graph.

        Raises `ArgumentError` where strings or hashes are among them, which are prepared on the host: begin the model
        with `get_encoded_features`, and map the FeatureSpace over the data.
        """
        self._make_graph()
        if self._inputs is None:
            raise ArgumentError(
                f"{self.name}: strings and hashes are made into numbers on the host, before any graph. Begin the model "
                "with get_encoded_features(), and give it what the FeatureSpace returns: data.map(space)."
            )
        return self._inputs

    def get_encoded_features(self) -> Any:
        """Symbolic tensors as a call gives arrays, to build a model on: computed from `get_inputs`, or where these
        cannot be, inputs themselves."""
        self._make_graph()
        return self._encoded

    def _make_graph(self) -> None:
        self._check_adapted()
        if self._encoded is not None:
            return
        on_data = (layers.Hashing, layers.StringLookup, layers.TextVectorization)
        if self.crosses or any(isinstance(one, on_data) for one in self.preprocessors.values()):
            rows = {
                name: Awaited(one.dtype, (None, 1), self._examples(name))
                for name, one in self.features.items()
            }
            known = told(self._numbers, [rows])
            self._encoded = (
                {name: _as_input(one, name) for name, one in known.items()}
                if isinstance(known, dict)
                else _as_input(known)
            )
            return
        self._inputs = {
            name: layers.Input((1,), dtype=one.dtype, name=name) for name, one in self.features.items()
        }
        encoded = {}
        for name in sorted(self.features):
            x, spec = self.preprocessors[name](self._inputs[name]), self.features[name]
            if spec.output_mode == "one_hot":
                x = layers.CategoryEncoding(spec.cardinality, "multi_hot", dtype="float32")(x)
            encoded[name] = x
        several = self.output_mode == "concat" and len(encoded) > 1
        parts = list(encoded.values())
        self._encoded = (
            encoded
            if self.output_mode == "dict"
            else layers.Concatenate(axis=-1)(parts)
            if several
            else parts[0]
        )

    # ------------------------------------------------------------ files

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with; what its layers learned is told too."""
        return {
            "features": serialize_keras_object(self.features), "output_mode": self.output_mode,
            "crosses": serialize_keras_object(self.crosses), "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim, "num_discretization_bins": self.num_discretization_bins,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FeatureSpace:
        """One from what `get_config` gave, here or in Keras."""
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        """For each column what its layer was built for."""
        return {name: one.preprocessor.get_build_config() for name, one in self.features.items()}

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Make the weights of the layers, which were adapted before."""
        for name, shapes in config.items():
            if shapes is not None and not self.features[name].preprocessor.built:
                self.features[name].preprocessor.build_from_config(shapes)
        self._is_adapted = self.built = True

    def save(self, filepath: str | Path) -> None:
        """Write it to a ``.keras`` file, which `uf.models.load_model` reads; `ArgumentError` for another name."""
        path = model_destination(filepath)
        if path.suffix.lower() != ".keras":
            raise ArgumentError(
                f"A FeatureSpace is written to a file of a name that ends in .keras, not {path.name!r}."
            )
        save_keras(self, path)  # type: ignore[arg-type]  # a layer will do


_BY_NAME = (
    "float", "float_normalized", "float_rescaled", "float_discretized", "integer_categorical", "string_categorical",
    "integer_hashed", "string_hashed",
)  # fmt: skip
_counts: dict[str, Iterator[int]] = {}


def _named(kind: str, name: str | None) -> str:
    """What the layer of a column is called."""
    own = name or f"{kind}_{next(_counts.setdefault(kind, itertools.count(1)))}"
    return f"{own}_preprocessor"


class _Column:
    """One column of a dataset in batches, to adapt a layer to: rows of single values by `_ROWS`."""

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset, self.name = dataset, name

    def __iter__(self) -> Iterator[np.ndarray]:
        whole = isinstance(self.dataset, Mapping)
        rows = (
            iter(_column(self.dataset[self.name]))
            if whole
            else (_column(row[self.name]) for row in self.dataset)
        )
        single: list[Any] = []
        for row in rows:
            if np.ndim(row):
                yield row[:, None] if np.ndim(row) == 1 else row
                continue
            single.append(row)
            if len(single) == _ROWS:
                yield np.array(single)[:, None]
                single = []
        if single:
            yield np.array(single)[:, None]


def _column(value: Any) -> np.ndarray:
    """Values of a column as an array: numbers, str or bytes."""
    return np.asarray(value) if isinstance(value, str | bytes) else np.asarray(array_of(value))


def _as_rows(column: np.ndarray) -> np.ndarray:
    return column.reshape(1, 1) if not column.ndim else column[:, None] if column.ndim == 1 else column


def _host(result: Any) -> np.ndarray:
    return np.asarray(array_of(result))


def _as_input(known: Awaited, name: str | None = None) -> Any:
    return layers.Input(known.shape[1:], dtype=dtype_of(known.dtype), name=name)
