"""The tables: printed with rich, written as Markdown and JSON."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Result = dict[str, Any]
Rows = list[list[str]]


class Table(NamedTuple):
    """What another script measured: each row's cells as text, ✗ behind a figure that is over its target."""

    title: str
    names: list[str]
    rows: Rows

    @property
    def missed(self) -> bool:
        """Whether a figure is over its target."""
        return any(_bad(cell) for row in self.rows for cell in row)


# What a training step of unifront is to reach.
TARGETS = {"unifront/native": 1.10, "unifront/keras": 1.00}
MODES = {"train": "Training step", "infer": "Inference"}
LONGEST_REASON = 200
LEFT_ALIGNED = ("row", "backend", "contender", "also", "verdict")
MAIN_COLUMNS = ("native", "unifront", "keras")


def _number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _time(column: Result) -> str:
    if "median" not in column:
        return "failed" if "failed" in column else "absent"
    spread = column["spread"] / column["median"]
    variant = f" {column['variant']}" if len(column["tried"]) > 1 else ""
    return f"{_number(column['median'])} ±{spread:.0%}{variant}"


def _ratio(result: Result, name: str) -> str:
    ratio = result.get("ratios", {}).get(name)
    if ratio is None:
        return "–"
    missed = result["mode"] == "train" and name in TARGETS and ratio["median"] > TARGETS[name]
    return f"{ratio['median']:.2f} ±{ratio['spread']:.2f}{' ✗' if missed else ''}"


def header() -> list[str]:
    ratios = [f"{a} / {b}" for a, b in (name.split("/") for name in (*TARGETS, "keras/native"))]
    return ["row", "backend", *MAIN_COLUMNS, *ratios, "also"]


def table_rows(results: list[Result], mode: str) -> Iterator[list[str]]:
    """The cells as text; times in ms, with half the distance between the quartiles."""
    for result in results:
        if result.get("mode") != mode:
            continue
        columns = result["columns"]
        times = {name: _time(column) for name, column in columns.items()}
        also = [
            f"{name} {time}" for name, time in times.items() if name not in MAIN_COLUMNS and time != "absent"
        ]
        yield [
            result["row"],
            result["backend"],
            *(times.get(name, "–") for name in MAIN_COLUMNS),
            *(_ratio(result, name) for name in (*TARGETS, "keras/native")),
            "; ".join(also),
        ]


def _problems(result: Result) -> Iterator[str]:
    """What is missing in one result, and why."""
    who = f"{result['contender']} " if "contender" in result else ""
    if "problem" in result:
        yield result["problem"]
    for word in ("absent", "failed"):
        if word in result:
            yield textwrap.shorten(f"{who}{word}: {result[word]}", LONGEST_REASON)
    for name, column in result.get("columns", {}).items():
        for word in ("absent", "failed"):
            if word in column:
                yield textwrap.shorten(f"{name} {word}: {column[word]}", LONGEST_REASON)


def notes(results: list[Result]) -> list[str]:
    """Why something is missing, each reason once, with the places."""
    places: dict[str, list[str]] = {}
    for result in results:
        for problem in _problems(result):
            places.setdefault(problem, []).append(f"{result['row']} on {result['backend']}")
    return [f"{problem} ({', '.join(dict.fromkeys(where))})" for problem, where in places.items()]


def one_line(cell: list[Result]) -> str:
    """A line for the moment a cell is done."""
    said = []
    for result in cell:
        if "agrees" in result:
            said.append(f"{result['contender']} {_verdict(result)}")
        elif "columns" in result:
            medians = {name: _time(column) for name, column in result["columns"].items()}
            said.append(f"{result['mode']} {', '.join(f'{name} {time}' for name, time in medians.items())}")
        else:
            said += _problems(result)
    return "; ".join(said)


def _verdict(result: Result) -> str:
    if result["contender"] == result["judge"]:
        return "is the judge"
    return "agrees" if result["agrees"] else "disagrees"


def went_wrong(results: list[Result]) -> bool:
    """Whether a contender failed or disagreed; to be absent is not wrong."""
    return any(
        "failed" in result
        or not result.get("agrees", True)
        or any("failed" in column for column in result.get("columns", {}).values())
        for result in results
    )


def _bad(cell: str) -> bool:
    return cell.endswith("✗") or cell in ("failed", "disagrees")


