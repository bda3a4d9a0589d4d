"""What Keras and we both say of a model: told by one text, run here and in Keras's own process."""

from __future__ import annotations

from typing import Any

TEXTS = {
    "a chain": """
x = Input((5,), name="x")
model = Model(x, Dense(3, name="b")(Dense(4, name="a")(x)))
""",
    "two inputs of uneven depth": """
a, b = Input((5,), name="a"), Input((3,), name="b")
first = Dense(4, name="first")(a)
second = Dense(4, name="later")(Dense(4, name="second")(b))
joined = Add(name="joined")([first, second])
shared = Dense(4, name="shared")
model = Model([a, b], [shared(shared(joined)), Dense(2, name="side")(first)])
""",
    "an unused input, dicts, a nested model": """
a, b = Input((5,), name="a"), Input((3,), batch_size=7, name="b", dtype="int32")
c = Input((5,), name="c")
inner = Model(c, Dense(2, name="inside")(c), name="inner")
model = Model({"a": a, "b": b}, {"left": inner(a), "right": Dense(3, name="right")(a)})
""",
    "a diamond of branches": """
x = Input((6, 6, 2), name="x")
stem = Conv2D(3, 3, padding="same", name="stem")(x)
one = Conv2D(3, 1, name="one")(stem)
two = Conv2D(3, 3, padding="same", name="two")(ReLU(name="bent")(stem))
three = MaxPooling2D(3, strides=1, padding="same", name="three")(two)
joined = Concatenate(name="joined")([one, two, three, stem])
model = Model([x], Flatten(name="flat")(joined))
""",
    "a sequence": """
model = Sequential([Input((4,), name="x"), Dense(3, name="a"), Dense(2, name="b")])
""",
    "a sequence with an input layer": """
model = Sequential([InputLayer((4,), name="x"), Dense(3, name="a")])
""",
    "a sequence inside": """
x = Input((4,), name="x")
model = Model(x, Dense(1, name="top")(Sequential([Input((4,)), Dense(3, name="a")], name="inner")(x)))
""",
}


def shapes(tensors: Any) -> list[tuple[Any, ...]]:
    """Free sizes as None."""
    listed = tensors if isinstance(tensors, list | tuple) else [tensors]
    return [tuple(size if isinstance(size, int) else None for size in one.shape) for one in listed]


def facts(names: dict[str, Any], text: str) -> dict[str, Any]:
    """What is judged."""
    scope = dict(names)
    exec(text, scope)
    model = scope["model"]
    plain = [one for one in model.layers if type(one).__name__ not in ("Functional", "Sequential", "Model")]
    return {
        "layers": [(one.name, type(one).__name__ == "InputLayer") for one in model.layers],
        "weights": [tuple(weight.shape) for weight in model.weights],
        "inputs": shapes(model.inputs),
        "outputs": shapes(model.outputs),
        "input_shape": model.input_shape,
        "output_shape": model.output_shape,
        "ends": [(one.name, shapes(one.input), shapes(one.output)) for one in plain],
        "batch_shapes": [one.batch_shape for one in model.layers if type(one).__name__ == "InputLayer"],
    }


def keras_facts(text: str) -> dict[str, Any]:
    """`facts` of Keras."""
    from tests.layers.keras_worker import _keras, _names

    return facts(_names(_keras()), text)
