"""Low-rank adaptation: a frozen kernel learns by two small factors beside it (Hu et al. 2021, LoRA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unifront import ops
from unifront.arguments import Size, checked, part_of
from unifront.errors import ArgumentError, NotBuiltError, NotQuantizable
from unifront.layers.initializers import InitializerLike, get
from unifront.opset.tensor import type_of
from unifront.weights import Variable


@part_of("Layer")
class LowRank:
    """What layers share whose kernel may be adapted: ``kernel + lora_alpha / lora_rank * a @ b``."""

    adapted_weight = "kernel"
    """The attribute of the weight that is adapted, by which the factors are named too."""
    lora_enabled = False
    lora_rank: int | None = None
    lora_alpha: float | None = None

    if TYPE_CHECKING:
        name: Any
        built: bool
        _weights: list[Variable]

        def add_weight(self, *args: Any, **kwargs: Any) -> Variable: ...

        def get_config(self) -> dict[str, Any]: ...

    def ask_lora(self, rank: int | None, alpha: float | None) -> None:
        """Keep what a constructor was given; `begin_lora` at the end of `build` makes the factors."""
        self.lora_rank, self.lora_alpha = rank, rank if alpha is None else alpha

    def begin_lora(self) -> None:
        """Make the factors, if the constructor asked for them."""
        if self.lora_rank is not None and not self.lora_enabled:
            self._make_lora(self.lora_rank, self.lora_alpha, "he_uniform", "zeros")

    @checked
    def enable_lora(
        self,
        rank: Size,
        lora_alpha: float | None = None,
        a_initializer: InitializerLike = "he_uniform",
        b_initializer: InitializerLike = "zeros",
    ) -> None:
        """Freeze the kernel and learn a change of low rank instead; a model is to be compiled again after it.

        Args:
            rank: the size between the factors.
            lora_alpha: the change is ``lora_alpha / rank * a @ b``; the rank unless given.
            a_initializer, b_initializer: of ``lora_kernel_a[..., in, rank]`` and ``lora_kernel_b[rank, out]``
                (``lora_embeddings_a`` and ``_b`` of an `Embedding`), which are float32.

        Raises `NotBuiltError` before the kernel is made, `ArgumentError` the second time and where the kernel has a
        constraint. Source: ``keras.layers.Dense.enable_lora``.

        Example::

            layer = layers.Dense(8)
            layer.build((None, 16))
            layer.enable_lora(rank=2)
        """
        if not self.built:
            raise NotBuiltError(
                f"{self.name}: Cannot enable lora on a layer that isn't yet built. Call it or build(shape) first."
            )
        if self.lora_enabled:
            raise ArgumentError(
                f"{self.name}: lora is already enabled. This can only be done once per layer; see merge_lora()."
            )
        self._make_lora(rank, lora_alpha, a_initializer, b_initializer)

    def _make_lora(self, rank: int, alpha: float | None, a_initializer: Any, b_initializer: Any) -> None:
        what = self.adapted_weight
        if vars(self).get(f"{what}_constraint") is not None:
            raise ArgumentError(
                f"{self.name}: Lora is incompatible with {what.removesuffix('s')} constraints. In order to enable lora "
                f"on this layer, remove the `{what}_constraint` argument."
            )
        kernel: Variable = vars(self)[what]
        shape: tuple[int, ...] = (
            vars(self).get("_whole_shape") or kernel.shape
        )  # of a quantized one, before it was
        place = kernel.path.rpartition("/")[0]
        for part, size, initializer in (
            ("a", (*shape[:-1], rank), a_initializer),
            ("b", (rank, shape[-1]), b_initializer),
        ):
            name = f"lora_{what}_{part}"
            factor = self.add_weight(
                size,
                get(initializer),
                name=name,
                dtype="float32",
                regularizer=vars(self)[f"{what}_regularizer"],
            )
            factor.path = f"{place}/{name}" if place else name
            setattr(self, name, factor)
        kernel.trainable = False
        self.lora_enabled = True
        self.ask_lora(rank, alpha)

    def _factors(self) -> tuple[Variable, Variable]:
        return vars(self)[f"lora_{self.adapted_weight}_a"], vars(self)[f"lora_{self.adapted_weight}_b"]

    def _scale(self) -> float:
        assert self.lora_rank is not None  # it is enabled
        assert self.lora_alpha is not None
        return self.lora_alpha / self.lora_rank

    def adapted(self, kernel: Any) -> Any:
        """The ``kernel`` with what has been learnt beside it."""
        if not self.lora_enabled:
            return kernel
        a, b = self._factors()
        change = ops.multiply(ops.matmul(a, b), self._scale())
        return ops.add(kernel, ops.cast(change, type_of(kernel).dtype))

    def adapted_rows(self, rows: Any, indices: Any) -> Any:
        """Rows that were taken out of an embedding, with what has been learnt beside it."""
        if not self.lora_enabled:
            return rows
        return ops.add(
            rows, self.low_rank_change(ops.embedding(indices, self._factors()[0]), type_of(rows).dtype)
        )

    def low_rank_change(self, inner: Any, dtype: Any) -> Any:
        """What has been learnt beside a product whose input, by the first factor, is ``inner``."""
        return ops.cast(ops.multiply(ops.matmul(inner, self._factors()[1]), self._scale()), dtype)

    def merge_lora(self) -> None:
        """Add what was learnt to the kernel, which trains again, and drop the factors. The outputs stay the same."""
        if not self.lora_enabled:
            raise ArgumentError(f"{self.name}: lora is not enabled, so there is nothing to merge.")
        if vars(self).get("_whole_shape") is not None:
            raise NotQuantizable(
                f"{self.name}: its {self.adapted_weight} is quantized; merge_lora() comes before quantize()."
            )
        kernel: Variable = vars(self)[self.adapted_weight]
        a, b = self._factors()
        change = self._scale() * (a.numpy().astype("float64") @ b.numpy())
        kernel.assign(kernel.numpy() + change)
        self._weights[:] = [weight for weight in self._weights if weight is not a and weight is not b]
        for part in "ab":
            delattr(self, f"lora_{self.adapted_weight}_{part}")
        kernel.trainable = True
        self.lora_enabled, self.lora_rank, self.lora_alpha = False, None, None
