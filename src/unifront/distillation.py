"""A small model learns from a large one, as ``keras.distillation`` (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from unifront import ops, tree
from unifront.arguments import Positive, checked, within
from unifront.errors import ArgumentError, ShapeError
from unifront.model import Model
from unifront.train import losses, metrics

__all__ = ["DistillationLoss", "Distiller", "FeatureDistillation", "LogitsDistillation"]


def __dir__() -> list[str]:
    return __all__


class DistillationLoss:
    """How far a student is from its teacher. Subclasses override `compute_loss`; what it gives is a scalar."""

    teacher_layer_name: str | None = None
    student_layer_name: str | None = None

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The loss between outputs of the teacher and of the student, tensors or equal structures of them."""
        raise NotImplementedError("Subclasses of DistillationLoss override compute_loss.")

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raises `ArgumentError` unless both have one structure."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: Model, student: Model) -> None:
        """Raises `ArgumentError` if a model lacks the layer that is looked at."""
        for model, name in ((teacher, self.teacher_layer_name), (student, self.student_layer_name)):
            if name is not None:
                model.get_layer(name).output  # noqa: B018  # both raise


class _OfLosses(DistillationLoss):
    """Sums a loss over the outputs. ``loss`` is a name or loss, or a structure of them as the outputs'; None leaves an
    output out."""

    def __init__(self, loss: Any) -> None:
        self.loss = tree.map_structure(lambda one: None if one is None else losses.get(one), loss)
        if all(one is None for one in tree.flatten(self.loss)):
            raise ArgumentError(f"{type(self).__name__}: at least one loss is not None.")

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        super().validate_outputs(teacher_outputs, student_outputs)
        tree.assert_same_structure(self.loss, teacher_outputs)

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The sum of the losses of all outputs that have one."""
        teachers, students = tree.flatten(teacher_outputs), tree.flatten(student_outputs)
        triples = zip(tree.flatten(self.loss), teachers, students, strict=True)
        return sum(self._one(*triple) for triple in triples if triple[0] is not None)

    def _one(self, loss: Any, teacher: Any, student: Any) -> Any:
        return ops.mean(loss(teacher, student))

    def get_config(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {"loss": tree.map_structure(lambda one: one and losses.serialize(one), self.loss)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The loss that `get_config` described."""
        return cls(**{**config, "loss": _read(config["loss"])})


def _read(given: Any) -> Any:
    """The losses that `get_config` described."""
    if isinstance(given, list | tuple):
        return [_read(one) for one in given]
    if isinstance(given, Mapping) and "class_name" not in given:
        return {key: _read(one) for key, one in given.items()}
    return None if given is None else losses.deserialize(given)


class FeatureDistillation(_OfLosses):
    """The student's features are to be the teacher's.

    Args:
        loss: see `LogitsDistillation`.
        teacher_layer_name, student_layer_name: the layers whose outputs are compared; None for the models' own.

    Raises `ArgumentError` if no loss is given.

    Example::

        uf.distillation.FeatureDistillation("mse", teacher_layer_name="dense_1", student_layer_name="dense")
    """

    @checked
    def __init__(
        self, loss: Any = "mse", teacher_layer_name: str | None = None, student_layer_name: str | None = None
    ) -> None:
        super().__init__(loss)
        self.teacher_layer_name, self.student_layer_name = teacher_layer_name, student_layer_name

    def get_config(self) -> dict[str, Any]:
        names = {"teacher_layer_name": self.teacher_layer_name, "student_layer_name": self.student_layer_name}
        return {**super().get_config(), **names}


class LogitsDistillation(_OfLosses):
    """The student's logits, divided by a temperature, are to be the teacher's (Hinton et al. 2015).

    Args:
        temperature: above 0; the higher, the more the small logits count.
        loss: a name or loss, or a structure of them as the models' outputs, None for outputs left out. The
            Kullback-Leibler divergence is taken between the softmax of both, times the square of the temperature.

    Raises `ArgumentError` if no loss is given.
    """

    @checked
    def __init__(self, temperature: Positive = 3.0, loss: Any = "kl_divergence") -> None:
        super().__init__(loss)
        self.temperature = temperature

    def _one(self, loss: Any, teacher: Any, student: Any) -> Any:
        teacher, student = ops.divide(teacher, self.temperature), ops.divide(student, self.temperature)
        if not isinstance(loss, losses.KLDivergence):
            return super()._one(loss, teacher, student)
        return super()._one(loss, ops.softmax(teacher), ops.softmax(student)) * self.temperature**2

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature, **super().get_config()}


