"""Where a model goes: to a device, a framework's own form, an ONNX or ``.uf`` file; and its weights back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from unifront.arguments import Location, Name, checked, only, part_of, shown
from unifront.backends import Placement, backend_of, default_name, names, placement
from unifront.errors import ArgumentError, UnknownName
from unifront.paths import free_to_write, path_of
from unifront.weights import together

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.trace import Tracing
    from unifront.weights import Variable


@part_of("Model")
class Portable:
    """What turns a model into something else, with its weights."""

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

        @property
        def _model(self) -> Model: ...

        @property
        def weights(self) -> list[Variable]: ...

        def trace(self, training: bool = False) -> Tracing: ...

        def variable_paths(self) -> dict[int, str]: ...

    def to(self, backend: Any) -> Model:
        """Move every weight to ``backend`` (``"torch:cuda:1"``) or ``"host"``; gives the model back.

        Rarely needed: weights move by themselves to where they are used. Where PyTorch is the default, its devices
        (``"cuda"``, ``torch.device("cpu")``) will do, as of a ``torch.nn.Module``. Raises `UnknownName` for another
        name, `ArgumentError` for a device that is not there.
        """
        name = str(backend)
        if name != "host" and name.partition(":")[0] not in names() and default_name().startswith("torch"):
            backend = f"torch:{name}"
        for variable in self.weights:
            if backend == "host":
                with together([variable]):
                    variable.assign(variable.numpy())
            else:
                variable.native(backend)
        return self._model

    @checked
    def lower(self, backend: Name | Placement | None = None) -> Any:
        """The model in the framework's own form, with copies of the weights, yours to keep.

        Args:
            backend: ``"torch"``: a ``torch.nn.Module``; ``"tensorflow"``: a ``tf.Module``; ``"jax"``: pure
                functions ``apply(params, state, …)`` with their arrays; ``"numpy"``: a function. A device may
                follow (``"torch:cuda:1"``); the default backend unless given.

        Raises `NotBuiltError` before the inputs are known, `BackendMissing` with what to type,
        `UnsupportedOp` naming the layer whose operation the backend lacks.

        Example::

            net = model.lower("torch")
            logits = net(torch.from_numpy(x_train))
        """
        place: Placement = placement(backend)
        training, inference = self.trace(True), self.trace(False)
        with together(self.weights):
            values = {
                seen.name: variable.numpy()
                for traced in (training, inference)
                for seen, variable in zip(traced.graph.variables, traced.variables, strict=True)
            }
        paths = self.variable_paths()
        updates = [paths[id(variable)] for variable in training.updates]
        return place.backend.module(training.graph, inference.graph, values, updates, place.device)

    @checked
    def export(
        self, filepath: Location, format: str | None = None, verbose: bool | None = None, **options: Any
    ) -> None:
        """Write the model for inference elsewhere.

        Args:
            filepath: a file (``.onnx``), or the folder of a SavedModel or of a page.
            format: ``"onnx"``: the inference graph; no framework is traced, and none needs to be installed.
                ``"tf_saved_model"``: a folder for TensorFlow and TensorFlow Serving, whose signature
                ``serving_default`` has the model's inputs and outputs by their names and free sizes. ``"web"``: a
                folder with a page that runs the model in a browser. Unless given, a name that ends in ``.onnx`` says
                the first, and any other, as in Keras, the second.
            verbose: taken as Keras takes it; nothing is printed.
            options: of ONNX: ``opset``, ``dtype``, ``optimize``, ``external_data``, ``verify`` (run the file once
                beside NumPy, if ``onnxruntime`` is installed), ``functions`` (layers as functions), ``quantize`` with
                ``calibration`` (integers of 8 or 4 bits); see `unifront.onnx.export`. With ``training``, a batch
                ``(x, y)`` or ``(x, y, sample_weight)`` such as ``fit`` takes, the step that trains the compiled
                model, with gradients and updates spelt out; see `unifront.train.exported`. Of a page beside these:
                ``runtime``, the folder of the npm package onnxruntime-web (found in ``node_modules`` unless given);
                ``labels`` of classes (unless given, those in ``metadata``); and ``scale``, what the brightest pixel
                of a drawing is to the model (1, or 255 where a recipe trained it on images). With ``training``, all
                examples that the page is to have, it trains the model, in batches of ``batch_size`` (32).

        Raises `ExportError` naming the layer whose operation ONNX does not have, or the output that ONNX Runtime
        computes otherwise; `UnsupportedOp` naming one that TensorFlow does not have; `BackendMissing` without the
        package ``onnx``, or ``tensorflow``; `ArgumentError` for a name that promises another format, and for a folder
        of other things; `FileWriteError` for what the operating system refuses.

        Example::

            model.export("digits.onnx", opset=17)
            model.export("served/digits/1", format="tf_saved_model")  # tensorflow_model_server finds version 1
        """
        from unifront.exporting import export

        export(self._model, filepath, format, options)

    def to_json(self, **options: Any) -> str:
        """The description of the model as JSON, as Keras writes it; ``options`` are those of ``json.dumps``.

        Example::

            again = uf.models.model_from_json(model.to_json(indent=2))
        """
        from unifront.model_config import to_json

        return to_json(self._model, **options)

    @checked
    def save(self, filepath: Location, overwrite: bool = True, zipped: bool | None = None) -> None:
        """Write the model, its weights and its training state to one ``.uf`` file; `uf.load` reads it.

        A name that ends in ``.keras`` has Keras's format, which Keras loads, with the optimizer's slots: for models of
        layers that Keras has, connected by calls of layers.

        Args:
            filepath: where to.
            overwrite: whether a file that is there is replaced.
            zipped: Keras's; files are zips, whatever it says.

        Raises `ArgumentError` if there is no such folder, the name promises another format or the file is there and
        shall not be overwritten, `FileWriteError` for what the operating system refuses (what was there before
        stays), `NotBuiltError` before the inputs are known.

        Example::

            model.save("digits.uf")
            again = uf.load("digits.uf")
        """
        from unifront.saving import save

        free_to_write(filepath, overwrite)
        save(self._model, filepath)

    @checked
    def save_weights(
        self, filepath: Location, overwrite: bool = True, max_shard_size: Annotated[Any, only(None)] = None
    ) -> None:
        """Write the weights by their paths as safetensors, or in Keras's format (``.weights.h5``).

        Args:
            filepath: where to.
            overwrite: whether a file that is there is replaced; `ArgumentError` where it is not.
            max_shard_size: Keras's; weights are in one file.

        See `unifront.saving.save_weights`.
        """
        from unifront.saving import save_weights

        free_to_write(filepath, overwrite)
        save_weights(self._model, filepath)

    @checked
    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Take weights back: all of them, or none. They stay the model's own, in its paths and layouts.

        Args:
            filepath: a file of `save_weights` or `save`, or one of Keras (``.weights.h5``, ``.keras``, ``.h5``); or
                what `lower` gave, after its training: a module, the
                ``state_dict`` of a torch module, or for JAX the dicts ``(params, state)``.
            skip_mismatch: of a file: pass over layers whose weights are not in it, or have other shapes.

        Raises `FileFormatError` for a file that does not fit (see `unifront.saving.load_weights`); for a module
        `UnknownName` or `ArgumentError` naming the weight that is not the model's or is missing, `ShapeError`.

        Example::

            net = model.lower("torch")
            model.load_weights(net)  # after training it
        """
        from unifront.saving import load_weights

        if isinstance(filepath, str | bytes | os.PathLike):
            load_weights(self._model, path_of(filepath), skip_mismatch=skip_mismatch)
        elif skip_mismatch:
            raise ArgumentError("skip_mismatch is for files of weights.")
        else:
            self._take_back(filepath)

    def _take_back(self, source: Any) -> None:
        module, given = source, None
        if isinstance(source, Mapping | tuple | list):
            parts = [source] if isinstance(source, Mapping) else source
            if not all(isinstance(part, Mapping) for part in parts):
                raise ArgumentError(f"Weights are in a dict, or in several; not in {shown(source)}.")
            given = {name: value for part in parts for name, value in dict(part).items()}
        backend = backend_of(source) if given is None else backend_of(next(iter(given.values()), None))
        if backend is None or (given is None and backend.name == "numpy"):
            raise ArgumentError(f"Weights are in a file, or in what lower() gave; not in {type(source)}.")
        if given is not None:
            module = self.lower(Placement(backend, backend.devices()[-1], backend.name))
        found = backend.weights_of(module, given)
        paths = self.variable_paths()
        wanted = {paths[id(variable)]: variable for variable in self.weights}
        for name in found:
            if name not in wanted:
                raise UnknownName(f"weight of {self.name}:", name, wanted)
        needed = () if given is None else backend.weights_of(module)
        missing = [name for name in needed if name not in found]
        if missing:
            raise ArgumentError(
                f"The weights of {self.name!r} are to come back, but {missing[0]!r} is missing."
            )
        checked = {name: wanted[name].checked(value) for name, value in found.items()}
        with together(wanted.values()):
            for name, value in checked.items():
                wanted[name].assign(value)
