"""What is wrong with a recipe is said with file, line and key, and with the nearest key that is known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.recipes.made import build, images, prepared
from unifront.errors import ArgumentError, DataError
from unifront.recipes import running

LAYERS = "layers:\n  - Dense: $outputs\n"
DATA = "data: {table: iris, target: species}\n"
MLP = "model: {zoo: mlp, hidden: [4]}\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        # keys
        (LAYERS + DATA + "epoch: 3", r"^r\.yaml:4: epoch: unknown key\. Did you mean 'epochs'\?$"),
        (LAYERS + DATA + "optimizer:\n  name: adam\n  learning_rat: 0.1", r"^r\.yaml:6: optimizer\.learning_rat: unknown key\. Did you mean 'learning_rate'\?$"),
        (LAYERS + DATA + "optimizer: {adam: {learning_rat: 0.1}}", r"^r\.yaml:4: optimizer\.adam\.learning_rat: unknown key"),
        (LAYERS + "data:\n  table: iris\n  targt: species", r"^r\.yaml:5: data\.targt: unknown key\. Did you mean 'target'\?$"),
        (LAYERS + "data:\n  tabel: iris", r"^r\.yaml:4: data\.tabel: unknown key\. Did you mean 'table'\?$"),
        (LAYERS + "data:\n  table: iris\n  target: species\n  image_size: 3", r"^r\.yaml:6: data\.image_size: unknown key"),
        (LAYERS + "data: {table: iris, text: sonnets}", r"^r\.yaml:3: data: it has one of images, table, series, text; this has table and text"),
        (LAYERS + "data: {}", r"data: it has one of .* this has none"),
        (LAYERS, r"^r\.yaml:1: data: what to train on is missing"),
        (DATA, r"^r\.yaml:1: a recipe has a model \(of the zoo\), or layers: one of both"),
        (LAYERS + MLP + DATA, r"one of both"),
        (LAYERS + DATA + "fine_tune:\n  freeze_epoch: 1", r"^r\.yaml:5: fine_tune\.freeze_epoch: unknown key\. Did you mean 'freeze_epochs'\?$"),
        (LAYERS + DATA + "callbacks:\n  - EarlyStopping: {patienc: 3}", r"^r\.yaml:5: callbacks\.0\.EarlyStopping\.patienc: unknown key\. Did you mean 'patience'"),
        ("layers:\n  - Dense: 3\n  - Dense:\n      units: 3\n      activatoin: relu\n" + DATA, r"^r\.yaml:5: layers\.1\.Dense\.activatoin: unknown key\. Did you mean 'activation'\?$"),
        (MLP.replace("hidden", "hiden") + DATA, r"^r\.yaml:1: model\.hiden: unknown key\. Did you mean 'hidden'\?$"),
        # types
        (LAYERS + DATA + "epochs: many", r"^r\.yaml:4: epochs: it is a whole number, not 'many'\.$"),
        (LAYERS + DATA + "epochs: 1.5", r"epochs: it is a whole number, not 1\.5"),
        (LAYERS + DATA + "epochs: true", r"epochs: it is a whole number, not True"),
        (LAYERS + DATA + "epochs: 0", r"epochs: it is 1 or more, not 0"),
        (LAYERS + DATA + "seed: -1", r"seed: it is 0 or more, not -1"),
        (LAYERS + DATA + "mixed_precision: float8", r"^r\.yaml:4: mixed_precision: it is bfloat16 or float16, not 'float8'\.$"),
        (LAYERS + DATA + "metrics: accuracy", r"metrics: it is a list, not 'accuracy'"),
        ("layers: Dense\n" + DATA, r"^r\.yaml:1: layers: it is a list, not 'Dense'"),
        (LAYERS + "data: {table: iris, target: species, validation: 1.5}", r"^r\.yaml:3: data\.validation: it is less than 1"),
        (LAYERS + "data: {table: iris, target: species, batch_size: '8'}", r"data\.batch_size: it is a whole number, not '8'"),
        (LAYERS + "data: {images: digits, resize: shrink}", r"data\.resize: it is stretch, crop or pad, not 'shrink'"),
        (LAYERS + "data: {table: iris}", r"^r\.yaml:3: data\.target: it is missing\.$"),
        (LAYERS + "data: 3", r"^r\.yaml:3: data: what to train on is missing"),
        # names
        (LAYERS + DATA + "optimizer: adm", r"^r\.yaml:4: optimizer: Unknown optimizer 'adm'\. Did you mean 'adam'\?$"),
        (LAYERS + DATA + "optimizer: {name: adm}", r"^r\.yaml:4: optimizer\.name: Unknown optimizer 'adm'"),
        (LAYERS + DATA + "loss: {SparseCategoricalCrossentrop: {}}", r"loss\.SparseCategoricalCrossentrop: Unknown loss"),
        (LAYERS + DATA + "metrics: [acuracy]", r"^r\.yaml:4: metrics\.0: Unknown metric 'acuracy'"),
        (LAYERS + DATA + "callbacks: [EarlyStoping]", r"callbacks\.0: Unknown callback 'EarlyStoping'\. Did you mean 'EarlyStopping'\?$"),
        (LAYERS + DATA + "callbacks: [LambdaCallback]", r"Unknown callback 'LambdaCallback'"),
        (LAYERS + DATA + "schedule: CosinDecay", r"schedule: Unknown schedule 'CosinDecay'\. Did you mean 'CosineDecay'"),
        ("layers:\n  - Conv2d: 3\n  - Dens: 3\n" + DATA, r"^r\.yaml:2: layers\.0\.Conv2d: .*missing"),
        ("layers:\n  - Dens: 3\n" + DATA, r"^r\.yaml:2: layers\.0\.Dens: Unknown layer 'Dens'\. Did you mean 'Dense'\?$"),
        ("layers: [{Dense: {units: $clases}}]\n" + DATA, r"layers\.0\.Dense\.units: \$clases is not known here; known: \$outputs, \$classes"),
        ("layers: [{Dense: {units: 3, activation: rellu}}]\n" + DATA, r"layers\.0\.Dense\.activation: Unknown activation 'rellu'\. Did you mean 'relu'"),
        ("model: resnet5\n" + DATA, r"^r\.yaml:1: model: Unknown model of the zoo 'resnet5'\. Did you mean 'resnet50'\?$"),
        ("model:\n  zoo: resnet5\n" + DATA, r"^r\.yaml:2: model\.zoo: Unknown model of the zoo 'resnet5'"),
        # values that classes refuse, and shapes
        (LAYERS + DATA + "optimizer: {name: adam, beta_1: 3}", r"^r\.yaml:4: optimizer: .*beta_1"),
        ("layers:\n  - Dense: -3\n" + DATA, r"^r\.yaml:2: layers\.0\.Dense: .*units"),
        ("layers:\n  - Dense: 4\n  - Conv2D: {filters: 1, kernel_size: 3}\n" + DATA, r"^r\.yaml:3: layers\.1: "),
        ("layers: [{Dense: 4}]\n" + DATA, r"^r\.yaml:1: layers\.0: the model gives \[batch, 4\]; there are 3 classes: \[batch, 3\] \(\$outputs\)"),
        ("layers: [{Dense: 2}]\ndata: {series: airline, length: 3, horizon: 4}", r"the model gives \[batch, 3, 2\]; 4 numbers are to be predicted"),
        ("model: {zoo: mlp, classes: 5}\n" + DATA, r"^r\.yaml:1: model: the model gives \[batch, 5\]; there are 3 classes"),
        ("model: {zoo: mlp, features: 9}\n" + DATA, r"^r\.yaml:1: model: the data do not fit the model 'mlp'"),
        ("layers:\n  - Dense: {units: 3, name: a}\n  - Add:\n    inputs: [a, b]\n" + DATA, r"^r\.yaml:4: layers\.1\.inputs: Unknown layer before this one 'b'"),
        ("layers: []\n" + DATA, r"the model gives \[batch, 4\]; there are 3 classes"),
        (LAYERS + DATA + "callbacks: [{EarlyStopping: {patience: 3 epochs}}]", r"a number of epochs stands for steps in a schedule only"),
        (LAYERS + DATA + "schedule: OneCycle\nfine_tune: {}", r"schedule: fine_tune has a schedule of its own"),
        (LAYERS + DATA + "fine_tune: {head: dens}", r"fine_tune\.head: Unknown layer with weights 'dens'\. Did you mean 'dense'"),
    ],
)  # fmt: skip
def test_a_recipe_that_is_wrong(text: str, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        build(text)


def test_what_is_given_beside_the_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(LAYERS + DATA, encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"^override 'data\.targt=y': data\.targt: unknown key"):
        running.load(str(tmp_path / "r.yaml"), ["data.targt=y"])
    with pytest.raises(ArgumentError, match=r"^override 'epochs=x': epochs: it is a whole number, not 'x'"):
        running.load(str(tmp_path / "r.yaml"), ["epochs=x"])
    with pytest.raises(ArgumentError, match=r"Unknown recipe 'digits-cn'\. Did you mean 'digits-cnn'"):
        running.load("digits-cn")
    with pytest.raises(ArgumentError, match=r"^override 'epochs=-1': epochs: it is 1 or more"):
        running.load("digits-cnn", ["epochs=-1"])


# ---------------------------------------------------------------- data


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


IMAGES = "layers: [Flatten, {Dense: $classes}]\ndata:\n  images: pictures\n  image_size: 4\n"


def test_folders_of_images_that_cannot_be_trained_on(here: Path) -> None:
    def wrong(match: str, error: type[Exception] = DataError, text: str = IMAGES) -> None:
        with pytest.raises(error, match=match):
            prepared(text)

    wrong(r"^r\.yaml:3: data\.images: there is no folder 'pictures'\. Bundled: digits\.$", ArgumentError)
    (here / "pictures").mkdir()
    wrong("The folder pictures has no class; to tell classes apart, at least two are needed")
    images(here / "pictures", {"cat": 3})
    wrong("The folder pictures has one class, 'cat'")
    (here / "pictures" / "dog").mkdir()
    wrong(r"pictures/dog has no images \(\.bmp, ")
    (here / "pictures" / "dog" / "notes.txt").touch()
    wrong("pictures/dog has no images")
    (here / "pictures" / "dog" / "._0.png").touch()  # as macOS leaves it
    wrong("pictures/dog has no images")
    for i in range(5):
        (here / "pictures" / "dog" / f"{i}.png").write_bytes(b"no image" * i)
    wrong(
        r"^r\.yaml:3: data\.images: 5 of 8 files cannot be read: pictures/dog/0\.png .*; and 2 more\. data\.skip_broken=true",
        ArgumentError,
    )
    wrong("no image of the class 'dog' can be read", ArgumentError, IMAGES + "  skip_broken: true")
    images(here / "pictures", {"fish": 2})
    (here / "pictures" / "dog" / "9.png").write_bytes((here / "pictures" / "fish" / "0.png").read_bytes())
    data = prepared(IMAGES + "  skip_broken: true")
    assert data.notes["classes"] == ["cat", "dog", "fish"]
    assert data.count + len(data.validation[1]) == 6
    images(here / "loose", {"train": 2, "val": 2})
    wrong(
        r"look like parts of a data set, not classes\. .* data\.images=loose/train data\.validation=loose/val",
        text=IMAGES.replace("pictures", "loose"),
    )
    os.rename(here / "pictures" / "cat" / "0.png", here / "0.png")
    wrong(
        "but no folders. Put those of each class into a folder",
        text=IMAGES.replace("pictures", "loose/train"),
    )
    wrong(
        "there is no folder 'nowhere'", ArgumentError, IMAGES + "  skip_broken: true\n  validation: nowhere"
    )
    images(here / "more", {"cat": 1, "cow": 1})
    wrong(
        "more has a class 'cow' that is not known; known: cat, dog, fish",
        text=IMAGES + "  skip_broken: true\n  validation: more",
    )


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "streamed"])
def test_a_truncated_image(kept: bool, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(here / "pictures", {"cat": 2, "dog": 2})
    whole = (here / "pictures" / "dog" / "0.png").read_bytes()
    (here / "pictures" / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])
    if not kept:
        monkeypatch.setattr("unifront.recipes.images.IN_MEMORY", 0)
        data = prepared(IMAGES)  # it begins as an image
        with pytest.raises(DataError, match=r"dog/0\.png cannot be read as an image: .*truncated"):
            list(map(list, (data.train, data.validation)))
        return
    with pytest.raises(ArgumentError, match=r"1 of 4 files cannot be read: pictures/dog/0\.png"):
        prepared(IMAGES)


def table(here: Path, text: str) -> None:
    (here / "t.csv").write_text(text, encoding="utf-8")


TABLE = LAYERS + "data:\n  table: t.csv\n  target: y\n"


@pytest.mark.parametrize(
    ("rows", "more", "match"),
    [
        ("x,z\n1,2\n", "", r"^r\.yaml:5: data\.target: Unknown column of t\.csv 'y'\. Known: x, z\.$"),
        ("x,y\n1,a\n", "", r"The column 'y' of t\.csv has one class, 'a'"),
        ("x,y\n1,a\n,b\nnan,a\n4,b", "", r"t\.csv: the column 'x' has 2 gaps \(empty, or NaN\), the first in row 2\. data\.missing=mean"),
        ("x,y\n1,a\n2,\n", "", r"the column 'y' has 1 gap .* the first in row 2"),
        ("k,y\nu,a\n,b\n", "", r"the column 'k' has 1 gap"),
        ("x,y\n1,a\n2,b\n", "  columns: [w]", r"^r\.yaml:6: data\.columns\.0: Unknown column of t\.csv 'w'"),
        ("x,y\n1,a\n2,b\n", "  columns: [y]", r"'y' is the target"),
        ("y\na\nb\n", "", r"there is no column to predict the target from"),
        ("k,y\nu,1\nv,2\n", "  categorical: []", r"data\.categorical: the column 'k' holds texts, so it is one of these"),
        ("x,y\n1,a\n2,b\n", "  task: numbers", r"^r\.yaml:6: data\.task: the column 'y' holds texts, not numbers"),
        ("x,y\n", "", r"t\.csv has no rows"),
        ("", "", r"t\.csv cannot be read as a table: .*Empty CSV"),
        ("x,y\n1,2\n1,2,3\n", "", r"t\.csv cannot be read as a table: .*Expected 2 columns, got 3"),
        ("x,y\n1\n1,2\n", "", r"t\.csv cannot be read as a table: .*Expected 2 columns, got 1"),
        ("x;y\n1;2\n", "", r"t\.csv cannot be read as a table: commas separate columns here, and its first line has ';' instead\."),
        ('"a,b"\ty\n1,5\t2\n', "", r"t\.csv cannot be read as a table: .*got 2: .*; commas separate .* has '\\t' instead\."),
        ("x,x,y\n1,2,a\n", "", r"t\.csv has two columns called 'x'"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_trained_on(rows: str, more: str, match: str, here: Path) -> None:
    table(here, rows)
    with pytest.raises((ArgumentError, DataError), match=match):
        prepared(TABLE + more)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("data: {table: titanc, target: survived}", r"there is no file 'titanc'\. Bundled: titanic, iris"),
        ("data: {table: none.csv, target: y}", r"none\.csv: there is no such file"),
        ("data: {series: airlin, length: 3}", r"there is no file 'airlin'\. Bundled: airline"),
        ("data: {series: airline, length: 200}", r"^r\.yaml:3: data\.length: 200 steps and 1 after them do not fit into the 115 rows"),
        ("data: {series: airline, length: 3, target: cargo}", r"data\.target: Unknown column 'cargo'"),
        ("data: {text: sonets}", r"there is no file 'sonets'\. Bundled: sonnets"),
        ("data: {text: sonnets, length: 20000}", r"data\.length: the \d+ characters to train on are too few"),
        ("data: {images: digits, image_size: 9}", r"data\.image_size: the bundled digits are gray, 8 x 8"),
        ("data: {images: digits, normalize: torch}", r"data\.normalize: torch is for images in rgb, not grayscale"),
        ("data: {images: digits, validation: there}", r"data\.validation: of bundled images a share is held out"),
        ("data: {images: digits, augment: [{RandomFlp: horizontal}]}", r"data\.augment\.0\.RandomFlp: Unknown layer 'RandomFlp'. Did you mean 'RandomFlip'"),
    ],
)  # fmt: skip
def test_other_data_that_cannot_be_trained_on(text: str, match: str) -> None:
    with pytest.raises((ArgumentError, DataError), match=match):
        build(f"layers: [Flatten, {{Dense: $outputs}}]\n\n{text}")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("name,y\ncafé,a\nbar,b\n", r"t\.csv: the column 'name' holds bytes that are no text in UTF-8"),
        ("é,y\n1,a\n2,b\n", r"t\.csv is no text in UTF-8: .* in the name of a column"),
    ],
)
def test_a_table_in_another_encoding(content: str, match: str, here: Path) -> None:
    (here / "t.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=match):
        prepared(TABLE)


def test_a_file_that_is_no_text(here: Path) -> None:
    (here / "t.txt").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"t\.txt is no text in UTF-8: .* at byte 2"):
        prepared(LAYERS + "data: {text: t.txt}")


def test_odd_images_are_read(here: Path) -> None:
    """Sixteen bits, a palette, transparency, one pixel, a file without an ending in small letters."""
    (here / "pictures" / "a").mkdir(parents=True)
    (here / "pictures" / "b").mkdir()
    gray = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(gray).save(here / "pictures" / "a" / "deep.png")
    Image.new("P", (5, 3)).save(here / "pictures" / "a" / "palette.gif")
    Image.new("RGBA", (3, 9), (255, 0, 0, 0)).save(here / "pictures" / "b" / "clear.png")
    Image.new("RGB", (1, 1), (1, 2, 3)).save(here / "pictures" / "b" / "POINT.PNG")
    for size, shape in (("4", (4, 4)), ("[2, 9]", (2, 9)), ("[9, 2]", (9, 2))):
        for resize in ("stretch", "crop", "pad"):
            for color, channels in (("rgb", 3), ("grayscale", 1), ("rgba", 4)):
                text = IMAGES.replace("image_size: 4", f"image_size: {size}")
                data = prepared(f"{text}  validation: 0\n  resize: {resize}\n  color: {color}")
                x, y = data.train
                assert (x.shape, x.dtype) == ((4, *shape, channels), np.uint8)
                assert sorted(y) == [0, 0, 1, 1]
                assert data.validation is None
                if size == "4":  # the ramp of grays, whose mean stays
                    assert 120 < max(float(one[..., 0].mean()) for one in x[y == 0]) < 135
