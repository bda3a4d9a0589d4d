"""TensorBoard, by the writer of its own package: no TensorFlow is needed."""

from __future__ import annotations

import io
import itertools
import os
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from unifront.arguments import Count, checked
from unifront.backends import placement
from unifront.errors import ArgumentError, FileWriteError
from unifront.ir.graph import Graph, Value
from unifront.paths import path_of
from unifront.train.callbacks.base import Callback, Logs, rated
from unifront.train.callbacks.loggers import library, plain_logs

_files = itertools.count()


class _Events:
    """A file of events in ``folder``."""

    def __init__(self, folder: Path) -> None:
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}.{next(_files)}.v2"
        records = library("tensorboard.summary.writer.record_writer", "TensorBoard")
        self._events = library("tensorboard.compat.proto.event_pb2", "TensorBoard")
        self._path, self._waiting = folder / name, io.BytesIO()
        self._writer = records.RecordWriter(self._waiting)
        self.write(file_version="brain.Event:2")

    def write(self, **event: Any) -> None:
        made = self._events.Event(wall_time=time.time(), **event)
        self._writer.write(made.SerializeToString())

    def scalar(self, tag: str, value: Any, step: int) -> None:
        kind = library("tensorboard.plugins.scalar.summary_v2", "TensorBoard")
        self.write(step=step, summary=kind.scalar_pb(tag, np.float32(value)))

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        kind = library("tensorboard.plugins.histogram.summary_v2", "TensorBoard")
        self.write(step=step, summary=kind.histogram_pb(tag, values))

    def image(self, tag: str, images: np.ndarray, step: int) -> None:
        """``images``: bytes, ``[count, height, width, channels]``."""
        kind = library("tensorboard.plugins.image.metadata", "TensorBoard")
        protos = library("tensorboard.compat.proto.summary_pb2", "TensorBoard")
        tensors = library("tensorboard.compat.proto.tensor_pb2", "TensorBoard")
        size = [str(images.shape[2]).encode(), str(images.shape[1]).encode()]
        tensor = tensors.TensorProto(dtype="DT_STRING", string_val=[*size, *map(_png, images)])
        tensor.tensor_shape.dim.add(size=2 + len(images))
        value = protos.Summary.Value(tag=tag, tensor=tensor, metadata=kind.create_summary_metadata(tag, ""))
        self.write(step=step, summary=protos.Summary(value=[value]))

    def graph(self, graph: Graph) -> None:
        self.write(graph_def=_graph_def(graph))

    def flush(self) -> None:
        """Add to the file what was written; it is open for no longer, so that nothing need be closed after an error."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(self._waiting.getvalue())
        except OSError as error:
            raise FileWriteError(f"Cannot write {self._path}: {error.strerror or error}.") from error
        self._waiting.seek(0)
        self._waiting.truncate()


class TensorBoard(Callback):
    """Write what happens for TensorBoard to show; arguments and names of what is shown as in Keras.

    Args:
        log_dir: the folder. Training is in ``train`` in it, validation in ``validation``.
        histogram_freq: epochs from one histogram of every weight to the next; 0 for none.
        write_graph: whether the model's graph is written.
        write_images: whether weights are written as images too, with the histograms.
        write_steps_per_second: whether the speed is written.
        update_freq: ``"epoch"``, ``"batch"``, or a number of batches, after which losses and metrics are written.
        profile_batch: a batch, or a pair of the first and the last one, counted from 1 over the whole training, during
            which the backend's profiler runs; 0 for none.
        embeddings_freq: epochs from one table of each `Embedding`'s vectors to the next, for the projector; 0 for none.
        embeddings_metadata: a file of labels for the vectors, or a dict of them by the layer's name.

    Needs the package tensorboard (``pip install unifront[tensorboard]``).
    """

    sends = True

    @checked
    def __init__(
        self, log_dir: Any = "logs", histogram_freq: Count = 0, write_graph: bool = True,
        write_images: bool = False, write_steps_per_second: bool = False, update_freq: Any = "epoch",
        profile_batch: Any = 0, embeddings_freq: Count = 0, embeddings_metadata: Any = None,
    ) -> None:  # fmt: skip
        self.log_dir = os.fspath(path_of(log_dir))
        self.histogram_freq, self.write_graph, self.write_images = histogram_freq, write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if self.update_freq != "epoch" and not (type(self.update_freq) is int and self.update_freq > 0):
            raise ArgumentError(
                f"TensorBoard: update_freq is 'epoch', 'batch' or a number of batches, not {update_freq!r}."
            )
        self.profiled = _batches(profile_batch)
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        self._writers: dict[str, _Events] = {}
        self._profile: AbstractContextManager[Any] | None = None
        self._batch = self._test_batch = 0
        self._began = self._batch_began = 0.0
        self._steps = 0

    def wants(self, event: str) -> bool:
        if "train_batch" in event:
            return self.update_freq != "epoch" or self.profiled is not None
        return super().wants(event)

    def _writer(self, part: str) -> _Events:
        if part not in self._writers:
            self._writers[part] = _Events(Path(self.log_dir) / part)
        return self._writers[part]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batch, self._began, self._steps = 0, time.perf_counter(), self._iterations()
        if self.write_graph and not self.model.has_free_inputs:
            self._writer("train").graph(self.model.graph())
        if self.embeddings_freq:
            self._write_projector()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._end_profile()
        for writer in self._writers.values():
            writer.flush()
        self._writers = {}

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began, self._steps = time.perf_counter(), self._iterations()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch += 1
        self._batch_began = time.perf_counter()
        if self.profiled is not None and self._batch == self.profiled[0]:
            self._profile = placement(self.params["backend"]).backend.profiled(
                os.path.join(self.log_dir, "train")
            )
            self._profile.__enter__()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.profiled is not None and self._batch >= self.profiled[1]:
            self._end_profile()
        if self.update_freq == "epoch" or self._batch % self.update_freq:
            return
        writer = self._writer("train")
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._batch_began, 1e-9)
            writer.scalar("batch_steps_per_second", 1 / seconds, self._batch)
        for name, value in plain_logs(logs).items():
            writer.scalar(f"batch_{name}", value, self._batch)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self.model.optimizer is not None:
            writer = self._writer("validation")
            for name, value in plain_logs(logs).items():
                writer.scalar(f"evaluation_{name}_vs_iterations", value, self._iterations())
            writer.flush()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        given = plain_logs(logs)
        train = {name: value for name, value in given.items() if not name.startswith("val_")}
        train |= {name: float(one.learning_rate) for name, one in rated(self.model.optimizer).items()}
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._began, 1e-9)
            train["steps_per_second"] = (self._iterations() - self._steps) / seconds
        for name, value in train.items():
            self._writer("train").scalar(f"epoch_{name}", value, epoch)
        for name, value in given.items():
            if name.startswith("val_"):
                self._writer("validation").scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        for writer in self._writers.values():
            writer.flush()

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations)

    def _end_profile(self) -> None:
        if self._profile is not None:
            profile, self._profile = self._profile, None
            profile.__exit__(None, None, None)

    def _write_weights(self, epoch: int) -> None:
        paths = self.model.variable_paths()
        for weight in self.model.weights:
            value = weight.numpy().astype(np.float64)
            self._writer("train").histogram(f"{paths[id(weight)]}/histogram", value, epoch)
            pictures = _pictures(value) if self.write_images else None
            if pictures is not None:
                self._writer("train").image(f"{paths[id(weight)]}/image", pictures, epoch)

    def _embeddings(self) -> list[Any]:
        from unifront.layers import Embedding

        return [layer for layer in self.model.layers_below() if isinstance(layer, Embedding)]

    def _write_projector(self) -> None:
        metadata = self.embeddings_metadata
        names = [layer.name for layer in self._embeddings()]
        odd = [name for name in metadata if name not in names] if isinstance(metadata, Mapping) else []
        if odd:
            raise ArgumentError(
                f"TensorBoard: embeddings_metadata names {odd[0]!r}, which is no Embedding. Known: "
                f"{', '.join(names) or 'none'}."
            )
        lines = []
        for name in names:
            labels = metadata.get(name) if isinstance(metadata, Mapping) else metadata
            lines += ["embeddings {", f'  tensor_name: "{name}"', f'  tensor_path: "{name}.tsv"']
            lines += [*([] if labels is None else [f'  metadata_path: "{labels}"']), "}"]
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        (Path(self.log_dir) / "projector_config.pbtxt").write_text("".join(f"{line}\n" for line in lines))

    def _write_embeddings(self) -> None:
        for layer in self._embeddings():
            table = layer.weights[0].numpy().astype(np.float64)
            np.savetxt(Path(self.log_dir) / f"{layer.name}.tsv", table, delimiter="\t", fmt="%.6g")


def _batches(given: Any) -> tuple[int, int] | None:
    """The first and the last batch to profile."""
    pair = given.split(",") if isinstance(given, str) else given
    pair = [pair, pair] if isinstance(pair, int) else pair
    try:
        first, last = (int(one) for one in pair)
    except (TypeError, ValueError):
        first, last = -1, -1
    if first < 0 or last < first:
        raise ArgumentError(
            "profile_batch must be a non-negative integer or 2-tuple of positive integers. A pair of positive "
            f"integers signifies a range of batches to profile. Found: {given!r}."
        )
    return (first, last) if last else None


def _pictures(value: np.ndarray) -> np.ndarray | None:
    """A weight as images of bytes, as Keras lays them out; None for one that is no image."""
    value = np.squeeze(value)
    if value.ndim == 1:
        value = value.reshape(1, -1, 1, 1)
    elif value.ndim == 2:
        value = (value.T if value.shape[0] > value.shape[1] else value)[None, :, :, None]
    elif value.ndim == 3:
        value = np.moveaxis(value, -1, 0)[..., None]
    if value.ndim != 4 or value.shape[-1] not in (1, 3, 4) or not value.size:
        return None
    low, high = value.min(), value.max()
    scaled = (value - low) / (high - low) if high > low else np.zeros_like(value)
    return np.round(255 * scaled).astype(np.uint8)


def _png(image: np.ndarray) -> bytes:
    """A PNG file (W3C, second edition) of bytes ``[height, width, channels]``."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _graph_def(graph: Graph) -> bytes:
    """``graph`` as TensorFlow's GraphDef, which TensorBoard draws: operations by the paths of their layers."""
    protos = library("tensorboard.compat.proto.graph_pb2", "TensorBoard")
    made = protos.GraphDef()
    names: dict[Value, str] = {}
    taken: dict[str, int] = {}

    def add(name: str, op: str, operands: list[str]) -> str:
        count = taken[name] = taken.get(name, -1) + 1
        name = f"{name}_{count}" if count else name
        made.node.add(name=name, op=op, input=operands)
        return name

    for name, value in zip(graph.input_names, graph.inputs, strict=True):
        names[value] = add(name, "Placeholder", [])
    for variable in graph.variables:
        names[variable.value] = add(variable.name, "VariableV2", [])
    for node in graph.nodes:
        operands = [names[value] for value in node.operands if value is not None and value in names]
        own = add(f"{node.name}/{node.op.name}" if node.name else node.op.name, node.op.name, operands)
        for i, value in enumerate(node.outputs):
            names[value] = f"{own}:{i}" if i else own
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        add(f"outputs/{name}", "Identity", [names[value]])
    return bytes(made.SerializeToString())
