"""How a model trains: `compile`, `fit`, `evaluate`, `predict`, and the steps that may be overridden."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from unifront.arguments import Check, Count, Name, Positive, Share, Size, Wrong, checked, part_of
from unifront.errors import ArgumentError
from unifront.opset.rules import is_whole

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.train.compiled import Compiled


def _verbose(value: Any, owner: Any) -> Any:
    if not isinstance(value, str | int) or value not in ("auto", 0, 1, 2):
        raise Wrong("'auto', 0, 1 or 2")
    return value


def _jit(value: Any, owner: Any) -> Any:
    if not isinstance(value, bool | int | str) or value not in (True, False, "auto"):
        raise Wrong("'auto', True or False")
    return value


Verbose = Annotated[Literal["auto", 0, 1, 2], Check(_verbose)]
"""How much is printed."""


def _remat(value: Any, owner: Any) -> Any:
    patterns = [value] if isinstance(value, str) else value
    several = (
        isinstance(patterns, list | tuple)
        and patterns
        and all(isinstance(one, str) and one for one in patterns)
    )
    if several:
        return value if value == "auto" else tuple(patterns)
    if value is not None and not (is_whole(value) and value > 0):
        raise Wrong("'auto', patterns of layers' paths, a number of bytes, or None")
    return value


Remat = Annotated[str | Sequence[str] | int | None, Check(_remat)]
"""What is computed again for the gradient."""


@part_of("Model")
class Trained:
    """What a model does with data: doors to `unifront.train`, opened when called."""

    _training: Compiled | None = None
    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    history: Any = None

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

        @property
        def _model(self) -> Model: ...

        def _tried(self) -> AbstractContextManager[None]: ...

    @checked
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: Size = 1,
        jit_compile: Annotated[bool | str, Check(_jit)] = "auto",
        auto_scale_loss: bool = True,
        *,
        backend: Name | None = None,
        remat: Remat = None,
    ) -> None:
        """Choose how the model trains; names and arguments as in Keras.

        Args:
            optimizer: a name (``"sgd"``, ``"adam"``, ``"adamw"``, ``"rmsprop"``) or one of ``uf.optimizers``.
            loss: a name, one of ``uf.losses``, or a function ``(y_true, y_pred) -> per-example losses`` in
                ``uf.ops``; for several outputs a list, or a dict by the output's name.
            loss_weights: a factor for each output's loss.
            metrics: a list of names, of ``uf.metrics`` or of functions; per output like ``loss``.
            weighted_metrics: metrics that heed ``sample_weight``.
            run_eagerly: whether steps run as plain Python on native arrays, slowly, so that ``print`` and ``pdb`` show
                values; the numbers are the same. On JAX what a gradient passes through is a tracer: compare it, or
                look at ``uf.ops.stop_gradient`` of it.
            steps_per_execution: batches from one call of callbacks to the next. How many steps the device is given at
                a time is otherwise found by itself.
            jit_compile: whether steps run by XLA on TensorFlow, which is quicker for some models, takes seconds to
                start, and compiles anew for each shape of a batch. ``"auto"`` is True for large ones on a CPU without
                convolutions, loops and free sizes (transformers, mostly), False for others, which run as a graph.
                XLA draws other random numbers of the same seed, but where `set_rng` makes them portable.
                Elsewhere it changes nothing: XLA runs on JAX, native kernels on PyTorch.
            auto_scale_loss: whether the optimizer gets a `LossScaleOptimizer` around it if the model or a layer in it
                computes in ``"mixed_float16"``.
            backend: where `fit`, `evaluate` and `predict` run unless they are told otherwise.
            remat: what is computed again for the gradient rather than kept, which takes less memory and more time:
                patterns of layers' paths (``"block*"``, ``["encoder/*", "decoder/*"]``; a layer with others inside is
                a block by itself, layers beside each other that one pattern matches are one together); ``"auto"``
                for some √n blocks; or how many bytes a step may keep for each example, by an estimate
                (`unifront.ir.memory`), for as few blocks as do.

        Raises `UnknownName` for a name that is none, `BackendMissing` with what to type.

        Example::

            model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        from unifront.train import configure

        if run_eagerly and jit_compile is True:
            warnings.warn(
                "If `run_eagerly` is True, then `jit_compile` cannot also be True. Disabling `jit_compile`.",
                stacklevel=3,
            )
            jit_compile = False
        training = configure(
            self._model,
            optimizer,
            loss,
            metrics,
            loss_weights,
            weighted_metrics,
            backend,
            remat,
            auto_scale_loss,
        )
        training.run_eagerly, training.jit_compile = run_eagerly, jit_compile
        training.steps_per_execution = steps_per_execution
        self._training = training

    def _compiled(self) -> Compiled:
        """What `compile` made; `ArgumentError` before it."""
        if self._training is None:
            raise ArgumentError(
                f"The model {self.name!r} is not compiled; call model.compile(optimizer, loss) first."
            )
        return self._training

    # ------------------------------------------------------------ one step, to be overridden

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training, traced once into a graph and run compiled on every backend. Override it at will.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, as given to `fit`, a batch of each.

        Returns:
            what logs show: scalars by name, or metrics, whose results of the epoch so far are shown.

        Example::

            class WithPenalty(uf.Model):
                def train_step(self, data):
                    x, y = data

                    def loss_of():
                        return self.compute_loss(x=x, y=y, y_pred=self(x, training=True))

                    loss, grads = uf.value_and_grad(loss_of, wrt=self.trainable_variables)()
                    self.optimizer.apply(grads, self.trainable_variables)
                    return {"loss": loss}
        """
        from unifront.train.hooks import train_step

        return train_step(self._model, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation; data and result as of `train_step`."""
        from unifront.train.hooks import test_step

        return test_step(self._model, data)

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch of what `predict` is given."""
        from unifront.train.hooks import unpack

        return self._model(unpack(data)[0], training=False)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The total loss of a batch, a scalar: that of `compile`, what layers add, and what regularizers add."""
        from unifront.train.hooks import compute_loss

        return compute_loss(self._model, y, y_pred, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Let the metrics of `compile` take in a batch; gives `get_metrics_result`."""
        from unifront.train.hooks import compute_metrics

        return compute_metrics(self._model, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of `metrics` by name: floats; while a step is traced the metrics themselves."""
        from unifront.train.hooks import metrics_result

        return metrics_result(self._model)

    @property
    def metrics(self) -> list[Any]:
        """The mean of the loss, the metrics of `compile` (once the data are known), those set as attributes."""
        from unifront.train.hooks import metrics_of

        return list(metrics_of(self._model).values())

    @checked
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Size | None = None,
        epochs: Count = 1,
        verbose: Verbose = "auto",
        callbacks: Any = None,
        validation_split: Share = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: Count = 0,
        steps_per_epoch: Size | None = None,
        validation_steps: Size | None = None,
        validation_batch_size: Size | None = None,
        validation_freq: Size | Sequence[Size] = 1,
        *,
        backend: Name | None = None,
        resume: Any = None,
        save_every: Any = None,
        max_time: Any = None,
        fast_dev_run: Any = False,
        overfit_batches: Any = None,
        limit_train_batches: Any = None,
        limit_val_batches: Any = None,
        detect_anomaly: bool = False,
    ) -> Any:
        """Train; arguments and result as in Keras, and those after ``*``.

        Args:
            x: an array of any framework, a list or dict of them; or an iterable of ``(x, y[, weight])``.
            y: targets likewise: integer labels ``[batch]``, or floats; not beside an iterable.
            batch_size: examples a step, 32 unless given. The last batch of an epoch may be smaller.
            epochs, initial_epoch: training ends after epoch ``epochs``, counted from ``initial_epoch``.
            verbose: 1 (or "auto") a progress bar, 2 a line an epoch, 0 silence.
            callbacks: a `uf.callbacks.Callback` or several.
            validation_split: the last share of the examples, kept for validation; or
            validation_data: ``(x, y)``, ``(x, y, sample_weight)``, or an iterable of batches.
            shuffle: whether the examples are taken in a new order each epoch.
            class_weight: a factor for the examples of each class, by its number.
            sample_weight: a factor for each example, ``[examples]``.
            steps_per_epoch: batches of an epoch; None for all.
            validation_steps, validation_batch_size, validation_freq: batches of a validation, their size, and
                the number of epochs from one validation to the next, or a list of those that have one, counted from 1.
            backend: ``"jax"``, ``"torch:cpu"`` …; else compile's, else the default.
            resume: a folder. If a checkpoint of this training is in it, training goes on from there, whenever and
                however it ended: on the same backend on a CPU to the same bits as if it had never been
                interrupted (data that give batches must give the same ones again). Checkpoints are kept in it.
            save_every: how often: ``"epoch"``, a number of steps, or a time such as ``"30s"`` or ``"5m"``; by default
                after each epoch, and every five minutes within one. They are written in the background.
            max_time: when to stop: seconds, ``"DD:HH:MM:SS"``, a timedelta, or a dict such as ``{"minutes": 5}``.
                The time before a training was resumed counts; its epoch under way goes on when there is more.
            fast_dev_run: try everything with one batch (or so many) of training and of validation in one epoch,
                without callbacks that write or send, and without ``resume``.
            overfit_batches: train on the first so many batches only (or the share of them), in their order, and
                validate on the same.
            limit_train_batches, limit_val_batches: so many batches of an epoch, or of a validation, or a share.
            detect_anomaly: look for numbers that are not finite after each step, and say which layer's value or which
                weight's gradient was the first; slow.

        Returns:
            A `History`: its ``history`` maps each loss and metric to its values, one an epoch.

        Raises `ArgumentError` before `compile`, `DataError` for data that does not fit the model,
        `NonFiniteLoss` when the loss is no number any more; `FileFormatError` for a checkpoint that is broken or of
        another model, `FileWriteError` if one cannot be written (the one before stays).

        Example::

            history = model.fit(x_train, y_train, epochs=3, backend="torch")
        """
        from unifront.train import fit

        with self._tried():
            return fit(
            self._model, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            class_weight=class_weight, sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
            validation_batch_size=validation_batch_size, validation_freq=validation_freq, backend=backend,
            resume=resume, save_every=save_every, max_time=max_time, fast_dev_run=fast_dev_run,
            overfit_batches=overfit_batches, limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches, detect_anomaly=detect_anomaly,
        )  # fmt: skip

    # ------------------------------------------------------------ how people train

    @checked
    def lr_find(
        self, x: Any, y: Any = None, start: Positive = 1e-6, end: Positive = 10.0, steps: Size = 100, **options: Any
    ) -> Any:  # fmt: skip
        """The loss of one batch after another while the learning rate grows (Smith 2015, arXiv:1506.01186).

        Args:
            x, y: as for `fit`.
            start, end: the rates, in between of which it grows by the same factor at each step.
            steps: batches to train on; fewer if the loss diverges.
            options: of `fit`, such as ``batch_size`` and ``backend``.

        Returns:
            `LearningRates`: its ``suggestion`` is a good rate, ``plot()`` shows all. Weights, slots and random
            numbers are as before.

        Raises `ArgumentError` for rates that do not grow, and where the loss diverges at once.

        Example::

            model.optimizer.learning_rate = model.lr_find(x_train, y_train).suggestion
        """
        from unifront.train.habits import lr_find

        return lr_find(self._model, x, y, start, end, steps, options)

    @checked
    def fit_one_cycle(
        self, x: Any, y: Any = None, epochs: Size = 1, learning_rate: Positive | None = None, **options: Any
    ) -> Any:
        """`fit` with a learning rate that rises once and falls for longer (Smith 2018, arXiv:1803.09820).

        Args:
            x, y, epochs, options: as for `fit`.
            learning_rate: at the top; that of the optimizer unless given. Afterwards the optimizer has its own again.

        Example::

            model.fit_one_cycle(x_train, y_train, epochs=5, learning_rate=0.01)
        """
        from unifront.train.habits import fit_one_cycle

        return fit_one_cycle(self._model, x, y, epochs, learning_rate, options)

    @checked
    def fine_tune(
        self, x: Any, y: Any = None, epochs: Size = 1, freeze_epochs: Count = 1, head: Any = None,
        learning_rate: Positive | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Train the last layers first, then all, the earlier the more slowly (Howard and Ruder 2018, arXiv:1801.06146).

        Args:
            x, y, options: as for `fit`.
            epochs: of all layers, by one cycle: the last layer at half of ``learning_rate``, the first at a hundredth
                of that, those between in even steps.
            freeze_epochs: of the head alone before that, by one cycle.
            head: names of layers, or a number of the last ones that have weights; the last one unless given.
            learning_rate: at the top; that of the optimizer unless given.

        Returns:
            the `History` of all epochs.

        Example::

            model.fine_tune(x_train, y_train, epochs=3, learning_rate=1e-3)
        """
        from unifront.train.habits import fine_tune

        return fine_tune(self._model, x, y, epochs, freeze_epochs, head, learning_rate, options)

    @checked
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Size | None = None,
        verbose: Verbose = "auto",
        sample_weight: Any = None,
        steps: Size | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        backend: Name | None = None,
    ) -> Any:
        """Loss and metrics on data; arguments as in Keras, and ``backend``.

        Args:
            x, y: as for `fit`.
            batch_size: examples a step, 32 unless given.
            verbose: 1 a progress bar, 2 a line with the numbers, 0 silence; "auto" a bar where somebody looks at it, in
                a terminal or a notebook.
            sample_weight: a factor for each example, ``[examples]``.
            steps: batches to look at; None for all.
            callbacks: a `uf.callbacks.Callback` or several.
            return_dict: whether the result is a dict.
            backend: as for `fit`.

        Returns:
            The loss; with metrics a list ``[loss, *metrics]``; with ``return_dict=True`` a dict of them.

        Raises `ArgumentError` before `compile`, `DataError` for data that does not fit the model.
        """
        from unifront.train import evaluate

        with self._tried():
            return evaluate(
            self._model, x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps,
            callbacks=callbacks, return_dict=return_dict, backend=backend,
        )  # fmt: skip

    @checked
    def predict(
        self,
        x: Any,
        batch_size: Size | None = None,
        verbose: Verbose = "auto",
        steps: Size | None = None,
        callbacks: Any = None,
        *,
        backend: Name | None = None,
    ) -> Any:
        """Outputs as NumPy arrays, in the structure of the model's outputs. Needs no `compile`.

        Args:
            x: as for `fit`; an iterable gives batches of inputs.
            batch_size: examples a step, 32 unless given.
            verbose: 1 a progress bar, 0 silence; "auto" a bar where somebody looks at it, in a terminal or a notebook.
            steps: batches to predict; None for all.
            callbacks: a `uf.callbacks.Callback` or several.
            backend: as for `fit`; ``"numpy"`` and ``"onnxruntime"`` serve too. ``"auto"``: ONNX Runtime where it is
                installed, runs the model, and the usual backend's device is a CPU; else that backend.

        Raises `DataError` for data that does not fit the model.
        """
        from unifront.train import predict

        with self._tried():
            return predict(
                self._model,
                x,
                batch_size=batch_size,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
                backend=backend,
            )

    @property
    def optimizer(self) -> Any:
        """The optimizer given to `compile`."""
        return self._compiled().optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        from unifront.train import configure, optimizers

        if self._training is None:
            self._training = configure(self._model, value, None, None, None, None, None)
        else:
            self._training.optimizer = optimizers.get(value)
            self._model.programs.clear()
