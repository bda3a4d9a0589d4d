"""Runs examples with ``keras`` meaning Keras or unifront, and writes a line of JSON for each block.

    python tests/keras_examples/worker.py unifront torch examples.json results.jsonl FIRST

The blocks of a docstring share a namespace, a fresh one: ``keras``, and `standin` for what the examples use and leave to
the reader. A block fails by an exception, or by another output than is shown. Ends with 3 after an example that changed
the framework: what comes next wants a fresh process.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import faulthandler
import gc
import importlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from standins import standin
from unifront_as_keras import UnifrontAsKeras

LIMIT_S = 60
STUCK_S = 2 * LIMIT_S
"""After so long a process that no signal reaches, as it waits outside of Python, ends and says where it was."""
State = dict[str, Any]


class NeedsDownload(OSError):
    """An example asked for something from the network."""


def no_network(*_: Any, **__: Any) -> Any:
    asked.append(True)
    raise NeedsDownload("this example needs a download")


asked: list[bool] = []


def free_names(code: str) -> set[str]:
    """Names a piece of code reads before it sets them, roughly: those that it nowhere sets."""
    tree = ast.parse(code)
    read, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
    return read - bound


def fill(names: State, code: str) -> None:
    """Defines what the code uses and leaves to its reader, if there is a stand-in for it."""
    for name in sorted(free_names(code) - names.keys() - vars(builtins).keys()):
        value = standin(name, names["keras"], names)
        if value is not None:
            names[name] = value


def run_code(code: str, names: State) -> Iterator[State]:
    fill(names, code)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "<example>", "exec"), names)
    yield {}


def run_steps(steps: Sequence[Sequence[str]], names: State) -> Iterator[State]:
    for source, want in steps:
        fill(names, source)
        printed, raised = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(source, "<example>", "single"), names)
            except Exception as error:
                if not want.startswith("Traceback"):
                    raise
                raised = error
        got = f"Traceback: {raised}" if raised else printed.getvalue()
        if want.strip():
            yield {"source": source, "want": want, "got": got}


def shown(value: Any) -> None:
    """What a prompt does with a value: unlike Python's, it leaves ``_`` as it is."""
    if value is not None:
        sys.stdout.write(repr(value) + "\n")


def run_block(block: State, names: State) -> State:
    """What became of a block: ``ok``, ``download`` or ``failed`` with the error, and what it printed where output is shown."""
    asked.clear()
    outputs: list[State] = []
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S, 5)  # again: the first may come while an object is finalized
    try:
        for output in run_code(block["code"], names) if "code" in block else run_steps(block["steps"], names):
            if output:
                outputs.append(output)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # SystemExit of an example, and what a framework may raise
        state = "download" if asked else "failed"
        return {
            "state": state,
            "error": f"{type(error).__name__}: {error}"[:600],
            "outputs": outputs,
            "at": place(error),
        }
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"state": "ok", "outputs": outputs}


def place(error: BaseException) -> str:
    """The last line of the example, and the last place, that an error passed."""
    trace, line, last = error.__traceback__, 0, ""
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if file == "<example>":
            line = trace.tb_lineno
        last = f"{'/'.join(Path(file).parts[-3:])}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"line {line}, {last}"


def timed_out(*_: Any) -> None:
    raise TimeoutError(f"took more than {LIMIT_S} s")


def fresh(keras: Any) -> None:
    """The process as it was before any example."""
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


def main() -> None:
    side, framework, examples, results, first = sys.argv[1:]
    if side == "unifront":
        os.environ["UNIFRONT_BACKEND"] = framework
        sys.meta_path.insert(0, UnifrontAsKeras())
    else:
        os.environ["KERAS_BACKEND"] = framework
    warnings.simplefilter("ignore")
    keras = importlib.import_module("keras")
    socket.create_connection = socket.getaddrinfo = urllib.request.urlretrieve = no_network  # type: ignore[assignment]
    signal.signal(signal.SIGALRM, timed_out)
    sys.displayhook = shown
    with open(results, "a", encoding="utf-8") as out:
        for number, example in enumerate(json.loads(Path(examples).read_text())):
            if number < int(first):
                continue
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                faulthandler.dump_traceback_later(STUCK_S, exit=True)
                fresh(keras)
                gc.freeze()  # examples that collect garbage look at their own only
                names: State = {"__name__": "__main__", "keras": keras}
                for part, block in enumerate(example["blocks"]):
                    print(json.dumps({"begins": number, "block": part}), file=out, flush=True)
                    faulthandler.dump_traceback_later(STUCK_S, exit=True)
                    row = {"name": example["name"], "block": part} | run_block(block, names)
                    print(json.dumps(row), file=out, flush=True)
                os.chdir("/")
                faulthandler.cancel_dump_traceback_later()
            now = sys.modules["keras"]
            if now is not keras or now.config.backend() != framework:
                sys.exit(3)


if __name__ == "__main__":
    main()
