"""Folders of images, texts and sounds as datasets: as Keras's, on the same files; what is wrong is said with its name."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers

Image = pytest.importorskip("PIL.Image")
SIZES = [(12, 9), (7, 16), (10, 10), (3, 5), (16, 8), (9, 9), (8, 4)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i, size in enumerate(SIZES):
        place = folder / ["cat", "dog", "dog/puppies"][i % 3]
        place.mkdir(exist_ok=True, parents=True)
        pixels = rng.integers(0, 256, (*size, 4), dtype=np.uint8)
        Image.fromarray(pixels[:, :, : 3 + i % 2]).save(place / f"{i}.png")
    (folder / "dog" / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for i, text in enumerate(["abc", "", "äöü\nline", "a longer text"]):
        place = folder / "ab"[i % 2]
        place.mkdir(exist_ok=True)
        (place / f"{i}.txt").write_bytes(text.encode())
    return folder


def write_wav(path: Path, samples: np.ndarray, width: int = 2, rate: int = 8000) -> None:
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype("<i4")
    raw = whole[..., None].view(np.uint8)[..., :width]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((raw + 128 * (width == 1)).astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for i, length in enumerate([30, 20, 25, 1]):
        place = folder / "ab"[i % 2]
        place.mkdir(exist_ok=True)
        write_wav(place / f"{i}.wav", rng.uniform(-1, 1, (length, 2)))
    return folder


def batches(data: Any) -> list[Any]:
    return [
        tuple(map(np.asarray, batch)) if isinstance(batch, tuple) else np.asarray(batch) for batch in data
    ]


def assert_like_keras(name: str, folder: Path, exact: bool = True, **options: Any) -> None:
    options = {"shuffle": False, "batch_size": 3, "verbose": False, **options}
    ours = getattr(uf.utils, name)(folder, **options)
    theirs = getattr(keras.utils, name)(str(folder), **options)
    assert ours.class_names == theirs.class_names
    if hasattr(theirs, "file_paths"):
        assert ours.file_paths == theirs.file_paths
    found, expected = batches(ours), batches(theirs)
    assert len(found) == len(expected) == len(ours)
    for one, two in zip(found, expected, strict=True):
        assert isinstance(one, tuple) == isinstance(two, tuple)
        for a, b in zip(*[part if isinstance(part, tuple) else (part,) for part in (one, two)], strict=True):
            if b.dtype == object:
                assert [text.encode() for text in a] == list(b)
                continue
            b = b.astype(np.float32) if b.dtype == np.uint8 else b  # Keras's "nearest" forgets its promise
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=0, atol=0 if exact else 1e-3)


IMAGES: dict[str, dict[str, Any]] = {
    "int": {},
    "binary": {"label_mode": "binary", "interpolation": "nearest", "image_size": 7},
    "categorical": {"label_mode": "categorical", "class_names": ["dog", "cat"]},
    "none": {"labels": None, "color_mode": "rgba", "interpolation": "area"},
    "given": {"labels": [3, 1, 1, 3, 1, 3, 3], "data_format": "channels_first"},
    "cropped": {"crop_to_aspect_ratio": True, "label_mode": None, "interpolation": "Bilinear"},
    "single": {"batch_size": None},
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_are_keras(case: str, images: Path) -> None:
    options = {"image_size": (6, 8), **IMAGES[case]}
    assert_like_keras("image_dataset_from_directory", images, exact=False, **options)


def test_images_in_grey_are_pillows(images: Path) -> None:
    data = uf.utils.image_dataset_from_directory(
        images, image_size=(12, 9), color_mode="grayscale", label_mode=None, shuffle=False, verbose=False
    )
    with Image.open(data.file_paths[0]) as image:
        np.testing.assert_array_equal(next(iter(data))[0, :, :, 0], np.asarray(image.convert("L")))


def test_grays_of_16_bits_are_tensorflows(tmp_path: Path) -> None:
    """As Keras's dataset decodes them; `load_img` in gray keeps all bits, as Keras's."""
    for name in "ab":
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(ord(name)).integers(0, 2**16, (9, 7)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / name / "deep.png")
    for mode in ("rgb", "grayscale", "rgba"):
        options: dict[str, Any] = {
            "image_size": (9, 7),
            "shuffle": False,
            "verbose": False,
            "color_mode": mode,
        }
        [(ours, _)] = uf.utils.image_dataset_from_directory(tmp_path, **options)
        [(theirs, _)] = keras.utils.image_dataset_from_directory(tmp_path, **options)
        np.testing.assert_array_equal(ours, theirs.numpy())
    np.testing.assert_array_equal(np.asarray(uf.utils.load_img(tmp_path / "b/deep.png", "grayscale")), pixels)
    high = np.repeat((pixels >> 8)[:, :, None], 3, 2)
    np.testing.assert_array_equal(np.asarray(uf.utils.load_img(tmp_path / "b/deep.png")), high)


def test_images_padded_to_proportions(images: Path) -> None:
    from unifront import ops

    data = uf.utils.image_dataset_from_directory(
        images, shuffle=False, verbose=False, image_size=(6, 8), pad_to_aspect_ratio=True, label_mode=None
    )
    with Image.open(data.file_paths[0]) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    expected = ops.image.resize(pixels, (6, 8), pad_to_aspect_ratio=True)
    np.testing.assert_array_equal(next(iter(data))[0], expected)


TEXTS: dict[str, dict[str, Any]] = {
    "int": {},
    "cut": {"max_length": 3, "label_mode": "binary"},
    "none": {"labels": None},
}


@pytest.mark.parametrize("case", ["int", "none"])
def test_texts_are_keras(case: str, texts: Path) -> None:
    assert_like_keras("text_dataset_from_directory", texts, **TEXTS[case])


def test_texts_are_cut_by_characters(texts: Path) -> None:
    data = uf.utils.text_dataset_from_directory(texts, max_length=2, shuffle=False, verbose=False)
    assert [text for x, _ in data for text in x] == ["ab", "äö", "", "a "]


SOUNDS: dict[str, dict[str, Any]] = {
    "padded": {},
    "of one length": {"output_sequence_length": 22, "label_mode": "categorical"},
    "none": {"labels": None},
}


@pytest.mark.parametrize("case", SOUNDS)
def test_sounds_are_keras(case: str, sounds: Path) -> None:
    assert_like_keras("audio_dataset_from_directory", sounds, **SOUNDS[case])


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sounds_of_every_width(width: int, tmp_path: Path) -> None:
    samples = np.array([[-1.0, 0.5], [1.0, -0.25], [0.0, 0.125]])
    write_wav(tmp_path / "a.wav", samples, width)
    data = uf.utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)
    np.testing.assert_allclose(next(iter(data))[0], samples, atol=2.0 ** (2 - 8 * width) + 1e-7)


def test_sounds_brought_to_one_rate(tmp_path: Path) -> None:
    pytest.importorskip("scipy.signal")
    time = np.arange(800) / 8000
    write_wav(tmp_path / "a.wav", np.sin(2 * np.pi * 100 * time)[:, None] * 0.5)
    data = uf.utils.audio_dataset_from_directory(tmp_path, labels=None, sampling_rate=4000, verbose=False)
    found = next(iter(data))[0, :, 0]
    np.testing.assert_allclose(found[50:-50], 0.5 * np.sin(2 * np.pi * 100 * time[::2])[50:-50], atol=2e-3)


def test_both_parts_and_a_fit(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"image_size": (4, 4), "seed": 3, "validation_split": 0.3, "batch_size": 2}
    train, held_out = uf.utils.image_dataset_from_directory(images, subset="both", **options)
    assert capsys.readouterr().out.splitlines() == [
        "Found 7 files belonging to 2 classes.",
        "Using 5 files for training.",
        "Using 2 files for validation.",
    ]
    alone = uf.utils.image_dataset_from_directory(images, subset="validation", verbose=False, **options)
    assert sorted(alone.file_paths) == sorted(held_out.file_paths)
    assert not set(train.file_paths) & set(held_out.file_paths)
    assert len(train.file_paths) == 5
    model = uf.Sequential([uf.Input((4, 4, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(train, validation_data=held_out, epochs=2, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    assert model.predict(held_out).shape == (2, 2)
    halved = train.map(lambda x, y: (x / 2, y)).map(lambda x, y: x)
    assert halved.class_names == ["cat", "dog"]
    assert max(batch.max() for batch in halved) <= 127.5
    assert len(list(train.take(2))) == 2


def test_orders_change_and_come_again_with_the_seed(images: Path) -> None:
    def orders() -> list[list[int]]:
        data = uf.utils.image_dataset_from_directory(images, image_size=2, seed=1, verbose=False)
        return [[int(y) for _, ys in data for y in ys] for _ in range(3)]

    first = orders()
    assert first == orders()
    assert len({tuple(one) for one in first}) > 1
    data = uf.utils.image_dataset_from_directory(images, image_size=2, seed=1, verbose=False)
    before = data[0][0]
    np.testing.assert_array_equal(data[0][0], before)
    for _ in range(3):
        data.on_epoch_end()
    assert (data[0][0] != before).any()


@pytest.mark.parametrize("form", ["tf", "grain"])
def test_as_datasets_of_other_libraries(form: str, images: Path, texts: Path) -> None:
    pytest.importorskip({"tf": "tensorflow"}.get(form, form))
    ours = uf.utils.image_dataset_from_directory(
        images, image_size=4, shuffle=False, verbose=False, batch_size=3
    )
    theirs = uf.utils.image_dataset_from_directory(
        images, image_size=4, shuffle=False, verbose=False, batch_size=3, format=form
    )
    assert theirs.class_names == ours.class_names
    for one, two in zip(batches(ours), batches(theirs), strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
    words = uf.utils.text_dataset_from_directory(
        texts, labels=None, shuffle=False, verbose=False, format=form
    )
    first = next(iter(words))
    assert len(first) == 4


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "labels": ({"labels": "other"}, errors.ArgumentError, "`labels` argument should be a list"),
    "mode": ({"label_mode": "other"}, errors.ArgumentError, "`label_mode` argument must be"),
    "color": ({"color_mode": "cmyk"}, errors.ArgumentError, "`color_mode` must be one of"),
    "size": ({"image_size": (1, 2, 3)}, errors.ArgumentError, "Invalid `image_size` value"),
    "interpolation": ({"interpolation": "x"}, errors.ArgumentError, "`interpolation` should be one of"),
    "format": ({"format": "x"}, errors.ArgumentError, "`format` should be either"),
    "batch size": ({"batch_size": 0}, errors.ArgumentError, "`batch_size` is a positive int or None"),
    "class": ({"class_names": ["cat", "cow"]}, errors.ArgumentError, "`class_names` passed did not match"),
    "number of labels": ({"labels": [1]}, errors.ArgumentError, "lengths of `labels` to match the number of files"),
    "two shapes": (
        {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, errors.ArgumentError, "Only one of `pad_to",
    ),
    "share": ({"validation_split": 2, "subset": "both"}, errors.ArgumentError, "`validation_split` must be between"),
    "no subset": ({"validation_split": 0.2}, errors.ArgumentError, "`validation_split` must be set, and inversely"),
    "no seed": ({"validation_split": 0.2, "subset": "both"}, errors.ArgumentError, "you must provide a `seed`"),
    "no validation": (
        {"validation_split": 0.1, "subset": "both", "seed": 1}, errors.DataError, "No validation images found in",
    ),
    "no folder": ({"directory": "nowhere"}, errors.DataError, "There is no folder 'nowhere'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, images: Path) -> None:
    options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        uf.utils.image_dataset_from_directory(**{"directory": images, "verbose": False, **options})


def test_a_folder_of_one_class_or_none(tmp_path: Path) -> None:
    for name in ("image", "text", "audio"):
        make = getattr(uf.utils, f"{name}_dataset_from_directory")
        with pytest.raises(
            errors.DataError, match=r"No \w+ ?\w* found in directory .*Allowed formats: \('\."
        ):
            make(tmp_path, verbose=False)
    (tmp_path / "one").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "one" / "a.png")
    with pytest.raises(
        errors.ArgumentError, match=r"there must be exactly 2 class_names. Received: .*\['one'\]"
    ):
        uf.utils.image_dataset_from_directory(tmp_path, label_mode="binary", verbose=False)
    data = uf.utils.image_dataset_from_directory(tmp_path, label_mode="categorical", verbose=False)
    np.testing.assert_array_equal(next(iter(data))[1], [[1]])


@pytest.mark.parametrize(
    ("kind", "suffix", "match"),
    [
        ("image", "png", r"broken\.png cannot be read as an image"),
        ("text", "txt", r"broken\.txt is no text in UTF-8"),
        ("audio", "wav", r"broken\.wav cannot be read as a WAV file"),
    ],
)
def test_a_broken_file_is_named(kind: str, suffix: str, match: str, tmp_path: Path) -> None:
    (tmp_path / f"broken.{suffix}").write_bytes(b"\xff\xfe\x00 neither")
    data = getattr(uf.utils, f"{kind}_dataset_from_directory")(tmp_path, labels=None, verbose=False)
    with pytest.raises(errors.DataError, match=match):
        next(iter(data))
    if kind == "image":
        model = uf.Sequential([uf.Input((256, 256, 3)), layers.Flatten(), layers.Dense(1)])
        with pytest.raises(errors.DataError, match=match):
            model.predict(data)


def test_sounds_of_other_channels_in_a_batch(tmp_path: Path) -> None:
    for channels in (1, 2):
        write_wav(tmp_path / f"{channels}.wav", np.zeros((4, channels)))
    data = uf.utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)
    with pytest.raises(errors.DataError, match=r"The sounds of a batch have \[1, 2\] channels"):
        next(iter(data))
    with pytest.raises(errors.ArgumentError, match="ragged=True` is not supported"):
        uf.utils.audio_dataset_from_directory(tmp_path, ragged=True)


def test_what_scripts_call_on_datasets_of_tf_data(images: Path) -> None:
    """Judged by the ``tf.data.Dataset`` that Keras gives of the same folder, batches in order."""
    tf = pytest.importorskip("tensorflow")
    options: dict[str, Any] = {"image_size": (4, 4), "shuffle": False, "batch_size": 2}
    ours = uf.utils.image_dataset_from_directory(images, verbose=False, **options)
    theirs = keras.utils.image_dataset_from_directory(images, verbose=False, **options)
    calls: dict[str, Any] = {
        "map": lambda data: data.map(lambda x, y: (x / 2, y), num_parallel_calls=tf.data.AUTOTUNE),
        "take": lambda data: data.take(2),
        "all": lambda data: data.take(-1),
        "skip": lambda data: data.skip(1),
        "none": lambda data: data.skip(9),
        "chain": lambda data: data.skip(1).cache().map(lambda x, y: x).prefetch(tf.data.AUTOTUNE).take(2),
    }
    for name, call in calls.items():
        mine, expected = call(ours), call(theirs)
        assert mine.cardinality() == int(expected.cardinality()), name
        for _ in range(2):  # gone through again, it is the same
            for one, other in zip(mine, expected, strict=True):
                for part, wanted in zip(
                    *[x if isinstance(x, tuple) else (x,) for x in (one, other)], strict=True
                ):
                    np.testing.assert_allclose(part.numpy(), wanted.numpy(), atol=1e-4, err_msg=name)
                    assert type(part.numpy()) is np.ndarray
    shuffled = ours.shuffle(100, seed=1)
    passes = [[tuple(labels) for _, labels in shuffled] for _ in range(4)]
    assert len({tuple(one) for one in passes}) > 1
    for one in passes:
        assert sorted(one) == sorted(tuple(labels) for _, labels in ours)
    made = []
    cached = ours.map(lambda x, y: made.append(1) or (x, y)).cache().prefetch(1)
    assert len(list(cached)) == len(list(cached.as_numpy_iterator())) == len(made) == 4
    model = uf.Sequential([uf.Input((4, 4, 3)), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(cached.shuffle(8), validation_data=ours.take(1), epochs=2, verbose=0)
    assert len(made) == 4
    with pytest.raises(errors.ArgumentError, match="cache keeps batches in memory, not in the file 'x'"):
        ours.cache("x")