class Distiller(Model):
    """Trains ``student`` on its own loss and on how far it is from ``teacher``, which is frozen.

    Args:
        teacher, student: models of equal inputs and outputs.
        distillation_losses: a `DistillationLoss`, or a list of them.
        distillation_loss_weights: a number for each; 1 unless given.
        student_loss_weight: the share, in [0, 1], of the loss that `compile` is given; the rest is the distillation's.

    The model is called as the student. Raises `ShapeError` where the models' inputs or outputs differ, `ArgumentError`
    for anything else.

    Example::

        distiller = uf.distillation.Distiller(large, small, uf.distillation.LogitsDistillation(4.0))
        distiller.compile("adam", loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        distiller.fit(x_train, y_train)
        distiller.student.save("small.uf")
    """

    @checked
    def __init__(
        self,
        teacher: Model,
        student: Model,
        distillation_losses: Any,
        distillation_loss_weights: Sequence[float] | None = None,
        student_loss_weight: Annotated[float, within("[0, 1]")] = 0.5,
        name: str | None = "distiller",
    ) -> None:
        super().__init__(name=name)
        several = isinstance(distillation_losses, list | tuple)
        self.distillation_losses = list(distillation_losses) if several else [distillation_losses]
        if not all(isinstance(one, DistillationLoss) for one in self.distillation_losses):
            raise ArgumentError(
                f"Distiller: distillation_losses are DistillationLosses, not {distillation_losses!r}. "
                "Try: LogitsDistillation(), FeatureDistillation()."
            )
        weights = list(distillation_loss_weights or [1.0] * len(self.distillation_losses))
        if len(weights) != len(self.distillation_losses):
            raise ArgumentError(
                f"Distiller: {len(weights)} distillation_loss_weights for {len(self.distillation_losses)} losses."
            )
        for loss in self.distillation_losses:
            loss.validate_model_compatibility(teacher, student)
        _same_ends(teacher, student)
        self.distillation_loss_weights, self.student_loss_weight = weights, float(student_loss_weight)
        self.teacher, self.student = teacher, student
        self._features = [_Features(teacher, student, loss) for loss in self.distillation_losses]
        teacher.trainable = False
        self.student_loss_tracker = metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = metrics.Mean(name="distillation_loss")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the student gives."""
        return self.student(inputs, training=bool(training))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The student's loss and the distillation's, weighted; the trackers take both."""
        own = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        apart: Any = 0.0
        for weight, loss, features in zip(
            self.distillation_loss_weights, self.distillation_losses, self._features, strict=True
        ):
            taught, learned = features(x, y_pred, training)
            loss.validate_outputs(taught, learned)
            apart = apart + weight * loss.compute_loss(taught, learned)
        self.student_loss_tracker.update_state(own)
        self.distillation_loss_tracker.update_state(apart)
        return self.student_loss_weight * own + (1.0 - self.student_loss_weight) * apart


class _Features:
    """What a loss compares: outputs of layers by name, or the models' own.

    It is no layer, so that the distiller's are the teacher and the student alone.
    """

    def __init__(self, teacher: Model, student: Model, loss: DistillationLoss) -> None:
        self.teacher = _up_to(teacher, loss.teacher_layer_name)
        self.student = None if loss.student_layer_name is None else _up_to(student, loss.student_layer_name)

    def __call__(self, x: Any, y_pred: Any, training: bool) -> tuple[Any, Any]:
        learned = y_pred if self.student is None else self.student(x, training=training)
        return self.teacher(x, training=False), learned


def _up_to(model: Model, layer: str | None) -> Model:
    """``model`` up to its layer called ``layer``."""
    if layer is None:
        return model
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return Model(inputs, model.get_layer(layer).output)


def _same_ends(teacher: Model, student: Model) -> None:
    for what in ("inputs", "outputs"):
        mine, its = (getattr(model, what, None) for model in (student, teacher))
        if mine is None or its is None:  # of a subclass, known when it is called
            continue
        shapes = [
            [(str(one.dtype), tuple(one.shape)[1:]) for one in tree.flatten(ends)] for ends in (mine, its)
        ]
        if shapes[0] != shapes[1]:
            raise ShapeError(f"Distiller: the student's {what} are {shapes[0]}, the teacher's {shapes[1]}.")
