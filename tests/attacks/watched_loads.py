"""Load broken files, each of them watched.

    python -m tests.attacks.watched_loads mutations|onnx|json FIRST COUNT WORKERS
    python -m tests.attacks.watched_loads giants SECONDS [NAME …]
    python -m tests.attacks.watched_loads files FOLDER COUNT    (FOLDER/0.onnx, FOLDER/1.onnx …)

The imports are done once, and no framework's is; then workers are forked, which load one file after the other. A
load may end in a model or in an error of ours, within two seconds of processor time and 200 MB of memory, without
writing, starting, or opening what nobody asked for. Anything else is a fault, a line of JSON with the number of the
file: another error, a crash, more time or more memory.
"""

from __future__ import annotations

import collections
import gc
import json
import mmap
import os
import re
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import unifront as uf
from tests.attacks import json_mutations
from tests.attacks.giants import giants
from tests.attacks.mutations import Mutations, good_files
from tests.attacks.onnx_mutations import OnnxMutations, good_models

Load, Make = Callable[[Path], object], Callable[[int], bytes]


class Kind(NamedTuple):
    """What loads a broken file, what makes them, and whether errors name the file."""

    load: Load
    maker: Callable[[Path], Make]
    names_file: bool = True


KINDS = {
    "mutations": Kind(uf.load, lambda folder: Mutations(good_files(folder))),
    "onnx": Kind(uf.from_onnx, lambda folder: OnnxMutations(good_models(folder))),
    "json": Kind(
        json_mutations.read,
        lambda folder: json_mutations.JsonMutations(json_mutations.good_descriptions(folder)),
        names_file=False,
    ),
}
SECONDS, MEGABYTES = 2.0, 200
FRAMEWORKS = ("torch", "tensorflow", "jax", "keras")


STARTS = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect",
    "os.remove", "os.rename", "os.mkdir", "shutil.rmtree",
)  # fmt: skip
"""What no load does, of what Python tells its auditors."""


class Auditor:
    """Hears what a process does, and keeps what a load must not do while ``listening``."""

    def __init__(self) -> None:
        self.listening, self.heard = False, list[str]()
        # What a load imports first is not compiled yet in a fresh clone.
        sys.dont_write_bytecode = True
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.listening:
            return
        forbidden = event in STARTS
        if event == "open":
            file, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (
                os.O_WRONLY | os.O_RDWR
            )
            forbidden = bool(writes) or str(file).endswith(json_mutations.BAIT.name)
        elif event == "import":
            forbidden = arguments[0] in (json_mutations.CODE, *FRAMEWORKS)
        if forbidden:
            self.heard.append(f"{event} {arguments!r}"[:300])


@cache
def auditor() -> Auditor:
    return Auditor()


