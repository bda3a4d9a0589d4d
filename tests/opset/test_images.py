"""`uf.ops.image` against Keras on TensorFlow, SciPy and finite sizes; every backend by one program."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest
import scipy.ndimage

import unifront as uf
from unifront import testing
from unifront.backends import installed, placement
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder

image = uf.ops.image
RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(size=(2, 9, 7, 3)).astype(np.float32)
INTS = RNG.integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
MAPS = np.array(  # no pixel is looked up half-way between two
    [[1.0937, 0.2113, -1.3171, -0.1037, 0.9119, 0.7011, 0.0107, -0.0209],
     [0.8123, -0.1051, 0.6203, 0.3119, 1.2131, -2.1079, 0.0, 0.0]], np.float32,
)  # fmt: skip
START = np.array([[0.0, 0.0], [6.0, 0.5], [0.3, 8.0], [5.5, 7.5]], np.float32)
END = np.array([[1.0, 0.7], [6.5, 0.0], [0.0, 7.0], [6.0, 8.0]], np.float32)

CASES = [
    *(
        ("resize", (IMAGES, size), {"interpolation": method, "antialias": antialias})
        for method in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area")
        for size, antialias in (((5, 11), False), ((4, 3), True), ((18, 7), False))
    ),
    ("resize", (INTS, (4, 9)), {}),
    ("resize", (IMAGES[0], (4, 9)), {"crop_to_aspect_ratio": True}),
    ("resize", (IMAGES, (4, 9)), {"pad_to_aspect_ratio": True, "fill_value": 0.25}),
    ("resize", (IMAGES, (1, 1)), {}),
    *(
        ("affine_transform", (IMAGES, MAPS), {"interpolation": method, "fill_mode": mode, "fill_value": 0.5})
        for method in ("bilinear", "nearest")
        for mode in ("constant", "nearest", "reflect")
    ),
    ("affine_transform", (IMAGES[1], MAPS[1]), {}),
    ("perspective_transform", (IMAGES, START, END), {}),
    ("perspective_transform", (IMAGES[0], START, END), {"interpolation": "nearest", "fill_value": 0.5}),
    ("extract_patches", (IMAGES, 3), {}),
    ("extract_patches", (IMAGES, (2, 3)), {"strides": 1, "padding": "same"}),
    ("extract_patches", (IMAGES[0], (3, 2)), {"strides": 1, "dilation_rate": 2}),
    ("extract_patches_3d", (RNG.normal(size=(1, 4, 5, 6, 2)).astype(np.float32), (2, 2, 3)), {"strides": (1, 2, 2)}),
    ("pad_images", (IMAGES, 1, 2), {"bottom_padding": 3, "target_width": 12}),
    ("crop_images", (IMAGES, 1, 2), {"bottom_cropping": 3, "target_width": 4}),
    ("rgb_to_grayscale", (IMAGES,), {}),
    ("rgb_to_grayscale", (INTS,), {}),
    ("rgb_to_hsv", (np.concatenate([IMAGES, IMAGES * 0, IMAGES.round()]),), {}),
    ("hsv_to_rgb", (np.concatenate([IMAGES, IMAGES * 0]),), {}),
    ("gaussian_blur", (IMAGES,), {"kernel_size": (3, 3), "sigma": (0.8, 1.5)}),
    ("sobel_edges", (IMAGES,), {}),
    ("ssim", (np.tile(IMAGES, (1, 2, 2, 1)), np.tile(IMAGES[::-1], (1, 2, 2, 1))), {}),
    (
        "scale_and_translate", (IMAGES, (2, 12, 5, 3), np.array([1.5, 0.5], "float32"), np.array([0.3, 1.0], "float32"),
        (1, 2), "cubic"), {},
    ),
]  # fmt: skip
BOUND = {"float32": 2e-5}


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{CASES[n][0]}-{n}")
def test_as_keras(number):
    name, arguments, options = CASES[number]
    if options.get("interpolation") == "bicubic" and not options["antialias"]:
        # TensorFlow rounds where a weight is looked up to 1024 places.
        shape = (*arguments[0].shape[:1], *arguments[1], 3)
        expected = np.asarray(jax.image.resize(arguments[0], shape, "cubic", antialias=False))
    else:
        expected = np.asarray(getattr(keras.ops.image, name)(*arguments, **options))
    testing.assert_close(getattr(image, name)(*arguments, **options), expected, bounds=BOUND)


@pytest.mark.parametrize("name", installed())
def test_one_program_of_all_on_every_backend(name):
    builder, arrays, outputs, expected = Builder("images"), [], [], []
    for one, arguments, options in CASES:
        tensors = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                arrays.append(argument)
                argument = builder.input(f"x{len(arrays)}", testing.type_of(argument))
            tensors.append(argument)
        outputs.append(getattr(image, one)(*tensors, **options))
        expected.append(getattr(image, one)(*arguments, **options))
    place = placement(name)
    found = place.backend.compile(builder.graph(outputs))([place.backend.array(a) for a in arrays], [])
    for (one, _, options), a, b in zip(CASES, found, expected, strict=True):
        testing.assert_close(place.backend.numpy(a), b, bounds=BOUND, what=f"{one} {options}")


@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_free_sizes_and_channels_first(name):
    sizes = (symbol("batch"), 3, symbol("height"), symbol("width"))
    builder = Builder("free")
    x = builder.input("x", TensorType(testing.dtype_of("float32"), sizes))
    m = builder.input("m", TensorType(testing.dtype_of("float32"), (symbol("batch"), 8)))

    def results(x, m):
        first = {"data_format": "channels_first"}
        yield image.resize(x, (5, 4), antialias=True, **first)
        yield image.resize(x, (5, 4), "nearest", crop_to_aspect_ratio=True, **first)
        yield image.resize(x, (5, 4), "bicubic", pad_to_aspect_ratio=True, **first)
        yield image.affine_transform(x, m, fill_mode="wrap", **first)
        yield image.extract_patches(x, 3, strides=1, padding="same", **first)
        yield image.pad_images(x, None, 1, 2, 1, 20, None, **first)
        yield image.crop_images(x, None, 1, 2, None, 4, 5, **first)
        yield image.gaussian_blur(x, **first)
        yield image.sobel_edges(x, **first)
        yield image.rgb_to_hsv(x, **first)

    place = placement(name)
    program = place.backend.compile(builder.graph(list(results(x, m))))
    array = np.moveaxis(IMAGES, -1, 1)
    found = program([place.backend.array(array), place.backend.array(MAPS)], [])
    for a, b in zip(found, results(array, MAPS), strict=True):
        testing.assert_close(place.backend.numpy(a), b, bounds=BOUND)


@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_gradients(name):
    builder = Builder("slopes")
    small = IMAGES[:, :5, :4].astype(np.float64)
    x = builder.input("x", testing.type_of(small))
    m = builder.input("m", testing.type_of(MAPS.astype(np.float64)))
    weights = np.random.default_rng(1)

    def loss(x, m, rng):
        parts = [
            image.resize(x, (7, 3), "bicubic"), image.resize(x, (2, 2), antialias=True), image.affine_transform(x, m),
            image.extract_patches(x, 2), image.gaussian_blur(x), image.rgb_to_hsv(x), image.hsv_to_rgb(x),
        ]  # fmt: skip
        total = 0.0
        for part in parts:
            shape = testing.type_of(part).shape
            total = uf.ops.add(total, uf.ops.sum(uf.ops.multiply(part, rng.normal(size=shape))))
        return total

    place = placement(name)
    program = place.backend.value_and_grad(builder.graph([loss(x, m, weights)]), ["x", "m"])
    maps = MAPS.astype(np.float64)
    gradients = program([place.backend.array(small), place.backend.array(maps)], [])[1:]
    for at, gradient in enumerate(gradients):
        given = [small, maps]
        direction = np.random.default_rng(2).normal(size=given[at].shape)
        step = 1e-6 * direction
        up, down = (
            float(
                loss(*[g + s * step if i == at else g for i, g in enumerate(given)], np.random.default_rng(1))
            )
            for s in (1, -1)
        )
        slope = np.sum(place.backend.numpy(gradient) * direction)
        np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
@pytest.mark.parametrize("order", [0, 1])
def test_positions_are_looked_up_as_in_scipy(order, mode):
    x = RNG.normal(size=(5, 6))
    places = RNG.uniform(-3, 8, (2, 40))
    padding, name = 12, {"nearest": "edge", "mirror": "reflect", "reflect": "symmetric"}.get(mode, mode)
    wide = np.pad(x, padding, name, **({"constant_values": 1.5} if mode == "constant" else {}))  # SciPy #2640
    expected = scipy.ndimage.map_coordinates(wide, places + padding, order=order)
    found = image.map_coordinates(x, places, order, mode, 1.5)
    testing.assert_close(found, expected)


def test_bent_images_repeat_with_their_seed():
    first, again = (image.elastic_transform(IMAGES, alpha=3.0, sigma=2.0, seed=4) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.abs(first - IMAGES).mean() > 0.01
    still = image.elastic_transform(IMAGES, alpha=0.0, seed=1)
    testing.assert_close(still, IMAGES)


def test_the_default_data_format_is_heeded():
    uf.set_image_data_format("channels_first")
    try:
        assert image.resize(np.zeros((3, 8, 8), np.float32), (4, 5)).shape == (3, 4, 5)
    finally:
        uf.set_image_data_format("channels_last")


WRONG = [
    ("resize", (IMAGES[0, 0], (2, 2)), ShapeError, r"Invalid images rank: expected rank 3"),
    ("resize", (IMAGES, (2, 0)), ArgumentError, r"`size` must have positive height and width"),
    ("resize", (IMAGES, (2, 2), "cubik"), ArgumentError, r"argument `interpolation`"),
    ("resize", (IMAGES[:, :0], (2, 2)), ShapeError, r"has no pixels"),
    ("affine_transform", (IMAGES, MAPS[:, :6]), ShapeError, r"A transform is 8 numbers"),
    ("affine_transform", (IMAGES, MAPS, "bilinear", "around"), ArgumentError, r"argument `fill_mode`"),
    ("map_coordinates", (IMAGES, np.zeros((3, 2)), 1), ShapeError, r"First dim of `coordinates` must be the same"),
    ("map_coordinates", (np.zeros(3), np.zeros((1, 2)), 2), ArgumentError, r"Expected one of \[0, 1\]"),
    ("perspective_transform", (IMAGES, START[:3], END), ShapeError, r"Invalid start_points shape"),
    ("extract_patches", (IMAGES, 12), ShapeError, r"A patch of 12 pixels does not fit axis 1"),
    ("pad_images", (IMAGES, 1, 2), ArgumentError, r"Must specify exactly two of"),
    ("crop_images", (IMAGES, 9, 2, 9, 1), ArgumentError, r"target_height must be >= 0"),
    ("rgb_to_hsv", (INTS,), ArgumentError, r"expected float dtype"),
    ("rgb_to_hsv", (IMAGES[..., :2],), ShapeError, r"must have 3 channels"),
    ("gaussian_blur", (IMAGES, (0, 3)), ArgumentError, r"two positive ints"),
    ("sobel_edges", (IMAGES[0],), ShapeError, r"expected rank 4"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "error", "text"), WRONG)
def test_wrong_arguments_are_named(name, arguments, error, text):
    with pytest.raises(error, match=text):
        getattr(image, name)(*arguments)
