"""A stacked LSTM that classifies sequences."""

import unifront as uf
from unifront import layers


@uf.zoo.register("lstm_classifier", source="Hochreiter and Schmidhuber 1997; stacked as in Graves 2013")
def lstm_classifier(
    length: int | None = None,
    features: int = 64,
    units: int = 256,
    depth: uf.zoo.Depth = 2,
    classes: int = 10,
    bidirectional: bool = False,
    dropout: float = 0.0,
) -> uf.Model:
    """``depth`` LSTMs, the last one's final output, logits: ``[batch, length, features]`` → classes.

    ``length=None`` leaves the length free.
    """
    sequence = uf.Input(("time" if length is None else length, features), name="sequence")
    x = sequence
    for i in range(depth):
        layer = layers.LSTM(units, return_sequences=i + 1 < depth)
        x = (layers.Bidirectional(layer) if bidirectional else layer)(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    return uf.Model(sequence, layers.Dense(classes)(x), name="lstm_classifier")
