"""Speech to characters after Deep Speech 2 (Amodei et al. 2016)."""

from typing import Any

import unifront as uf
from unifront import layers, ops

ALPHABET = "-' abcdefghijklmnopqrstuvwxyz"
"""The characters by their numbers; the first one is the blank of CTC."""


@uf.zoo.register("deep_speech2", source="Amodei et al. 2016; two convolutions, five bidirectional GRUs")
def deep_speech2(
    bins: int = 161,
    classes: int = len(ALPHABET),
    filters: int = 32,
    units: int = 800,
    depth: uf.zoo.Depth = 5,
) -> uf.Model:
    """Spectrograms ``[batch, time, bins]`` → logits ``[batch, ceil(time / 2), classes]``, class 0 the blank.

    41.2 M parameters; 2.6 G multiply-adds a second of speech in frames of 10 ms. Convolutions halve time and quarter
    the bins; then bidirectional GRUs whose directions are summed, batch norms over batch and time between them.
    ``loss=uf.losses.CTC()`` trains it, on labels padded with 0; `transcribe` gives labels. All steps count: pad
    spectrograms with silence.
    """
    spectrogram = uf.Input(("time", bins), name="spectrogram")
    x = ops.expand_dims(spectrogram, -1)
    for i, (size, strides) in enumerate((((11, 41), (2, 2)), ((11, 21), (1, 2)))):
        name = f"conv_{i + 1}"
        x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        x = layers.ReLU(max_value=20.0, name=f"{name}_relu")(x)
    x = layers.Reshape((-1, filters * (((bins + 1) // 2 + 1) // 2)), name="frames")(x)
    for i in range(depth):
        if i:
            x = layers.BatchNormalization(name=f"gru_{i + 1}_norm")(x)
        gru = layers.GRU(units, return_sequences=True)
        x = layers.Bidirectional(gru, merge_mode="sum", name=f"gru_{i + 1}")(x)
    x = layers.BatchNormalization(name="norm")(x)
    return uf.Model(spectrogram, layers.Dense(classes, name="predictions")(x), name="deep_speech2")


def transcribe(logits: Any, lengths: Any = None) -> Any:
    """The labels by the likeliest class of each step, without blanks and repetitions.

    They are int32 ``[batch, time]``, -1 behind the last one.

    Args:
        logits: what the model gives.
        lengths: how many of its steps count, ``[batch]``, half of the spectrogram's, rounded up; all unless given.
    """
    batch, time = ops.shape(logits)[:2]
    lengths = ops.full((batch,), time, "int32", like=logits) if lengths is None else lengths
    return ops.cast(ops.ctc_decode(logits, lengths)[0][0], "int32")


def text_of(labels: Any) -> list[str]:
    """Labels ``[batch, time]`` as strings."""
    return ["".join(ALPHABET[one] for one in row if one > 0) for row in ops.convert_to_numpy(labels).tolist()]
