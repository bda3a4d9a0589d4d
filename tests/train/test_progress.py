"""The progress bar: one line an epoch, that stays, and only one line that is drawn again and again."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import unifront as uf
from tests.models import TRAINABLE
from unifront.train.progress import EpochProgress, show_logs


def drawn(verbose: int, epochs: int, terminal: bool, width: int = 100) -> str:
    progress = EpochProgress(verbose, epochs, "torch:cpu")
    text = io.StringIO()
    progress.console = Console(file=text, force_terminal=terminal, width=width, height=10)
    with progress:
        for epoch in range(epochs):
            progress.begin(epoch, 3)
            for _ in range(3):
                progress.advance(1, {"loss": 0.5})
            progress.end(epoch, {"loss": 0.25, "accuracy": epoch / 100})
    return text.getvalue()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_more_epochs_than_the_screen_has_lines(terminal: bool) -> None:
    text = drawn(1, 30, terminal)
    for epoch in range(30):
        assert f"torch:cpu epoch {epoch + 1}/30 " in text
        assert f"loss 0.2500  accuracy {epoch / 100:.4f}" in text
    if not terminal:
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) == 30
        assert all("3/3" in line for line in lines)


def test_lines_and_silence() -> None:
    assert drawn(2, 2, False).splitlines() == [
        "torch:cpu epoch 1/2: loss 0.2500  accuracy 0.0000",
        "torch:cpu epoch 2/2: loss 0.2500  accuracy 0.0100",
    ]
    assert drawn(0, 2, True) == ""


def test_small_numbers_keep_their_digits() -> None:
    assert show_logs({"loss": 0.000123, "error": -0.5, "hits": 0.0, "no": float("nan")}) == (
        "loss 1.23e-04  error -0.5000  hits 0.0000  no nan"
    )


def test_eighty_columns() -> None:
    """What is redrawn is one line of 80 columns; the line that stays has every number and the speed."""
    progress = EpochProgress(1, 200, "tensorflow:cpu")
    text = io.StringIO()
    progress.console = Console(file=text, force_terminal=True, width=80, height=10, color_system=None)
    logs = dict.fromkeys(("loss", "accuracy", "precision", "recall", "val_loss", "val_accuracy"), 0.123456)
    with progress:
        progress.begin(120, 12345)
        progress.advance(5000, logs)
        assert progress._bar is not None
        progress._bar.refresh()
        live = text.getvalue()
        progress.end(120, logs)
    lines = [
        line
        for line in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", live).replace("\r", "\n").splitlines()
        if line.strip()
    ]
    assert lines
    assert all(len(line) <= 80 for line in lines)
    assert any(
        line.startswith("tensorflow:cpu") and "5000/12345" in line and line.rstrip().endswith("…")
        for line in lines
    )
    last = re.sub(r"\s+", " ", text.getvalue()[len(live) :])
    assert "val_accuracy 0.1235" in last
    assert "/s" in last


def test_evaluate_and_predict_show_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar or a line when told to; of its own accord nothing, where nobody looks at it."""
    x = uf.Input((2,))
    model = uf.Model(x, uf.layers.Dense(1)(x))
    model.compile("sgd", "mse", backend=TRAINABLE[0])
    data, target = np.ones((6, 2)), np.ones((6, 1))

    def shown(call: Callable[..., Any], *args: Any, **options: Any) -> str:
        call(*args, batch_size=2, **options)
        return " ".join(capsys.readouterr().out.split())

    loss = model.evaluate(data, target, verbose=0)
    assert shown(model.evaluate, data, target) == shown(model.predict, data) == ""
    assert shown(model.evaluate, data, target, verbose=0) == shown(model.predict, data, verbose=0) == ""
    line = shown(model.evaluate, data, target, verbose=2)
    assert re.fullmatch(rf"\w+(:\w+)? evaluate: {re.escape(show_logs({'loss': loss}))}", line)
    assert re.search(r"evaluate 3/3 .* loss \d", shown(model.evaluate, data, target, verbose=1))
    assert re.search(r"predict 3/3 ", shown(model.predict, data, verbose=1))
    assert re.search(r"evaluate 2/2 ", shown(model.evaluate, data, target, verbose=1, steps=2))
    assert re.search(r"predict 1/1 ", shown(model.predict, iter([data]), verbose=1))
