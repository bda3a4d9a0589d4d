"""Run a script of this folder with Keras, or by changing its import alone, and print what it leaves in ``results``.

KERAS_BACKEND=torch python tests/own_terms unifront in_torch
"""

import json
import re
import sys
import warnings
from pathlib import Path


def main(library: str, name: str) -> None:
    script = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    if library == "unifront":
        script = re.sub(r"^import keras$", "import unifront as keras", script, flags=re.MULTILINE)
        script = re.sub(r"^from keras\b", "from unifront", script, flags=re.MULTILINE)
    warnings.simplefilter("ignore")
    left: dict[str, object] = {"__name__": name}
    exec(compile(script, f"{name}.py", "exec"), left)
    used = type(left["model"]).__module__.partition(".")[0]
    assert used == library, used
    print(json.dumps(left["results"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
