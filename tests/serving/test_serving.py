"""Models behind HTTP: what they answer, what they refuse, and that nothing goes down."""

from __future__ import annotations

import base64
import io
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE
from unifront import errors, layers, ops
from unifront.backends import installed
from unifront.serving import Limits, application
from unifront.serving.app import Served
from unifront.testing import assert_close

pytest.importorskip("starlette")
from starlette.testclient import TestClient

BACKEND = "torch" if "torch" in TRAINABLE else TRAINABLE[0]  # where sizes cost no compiling
TYPES = {"float32": "FP32", "int32": "INT32"}


def several() -> uf.Model:
    """Two inputs, one of a free length, two outputs; one input's name is no identifier."""
    words = uf.Input((None,), name="the words", dtype="int32")
    image = uf.Input((2, 3), name="image")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(11, 4)(words))
    y = layers.Dense(3)(layers.Concatenate()([x, layers.Flatten()(image)]))
    return uf.Model([words, image], {"scores": y, "best": ops.argmax(y, axis=-1)}, name="several")


def served() -> dict[str, uf.Model]:
    return {"mlp": MODELS["mlp"]("float32")[0], "words": MODELS["masked"]("float32")[0], "several": several()}


@pytest.fixture(scope="module")
def models() -> dict[str, uf.Model]:
    return served()


@pytest.fixture(scope="module")
def client(models: dict[str, uf.Model]) -> Iterator[TestClient]:
    with TestClient(application(models, BACKEND, Limits(max_batch=8, max_bytes=20_000))) as client:
        yield client


def tensor(name: str, array: np.ndarray, **more: Any) -> dict[str, Any]:
    kind = TYPES[array.dtype.name]
    return {
        "name": name,
        "datatype": kind,
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
        **more,
    }


def infer(client: TestClient, model: str, *inputs: dict[str, Any], **more: Any) -> Any:
    return client.post(f"/v2/models/{model}/infer", json={"inputs": inputs, **more})


def outputs_of(response: Any) -> dict[str, np.ndarray]:
    assert response.status_code == 200, response.text
    found = {}
    for output in response.json()["outputs"]:
        dtype = next(name for name, kind in TYPES.items() if kind == output["datatype"])
        found[output["name"]] = np.array(output["data"], dtype).reshape(output["shape"])
    return found


# ---------------------------------------------------------------- what is answered


@pytest.mark.parametrize("backend", installed(inference=True))
def test_both_protocols_answer_what_predict_gives(backend: str) -> None:
    model, (x, _) = MODELS["mlp"]("float32")
    expected = model.predict(x[:3], backend=backend)
    with TestClient(application({"mlp": model}, backend)) as client:
        (found,) = outputs_of(infer(client, "mlp", tensor("features", x[:3]))).values()
        rows = client.post("/v1/models/mlp:predict", json={"instances": x[:3].tolist()}).json()["predictions"]
    assert_close(found, expected)
    assert_close(np.array(rows, np.float32), expected)


def test_several_inputs_and_outputs(client: TestClient, models: dict[str, uf.Model]) -> None:
    words = np.array([[1, 2, 10], [0, 4, 5]], np.int32)
    image = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    expected = models["several"].predict([words, image], backend=BACKEND)
    found = outputs_of(infer(client, "several", tensor("image", image), tensor("the words", words)))
    assert list(found) == ["scores", "best"]
    for name, array in found.items():
        assert_close(array, expected[name])
    instances = [{"the words": w.tolist(), "image": i.tolist()} for w, i in zip(words, image, strict=True)]
    rows = client.post("/v1/models/several:predict", json={"instances": instances}).json()["predictions"]
    assert [row["best"] for row in rows] == expected["best"].tolist()
    assert_close(np.array([row["scores"] for row in rows], np.float32), expected["scores"])
    columns = {"the words": words.tolist(), "image": image.tolist()}
    answer = client.post(
        "/v1/models/several:predict", json={"inputs": columns, "signature_name": "serving_default"}
    )
    assert answer.json()["outputs"]["best"] == expected["best"].tolist()


