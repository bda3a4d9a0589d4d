"""Models that answer for every place: U-Net, FCN and SSD against torch modules, and what SSD's answers mean."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import unifront as uf
from tests.models import TRAINABLE
from tests.zoo.modern_judges import check_same
from tests.zoo.test_modern_torch import randomize
from unifront import errors
from unifront_zoo import fcn, ssd


def given(model: uf.Model, convolutions: dict[str, nn.Module]) -> None:
    """The kernels and biases of torch's convolutions, by the names of layers."""
    for name, conv in convolutions.items():
        kernel = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
        model.get_layer(name).set_weights(
            [kernel, *([] if conv.bias is None else [conv.bias.detach().numpy()])]
        )


def torch_unet(parts: dict[str, nn.Module], x: Any, padding: int, depth: int) -> Any:
    def double(x: Any, name: str) -> Any:
        return F.relu(parts[f"{name}_conv2"](F.relu(parts[f"{name}_conv1"](x))))

    kept = []
    for level in range(1, depth + 1):
        kept.append(double(x, f"down{level}"))
        x = F.max_pool2d(kept[-1], 2)
    x = double(x, "bottom")
    for level in range(depth, 0, -1):
        x = parts[f"up{level}_deconv"](x)
        top, left = ((a - b) // 2 for a, b in zip(kept[level - 1].shape[2:], x.shape[2:], strict=True))
        skip = kept[level - 1][:, :, top : top + x.shape[2], left : left + x.shape[3]]
        x = double(torch.cat([skip, x], 1), f"up{level}")
    return parts["predictions"](x)


@pytest.mark.parametrize(
    ("padding", "shape"), [("valid", (44, 60, 1)), ("same", (20, 28, 1)), ("same", (None, None, 1))]
)
def test_unet_is_that_of_torch(padding: str, shape: tuple[int | None, ...]) -> None:
    depth, filters, around = 2, 4, int(padding == "same")
    parts: dict[str, nn.Module] = {}
    channels = 1
    for name, width in (("down1", 4), ("down2", 8), ("bottom", 16), ("up2", 8), ("up1", 4)):
        if name.startswith("up"):
            parts[f"{name}_deconv"] = nn.ConvTranspose2d(channels, width, 2, 2)
        parts[f"{name}_conv1"] = nn.Conv2d(channels, width, 3, padding=around)
        parts[f"{name}_conv2"] = nn.Conv2d(width, width, 3, padding=around)
        channels = width
    parts["predictions"] = nn.Conv2d(4, 2, 1)
    randomize(nn.ModuleDict(parts))
    model = uf.zoo.create(
        "unet", input_shape=shape, filters=filters, depth=depth, padding=padding, classifier_activation=None
    )
    given(model, parts)
    x = np.random.default_rng(0).normal(size=(2, shape[0] or 24, shape[1] or 36, 1)).astype("float32")
    with torch.no_grad():
        theirs = torch_unet(parts, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), around, depth).numpy()
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), theirs.transpose(0, 2, 3, 1))


def test_unet_tells_what_sizes_it_takes() -> None:
    with pytest.raises(errors.ArgumentError, match="come to 566×567 at level 1.* Near them are 572 and 572"):
        uf.zoo.create("unet", input_shape=(570, 571, 1))
    with pytest.raises(errors.ArgumentError, match="come to 5×8 at level 3.* Near them are 16 and 32"):
        uf.zoo.create("unet", input_shape=(20, 32, 1), padding="same")
    with pytest.raises(errors.ArgumentError, match='a free height or width needs padding="same"'):
        uf.zoo.create("unet", input_shape=(None, 572, 1))
    assert uf.zoo.create("unet").output.shape[1:] == (388, 388, 2)  # figure 1 of the paper
    with pytest.raises(errors.ArgumentError, match="height and width are multiples of 16, not 224 and 225"):
        uf.zoo.create("vit_b_16", input_shape=(224, 225, 3))


def torch_fcn(parts: dict[str, nn.Module], x: Any, joins: int) -> Any:
    """Crops as the reference network's ``Crop`` layers have them."""
    rows, columns = x.shape[2:]
    x = F.pad(x, (100,) * 4)
    pools = []
    for block, (_, count) in enumerate(fcn.VGG16, 1):
        for i in range(count):
            x = F.relu(parts[f"block{block}_conv{i + 1}"](x))
        x = F.max_pool2d(x, 2, ceil_mode=True)
        pools.append(x)
    x = parts["score"](F.relu(parts["fc7"](F.relu(parts["fc6"](x)))))
    for pool, offset in ((4, 5), (3, 9))[:joins]:
        x = parts[f"upscore_pool{pool}"](x)
        skip = parts[f"score_pool{pool}"](pools[pool - 1])
        x = x + skip[:, :, offset : offset + x.shape[2], offset : offset + x.shape[3]]
    x, start = parts["upscore"](x), (19, 27, 31)[joins]
    return x[:, :, start : start + rows, start : start + columns]


