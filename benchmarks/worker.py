"""One row on one backend in a process of its own: `worker.py TASK RESULT`, started by run.py.

TASK is JSON; the results are written to the file RESULT as JSON. A process of its own, because Keras's
backend is fixed when it is imported, and because frameworks side by side would fight for the cores or the
GPU's memory.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
from rows import ROWS
from verify import verify


def run(task: dict[str, Any]) -> list[dict[str, Any]]:
    row, backend = ROWS[task["row"]], task["backend"]
    if task["batch"] is not None:
        row = replace(row, batch_size=task["batch"])
    device = measure.device_of(backend)
    if task["device"] == "gpu" and device == "cpu":
        return [{"row": row.name, "backend": backend, "problem": f"{backend} sees no GPU"}]
    columns = measure.columns_for(backend, extra=task["extra"])
    if task["verify"]:
        return verify(row, backend, columns, device)
    return measure.measure(row, backend, columns, measure.Plan(**task["plan"]))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(run(json.loads(sys.argv[1]))), encoding="utf-8")
