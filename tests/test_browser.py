"""A model in a browser: the page that `export(format="web")` writes, looked at in headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.browser import RUNTIME
from unifront.demo import load_digits
from unifront.errors import ArgumentError, BackendMissing, DTypeError
from unifront.testing import GRADIENT, assert_close

pytest.importorskip("onnx")

PACKAGE = os.environ.get("ONNXRUNTIME_WEB", "node_modules/onnxruntime-web")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HAS_BOTH = bool(CHROMIUM) and Path(PACKAGE).is_dir()


def digits() -> uf.Model:
    image = uf.Input((8, 8, 1), name="image")
    y = layers.MaxPooling2D()(layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    return uf.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(y)), name="digits <b>")


def trained_digits() -> tuple[uf.Model, np.ndarray, np.ndarray]:
    """A model to train, and scans to train it on."""
    uf.set_seed(0)
    model = digits()
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    (x, y), _ = load_digits()
    return model, x[:40], y[:40]


def fake_runtime(folder: Path) -> Path:
    (folder / "dist").mkdir(parents=True)
    for name in RUNTIME:
        (folder / "dist" / name).write_text(name)
    return folder


def test_what_is_in_the_folder(tmp_path: Path) -> None:
    runtime, model = fake_runtime(tmp_path / "package"), digits()
    model.metadata = {"kind": "images", "classes": ["zero", "one"]}  # as a recipe notes them
    model.export(tmp_path / "web", format="web", runtime=runtime)
    about = json.loads((tmp_path / "web" / "model.json").read_text())
    assert (about["labels"], about["scale"]) == (["zero", "one"], 255)
    model.export(tmp_path / "web", format="web", runtime=runtime, labels=range(10), scale=2.0, opset=17)
    own = ["index.html", "model.json", "model.onnx", "page.mjs", "tensors.mjs"]
    assert sorted(path.name for path in (tmp_path / "web").iterdir()) == sorted([*own, *RUNTIME])
    assert json.loads((tmp_path / "web" / "model.json").read_text()) == {
        "name": "digits <b>", "labels": [str(i) for i in range(10)], "scale": 2.0,
        "inputs": [{"name": "image", "dtype": "float32", "shape": [None, 8, 8, 1]}],
        "outputs": [{"name": model.trace(False).graph.output_names[0], "dtype": "float32", "shape": [None, 10]}],
    }  # fmt: skip
    for name in ("index.html", "page.mjs", "tensors.mjs"):
        assert "://" not in (tmp_path / "web" / name).read_text()  # nothing from elsewhere


def test_what_a_page_that_trains_is_made_of(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    model, x, y = trained_digits()
    model.export(
        tmp_path / "web",
        format="web",
        runtime=fake_runtime(tmp_path / "package"),
        training=(x, y),
        batch_size=8,
    )
    about = json.loads((tmp_path / "web" / "model.json").read_text())["training"]
    assert (about["batch"], about["logs"], about["examples"]) == (
        8,
        ["loss", "accuracy"],
        [[40, 8, 8, 1], [40]],
    )
    assert about["weights"] == [weight.path for weight in model.weights]
    assert [one["name"] for one in about["state"] if not one["next"]] == ["adam learning rate"]

    def arrays(name: str, abouts: list[Any]) -> Iterator[np.ndarray]:
        content, at = (tmp_path / "web" / name).read_bytes(), 0
        for one in abouts:
            count = int(np.prod(one["shape"]))
            yield np.frombuffer(content, one["dtype"], count, at).reshape(one["shape"])
            at += -(-count * np.dtype(one["dtype"]).itemsize // 8) * 8
        assert at == len(content)

    images, classes = arrays(
        "examples.bin",
        [one | {"shape": shape} for one, shape in zip(about["inputs"], about["examples"], strict=True)],
    )
    np.testing.assert_array_equal(images, x)
    np.testing.assert_array_equal(classes, y)
    state = dict(
        zip([one["name"] for one in about["state"]], arrays("state.bin", about["state"]), strict=True)
    )
    session = ort.InferenceSession(tmp_path / "web" / "step.onnx")
    given = {"image": x[:16], "target " + model.trace(False).graph.output_names[0]: y[:16], **state}
    assert [one.name for one in session.get_inputs()] == list(
        given
    )  # as the page takes them, by their places
    found = dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))
    assert list(found) == [*about["logs"], *(f"new {one['name']}" for one in about["state"] if one["next"])]
    inference = ort.InferenceSession(tmp_path / "web" / "model.onnx")
    assert [one.name for one in inference.get_inputs()] == ["image", *about["weights"]]
    (after,) = inference.run(None, {"image": x, **{name: found[f"new {name}"] for name in about["weights"]}})
    assert found["loss"] == pytest.approx(model.train_on_batch(x[:16], y[:16], backend="torch")[0], rel=1e-5)
    assert_close(after, model.predict(x, backend="numpy"), bounds=GRADIENT)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, runtime = digits(), fake_runtime(tmp_path / "package")
    with pytest.raises(BackendMissing, match="npm install onnxruntime-web, or say runtime="):
        model.export("web", format="web")
    with pytest.raises(ArgumentError, match=r"runtime: the files .*\.wasm of onnxruntime-web are not in \."):
        model.export("web", format="web", runtime=".")
    with pytest.raises(ArgumentError, match="scale is what the brightest pixel is"):
        model.export("web", format="web", runtime=runtime, scale=0)
    with pytest.raises(ArgumentError, match="labels is a list of what the classes are called, not '01'"):
        model.export("web", format="web", runtime=runtime, labels="01")
    with pytest.raises(ArgumentError, match="a page has its weights in one file"):
        model.export("web", format="web", runtime=runtime, external_data=True)
    with pytest.raises(ArgumentError, match="batch_size is of a page that trains"):
        model.export("web", format="web", runtime=runtime, batch_size=8)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="full is not empty; a page is written to a new one"):
        model.export("full", format="web", runtime=runtime)
    x = uf.Input((2,), name="x", dtype="float16")
    with pytest.raises(DTypeError, match=r"'x' is float16\[batch, 2\]; a browser takes"):
        uf.Model(x, layers.Flatten()(x)).export("web", format="web", runtime=runtime)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "package"]


# ---------------------------------------------------------------- in the browser


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Any]]:
    """A web server for ``folder``, and what waits for what a page sends to it."""
    sent: list[Any] = []
    arrived = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: Any) -> None:
            pass

    def wait() -> Any:
        assert arrived.wait(120), "the page did not answer"
        return sent[0]

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", wait
        finally:
            server.shutdown()


def looked_at(folder: Path, script: str, profile: Path) -> Any:
    """What ``script`` gives, run in Chromium in the page of ``folder`` when that is ready."""
    page = (folder / "index.html").read_text()
    test = f"""<script type="module">
        import "./page.mjs";
        const send = (what) => fetch("/", {{method: "POST", body: JSON.stringify(what)}});
        try {{ await window.unifrontReady; send(await (async () => {{ {script} }})()); }}
        catch (error) {{ send({{error: String(error)}}); }}
    </script>"""
    (folder / "test.html").write_text(page.replace("</body>", f"{test}</body>"))
    arguments = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --remote-debugging-port=0"
    )
    with served(folder) as (url, wait):
        browser = subprocess.Popen(
            [str(CHROMIUM), *arguments.split(), f"--user-data-dir={profile}", f"{url}/test.html"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found = wait()
        finally:
            browser.terminate()
            browser.wait(30)
    assert "error" not in found, found
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_BOTH, reason="wants Chromium and the npm package onnxruntime-web (ONNXRUNTIME_WEB)"
)
def test_numbers_in_the_browser_are_those_of_numpy(tmp_path: Path) -> None:
    model = digits()
    model.export(tmp_path / "web", format="web", runtime=PACKAGE)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    given = json.dumps({"image": {"data": x.ravel().tolist(), "shape": list(x.shape)}})
    found = looked_at(tmp_path / "web", f"return await unifront.run({given});", tmp_path / "profile")
    (output,) = found.values()
    y = np.array(output["data"], np.float32).reshape(output["shape"])
    assert_close(y, model.predict(x, backend="numpy"))


DRAW = """
    const canvas = document.getElementById("drawing"), box = canvas.getBoundingClientRect();
    const at = (kind, x, y) => canvas.dispatchEvent(
        new PointerEvent(kind, {clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
    at("pointerdown", 0.5, 0.1); at("pointermove", 0.5, 0.9); at("pointerup", 0.5, 0.9);
    const given = unifront.read();
    const run = await unifront.run(given);
    await unifront.update();
    const bars = [...document.querySelectorAll(".bar")].map((bar) => [
        bar.querySelector("span").textContent, bar.querySelector("b").textContent, bar.className]);
    let refused = "";
    try { await unifront.run({image: {data: [1], shape: [1, 1]}}); } catch (error) { refused = error.message; }
    return {given, run, bars, refused, title: document.getElementById("name").textContent};
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_BOTH, reason="wants Chromium and the npm package onnxruntime-web (ONNXRUNTIME_WEB)"
)
def test_a_digit_drawn_with_the_mouse(tmp_path: Path) -> None:
    model, names = digits(), [f"<i>{i}" for i in range(10)]
    model.export(tmp_path / "web", format="web", runtime=PACKAGE, labels=names)
    found = looked_at(tmp_path / "web", DRAW, tmp_path / "profile")
    assert found["given"]["image"]["shape"] == [1, 8, 8, 1]
    x = np.array(found["given"]["image"]["data"], np.float32).reshape(1, 8, 8, 1)
    assert x.min() == 0
    assert x[0, 2:6, 3:5].min() > 0.5  # a stroke from top to bottom, in the middle
    assert x[0, :, [0, 1, 6, 7]].max() == 0
    (output,) = found["run"].values()
    y = np.array(output["data"], np.float32).reshape(output["shape"])
    assert_close(y, model.predict(x, backend="numpy"))
    assert [label for label, _, _ in found["bars"]] == names
    best = int(y.argmax())
    assert [kind for _, _, kind in found["bars"]].index("bar most") == best
    assert float(found["bars"][best][1]) == pytest.approx(float(y[0, best]), rel=1e-4)
    assert found["refused"] == "image is [any, 8, 8, 1]; 1 numbers of the shape [1, 1] were given."
    assert found["title"] == "digits <b>"


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_BOTH, reason="wants Chromium and the npm package onnxruntime-web (ONNXRUNTIME_WEB)"
)
def test_inputs_that_are_typed(tmp_path: Path) -> None:
    words, more = uf.Input((None,), name="words", dtype="int32"), uf.Input((2,), name="more")
    y = layers.GlobalAveragePooling1D()(layers.Embedding(7, 3)(words))
    model = uf.Model([words, more], {"y": layers.Concatenate()([y, more])}, name="typed")
    model.export(tmp_path / "web", format="web", runtime=PACKAGE)
    script = """
        const [words, more] = document.querySelectorAll("textarea");
        more.value = "[[0.5, 1.5]]"; words.value = "[[1, 2, 6]]";
        const run = await unifront.run(unifront.read());
        words.value = "[[1,"; await unifront.update();
        return {run, text: document.getElementById("error").textContent};
    """
    found = looked_at(tmp_path / "web", script, tmp_path / "profile")
    expected = model.predict(
        [np.array([[1, 2, 6]], np.int32), np.array([[0.5, 1.5]], np.float32)], backend="numpy"
    )
    assert_close(np.array(found["run"]["y"]["data"], np.float32)[None], expected["y"])
    assert "words is no list of numbers in JSON" in found["text"]


STEPS = """
    const {trainer, run} = window.unifront, logs = [];
    const numbers = Array.from({length: trainer.count}, (_, i) => i);
    const whole = trainer.examples(numbers);
    const first = await run({image: whole.image});
    for (let step = 0; step < 5; step++) logs.push(await trainer.train(trainer.examples(numbers.slice(5 * step, 5 * step + 12))));
    const trained = {logs, state: trainer.state(), outputs: await run({image: whole.image})};
    let refused = "";
    try { await trainer.train({image: whole.image}); } catch (error) { refused = error.message; }
    await trainer.reset();
    return {...trained, refused, equal: JSON.stringify(first) === JSON.stringify(await run({image: whole.image}))};
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_BOTH, reason="wants Chromium and the npm package onnxruntime-web (ONNXRUNTIME_WEB)"
)
def test_steps_in_the_browser_are_those_of_pytorch(tmp_path: Path) -> None:
    model, x, y = trained_digits()
    model.export(tmp_path / "web", format="web", runtime=PACKAGE, training=(x, y))
    found = looked_at(tmp_path / "web", STEPS, tmp_path / "profile")
    for step, logs in enumerate(found["logs"]):
        part = slice(5 * step, 5 * step + 12)
        wanted = model.train_on_batch(x[part], y[part], backend="torch", return_dict=True)
        assert logs == pytest.approx(wanted, rel=1e-5)
    assert found["state"]["adam iteration"] == {"data": [5], "shape": []}
    for weight in model.weights:
        one = found["state"][weight.path]
        assert_close(np.array(one["data"], np.float32).reshape(one["shape"]), weight.numpy(), bounds=GRADIENT)
    (output,) = found["outputs"].values()
    y = np.array(output["data"], np.float32).reshape(output["shape"])
    assert_close(y, model.predict(x, backend="numpy"), bounds=GRADIENT)
    assert found["refused"].startswith("The input target ")
    assert found["equal"]  # the state is again as it was at first


CLICKS = r"""
    const [train, reset] = document.querySelectorAll("#training button"), text = document.getElementById("logs");
    const until = async (so) => { while (!so()) await new Promise((go) => setTimeout(go, 20)); };
    const before = text.textContent;
    train.click();
    await until(() => Number(text.textContent.match(/^Step (\d+)/)?.[1]) >= 60);
    train.click();
    await unifront.trainer.train(unifront.trainer.batch());
    const points = document.querySelector("polyline").getAttribute("points").split(" ").length, after = text.textContent;
    reset.click();
    await until(() => text.textContent === before);
    return {before, after, points, label: train.textContent, said: document.getElementById("error").textContent,
            iteration: unifront.trainer.state()["adam iteration"].data[0]};
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_BOTH, reason="wants Chromium and the npm package onnxruntime-web (ONNXRUNTIME_WEB)"
)
def test_a_click_trains(tmp_path: Path) -> None:
    model, x, y = trained_digits()
    model.compile(uf.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.export(tmp_path / "web", format="web", runtime=PACKAGE, training=(x, y), batch_size=8)
    found = looked_at(tmp_path / "web", CLICKS, tmp_path / "profile")
    assert found["before"] == "40 examples"
    loss, _ = (float(one.split()[-1]) for one in found["after"].split(": ")[1].split(", "))
    assert loss < 1.5  # it learns: an equal guess has 2.3
    assert found["points"] >= 60
    assert (found["label"], found["said"], found["iteration"]) == ("Train", "", 0)
