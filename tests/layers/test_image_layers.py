"""Layers on images: what they make of a drawn transformation is judged by Keras; boxes, masks, labels, backends."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import unifront as uf
from unifront import layers, testing
from unifront.backends import installed, placement
from unifront.errors import ArgumentError
from unifront.layers.preprocessing import boxes as box

RNG = np.random.default_rng(5)
IMAGES = RNG.uniform(0, 255, (2, 9, 7, 3)).astype(np.float32)
BOXES = {
    "boxes": np.array([[[1, 2, 4, 6], [0, 0, 7, 9]], [[3, 1, 6, 3], [2, 2, 3, 8]]], np.float32),
    "labels": np.array([[1, 2], [3, 4]], np.int32),
}
SHAPE = IMAGES.shape


def column(*numbers):
    return np.array(numbers, np.float32)


# Each: the layer's name, its arguments, a transformation as it is drawn, and whether boxes go along.
CASES = [
    ("RandomBrightness", {"factor": 0.2}, {"rgb_delta": column(20, -40).reshape(2, 1, 1, 1)}, False),
    ("RandomContrast", {"factor": 0.2}, {"contrast_factor": column(0.5, 1.4).reshape(2, 1, 1, 1)}, False),
    ("RandomColorDegeneration", {"factor": 0.2}, {"factor": column(0.5, 0.9).reshape(2, 1, 1, 1)}, False),
    ("RandomSharpness", {"factor": 0.2}, {"factor": column(0.1, 0.9)}, False),
    ("RandomHue", {"factor": 0.2}, {"factor": column(0.3, -0.4)}, False),
    ("RandomPosterization", {"factor": 3}, {"shift_factor": np.array([5, 3], np.uint8)}, False),
    ("RandomInvert", {}, {"apply_inversion": np.array([True, False])}, False),
    ("Solarization", {}, {"additions": column(9, 0).reshape(2, 1, 1, 1), "thresholds": column(99, 200).reshape(2, 1, 1, 1)},
     False),
    ("AutoContrast", {}, None, False),
    ("Equalization", {}, None, False),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 3)}, None, False),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (8, 8), "clip_limit": 0.0}, None, False),
    ("RandomGaussianBlur", {}, {"should_apply_blur": np.array([True, False]), "blur_factor": column(0.7, 0.7)}, False),
    ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2},
     {"translations": column(1.5, -2, 0.3, 1).reshape(2, 2), "input_shape": SHAPE}, True),
    ("RandomZoom", {"height_factor": 0.2}, {"height_zoom": column(0.71, 1.31).reshape(2, 1),
     "width_zoom": column(0.8, 1.2).reshape(2, 1), "input_shape": SHAPE}, False),
    ("RandomShear", {"x_factor": 0.2}, {"shear_factor": column(0.21, 0.11, -0.3, 0.07).reshape(2, 2), "input_shape": SHAPE},
     False),
    ("RandomFlip", {"mode": "horizontal"}, {"flips": np.array([True, False]).reshape(2, 1, 1, 1), "input_shape": SHAPE}, True),
    ("RandomFlip", {"mode": "vertical"}, {"flips": np.array([True, False]).reshape(2, 1, 1, 1), "input_shape": SHAPE}, True),
    ("Resizing", {"height": 5, "width": 12}, (9, 7), True),
    ("Resizing", {"height": 5, "width": 12, "pad_to_aspect_ratio": True}, (9, 7), True),
    ("CenterCrop", {"height": 5, "width": 4}, {"input_shape": SHAPE}, True),
    ("CenterCrop", {"height": 12, "width": 4}, {"input_shape": SHAPE}, True),
    ("RandomCrop", {"height": 5, "width": 4}, (2, 1), False),
    ("MixUp", {}, {"mix_weight": column(0.3, 0.8), "permutation_order": np.array([1, 0])}, False),
]  # fmt: skip


def pairs():
    for name, arguments, drawn, with_boxes in CASES:
        options = {"bounding_box_format": "xyxy"} if with_boxes else {}
        yield (
            getattr(layers, name)(**arguments, **options),
            getattr(keras.layers, name)(**arguments, **options),
            drawn,
            with_boxes,
        )


def test_images_are_changed_as_in_keras():
    for ours, theirs, drawn, _ in pairs():
        expected = np.asarray(theirs.transform_images(IMAGES, drawn, training=True))
        found = np.asarray(ours.transform_images(IMAGES, drawn, training=True))
        testing.assert_close(found, expected, bounds={"float32": 3e-5}, what=f"{type(ours).__name__} {drawn}")


def test_pictures_of_any_size_are_cropped_in_the_middle_or_enlarged() -> None:
    """A model for pictures of free sizes gives for each what one for its size gives."""
    free = uf.Sequential([uf.Input((None, None, 2)), layers.CenterCrop(5, 4)])
    for sizes in ((7, 9), (5, 4), (3, 9), (7, 2), (4, 3)):
        images = np.random.default_rng(1).uniform(0, 255, (2, *sizes, 2)).astype("float32")
        fixed = uf.Sequential([uf.Input((*sizes, 2)), layers.CenterCrop(5, 4)])
        wanted = fixed.predict(images, verbose=0, backend="numpy")
        for backend in ("numpy", "torch", "tensorflow"):
            testing.assert_close(
                free.predict(images, verbose=0, backend=backend),
                wanted,
                bounds={"float32": 3e-5},
                what=f"{sizes}",
            )


def test_boxes_are_moved_as_in_keras():
    for ours, theirs, drawn, with_boxes in pairs():
        if with_boxes:
            expected = theirs.transform_bounding_boxes({k: v.copy() for k, v in BOXES.items()}, drawn)
            found = ours.transform_bounding_boxes(BOXES, drawn)
            what = f"{type(ours).__name__} {drawn}"
            testing.assert_close(
                np.asarray(found["boxes"]), np.asarray(expected["boxes"]), bounds={"float32": 1e-5}, what=what
            )


def turned(boxes, degrees):
    """Boxes around the corners of ``boxes`` turned by hand around the middle of the image."""
    angle = np.deg2rad(degrees)
    middle = np.array([3.0, 4.0])
    spin = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    corners = np.stack([[x1, y1], [x2, y1], [x1, y2], [x2, y2]])
    moved = np.einsum("ij,cjbn->cibn", spin, corners - middle[:, None, None]) + middle[:, None, None]
    low, high = moved.min(0), moved.max(0)
    return np.stack([*low, *high], -1).clip(0, [7, 9, 7, 9])


def test_boxes_turn_with_their_images():
    layer = layers.RandomRotation(0.1, bounding_box_format="xyxy")
    drawn = {"angle": column(90, 90), "input_shape": SHAPE}
    found = layer.transform_bounding_boxes(BOXES, drawn)["boxes"]
    testing.assert_close(np.asarray(found), turned(BOXES["boxes"], 90), bounds={"float32": 1e-5})
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 2:4, 5:8] = 1
    spun = np.asarray(
        layers.RandomRotation(0.1).transform_images(image, {"angle": column(90), "input_shape": image.shape})
    )
    rows, columns = np.nonzero(spun[0, ..., 0] > 0.5)
    one = {"boxes": np.array([[[5, 2, 7, 3]]], np.float32), "labels": np.array([[1]])}
    where = layer.transform_bounding_boxes(one, {"angle": column(90), "input_shape": image.shape})["boxes"]
    testing.assert_close(
        np.asarray(where)[0, 0],
        [columns.min(), rows.min(), columns.max(), rows.max()],
        bounds={"float32": 1e-4},
    )


AUGMENTING = [
    lambda **o: layers.RandomFlip(**o), lambda **o: layers.RandomRotation(0.2, **o), lambda **o: layers.RandomZoom(0.3, **o),
    lambda **o: layers.RandomTranslation(0.2, 0.1, **o), lambda **o: layers.RandomPerspective(**o),
    lambda **o: layers.RandomShear(0.2, 0.1, **o), lambda **o: layers.RandomCrop(5, 4, **o),
    lambda **o: layers.RandAugment(**o), lambda **o: layers.AugMix(**o), lambda **o: layers.RandomErasing(**o), lambda **o: layers.RandomElasticTransform(**o),
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "jax")) for name in installed()]
)
def test_all_that_belongs_to_an_image_is_taken_on_every_backend(name):
    backend = placement(name).backend
    masks = (RNG.uniform(size=(2, 9, 7, 1)) > 0.5).astype(np.uint8)
    data = {
        "images": backend.array(IMAGES), "segmentation_masks": backend.array(masks),
        "bounding_boxes": {key: backend.array(value) for key, value in BOXES.items()},
        "labels": backend.array(np.eye(2, dtype=np.float32)),
    }  # fmt: skip
    for make in AUGMENTING[: 2 if name == "jax" else None]:  # JAX compiles each operation of each for seconds
        layer = make(bounding_box_format="xywh")
        found = layer(data)
        assert found.keys() == data.keys()
        found_masks = backend.numpy(found["segmentation_masks"])
        assert 0 <= found_masks.min() <= found_masks.max() <= 1 + 1e-6, type(layer).__name__
        assert "Mix" in type(layer).__name__ or set(np.unique(found_masks)) <= {0, 1}, type(layer).__name__
        assert backend.numpy(found["bounding_boxes"]["boxes"]).shape == (2, 2, 4)
        assert np.array_equal(backend.numpy(found["labels"]), np.eye(2))
        assert np.isfinite(backend.numpy(found["images"])).all()
    mixed = layers.MixUp()({"images": data["images"], "labels": data["labels"]})
    np.testing.assert_allclose(backend.numpy(mixed["labels"]).sum(1), 1, rtol=1e-6)
    cut = layers.CutMix()({"images": data["images"], "labels": data["labels"]})
    np.testing.assert_allclose(backend.numpy(cut["labels"]).sum(1), 1, rtol=1e-6)
    assert not np.array_equal(backend.numpy(data["images"]), 0)


def test_a_model_augments_while_it_trains_and_not_when_it_predicts():
    model = uf.Sequential(
        [uf.Input((9, 7, 3)), layers.Rescaling(1 / 255), layers.RandomFlip(), layers.RandomRotation(0.1)]
    )
    for name in installed():
        testing.assert_close(model.predict(IMAGES, backend=name), IMAGES / 255, bounds={"float32": 1e-6})
    assert np.abs(np.asarray(model(IMAGES, training=True)) - IMAGES / 255).max() > 0.05


def test_a_call_augments_unless_it_is_told_not_to():
    given = uf.Input((9, 7, 3))
    models = [uf.Sequential([uf.Input((9, 7, 3)), layers.RandomInvert((1.0, 1.0))])]
    models += [uf.Model(given, layers.RandomInvert((1.0, 1.0))(given)), layers.RandomInvert((1.0, 1.0))]
    for model in models:  # as in Keras
        testing.assert_close(np.asarray(model(IMAGES)), 255 - IMAGES)
        testing.assert_close(np.asarray(model(IMAGES, training=False)), IMAGES)
    for model in models[:2]:
        testing.assert_close(model.predict(IMAGES), IMAGES)


def test_layers_are_mapped_over_a_dataset_of_tensorflow():
    same = np.broadcast_to(IMAGES[0], (6, 9, 7, 3))
    data = tf.data.Dataset.from_tensor_slices({"images": same, "labels": np.eye(6, dtype=np.float32)})
    layer = layers.RandomBrightness(0.5)
    means = [found["images"].numpy().mean() for found in data.batch(2).map(layer)]
    assert len({*means}) == 3  # each batch draws anew
    for found in data.batch(4).map(layers.CutMix()):
        np.testing.assert_allclose(found["labels"].numpy().sum(1), 1, rtol=1e-6)
    rows = tf.data.Dataset.from_generator(
        lambda: (IMAGES[0, :size] for size in (4, 9)), output_signature=tf.TensorSpec((None, None, 3))
    )
    sizes = (4, 9)
    resized = layers.Resizing(3, 5)
    for size, found in zip(sizes, rows.map(resized), strict=True):
        testing.assert_close(found.numpy(), np.asarray(resized(IMAGES[0, :size])), bounds={"float32": 1e-4})


@pytest.mark.parametrize("name", ["RandAugment", "AugMix", "RandomFlip", "RandomGrayscale"])
def test_layers_are_mapped_over_single_images(name):
    """Of known sizes, so that only the values are not there yet."""
    rows = tf.data.Dataset.from_tensor_slices(IMAGES)
    found = list(rows.map(getattr(layers, name)(seed=3)))
    assert [one.shape for one in found] == [(9, 7, 3)] * len(IMAGES)
    assert all(np.isfinite(one).all() for one in found)


@pytest.mark.parametrize("backend", installed())
def test_what_a_layer_draws_in_a_map_of_tensorflow_is_drawn_anew(backend):
    """Whichever backend is the default: keys are of the data, not of that."""
    layer, rows = layers.RandAugment(num_ops=8), tf.data.Dataset.from_tensor_slices(IMAGES).batch(1)
    with uf.backend(backend):
        drawn = [*rows.map(lambda x: layer.get_random_transformation(x)["layer_idxes"]).repeat(3)]
    assert len({tuple(one.numpy()) for one in drawn}) == len(drawn) == 3 * len(IMAGES)


@pytest.mark.parametrize("source", box.NAMES)
def test_boxes_in_other_formats_are_those_of_keras(source):
    for target in box.NAMES:
        arguments = (BOXES["boxes"], source, target, 9, 7)
        expected = np.asarray(keras.utils.bounding_boxes.convert_format(*arguments))
        testing.assert_close(np.asarray(box.convert_format(*arguments)), expected, bounds={"float32": 1e-6})


def test_boxes_are_encoded_as_in_keras():
    anchors = BOXES["boxes"][0] + 1
    for encoding in ("center_yxhw", "center_xywh"):
        given = (
            anchors,
            BOXES["boxes"],
            "xyxy",
            "xyxy",
            encoding,
            np.array([0.1, 0.1, 0.2, 0.2], np.float32),
        )
        expected = np.asarray(keras.utils.bounding_boxes.encode_box_to_deltas(*given))
        deltas = uf.utils.bounding_boxes.encode_box_to_deltas(*given)
        testing.assert_close(np.asarray(deltas), expected, bounds={"float32": 1e-5})
        back = uf.utils.bounding_boxes.decode_deltas_to_boxes(anchors, deltas, *given[2:])
        testing.assert_close(np.asarray(back), BOXES["boxes"], bounds={"float32": 1e-5})


WRONG = [
    (lambda: layers.RandomRotation(2.0), r"The `factor` argument should be a number .* in the range \[-1, 1\]"),
    (lambda: layers.RandomZoom(-1.0), r"in the range \(-1.0, 1.0\]"),
    (lambda: layers.RandomFlip("sideways"), r"Unknown `mode` sideways"),
    (lambda: layers.RandomBrightness(0.1, value_range=3), r"`value_range` argument should be a list of two numbers"),
    (lambda: layers.RandomTranslation(0.1, 0.1, fill_mode="mirror"), r"Unknown `fill_mode` mirror"),
    (lambda: layers.RandomErasing(fill_value=(1, 2)), r"`fill_value` argument should be a number"),
    (lambda: layers.RandomGaussianBlur(kernel_size=2), r"kernel_size must be an odd number"),
    (lambda: layers.RandomFlip()({"images": IMAGES, "bounding_boxes": BOXES}), r"didn't specify a bounding box format"),
    (lambda: layers.RandomFlip()(IMAGES[0, 0]), r"Expected image tensor to have rank 3"),
    (lambda: box.convert_format(BOXES["boxes"], "xyxy", "rel_xyxy"), r"must receive `height` and `width`"),
    (lambda: box.convert_format(BOXES["boxes"], "xyyx", "xyxy"), r"Invalid source or target format"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), WRONG)
def test_wrong_arguments_are_named(call, text):
    with pytest.raises((ArgumentError, ValueError), match=text):
        call()


def some_boxes(rng, *shape):
    corners = rng.uniform(0, 5, (*shape, 2))
    return np.concatenate([corners, corners + rng.uniform(0.1, 4, (*shape, 2))], -1).astype(np.float32)


def test_overlaps_and_moved_boxes_are_those_of_keras():
    rng = np.random.default_rng(8)
    ours, theirs = uf.utils.bounding_boxes, keras.utils.bounding_boxes
    cases = []
    for sizes in (((3,), (4,)), ((2, 3), (2, 4)), ((2, 3), (4,)), ((3,), (2, 4))):
        pair = [some_boxes(rng, *size) for size in sizes]
        for source in ("xyxy", "yxyx", "rel_xyxy"):
            cases.append(("compute_iou", (*pair, source), {"image_shape": (10, 12, 3)}))
    pair = [some_boxes(rng, 2, 3) - shift for shift in (0, 7)]
    cases.append(("compute_iou", (*pair, "xyxy"), {"use_masking": True}))
    cases.append(("compute_ciou", (*pair, "xywh"), {}))
    numbers = rng.uniform(-0.4, 0.4, (6, 2)).astype(np.float32) * [[90], [1], [1], [1], [20], [20]]
    numbers[3] += 1
    boxes = some_boxes(rng, 2, 3)
    cases.append(("affine_transform", (boxes, *numbers.astype(np.float32), 10, 12), {}))
    cases.append(("affine_transform", (boxes, *numbers.astype(np.float32), 10, 12, 0.2, 0.7), {}))
    for name, arguments, options in cases:
        expected = np.asarray(getattr(theirs, name)(*arguments, **options))
        found = np.asarray(getattr(ours, name)(*arguments, **options))
        testing.assert_close(found, expected, bounds={"float32": 1e-5}, what=f"{name} {options}")


def test_boxes_of_an_image_that_became_a_line_are_gone():
    layer = layers.RandomShear(1.0, 1.0, bounding_box_format="xyxy")
    drawn = {"shear_factor": column(1, 1, 0, 0).reshape(2, 2), "input_shape": SHAPE}
    found = layer.transform_bounding_boxes(BOXES, drawn)
    assert np.asarray(found["labels"]).tolist() == [[-1, -1], [3, 4]]
    testing.assert_close(np.asarray(found["boxes"])[1], BOXES["boxes"][1])


def test_boxes_of_one_image_move_as_those_of_a_batch():
    drawn = {"translations": column(1.5, -2).reshape(1, 2), "input_shape": (1, 9, 7, 3)}
    layer = layers.RandomTranslation(0.2, 0.2, bounding_box_format="xyxy")
    single = {"boxes": BOXES["boxes"][0], "labels": BOXES["labels"][0]}
    found = layer.transform_bounding_boxes(single, drawn)["boxes"]
    batch = layer.transform_bounding_boxes({key: value[:1] for key, value in BOXES.items()}, drawn)["boxes"]
    assert np.array_equal(found, np.asarray(batch)[0])


def test_a_model_augments_while_it_trains_only():
    x = uf.Input((9, 7, 3))
    model = uf.Model(x, layers.RandomFlip(seed=3)(x))
    assert np.array_equal(model.predict(IMAGES), IMAGES)
    assert not np.array_equal(model(np.repeat(IMAGES, 8, 0), training=True), np.repeat(IMAGES, 8, 0))


@pytest.mark.parametrize("name", ["RandomSaturation", "RandomHue", "RandomSharpness", "RandomBrightness"])
def test_factors_range_as_in_keras(name: str) -> None:
    ours, theirs = getattr(layers, name), getattr(keras.layers, name)
    for factor in (0.1, (0.2, 0.4)):
        given = tuple(theirs(factor).get_config()["factor"])
        assert tuple(ours(factor).get_config()["factor"]) == given
        assert tuple(ours.from_config({"factor": given}).get_config()["factor"]) == given
