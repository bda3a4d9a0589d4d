"""Forms that TensorFlow's rewriter makes of a graph and then cannot run do not come up."""

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.testing import assert_close

pytest.importorskip("tensorflow")


def _joined(x, activation):
    return layers.Dense(3)(layers.Add()([layers.Dense(4, activation)(x), layers.Dense(4)(x)]))


@pytest.mark.parametrize("activation", ["gelu", None])
@pytest.mark.parametrize("kind", ["transposed", "reshaped", "rnn"])
def test_sums_of_products_of_what_was_transposed(kind, activation):
    # Fusion is not implemented: [BiasAdd,Add], of a product whose left side is transposed
    if kind == "rnn":
        inputs = uf.Input((4, 2))
        x = layers.SimpleRNN(5)(layers.Dense(1, "selu")(inputs))
        data = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    else:
        inputs = uf.Input(batch_shape=(5, 3))
        x = uf.ops.transpose(inputs, (1, 0))
        x = uf.ops.reshape(x, (3, 5)) if kind == "reshaped" else x
        data = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    model = uf.Model(inputs, _joined(x, activation))
    found = model(data) if kind != "rnn" else model.predict(data, backend="numpy")
    with uf.backend("tensorflow"):
        module = model.lower("tensorflow")
        assert_close(np.asarray(module(data)), found)
    if kind == "rnn":
        assert_close(model.predict(data, backend="tensorflow"), found)