@pytest.mark.parametrize(
    ("name", "joins", "shape"),
    [
        ("fcn8s", 2, (40, 51, 3)),
        ("fcn16s", 1, (None, None, 3)),
        ("fcn32s", 0, (64, 33, 3)),
    ],
)
def test_fcn_is_that_of_torch(name: str, joins: int, shape: tuple[int | None, ...]) -> None:
    model = uf.zoo.create(name, input_shape=shape, classes=3, filters=8, units=8, classifier_activation=None)
    parts: dict[str, nn.Module] = {}
    channels = 3
    for block, (factor, count) in enumerate(fcn.VGG16, 1):
        for i in range(count):
            parts[f"block{block}_conv{i + 1}"] = nn.Conv2d(channels, 8 * factor, 3, padding=1)
            channels = 8 * factor
    parts |= {"fc6": nn.Conv2d(64, 8, 7), "fc7": nn.Conv2d(8, 8, 1), "score": nn.Conv2d(8, 3, 1)}
    for pool, filters in ((4, 64), (3, 32))[:joins]:
        parts[f"score_pool{pool}"] = nn.Conv2d(filters, 3, 1)
        parts[f"upscore_pool{pool}"] = nn.ConvTranspose2d(3, 3, 4, 2, bias=False)
    strides = 32 // 2**joins
    parts["upscore"] = nn.ConvTranspose2d(3, 3, 2 * strides, strides, bias=False)
    randomize(nn.ModuleDict(parts))
    given(model, parts)
    x = np.random.default_rng(0).normal(size=(2, shape[0] or 35, shape[1] or 64, 3)).astype("float32")
    with torch.no_grad():
        theirs = torch_fcn(parts, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), joins).numpy()
    assert theirs.shape[2:] == x.shape[1:3]
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), theirs.transpose(0, 2, 3, 1))


def test_fcn_begins_by_interpolating() -> None:
    """A transposed convolution with the bilinear kernel is `resize` away from the borders."""
    x = np.random.default_rng(0).normal(size=(1, 6, 7, 2)).astype("float32")
    layer = uf.layers.Conv2DTranspose(2, 4, strides=2, use_bias=False, kernel_initializer=fcn.bilinear)
    ours = np.asarray(layer(x))[:, 1:-1, 1:-1]
    theirs = F.interpolate(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), scale_factor=2, mode="bilinear")
    np.testing.assert_allclose(
        ours[:, 1:-1, 1:-1], theirs.numpy().transpose(0, 2, 3, 1)[:, 1:-1, 1:-1], atol=1e-6
    )


# ---------------------------------------------------------------- SSD