def test_an_id_and_wanted_outputs_of_nested_data(client: TestClient) -> None:
    words, image = np.zeros((1, 2), np.int32), np.zeros((1, 2, 3), np.float32)
    inputs = [tensor("the words", words), {**tensor("image", image), "data": image.tolist()}]
    answer = infer(client, "several", *inputs, id="seven", outputs=[{"name": "best"}]).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", "several", "1")
    assert [output["name"] for output in answer["outputs"]] == ["best"]


def test_binary_tensors(client: TestClient, models: dict[str, uf.Model]) -> None:
    words, image = np.array([[3, 1]], np.int32), np.full((1, 2, 3), np.nan, np.float32)
    parts = [words.tobytes(), image.tobytes()]
    inputs = [
        {
            "name": name,
            "datatype": kind,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": len(part)},
        }
        for name, kind, array, part in zip(
            ("the words", "image"), ("INT32", "FP32"), (words, image), parts, strict=True
        )
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    answer = client.post(
        "/v2/models/several/infer", content=b"".join([head, *parts]),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    end = int(answer.headers["Inference-Header-Content-Length"])
    scores, best = json.loads(answer.content[:end])["outputs"]
    size = scores["parameters"]["binary_data_size"]
    found = np.frombuffer(answer.content[end : end + size], "<f4").reshape(scores["shape"])
    assert_close(found, models["several"].predict([words, image], backend=BACKEND)["scores"])
    assert len(answer.content) == end + size + best["parameters"]["binary_data_size"]


def test_metadata(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "unifront"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/several/ready").json() == {"name": "several", "ready": True}
    about = client.get("/v2/models/several").json()
    assert about == client.get("/v2/models/several/versions/1").json()
    assert about["inputs"] == [
        {"name": "the words", "datatype": "INT32", "shape": [-1, -1]},
        {"name": "image", "datatype": "FP32", "shape": [-1, 2, 3]},
    ]
    assert about["outputs"][1] == {"name": "best", "datatype": "INT32", "shape": [-1]}
    state = client.get("/v1/models/several").json()["model_version_status"][0]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")
    definition = client.get("/v1/models/several/metadata").json()["metadata"]["signature_def"][
        "signature_def"
    ]
    image = definition["serving_default"]["inputs"]["image"]
    assert image["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in image["tensor_shape"]["dim"]] == ["-1", "2", "3"]


def test_no_examples(client: TestClient) -> None:
    (found,) = outputs_of(infer(client, "mlp", tensor("features", np.zeros((0, 5), np.float32)))).values()
    assert found.shape == (0, 3)


# ---------------------------------------------------------------- what is refused

FINE = np.zeros((2, 5), np.float32)
ROW = [0.0] * 5
V2_REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("shape", {"shape": [2, 4], "data": [0.0] * 8}, r"'features' of the model 'mlp' has the shape \(2, 4\)"),
    ("count", {"data": [0.0] * 9}, r"says the shape \[2, 5\], and its data has \[9\]"),
    ("ragged", {"data": [[0.0] * 5, [0.0] * 4]}, "'features' is ragged: on level 2 there are lists of 4 and 5"),
    ("half a list", {"data": [0.0, [0.0]]}, "is ragged: on level 2 there are lists beside numbers"),
    ("datatype", {"datatype": "FP64"}, "has the datatype FP32; 'FP64' was given"),
    ("no datatype", {"datatype": None}, "has the datatype FP32; 'None' was given"),
    ("text", {"data": ["0.0"] * 10}, r"takes numbers \(float32\); text was given"),
    ("boolean", {"data": [True] + [0.0] * 9}, r"takes numbers \(float32\); true or false was given"),
    ("null", {"data": [None] + [0.0] * 9}, "null was given"),
    ("object", {"data": [{"b64": ""}] * 10}, "an object was given"),
    ("too large", {"data": [1e39] + [0.0] * 9}, "too large for float32"),
    ("huge", {"data": [10**400] + [0.0] * 9}, "holds a number that float32 cannot hold"),
    ("no data", {"data": None}, "null was given"),
    ("sizes", {"shape": [2, -5]}, "wants its shape as a list of sizes"),
    ("a size as text", {"shape": ["2", 5]}, "wants its shape as a list of sizes"),
    ("name", {"name": "feature"}, "Unknown input of the model 'mlp': 'feature'. Did you mean 'features'?"),
    ("no name", {"name": 3}, "An input is an object with a \"name\""),
    ("parameters", {"parameters": 3}, "parameters of The input 'features' are an object"),
    ("bytes", {"parameters": {"binary_data_size": 40}}, "is 40 bytes, not 40 of 0"),
    ("ranks", {"shape": [1] * 99, "data": [1.0]}, "cannot have its shape of 99 sizes"),
    ("beyond memory", {"shape": [2**31 - 1] * 3 + [0], "data": []}, "cannot have its shape of 4 sizes"),
    ("levels", {"data": json.loads("[" * 40 + "]" * 40)}, "more than 32 levels"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "match"), [row[1:] for row in V2_REFUSALS], ids=[r[0] for r in V2_REFUSALS]
)
def test_a_wrong_tensor(client: TestClient, change: dict[str, Any], match: str) -> None:
    answer = infer(client, "mlp", {**tensor("features", FINE), **change})
    assert answer.status_code == 400
    with pytest.raises(ValueError, match=match):
        raise ValueError(answer.json()["error"])
    assert infer(client, "mlp", tensor("features", FINE)).status_code == 200


BODIES: list[tuple[str, bytes, int, str]] = [
    ("/v2/models/mlp/infer", b"", 400, "is not JSON: Expecting value"),
    ("/v2/models/mlp/infer", b'{"inputs": [', 400, "is not JSON"),
    ("/v2/models/mlp/infer", b"\xff\xfe", 400, "not text in UTF-8"),
    ("/v2/models/mlp/infer", b"[" * 15_000, 400, "JSON of too many levels"),
    ("/v2/models/mlp/infer", b"1" * 15_000, 400, "is not JSON"),
    ("/v2/models/mlp/infer", b"[]", 400, "A request is an object"),
    ("/v2/models/mlp/infer", b"{}", 400, "A request is an object"),
    ("/v2/models/mlp/infer", b'{"inputs": []}', 400, "input 'features' of the model 'mlp' is missing"),
    ("/v2/models/mlp/infer", b'{"inputs": [3]}', 400, "An input is an object"),
    ("/v2/models/mlp/infer", b'{"inputs": [{"data": [NaN]}]}', 400, "holds NaN, which is no number in JSON"),
    ("/v2/models/mlp/infer", b"9" * 20_001, 413, "has 20,001 bytes; 20,000 are allowed"),
    ("/v2/models/nlp/infer", b"{}", 404, "Unknown model 'nlp'. Did you mean 'mlp'?"),
    ("/v2/models/mlp/versions/2/infer", b"{}", 404, "has the version 1, not '2'"),
    ("/v2/models/mlp/predict", b"{}", 404, "There is nothing at /v2/models/mlp/predict"),
    ("/v1/models/nlp:predict", b"{}", 404, "Unknown model 'nlp'"),
    ("/v1/models/mlp:predict", b"{}", 400, 'with "instances"'),
    ("/v1/models/mlp:predict", b'{"instances": [], "inputs": []}', 400, 'with "instances"'),
    ("/v1/models/mlp:predict", b'{"instances": []}', 400, "a list of one example or more"),
    ("/v1/models/mlp:predict", b'{"instances": [[1,2,3,4]]}', 400, "has the shape (1, 4)"),
    ("/v1/models/mlp:predict", b'{"instances": [{"x": 1}]}', 400, "Instance 0 is not an object of the inputs features"),
    ("/v1/models/mlp:predict", b'{"instances": [[Infinity,2,3,4,5]]}', 400, "holds Infinity"),
    ("/v1/models/mlp:predict", b'{"inputs": {"x": 1}}', 400, "Unknown input of the model 'mlp': 'x'"),
    ("/v1/models/mlp:predict", b'{"inputs": 1}', 400, "has the shape ()"),
    ("/v1/models/mlp:predict", b'{"instances": [[1,2,3,4,5]], "signature_name": "x"}', 400, "'serving_default', not 'x'"),
    ("/v1/models/mlp:classify", b"{}", 404, "answers :predict, not :classify"),
    ("/v1/models/several:predict", b'{"instances": [1]}', 400, "takes an object of the inputs the words, image"),
    ("/v1/models/several:predict", b'{"inputs": {"image": [[[1,2,3],[1,2,3]]]}}', 400, "'the words' of the model"),
    ("/v1/models/words:predict", b'{"instances": [[1.5]]}', 400, "takes whole numbers (int32); fractions was given"),
    ("/v1/models/words:predict", b'{"instances": [[4294967296]]}', 400, "a number that int32 cannot hold"),
    ("/v1/models/words:predict", b'{"instances": [[11]]}', 400, "11"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "text"), BODIES, ids=range(len(BODIES)))
def test_a_wrong_request(client: TestClient, path: str, body: bytes, status: int, text: str) -> None:
    answer = client.post(path, content=body)
    assert (answer.status_code, text in answer.json()["error"]) == (status, True), answer.text
    assert client.post("/v1/models/mlp:predict", json={"instances": [ROW]}).status_code == 200


def test_wrong_methods_and_encodings(client: TestClient) -> None:
    assert client.get("/v2/models/mlp/infer").status_code == 405
    assert "does not take GET" in client.get("/v2/models/mlp/infer").json()["error"]
    answer = client.post("/v1/models/mlp:predict", content=b"", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    answer = client.post(
        "/v2/models/mlp/infer", content=b"{}", headers={"Inference-Header-Content-Length": "3"}
    )
    assert (answer.status_code, "is the number of bytes of JSON, of 2; not '3'" in answer.text) == (400, True)


def test_a_body_without_a_length_is_not_read_beyond_the_limit(client: TestClient) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 1000

    answer = client.post("/v2/models/mlp/infer", content=parts())
    assert answer.status_code == 413
    assert "more than 20,000 bytes" in answer.json()["error"]


def test_an_answer_that_is_too_large() -> None:
    x = uf.Input((1,), name="x")
    model = uf.Model(x, layers.RepeatVector(5000)(x), name="long")
    with TestClient(application({"long": model}, "numpy", Limits(max_bytes=10_000))) as client:
        answer = client.post("/v1/models/long:predict", json={"instances": [[1.0]]})
    assert (answer.status_code, "The answer would be 20,000 bytes" in answer.text) == (413, True)


def test_many_examples_of_nothing_are_not_worked_out(client: TestClient) -> None:
    """Each of them is empty, so that a request of some bytes names as many as it likes."""
    nothing = {"name": "words", "datatype": "INT32", "shape": [2**31 - 1, 0], "data": []}
    answer = infer(client, "words", nothing)
    assert (answer.status_code, "The answer would be 25,769,803,764 bytes" in answer.text) == (413, True)


def test_numbers_that_json_has_not() -> None:
    x = uf.Input((1,), name="x")
    with TestClient(application({"log": uf.Model(x, ops.log(x), name="log")}, "numpy")) as client:
        answer = client.post("/v1/models/log:predict", json={"instances": [[0.0]]})
        fine = client.post("/v1/models/log:predict", json={"instances": [[1.0]]})
    assert (answer.status_code, "holds NaN or infinite numbers" in answer.text) == (500, True)
    assert fine.json() == {"predictions": [[0.0]]}


def test_a_free_size_that_is_too_small() -> None:
    x = uf.Input((None, 4), name="x")
    model = uf.Model(x, layers.GlobalMaxPooling1D()(layers.Conv1D(3, 5, name="conv")(x)), name="conv")
    with TestClient(application({"conv": model}, BACKEND)) as client:
        for length, status in ((5, 200), (3, 400), (6, 200)):
            answer = client.post(
                "/v1/models/conv:predict", json={"instances": np.ones((2, length, 4)).tolist()}
            )
            assert answer.status_code == status
            assert ("conv would have a size of -1: the input is too small (x_1=3)" in answer.text) == (
                length == 3
            )


@pytest.mark.parametrize(
    ("dtype", "row", "expected", "too_large"),
    [
        ("float16", [1, 2.5], [2.0, 5.0], [70000, 1]),
        ("bfloat16", [1, 2.5], [2.0, 5.0], [1e39, 1]),
        ("float64", [1e300, 0.1], [2e300, 0.2], [10**400, 1]),
        ("int64", [2**62 - 1, 2], [2**63 - 2, 4], [2**63, 1]),
        ("uint8", [127, 0], [254, 0], [-1, 0]),
    ],
)
def test_dtypes(dtype: str, row: list[float], expected: list[float], too_large: list[float]) -> None:
    x = uf.Input((2,), name="x", dtype=dtype)
    with TestClient(application({"twice": uf.Model(x, ops.add(x, x), name="twice")}, "numpy")) as client:
        assert client.post("/v1/models/twice:predict", json={"instances": [row]}).json() == {
            "predictions": [expected]
        }
        answer = client.post("/v1/models/twice:predict", json={"instances": [too_large]})
    assert (answer.status_code, dtype in answer.json()["error"]) == (400, True)


def test_booleans() -> None:
    x = uf.Input((2,), name="x", dtype="bool")
    with TestClient(application({"not": uf.Model(x, ops.logical_not(x), name="not")}, "numpy")) as client:
        answer = client.post("/v1/models/not:predict", json={"instances": [[True, False]]})
        assert answer.json() == {"predictions": [[False, True]]}
        answer = client.post("/v1/models/not:predict", json={"instances": [[1, 0]]})
    assert "takes true and false (bool); whole numbers was given" in answer.json()["error"]


# ---------------------------------------------------------------- images


def encoded(image: Any, form: str = "PNG") -> dict[str, str]:
    content = io.BytesIO()
    image.save(content, form)
    return {"b64": base64.b64encode(content.getvalue()).decode()}


def test_files_of_images_for_a_model_that_was_trained_on_a_folder_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("pydantic")
    x = uf.Input((4, 6, 3), name="image")
    model = uf.Model(x, layers.Dense(2)(layers.Flatten()(layers.Rescaling(1 / 255)(x))), name="pets")
    model.metadata = {
        "kind": "images",
        "size": [4, 6],
        "color": "rgb",
        "resize": "stretch",
        "classes": ["cat", "dog"],
    }
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3)).astype(np.uint8)
    images = [pillow.fromarray(one) for one in pixels]
    wide = pillow.fromarray(np.repeat(pixels[0], 2, axis=1)).convert("L")  # of another size and color
    with TestClient(application({"pets": model}, BACKEND)) as client:
        url = "/v1/models/pets:predict"
        rows = client.post(url, json={"instances": [encoded(one) for one in images]}).json()["predictions"]
        expected = model.predict(pixels.astype(np.float32), backend=BACKEND)
        assert_close(np.array(rows, np.float32), expected)
        named = client.post(url, json={"instances": [{"image": encoded(images[1])}]}).json()["predictions"]
        assert_close(np.array(named, np.float32), expected[1:])
        assert client.post(url, json={"instances": [encoded(wide, "JPEG")]}).status_code == 200
        assert client.post(url, json={"inputs": [encoded(images[0])]}).status_code == 200
        assert client.get("/v2/models/pets").json()["parameters"] == {"classes": ["cat", "dog"]}
        half = base64.b64decode(encoded(pillow.new("RGB", (99, 99)), "BMP")["b64"])[:2000]
        large = encoded(pillow.new("1", (9000, 9000)))
        for instances, status, text in (
            (
                [{"b64": base64.b64encode(b"no image").decode()}],
                400,
                "of 8 bytes cannot be read: it is of no format",
            ),
            (
                [{"b64": base64.b64encode(half).decode()}],
                400,
                "of 2000 bytes cannot be read: image file is truncated",
            ),
            ([large], 413, "An image has 9000 × 9000 pixels; 50,000,000 are allowed"),
            ([{"b64": "§"}], 400, "is text in Base64"),
            ([{"b64": 3}], 400, "is text in Base64"),
            ([encoded(images[0]), pixels[1].tolist()], 400, "has encoded images beside numbers"),
        ):
            answer = client.post(url, json={"instances": instances})
            assert (answer.status_code, text in answer.json()["error"]) == (status, True), answer.text
            assert "object at" not in answer.text
        monkeypatch.setattr("unifront.serving.tfserving.MAX_BYTES", 2 * 4 * 6 * 3 * 4)
        assert client.post(url, json={"instances": [encoded(images[0])] * 2}).status_code == 200
        answer = client.post(url, json={"instances": [encoded(images[0])] * 3})
        assert answer.json()["error"] == "The input 'image' has 3 images; 2 of this size are allowed."
        assert answer.status_code == 413


def test_only_such_models_take_files(client: TestClient) -> None:
    answer = client.post("/v1/models/mlp:predict", json={"instances": [{"b64": ""}]})
    assert (answer.status_code, "takes numbers (float32); an object was given" in answer.text) == (400, True)


# ---------------------------------------------------------------- requests together


def counted(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_requests_are_joined_and_each_gets_its_own(models: dict[str, uf.Model]) -> None:
    rng = np.random.default_rng(0)
    requests = [rng.normal(size=(1 + i % 3, 5)).astype(np.float32) for i in range(24)]
    limits = Limits(max_batch=16, max_wait=1.0)
    with (
        TestClient(application({"mlp": models["mlp"]}, BACKEND, limits)) as client,
        ThreadPoolExecutor(24) as pool,
    ):
        answers = list(pool.map(lambda x: infer(client, "mlp", tensor("features", x)), requests))
        predictions = counted(client, "unifront_prediction_examples_count")
        examples = counted(client, "unifront_prediction_examples_sum")
    for x, answer in zip(requests, answers, strict=True):
        (found,) = outputs_of(answer).values()
        assert_close(found, models["mlp"].predict(x, backend=BACKEND))
    assert examples == sum(map(len, requests))
    assert predictions <= 12


def test_lengths_that_differ_are_not_joined(client: TestClient, models: dict[str, uf.Model]) -> None:
    requests = [np.arange(1, 1 + n, dtype=np.int32)[None] for n in (2, 5, 2, 7, 5, 2)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda x: infer(client, "words", tensor("words", x)), requests))
    for x, answer in zip(requests, answers, strict=True):
        (found,) = outputs_of(answer).values()
        assert_close(found, models["words"].predict(x, backend=BACKEND))


def test_more_examples_than_a_batch(client: TestClient, models: dict[str, uf.Model]) -> None:
    x = np.random.default_rng(1).normal(size=(19, 5)).astype(np.float32)
    (found,) = outputs_of(infer(client, "mlp", tensor("features", x))).values()
    assert_close(found, models["mlp"].predict(x, backend=BACKEND))


def test_one_that_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, uf.Model]
) -> None:
    """A failure that no check foresees, in a request that was joined with others."""
    right = Served.predict

    def predict(self: Served, arrays: Any) -> Any:
        if (arrays[0] == 13.0).any():
            raise RuntimeError("a kernel failed")
        return right(self, arrays)

    monkeypatch.setattr(Served, "predict", predict)
    requests = [np.full((1, 5), i, np.float32) for i in range(10, 16)]
    limits = Limits(max_batch=6, max_wait=5.0)
    with (
        TestClient(application({"mlp": models["mlp"]}, BACKEND, limits)) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        answers = list(pool.map(lambda x: infer(client, "mlp", tensor("features", x)), requests))
        assert counted(client, "unifront_prediction_examples_count") == 1
    assert [answer.status_code for answer in answers] == [200, 200, 200, 500, 200, 200]
    assert "RuntimeError; the server's log has more" in answers[3].text
    assert "a kernel failed" not in answers[3].text


def test_a_model_whose_examples_influence_each_other_is_asked_alone() -> None:
    x = uf.Input((2,), name="x")
    model = uf.Model(x, ops.subtract(x, ops.mean(x, axis=0, keepdims=True)), name="centred")
    requests = [np.random.default_rng(i).normal(size=(2, 2)).astype(np.float32) for i in range(4)]
    with (
        TestClient(application({"m": model}, BACKEND, Limits(max_wait=1.0))) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(lambda x: infer(client, "m", tensor("x", x)), requests))
    for x, answer in zip(requests, answers, strict=True):
        (found,) = outputs_of(answer).values()
        assert_close(found, model.predict(x, backend=BACKEND))


def test_batches_of_a_fixed_size() -> None:
    x = uf.Input((2,), name="x", batch_size=3)
    model = uf.Model(x, layers.Dense(2)(x), name="three")
    with TestClient(application({"three": model}, BACKEND)) as client:
        six = np.arange(12, dtype=np.float32).reshape(6, 2)
        (found,) = outputs_of(infer(client, "three", tensor("x", six))).values()
        assert_close(found, model.predict(six, backend=BACKEND))
        answer = infer(client, "three", tensor("x", six[:4]))
    assert (answer.status_code, "4 of them leave a rest of 1" in answer.text) == (400, True)


def test_too_many_wait(monkeypatch: pytest.MonkeyPatch, models: dict[str, uf.Model]) -> None:
    right, runs, gate = Served.predict, threading.Event(), threading.Event()

    def held(self: Served, arrays: Any) -> Any:
        runs.set()
        assert gate.wait(60)
        return right(self, arrays)

    limits = Limits(max_batch=1, max_waiting=2)
    with (
        TestClient(application({"mlp": models["mlp"]}, "numpy", limits)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        monkeypatch.setattr(Served, "predict", held)

        def ask() -> Any:
            return infer(client, "mlp", tensor("features", FINE[:1]))

        first = pool.submit(ask)
        assert runs.wait(60)
        more = [pool.submit(ask) for _ in range(7)]  # of which two may wait
        refused = [answer.result() for answer in itertools.islice(as_completed(more), 5)]
        gate.set()
        answered = [answer.result().status_code for answer in (first, *more)]
    assert [answer.status_code for answer in refused] == [503] * 5
    assert sorted(answered) == [200] * 3 + [503] * 5
    assert "has 2 requests waiting; try again later" in refused[0].json()["error"]
    assert refused[0].headers["retry-after"] == "1"


def test_metrics(models: dict[str, uf.Model]) -> None:
    with TestClient(application({"mlp": models["mlp"]}, BACKEND)) as client:
        infer(client, "mlp", tensor("features", FINE))
        infer(client, "mlp")
        infer(client, "nobody" * 20)
        text = client.get("/metrics").text
    assert 'unifront_requests_total{model="mlp",protocol="v2",status="200"} 1.0' in text
    assert 'unifront_requests_total{model="mlp",protocol="v2",status="400"} 1.0' in text
    assert 'unifront_requests_total{model="",protocol="v2",status="404"} 1.0' in text
    assert 'unifront_prediction_examples_sum{model="mlp"} 2.0' in text
    assert 'unifront_waiting_requests{model="mlp"} 0.0' in text
    assert f'unifront_model{{backend="{BACKEND}:' in text
    assert "nobody" not in text


# ---------------------------------------------------------------- models that are not served


def test_models_that_cannot_be_served(models: dict[str, uf.Model]) -> None:
    x = uf.Input((None, 2), name="x", batch_size=1)
    with pytest.raises(errors.ArgumentError, match="'s' keeps states from one prediction to the next"):
        application({"s": uf.Model(x, layers.LSTM(2, stateful=True)(x))}, "numpy")
    with pytest.raises(errors.ArgumentError, match="letters, digits.*not 'a/b'"):
        application({"a/b": models["mlp"]}, "numpy")
    with pytest.raises(errors.ArgumentError, match="There is no model to serve"):
        application({})
    with pytest.raises(errors.ArgumentError, match="max_batch is a number of at least 1, not 0"):
        Limits(max_batch=0)
