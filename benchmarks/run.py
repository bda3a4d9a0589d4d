"""Measures unifront beside hand-written native code and beside Keras 3, on every backend, in one run.

    python benchmarks/run.py                          all rows but ResNet-50, all installed backends
    python benchmarks/run.py --resnet                 with it
    python benchmarks/run.py --rows mlp,lstm --backends torch,jax --quick
    python benchmarks/run.py --modes infer            inference alone
    python benchmarks/run.py --verify                 checks instead that all compute the same
    python benchmarks/run.py --tables all             what else is measured besides: `TABLES`
    python benchmarks/run.py --rows convnets          convnet-benchmarks; with --batch 32 where memory is short

What is measured. A training step is one optimizer step on a batch that lies on the device as native arrays,
called in a loop as a user of that framework writes it; the loss stays on the device. Inference is the logits
of such a batch. A block is some steps in a row, waited for at its end. Each row runs on each backend in a
process of its own, where the contenders take turns, block by block: native, unifront, Keras, native, … The
figure is the median over the blocks; a ratio is the median of the ratios of neighbouring blocks. Each
framework's defaults stand (threads, precision, no search for cuDNN's fastest algorithm), but for what the
native modules say.

The table is printed, and written with every single time to benchmarks/results/ as Markdown and JSON. The exit
status is 1 if a contender failed or, with --verify, disagreed; one that is not installed is shown as absent.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import machine
import report
from contender import COLUMNS, INFERENCE_ONLY
from measure import MODES, Plan
from rows import GROUPS, ROWS

HERE = Path(__file__).resolve().parent
USUAL = [row.name for row in ROWS.values() if not row.optional]
# Functions of scripts of their own, which take the backends.
TABLES = {
    "best": "best:table",
    "eager": "eager:table",
    "first_step": "first_step:table",
    "first_step_small": "first_step:small_table",
    "onnxruntime": "onnxruntime_predict:table",
    "onnx_resnet50": "onnx_resnet50:tables",
    "sources": "sources:table",
}
QUICK = Plan(repeats=3, seconds=0.1, trials=2)

ENVIRONMENT = {
    "auto": {},
    "gpu": {},
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
}


def arguments() -> argparse.Namespace:
    def names(known: Any):
        def parse(text: str) -> list[str]:
            chosen = [row for name in text.split(",") for row in GROUPS.get(name, (name,))]
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
            return chosen

        return parse

    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--rows", type=names(ROWS), default=USUAL, help=f"of {', '.join((*ROWS, *GROUPS))}; with commas"
    )
    parser.add_argument(
        "--backends", type=names(COLUMNS), default=list(COLUMNS), help=f"of {', '.join(COLUMNS)}"
    )
    parser.add_argument(
        "--tables",
        type=lambda text: [*TABLES] if text == "all" else names(TABLES)(text),
        default=[],
        help=f"all, or of {', '.join(TABLES)}; with commas",
    )
    parser.add_argument("--resnet", action="store_true", help="ResNet-50 too, which takes minutes")
    parser.add_argument("--quick", action="store_true", help="few and short blocks: to see that it runs")
    parser.add_argument("--batch", type=int, help="samples per batch, instead of the row's own number")
    parser.add_argument(
        "--repeats", type=int, help=f"blocks per column ({Plan().repeats}; {QUICK.repeats} when quick)"
    )
    parser.add_argument(
        "--device", choices=ENVIRONMENT, default="auto", help="auto: what each framework takes itself"
    )
    parser.add_argument(
        "--extra", action="store_true", help="also the optional columns, such as torch.compile"
    )
    parser.add_argument(
        "--modes", type=names(MODES), default=list(MODES), help=f"of {', '.join(MODES)}; with commas"
    )
    parser.add_argument(
        "--verify", action="store_true", help="check that the contenders agree; measure nothing"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results", help="the folder for the results")
    options = parser.parse_args()
    if options.resnet and "resnet50" not in options.rows:
        options.rows = [*options.rows, "resnet50"]
    for name in ("repeats", "batch"):
        if (given := getattr(options, name)) is not None and given < 1:
            parser.error(f"--{name} must be 1 or more")
    return options


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    return replace(plan, repeats=options.repeats or plan.repeats, modes=options.modes)


def run_cell(row: str, backend: str, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One row on one backend, in a process of its own."""
    if importlib.util.find_spec(backend) is None:
        return [{"row": row, "backend": backend, "problem": f"{backend} is not installed"}]
    task = {
        "row": row,
        "backend": backend,
        "batch": options.batch,
        "device": options.device,
        "extra": options.extra,
        "verify": options.verify,
        "plan": asdict(plan_of(options)),
    }
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(folder),  # whoever runs this may have other defaults in ~/.keras
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **ENVIRONMENT[options.device],
    }
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "worker.py"), json.dumps(task), str(result)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [{"row": row, "backend": backend, "failed": f"exit status {done.returncode}: {last}"}]
    return json.loads(result.read_text(encoding="utf-8"))


def main() -> int:
    options = arguments()
    information = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "options": {
            "batch": options.batch,
            "device": options.device,
            "extra": options.extra,
            **asdict(plan_of(options)),
        },
    }
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for row in options.rows:
            for backend in options.backends:
                if backend in INFERENCE_ONLY and (options.verify or "infer" not in options.modes):
                    continue
                print(f"{row} on {backend}: ", end="", flush=True)
                cell = run_cell(row, backend, options, Path(folder))
                print(report.one_line(cell), flush=True)
                results += cell
    tables = []
    for name in options.tables:
        print(f"{name} …", flush=True)
        module, _, function = TABLES[name].partition(":")
        tables.append(getattr(importlib.import_module(module), function)(options.backends))

    if options.verify:
        report.show_verification(results)
    else:
        report.show_measurements(results)
        for table in tables:
            report.show(*table)
        rows = [] if set(USUAL) <= set(options.rows) else options.rows
        backends = [] if set(COLUMNS) == set(options.backends) else options.backends
        batch = [] if options.batch is None else [f"batch{options.batch}"]
        name = report.file_name(information, *rows, *backends, *batch, *["quick"] * options.quick)
        for path in report.write(options.output, name, information, results, tables):
            print(f"Written: {path}")
    return int(report.went_wrong(results))


if __name__ == "__main__":
    sys.exit(main())