class SSD(nn.Module):
    """torchvision's ``ssd300_vgg16`` with an eighth of the filters."""

    def __init__(self, filters: int = 8, classes: int = 5) -> None:
        super().__init__()
        n = filters
        vgg: list[nn.Module] = []
        channels = 3
        for width, count in ((n, 2), (2 * n, 2), (4 * n, 3), (8 * n, 3), (8 * n, 3)):
            for _ in range(count):
                vgg += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            vgg.append(nn.MaxPool2d(2, ceil_mode=width == 4 * n))
        self.backbone = nn.Module()
        self.backbone.scale_weight = nn.Parameter(20 * torch.ones(8 * n))
        self.backbone.features = nn.Sequential(*vgg[:23])
        fc = nn.Sequential(
            nn.MaxPool2d(3, 1, 1), nn.Conv2d(8 * n, 16 * n, 3, padding=6, dilation=6), nn.ReLU(),
            nn.Conv2d(16 * n, 16 * n, 1), nn.ReLU(),
        )  # fmt: skip
        extra = [nn.Sequential(*vgg[23:-1], fc)]
        widths = (16 * n, 8 * n, 4 * n, 4 * n, 4 * n)
        for k, (before, width) in enumerate(pairwise(widths)):
            second = nn.Conv2d(width // 2, width, 3, 2 if k < 2 else 1, 1 if k < 2 else 0)
            extra.append(nn.Sequential(nn.Conv2d(before, width // 2, 1), nn.ReLU(), second, nn.ReLU()))
        self.backbone.extra = nn.ModuleList(extra)
        self.head = nn.Module()
        for name, size in (("classification_head", classes), ("regression_head", 4)):
            convs = [
                nn.Conv2d(width, boxes * size, 3, padding=1)
                for width, boxes in zip((8 * n, *widths), (4, 6, 6, 6, 4, 4), strict=True)
            ]
            part = nn.Module()
            part.module_list = nn.ModuleList(convs)
            setattr(self.head, name, part)
        self.classes = classes

    def forward(self, x: Any) -> dict[str, Any]:
        x = self.backbone.features(x)
        maps = [self.backbone.scale_weight.view(1, -1, 1, 1) * F.normalize(x)]
        for block in self.backbone.extra:
            x = block(x)
            maps.append(x)
        found = {}
        for name, part, size in (
            ("scores", self.head.classification_head, self.classes), ("boxes", self.head.regression_head, 4),
        ):  # fmt: skip
            rows = [
                conv(x).permute(0, 2, 3, 1).flatten(1) for conv, x in zip(part.module_list, maps, strict=True)
            ]
            found[name] = torch.cat([row.unflatten(1, (-1, size)) for row in rows], 1)
        return found


def test_ssd_is_that_of_torch(tmp_path: Path) -> None:
    module = SSD().eval()
    randomize(module)
    torch.save(module.state_dict(), tmp_path / "ssd.pth")
    model = uf.zoo.create(
        "ssd300", weights=str(tmp_path / "ssd.pth"), filters=8, classes=5, classifier_activation=None
    )
    x = np.random.default_rng(0).normal(size=(2, 300, 300, 3)).astype("float32")
    with torch.no_grad():
        theirs = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    ours = model.predict(x, backend=TRAINABLE[-1], verbose=0)
    for name in ("scores", "boxes"):
        check_same(ours[name], theirs[name].numpy())


def test_default_boxes_are_those_of_the_paper() -> None:
    boxes = ssd.default_boxes()
    assert boxes.shape == (8732, 4)
    # the first place of the largest map: two squares, one lying and one standing box
    side = 0.07
    np.testing.assert_allclose(boxes[0], [4 / 300, 4 / 300, side, side], rtol=1e-6)
    np.testing.assert_allclose(boxes[1, 2:], [np.sqrt(0.07 * 0.15)] * 2, rtol=1e-6)
    np.testing.assert_allclose(
        boxes[2:4, 2:], [[side * 2**0.5, side / 2**0.5], [side / 2**0.5, side * 2**0.5]], rtol=1e-6
    )
    np.testing.assert_allclose(boxes[4, :2], [12 / 300, 4 / 300], rtol=1e-6)  # x comes before y
    np.testing.assert_allclose(boxes[-4:, :2], 0.5)
    assert (boxes[:, 2:] <= 1).all()


def test_offsets_are_decoded() -> None:
    offsets = np.zeros((8732, 4), dtype="float32")
    default = ssd.default_boxes()[5000]
    offsets[5000] = [1.0, -2.0, 5 * np.log(2.0), 5 * np.log(0.5)]
    x, y = default[0] + 0.1 * default[2], default[1] - 0.2 * default[3]
    wide, high = default[2], default[3] / 4
    expected = np.clip([x - wide, y - high, x + wide, y + high], 0, 1)
    np.testing.assert_allclose(ssd.decoded(offsets)[5000], expected, atol=1e-6)
    assert np.isfinite(ssd.decoded(np.full((8732, 4), 1e6, dtype="float32"))).all()


def test_of_overlapping_boxes_the_best_is_kept() -> None:
    rng = np.random.default_rng(0)
    corner = rng.random((60, 2)) * 0.6
    boxes = np.concatenate([corner, corner + 0.05 + 0.3 * rng.random((60, 2))], -1)
    scores = rng.random(60)

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        shared = float(np.prod(np.maximum(sides, 0)))
        return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)

    expected: list[int] = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[j]) <= 0.3 for j in expected):
            expected.append(int(i))
    assert 1 < len(expected) < 60
    assert ssd.kept(boxes, scores, 0.3).tolist() == expected
    assert ssd.kept(boxes[:0], scores[:0], 0.3).shape == (0,)
    assert ssd.kept(boxes[:1], scores[:1], 0.3).tolist() == [0]


def test_detections_of_an_image() -> None:
    """Two objects: of neighbouring boxes of one class one is left; those of two classes do not hide each other."""
    scores = np.zeros((2, 8732, 3), dtype="float32")
    scores[..., 0] = 1
    near = [4000, 4004]  # neighbours
    scores[0, near] = [[0.1, 0.8, 0.1], [0.2, 0.75, 0.05]]
    scores[0, 8700] = [0.3, 0.0, 0.7]
    found, nothing = ssd.detections(
        {"scores": scores, "boxes": np.zeros((2, 8732, 4), "float32")}, overlap=0.2
    )
    assert found["labels"].tolist() == [1, 2, 2]
    np.testing.assert_allclose(found["scores"], [0.8, 0.7, 0.1])
    decoded = ssd.decoded(np.zeros((8732, 4), "float32"))
    np.testing.assert_allclose(found["boxes"], decoded[[4000, 8700, 4000]], atol=1e-6)
    assert nothing["boxes"].shape == (0, 4)
    assert nothing["scores"].shape == nothing["labels"].shape == (0,)
    assert (
        len(
            ssd.detections({"scores": scores, "boxes": np.zeros((2, 8732, 4), "float32")}, most=1)[0][
                "scores"
            ]
        )
        == 1
    )
