"""``unifront demo``: one small CNN on real digits, trained by every installed backend in turn.

python -m unifront.demo digits.uf     evaluates a saved model and prints the numbers as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import unifront as uf
from unifront.backends import installed, names
from unifront.errors import BackendMissing, UnifrontError
from unifront.model import Model
from unifront.summary import summary_table
from unifront.testing import difference

GOAL = 0.97
Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_digits() -> Split:
    """scikit-learn's 1,797 handwritten digits, 8×8, in [0, 1]: (train, test), every fifth held out."""
    try:
        from sklearn.datasets import load_digits as load
    except ModuleNotFoundError as error:
        raise BackendMissing(
            'The digits of the demo come with scikit-learn. Try: pip install "unifront[zoo]"'
        ) from error
    data = load()
    images = (data.images[..., None] / 16).astype(np.float32)
    labels = data.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(images))
    held_out = np.arange(len(images)) % 5 == 0
    train, test = order[~held_out], order[held_out]
    return (images[train], labels[train]), (images[test], labels[test])


def build(classes: int = 10) -> Model:
    """The demo's model, compiled."""
    model = uf.zoo.create("digits_cnn", classes=classes)
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(2e-3), loss=loss, metrics=["accuracy"])
    return model


def evaluate_everywhere(model: Model, x: np.ndarray, y: np.ndarray) -> dict[str, dict[str, float]]:
    """Loss, accuracy and largest difference of the outputs from NumPy's, on every installed backend."""
    judge = model.predict(x, backend="numpy", batch_size=256)
    found = {}
    for name in installed():
        numbers = model.evaluate(x, y, backend=name, batch_size=256, return_dict=True)
        outputs = model.predict(x, backend=name, batch_size=256)
        found[name] = {**numbers, "difference": difference(outputs, judge)}
    return found


def run(console: Console, folder: Path | None, epochs: int) -> bool:
    """The whole demo; True if every part of it came out as promised.

    Args:
        folder: where the files are kept; None: nowhere.
        epochs: shared among the backends, at least one for each.
    """
    uf.set_seed(0)
    (x_train, y_train), (x_test, y_test) = load_digits()
    model = build()
    trainable = [name for name in installed() if name != "numpy"]
    console.rule("unifront: one model, every backend")
    console.print(f"{len(x_train)} digits to train on, {len(x_test)} held out.")
    console.print(f"Backends: {', '.join(trainable) or 'none'}.")
    console.print(summary_table(model))
    if not trainable:
        return _without_frameworks(console, model, x_test)
    good = _train(console, model, x_train, y_train, trainable, epochs)
    found = evaluate_everywhere(model, x_test, y_test)
    good &= _show(console, found)
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        good &= _onnx(console, model, x_test, place / "digits.onnx")
        good &= _save(console, model, found, place / "digits.uf")
    console.rule("all as promised" if good else "[red]something above is not as promised[/]")
    return good


def _without_frameworks(console: Console, model: Model, x: np.ndarray) -> bool:
    console.print("No framework is installed, so there is nothing to train with. To install one, type:")
    for name in names():
        if name != "numpy":
            console.print(f'    pip install "unifront[{name}]"', markup=False, highlight=False)
    outputs = model.predict(x[:8], backend="numpy")
    console.print(f"Inference works on NumPy alone: 8 images gave logits of shape {outputs.shape}.")
    return True


def _train(
    console: Console, model: Model, x: np.ndarray, y: np.ndarray, names: list[str], epochs: int
) -> bool:
    console.rule("1. train: each backend goes on where the last one stopped")
    good = True
    share = max(1, epochs // len(names))
    for name in names:
        before = model.optimizer.iterations
        began = time.perf_counter()
        model.fit(x, y, batch_size=32, epochs=share, backend=name)
        steps = model.optimizer.iterations - before
        home = model.weights[0].home
        took = time.perf_counter() - began
        console.print(
            f"  {name}: steps {before} to {model.optimizer.iterations} in {took:.1f} s.", highlight=False
        )
        console.print(f"  Weights and Adam moments now live in {home}.", highlight=False)
        good &= steps == share * -(-len(x) // 32) and home.startswith(name)
    return good


def _show(console: Console, found: dict[str, dict[str, float]]) -> bool:
    console.rule("2. evaluate: the same numbers everywhere")
    table = Table()
    for column in ("backend", "loss", "accuracy", "largest difference from NumPy"):
        table.add_column(column, justify="left" if column == "backend" else "right")
    for name, row in found.items():
        table.add_row(name, f"{row['loss']:.6f}", f"{row['accuracy']:.4f}", f"{row['difference']:.1e}")
    console.print(table)
    return all(row["accuracy"] >= GOAL and row["difference"] <= 1e-5 for row in found.values())


def _onnx(console: Console, model: Model, x: np.ndarray, path: Path) -> bool:
    console.rule("3. export: ONNX from the graph")
    try:
        import onnxruntime
    except ModuleNotFoundError:
        console.print('  ONNX Runtime is not installed. Try: pip install "unifront[onnx]"', markup=False)
        return True
    model.export(path)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    off = difference(outputs, model.predict(x, backend="numpy", batch_size=256))
    size = path.stat().st_size
    console.print(f"  {path.name}: {size:,} bytes; ONNX Runtime differs from NumPy by {off:.1e}.")
    return off <= 1e-5


def _save(console: Console, model: Model, found: dict[str, dict[str, float]], path: Path) -> bool:
    console.rule("4. save, load in a new process, evaluate again")
    model.save(path)
    done = subprocess.run(
        [sys.executable, "-m", "unifront.demo", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        console.print(f"  [red]The new process failed:[/] {escape(done.stderr[-2000:])}")
        return False
    again: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    off = max(abs(again[name][key] - row[key]) for name, row in found.items() for key in ("loss", "accuracy"))
    console.print(f"  {path.name}: {path.stat().st_size:,} bytes.")
    console.print(f"  Loss and accuracy on {len(again)} backends differ by {off:.1e}.")
    return off <= 1e-6


def main(path: str) -> None:
    """Evaluate the model at ``path`` on every installed backend and print the numbers as JSON."""
    _, (x_test, y_test) = load_digits()
    found: dict[str, Any] = evaluate_everywhere(uf.load(path), x_test, y_test)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except UnifrontError as error:
        sys.exit(str(error))
