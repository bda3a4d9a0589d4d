"""Checks that the contenders of a row compute the same: parameters, logits, losses. Keras is the judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from contender import Column, Contender, reason_of_absence
from rows import Row

# Relative to the largest magnitude compared. On a GPU each framework rounds to TF32 where it thinks it right.
TOLERANCES = {
    "cpu": {"logits": 1e-5, "first loss": 1e-5, "later losses": 1e-3},
    "gpu": {"logits": 1e-2, "first loss": 1e-2, "later losses": 1e-1},
}
# By row and by module.
WIDER = {
    # Adam's first steps are as long for a gradient of 1e-12 as for a large one, so they turn rounding into
    # differences; ResNet-50, new and normalized over 8 images, multiplies them. Contenders whose logits and
    # first loss agreed to 1e-6 were up to 1.2e-2 apart after two steps.
    "resnet50": {"later losses": 3e-2},
    # The same in MobileNet v2: hand-written code was 3.4e-3 from Keras on JAX, on PyTorch 4.7e-3 and 5.8e-3.
    "mobilenet_v2": {"later losses": 1e-2},
    # torch.optim.Adam adds epsilon after the bias correction, Keras before it ("epsilon hat" in the paper),
    # which shows in gradients near zero. With epsilon scaled to make up for that, they agree to 1e-5.
    "native_torch": {"later losses": 5e-3},
}
TRAINING_STEPS = 3


@dataclass(frozen=True)
class Outcome:
    """What a contender computes from the row's weights and data, with dropout off."""

    parameters: int
    logits: np.ndarray
    losses: list[float]


def outcome(contender: Contender) -> Outcome:
    contender.infer()
    logits = np.array(contender.last_logits())
    losses = []
    for _ in range(TRAINING_STEPS):
        contender.train_step()
        losses.append(contender.last_loss())
    return Outcome(contender.parameter_count, logits, losses)


def _distance(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max()))


def tolerance(what: str, device: str, *wider: str) -> float:
    usual = TOLERANCES["cpu" if device == "cpu" else "gpu"][what]
    return max(usual, *(WIDER.get(name, {}).get(what, 0.0) for name in wider))


def verify(row: Row, backend: str, columns: list[Column], device: str) -> list[dict[str, Any]]:
    """One result per contender: its distances from the judge, and whether all are within the tolerances."""
    row = replace(row, dropout=(0.0,) * len(row.dropout))
    outcomes: dict[str, Outcome] = {}
    problems: dict[str, dict[str, str]] = {}
    owners: dict[str, Column] = {}
    for column in columns:
        for variant in column.variants:
            name = column.name if len(column.variants) == 1 else f"{column.name} {variant}"
            owners[name] = column
            try:
                outcomes[name] = outcome(column.build(row, backend, variant))
            except Exception as error:  # noqa: BLE001  # the others are to be checked all the same
                absent = reason_of_absence(error)
                problems[name] = (
                    {"absent": absent} if absent else {"failed": f"{type(error).__name__}: {error}"}
                )

    # A variant that is not for this row is no news where the column has another one.
    present = {owners[name].name for name in outcomes}
    problems = {
        name: problem
        for name, problem in problems.items()
        if "failed" in problem or owners[name].name not in present
    }
    judge = "keras" if "keras" in outcomes else next(iter(outcomes), "")
    common = {"row": row.name, "backend": backend, "device": device, "judge": judge}
    results: list[dict[str, Any]] = [
        {**common, "contender": name, **problem} for name, problem in problems.items()
    ]
    for name, found in outcomes.items():
        expected = outcomes[judge]
        distances = {
            "logits": _distance(found.logits, expected.logits),
            "first loss": _distance(found.losses[0], expected.losses[0]),
            "later losses": _distance(found.losses[1:], expected.losses[1:]),
        }
        # Written so that a NaN is no agreement.
        agrees = found.parameters == expected.parameters == row.parameter_count and all(
            distance <= tolerance(what, device, row.name, owners[name].module)
            for what, distance in distances.items()
        )
        results.append(
            {
                **common,
                "contender": name,
                "parameters": found.parameters,
                "losses": found.losses,
                "distances": distances,
                "agrees": agrees,
            }
        )
    return results