def memory(what: str) -> float:
    """``VmRSS`` or its peak ``VmHWM`` of this process, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def watched(load: Load, path: Path, seconds: float = SECONDS, names_file: bool = True) -> dict[str, Any]:
    """What comes of a load: ``outcome``, and ``fault`` if it is none that may be."""
    heard = auditor()
    heard.heard.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process, even inside of a regular expression
    signal.setitimer(signal.ITIMER_PROF, seconds)
    found: dict[str, Any] = {}
    try:
        heard.listening = True
        load(path)
        found["outcome"] = "loaded"
    except uf.errors.UnifrontError as error:
        found["outcome"] = type(error).__name__
        text = found["text"] = str(error)
        told = not names_file or isinstance(error, uf.errors.ArgumentError)  # it says what the call is to add
        if (str(path) not in text and not told) or len(text) > 2000 or "does not fit into the memory" in text:
            found["fault"] = f"{type(error).__name__}: {text[:3000]}"
    except BaseException:  # noqa: BLE001  # whatever it is, it is a fault
        found.update(outcome="foreign", fault=traceback.format_exc()[-3000:])
    finally:
        heard.listening = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    if heard.heard:
        found["fault"] = f"it did what no load does: {heard.heard}"
    found["megabytes"] = memory("VmHWM") - before
    if found["megabytes"] > MEGABYTES:
        found["fault"] = f"it took {found['megabytes']:.0f} MB"
    return found


def work(numbers: Iterable[int], kind: Kind, made: Make, folder: Path, at: mmap.mmap, results: int) -> None:
    path = folder / f"{os.getpid()}.uf"
    counts: collections.Counter[str] = collections.Counter()
    most = 0.0
    for number in numbers:
        at[:8] = struct.pack("<q", number)
        try:
            content = made(number)
        except Exception:  # noqa: BLE001  # then it is the attack that is broken
            report(
                results, {"number": number, "fault": "no file was made: " + traceback.format_exc()[-2000:]}
            )
            continue
        path.write_bytes(content)
        found = watched(kind.load, path, names_file=kind.names_file)
        counts[found["outcome"]] += 1
        most = max(most, found["megabytes"])
        if "fault" in found:
            report(results, {"number": number, **found})
    loaded = [name for name in FRAMEWORKS if name in sys.modules]
    if loaded:
        report(results, {"number": -1, "fault": f"{loaded} was imported"})
    at[8:16] = struct.pack("<q", 1)  # it came to its end
    report(results, {"counts": counts, "most_megabytes": most})


def report(results: int, found: dict[str, Any]) -> None:
    os.write(results, (json.dumps(found) + "\n").encode())


def load_giants(seconds: float, names: list[str]) -> dict[str, Any]:
    """Each giant is made in one process and loaded in another, so that making it costs the load nothing."""
    faults, most, counts = [], 0.0, collections.Counter[str]()
    with temporary_folder() as folder:
        made = giants(good_files(folder)[0])
        for name in names or made:
            in_a_child(lambda name=name: (folder / "giant.uf").write_bytes(made[name]()))
            (folder / "found").unlink(missing_ok=True)
            code = in_a_child(
                lambda: (folder / "found").write_text(
                    json.dumps(watched(uf.load, folder / "giant.uf", seconds))
                )
            )
            found = (
                json.loads((folder / "found").read_text())
                if code == 0
                else {"outcome": "crash", "fault": f"crash with {code}"}
            )
            most = max(most, found.get("megabytes", 0.0))
            counts[found["outcome"]] += 1
            if "fault" in found:
                faults.append({"name": name, **found})
    return {"faults": faults, "counts": counts, "most_megabytes": most}


def load_files(folder: Path, count: int) -> list[dict[str, Any]]:
    """What comes of each model, in a process of its own."""
    results = []
    gc.collect()
    gc.freeze()
    report_at = folder / "found"
    for number in range(count):
        report_at.unlink(missing_ok=True)
        path = folder / f"{number}.onnx"
        code = in_a_child(lambda path=path: report_at.write_text(json.dumps(watched(uf.from_onnx, path))))
        crash = {"outcome": "crash", "fault": f"ended with {code}"}
        results.append(json.loads(report_at.read_text()) if code == 0 else crash)
    return results


def in_a_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a process of its own; what that ended with."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """In memory where there is such a place."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


def load_mutations(what: str, first: int, count: int, workers: int) -> dict[str, Any]:
    faults, counts, most = [], collections.Counter[str](), 0.0
    kind = KINDS[what]
    with temporary_folder() as folder:
        made = kind.maker(folder)
        gc.collect()
        gc.freeze()
        collected = os.open(folder / "results", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        states = {lane: mmap.mmap(-1, 16) for lane in range(workers)}
        running: dict[int, int] = {}

        def start(lane: int, begin: int) -> None:
            states[lane][:16] = struct.pack("<qq", begin, 0)
            if (child := os.fork()) == 0:
                try:
                    work(range(begin, first + count, workers), kind, made, folder, states[lane], collected)
                finally:
                    os._exit(0)
            running[child] = lane

        for lane in range(workers):
            start(lane, first + lane)
        while running:
            child, status = os.wait()
            lane = running.pop(child)
            number, ended = struct.unpack("<qq", states[lane][:16])
            if not ended:
                code = os.waitstatus_to_exitcode(status)
                why = f"more than {SECONDS} s" if code == -signal.SIGPROF else f"crash with {code}"
                faults.append({"number": number, "fault": why})
                if number + workers < first + count:
                    start(lane, number + workers)
        for line in (folder / "results").read_text().splitlines():
            found = json.loads(line)
            counts.update(found.get("counts", {}))
            most = max(most, found.get("most_megabytes", 0.0))
            if "fault" in found:
                faults.append(found)
    return {"faults": faults, "counts": counts, "most_megabytes": most}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    result: object = (
        load_files(Path(rest[0]), int(rest[1]))
        if what == "files"
        else load_giants(float(rest[0]), rest[1:])
        if what == "giants"
        else load_mutations(what, *map(int, rest))
    )
    print(json.dumps(result))  # noqa: T201