def show(title: str, names: list[str], rows: Rows) -> None:
    """Prints a table; as Markdown where rich is not installed."""
    if not rows:
        return
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print("", title, "", *_markdown_table(names, rows), sep="\n")
        return
    console = Console()
    if not console.is_terminal:
        console.width = 160
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="left" if name in LEFT_ALIGNED else "right")
    for row in rows:
        table.add_row(*(f"[red]{cell}[/]" if _bad(cell) else cell for cell in row))
    console.print(table)


def show_measurements(results: list[Result]) -> None:
    for mode, title in MODES.items():
        show(f"{title}, ms", header(), list(table_rows(results, mode)))
    print(*(f"- {note}" for note in notes(results)), sep="\n")


def show_verification(results: list[Result]) -> None:
    names = ["row", "backend", "contender", "parameters", "logits", "first loss", "later losses", "verdict"]
    rows = [
        [
            *(result[name] for name in names[:3]),
            f"{result['parameters']:,}",
            *(f"{distance:.1e}" for distance in result["distances"].values()),
            _verdict(result),
        ]
        for result in results
        if "agrees" in result
    ]
    show("Parameters that are trained, and the largest differences from the judge, relative", names, rows)
    print(*(f"- {note}" for note in notes(results)), sep="\n")


# ------------------------------------------------------------------ files


def _devices(results: list[Result]) -> list[str]:
    return sorted({result["device"] for result in results if "device" in result})


def file_name(information: Result, *details: str) -> str:
    """Date, processor and details: `2026-11-21-amd-epyc-2-cores-resnet50`."""
    described = information["machine"]
    on_gpu = described["gpus"] and information["options"]["device"] != "cpu"
    processor = (
        described["gpus"][0].partition(",")[0] if on_gpu else f"{described['cpu']} {described['cores']} cores"
    )
    slug = re.sub(r"[^a-z0-9]+", "-", processor.lower()).strip("-")
    return "-".join([information["date"][:10], slug, *details])


def _markdown_table(names: list[str], rows: Rows) -> list[str]:
    rules = [":--" if name in LEFT_ALIGNED else "--:" for name in names]
    lines = [names, rules, *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def markdown(information: Result, results: list[Result], tables: Iterable[Table] = ()) -> str:
    described, options = information["machine"], information["options"]
    installed = [f"{name} {version}" for name, version in information["versions"].items() if version]
    hardware = [
        described["cpu"],
        f"{described['cores']} cores",
        f"{described['memory_gib']} GiB",
        *(described["gpus"] or ["no GPU"]),
        described["system"],
    ]
    explained = f"""\
Times in ms: median of {options["repeats"]} blocks of about {options["seconds"]} s that took turns, ± half the
distance between the quartiles; the name behind a time is the variant that was fastest. Ratios: medians over
neighbouring blocks. ✗: over the target for a training step, {TARGETS["unifront/native"]:.2f} × native and
{TARGETS["unifront/keras"]:.2f} × Keras. float32. benchmarks/run.py says what is measured,
benchmarks/rows.py which models."""
    lines = [
        f"# Benchmarks, {information['date'][:10]}",
        "",
        f"{', '.join(hardware)}. Load at the start {described['load_at_start']}. "
        f"Ran on: {', '.join(_devices(results))}.",
        "",
        f"Python {described['python']}, {', '.join(installed)}.",
        "",
        explained,
    ]
    for mode, title in MODES.items():
        rows = list(table_rows(results, mode))
        if rows:
            lines += ["", f"## {title}", "", *_markdown_table(header(), rows)]
    for table in tables:
        lines += ["", f"## {table.title}", "", *_markdown_table(table.names, table.rows)]
    found = notes(results)
    if found:
        lines += ["", "## Missing", "", *(f"- {note}" for note in found)]
    return "\n".join(lines) + "\n"


def write(
    folder: Path, name: str, information: Result, results: list[Result], tables: Sequence[Table] = ()
) -> list[Path]:
    """Writes `name.md` and `name.json` beside and renames; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "md": markdown(information, results, tables),
        "json": json.dumps(
            {**information, "results": results, "tables": [table._asdict() for table in tables]},
            indent=1,
            ensure_ascii=False,
        )
        + "\n",
    }
    paths = []
    for ending, text in texts.items():
        path = folder / f"{name}.{ending}"
        beside = path.with_suffix(f".{ending}.part")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
        paths.append(path)
    return paths
