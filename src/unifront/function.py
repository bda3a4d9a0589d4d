"""What is computed between symbolic tensors, as a function (``keras.Function``)."""

from __future__ import annotations

from typing import Any

from unifront.model import Model


class Function:
    """The function from ``inputs`` to ``outputs``: of arrays, of tensors, or of symbolic tensors again.

    Args:
        inputs: a symbolic tensor, or a list or dict of them.
        outputs: what was computed from them, a tensor or a structure of tensors.
        name: how errors call it.

    A `Model` without training: it has no fit and no weights of its own, though the layers in it have theirs.
    Raises what `Model` raises.

    Example::

        x = uf.Input((3,))
        double = uf.Function(x, x * 2)
        double(np.ones((1, 3)))  # [[2, 2, 2]]
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        self._model = Model(inputs, outputs, name=name)

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors it begins with."""
        return list(self._model.inputs)

    @property
    def outputs(self) -> list[Any]:
        """The symbolic tensors it ends with."""
        return list(self._model.outputs)

    def __call__(self, inputs: Any) -> Any:
        """The outputs for ``inputs``, which have the structure of the function's own."""
        return self._model(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The outputs' shapes for inputs of ``input_shape``, free sizes as None."""
        return self._model.compute_output_shape(input_shape)
