"""Summaries: floating-point operations, HTML for notebooks, models whose inputs are not known yet."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

import unifront as uf
from unifront import layers, ops
from unifront.errors import ArgumentError, NotBuiltError, UnknownName

torch = pytest.importorskip("torch")


def _of(shape: tuple[int | None, ...], *chain: uf.Layer) -> uf.Model:
    return uf.Sequential([uf.Input(shape), *chain])


def _einsum_dense() -> uf.Layer:
    return layers.EinsumDense("abc,cde->abde", (3, 4, 5), bias_axes="de")


BY_HAND: dict[str, tuple[Callable[[], uf.Model], int]] = {
    "dense": (lambda: _of((3,), layers.Dense(5)), 2 * 3 * 5 + 5),
    "dense_relu": (lambda: _of((3,), layers.Dense(5, activation="relu")), 2 * 3 * 5 + 5 + 5),
    "conv": (lambda: _of((8, 8, 3), layers.Conv2D(4, 3, use_bias=False)), 2 * (3 * 3 * 3) * (6 * 6 * 4)),
    "conv_first": (
        lambda: _of((6, 8, 8), layers.Conv2D(4, 3, padding="same", strides=2, groups=2, data_format="channels_first")),
        2 * (3 * 3 * 3) * (4 * 4 * 4) + 4 * 4 * 4,
    ),
    "depthwise": (
        lambda: _of((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2)),
        (2 * 9 + 1) * (6 * 6 * 3 * 2),
    ),
    "transposed": (
        lambda: _of((4, 4, 3), layers.Conv2DTranspose(2, 3, strides=2, padding="same", use_bias=False)),
        2 * (4 * 4 * 3) * (3 * 3 * 2),
    ),
    "lstm": (lambda: _of((7, 8), layers.LSTM(4)), 7 * (4 * 4 * (2 * (8 + 4) + 1) + 9 * 4)),
    "gru": (lambda: _of((7, 8), layers.GRU(4, use_bias=False)), 7 * (3 * 4 * 2 * (8 + 4) + 8 * 4)),
    "einsum": (lambda: _of((3, 6), _einsum_dense()), 2 * 3 * 6 * 4 * 5 + 3 * 4 * 5),
    "moving": (lambda: _of((4, 6), layers.Flatten(), layers.Reshape((6, 4)), layers.Permute((2, 1))), 0),
    "integers": (lambda: uf.Sequential([uf.Input((3,), dtype="int32"), layers.Embedding(9, 4)]), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_operations_are_counted_as_by_hand(name: str) -> None:
    make, wanted = BY_HAND[name]
    assert make().count_flops() == wanted


def test_attention_is_two_products_and_a_softmax() -> None:
    x = uf.Input((6, 2, 4))
    model = uf.Model(x, ops.dot_product_attention(x, x, x))
    assert model.count_flops() == 2 * (2 * (6 * 6 * 2) * 4) + 6 * 6 * 2


def test_a_scan_counts_its_body_at_each_step() -> None:
    x = uf.Input((4,), batch_size=5)
    product = ops.scan(lambda h, row: (h * row, h), ops.ones((4,)), x)[1]
    assert uf.Model(x, product).count_flops() == 5 * 4


def test_solving_counts_the_cube_of_the_size() -> None:
    x = uf.Input((30, 30))
    assert uf.Model(x, ops.cholesky(x)).count_flops() == 30**3 // 3
    assert uf.Model(x, ops.solve(x, x)).count_flops() == 2 * 30**3 // 3 + 2 * 30**3


def test_products_are_counted_as_by_torch() -> None:
    """torch.utils.flop_counter counts products alone, so nothing else is in these models."""
    from torch.utils.flop_counter import FlopCounterMode

    plain: dict[str, Any] = {"use_bias": False}
    model = _of(
        (16, 16, 8), layers.Conv2D(6, 3, strides=2, padding="same", groups=2, **plain),
        layers.DepthwiseConv2D(3, **plain), layers.Conv2DTranspose(4, 3, **plain),
        layers.Conv2D(5, 1, **plain), layers.Flatten(), layers.Dense(7, **plain),
    )  # fmt: skip
    net = model.lower("torch")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.zeros(1, 16, 16, 8))
    assert counter.get_total_flops() == model.count_flops()


def test_resnet50_takes_what_its_paper_says() -> None:
    """He et al. 2015, table 1: 3.8e9, a product and its addition being one; this is with stride 2 in the 1×1 (the
    later form, with it in the 3×3, takes 4.1e9)."""
    assert uf.zoo.create("resnet50").count_flops() == pytest.approx(2 * 3.8e9, rel=0.03)


def test_free_sizes_stay_in_the_count() -> None:
    model = _of((None, 8), layers.Dense(2))
    assert str(model.count_flops()) == f"34*{next(iter(model.graph().symbols - {'batch'}))}"
    assert uf.Sequential([uf.Input((3,), batch_size=4), layers.Dense(5)]).count_flops() == 4 * 35


def _lines(model: uf.Model, **options: Any) -> list[list[str]]:
    texts: list[str] = []
    model.summary(print_fn=texts.append, **options)
    rows = [line for line in texts[0].splitlines() if re.match("[│┃]", line)]
    return [[cell.strip() for cell in re.split("[│┃]", row)[1:-1]] for row in rows]


def _nested() -> uf.Model:
    inner = uf.Sequential([uf.Input((5,)), layers.Dense(4), layers.Dense(3, trainable=False)], name="inner")
    return uf.Sequential([uf.Input((5,)), inner, layers.Dense(1), layers.Flatten()], name="outer")


def test_the_summary_shows_operations_layer_by_layer() -> None:
    found = {row[0]: row[-1] for row in _lines(_nested(), flops=True, expand_nested=True)}
    assert found == {
        "layer": "FLOPs", "input (Input)": "", "inner (Sequential)": "71", "inner/dense (Dense)": "44",
        "inner/dense_1 (Dense)": "27", "dense (Dense)": "7", "flatten (Flatten)": "0",
    }  # fmt: skip


def test_the_summary_says_what_trains_and_shows_a_range() -> None:
    found = _lines(_nested(), show_trainable=True, expand_nested=True, layer_range=("inner/dense", "flatten"))
    assert [(row[0], row[3]) for row in found[2:]] == [
        ("inner/dense (Dense)", "yes"), ("inner/dense_1 (Dense)", "no"), ("dense (Dense)", "yes"),
        ("flatten (Flatten)", "-"),
    ]  # fmt: skip
    with pytest.raises(UnknownName, match="inner2"):
        _nested().summary(layer_range=("inner2", "flatten"))
    with pytest.raises(ArgumentError, match="names of two layers"):
        _nested().summary(layer_range=("inner",))


def test_before_its_input_is_known_a_model_shows_its_layers() -> None:
    model = uf.Sequential([layers.Dense(3), layers.Flatten()])
    assert _lines(model)[1:] == [["dense (Dense)", "?", "(unbuilt)"], ["flatten (Flatten)", "?", "(unbuilt)"]]
    with pytest.raises(NotBuiltError, match="has not seen its input yet"):
        model.summary(flops=True)
    with pytest.raises(NotBuiltError, match="has not seen its input yet"):
        model.count_flops()
    assert "unbuilt" in model._repr_html_()


def test_a_notebook_shows_the_summary_and_the_picture(monkeypatch: Any) -> None:
    x = uf.Input((4,), name="x<b>")
    model = uf.Model(x, layers.Dense(3, name='a"];<script>')(x), name="<i>")
    html = model._repr_html_()
    assert "<td>15</td>" in html
    assert "x&lt;b&gt; (Input)" in html
    assert not re.search("<script|<b>|<i>", html)
    pytest.importorskip("graphviz")
    if shutil.which("dot"):
        assert html.count("<svg") == 1
        assert html.endswith("</svg>\n")
    monkeypatch.setenv("PATH", "")
    assert "<svg" not in model._repr_html_()
