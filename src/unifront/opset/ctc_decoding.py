"""Labels from the outputs of connectionist temporal classification: greedily, or by a search among prefixes."""

from __future__ import annotations

from typing import Any

from unifront.arguments import shown
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.control import scan
from unifront.opset.creation import full_like, iota, zeros_like
from unifront.opset.ctc import NEVER
from unifront.opset.elementwise import TensorLike, floating
from unifront.opset.index import argsort, one_hot, take_along_axis, top_k
from unifront.opset.linalg import matmul
from unifront.opset.nn import log_softmax
from unifront.opset.rules import axis_in, is_whole, show
from unifront.opset.shape import broadcast_to, concatenate, expand_dims, reshape, transpose
from unifront.opset.slicing import get_item
from unifront.opset.tensor import replayed, type_of


@replayed
def ctc_decode(
    inputs: TensorLike,
    sequence_lengths: TensorLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Any, Any]:
    """The likeliest labels of sequences, without blanks and repetitions (Graves et al. 2006; keras.ops.ctc_decode).

    Args:
        inputs: logits ``(batch, steps, classes)``.
        sequence_lengths: how many steps of each row count, ``(batch,)``.
        strategy: ``"greedy"`` takes the likeliest class of each step; ``"beam_search"`` adds up the ways to spread
            labels over the steps (Graves 2012, section 7.5; Hannun et al. 2014), and keeps the likeliest beginnings.
        beam_width: how many beginnings a beam search keeps.
        top_paths: how many sequences of labels it gives, the likeliest first.
        merge_repeated: of the greedy way, whether a class that stands in steps one after the other is one label.
        mask_index: the class of the blank; None for the last one.

    Returns:
        Greedily, the labels ``(1, batch, steps)``, -1 behind the last one, and the negative sum of the logits that were
        chosen, ``(batch, 1)``. By beam search the labels ``(top_paths, batch, steps)`` and the logarithms of their
        probabilities ``(batch, top_paths)``; where there are fewer sequences, minus infinity and no labels.

    Example::

        labels, scores = uf.ops.ctc_decode(logits, lengths, "beam_search", beam_width=20)
    """
    x = floating(inputs)
    if type_of(x).rank != 3:
        raise ShapeError(f"inputs are (batch, steps, classes); {show(type_of(x).shape)} was given.")
    if type_of(sequence_lengths).rank != 1:
        raise ShapeError(f"sequence_lengths are (batch,); {show(type_of(sequence_lengths).shape)} was given.")
    if type_of(x).dtype.bits == 16:
        x = e.cast(x, "float32")
    lengths = expand_dims(e.cast(sequence_lengths, "int32"), 1)
    classes = type_of(x).shape[2]
    if not isinstance(classes, int):
        raise ShapeError(f"ctc_decode: the number of classes is fixed; inputs are {show(type_of(x).shape)}.")
    blank = axis_in(-1 if mask_index is None else mask_index, classes, "ctc_decode: the class mask_index")
    if strategy == "greedy":
        return _greedy(x, lengths, merge_repeated, blank)
    if strategy != "beam_search":
        raise ArgumentError(f"ctc_decode: strategy is 'greedy' or 'beam_search', not {shown(strategy)}.")
    for name, number in (("beam_width", beam_width), ("top_paths", top_paths)):
        if not is_whole(number) or number < 1:
            raise ArgumentError(f"ctc_decode: {name} is an int from 1 on, not {shown(number)}.")
    if top_paths > beam_width:
        raise ArgumentError(
            f"ctc_decode: a beam of the width {beam_width} has no {top_paths} paths; take a larger beam_width."
        )
    return _Beams(x, lengths, int(beam_width), blank, classes).search(int(top_paths))


def _greedy(x: Any, lengths: Any, merge_repeated: bool, blank: int) -> tuple[Any, Any]:
    batch, steps, _ = type_of(x).shape
    place = iota((batch, steps), 1, like=x)
    over = e.greater_equal(place, lengths)
    labels = e.where(over, blank, e.cast(reduce.argmax(x, -1), "int32"))
    scores = e.where(over, 0.0, reduce.max(x, -1))
    found = labels
    if merge_repeated:
        nothing = full_like(get_item(labels, (slice(None), slice(0, 1))), -1)
        before = concatenate([nothing, get_item(labels, (slice(None), slice(0, -1)))], 1)
        found = e.where(e.equal(labels, before), blank, labels)
    is_blank = e.equal(found, blank)
    order = argsort(e.where(is_blank, full_like(place, steps), place), -1)
    result = take_along_axis(e.where(is_blank, -1, found), order, 1)
    return expand_dims(result, 0), e.negative(reduce.sum(scores, 1, True))


State = tuple[Any, ...]


class _Beams:
    """A search among prefixes: ``width`` of them are kept for each row, with the logarithms of the probabilities that
    the steps so far spell them and end with a blank, or with their last label.

    A state is ``(paths, sizes, ends_blank, ends_label, above)``: labels ``[batch, width, steps]``, -1 behind the last
    one; how many there are; the two logarithms ``[batch, width]``; and ``above[b, i, j]``, whether the prefix i is a
    beginning of the prefix j, and shorter. By it a prefix that is kept and one that grows into it are found to be one,
    without comparing labels.
    """

    def __init__(self, x: Any, lengths: Any, width: int, blank: int, classes: int) -> None:
        self.batch, self.steps, _ = type_of(x).shape
        self.emitted = e.maximum(log_softmax(x), NEVER)
        self.lengths, self.width, self.blank, self.classes = lengths, width, blank, classes

    def search(self, count: int) -> tuple[Any, Any]:
        given = (transpose(self.emitted, (1, 0, 2)), iota((self.steps,), 0, like=self.emitted))

        def step(state: State, given: tuple[Any, Any]) -> tuple[State, None]:
            emitted, time = given
            goes_on = e.less(time, self.lengths)  # [batch, 1]
            return tuple(
                e.where(reshape(goes_on, (self.batch, *[1] * (type_of(old).rank - 1))), new, old)
                for old, new in zip(state, self._next(state, emitted), strict=True)
            ), None

        (paths, _, blank, label, _), _ = scan(step, self._first(), given)
        scores, best = top_k(_either(blank, label), count)
        can_be = e.greater(scores, NEVER / 10)
        found = take_along_axis(paths, expand_dims(best, -1), 1)
        labels = e.where(expand_dims(can_be, -1), found, -1)
        return transpose(labels, (1, 0, 2)), e.where(can_be, scores, float("-inf"))

    def _first(self) -> State:
        """The empty prefix, which is certain, and others that cannot be."""
        like, shape = self.emitted, (self.batch, self.width)
        place = iota(shape, 1, like=like)
        never = full_like(e.cast(place, type_of(like).dtype), NEVER)
        paths = e.subtract(zeros_like(iota((*shape, self.steps), 1, like=like)), 1)
        above = e.not_equal(zeros_like(iota((*shape, self.width), 1, like=like)), 0)
        return paths, zeros_like(place), e.where(e.equal(place, 0), 0.0, never), never, above

    def _next(self, state: State, emitted: Any) -> State:
        """The state after a step, whose classes have the logarithms of probabilities ``emitted[batch, classes]``."""
        paths, sizes, ends_blank, ends_label, above = state
        width, classes = self.width, self.classes
        either = _either(ends_blank, ends_label)
        last = reduce.max(
            e.where(
                e.equal(iota((1, 1, self.steps), 2, like=paths), expand_dims(e.subtract(sizes, 1), -1)),
                paths,
                -1,
            ),
            -1,
        )  # -1 of the empty prefix
        in_last = e.cast(one_hot(last, classes), type_of(emitted).dtype)
        # Growing by a class: after the same label only where a blank is between.
        before = e.where(e.equal(in_last, 1), expand_dims(ends_blank, -1), expand_dims(either, -1))
        grown = e.add(before, expand_dims(emitted, 1))  # [batch, width, classes]
        parents = e.logical_and(above, e.equal(expand_dims(sizes, 1), e.add(expand_dims(sizes, 2), 1)))
        known = e.greater(matmul(e.cast(parents, type_of(emitted).dtype), in_last), 0.5)
        # What a prefix gets from the one that is shorter by a label, if that is kept too.
        by_last = take_along_axis(
            grown, broadcast_to(expand_dims(e.maximum(last, 0), 1), (self.batch, width, width)), 2
        )
        from_parent = reduce.max(e.where(parents, by_last, NEVER), 1)
        of_last = reduce.sum(e.multiply(in_last, expand_dims(emitted, 1)), -1)
        of_blank = get_item(emitted, (slice(None), slice(self.blank, self.blank + 1)))
        stays_label = e.where(
            e.greater_equal(last, 0), _either(e.add(ends_label, of_last), from_parent), NEVER
        )
        stays_blank = e.add(either, of_blank)
        is_blank = e.equal(iota((1, 1, classes), 2, like=paths), self.blank)
        grown = reshape(e.where(e.logical_or(known, is_blank), NEVER, grown), (self.batch, width * classes))
        _, best = top_k(concatenate([_either(stays_blank, stays_label), grown], 1), width)
        return self._chosen(state, best, stays_blank, stays_label, grown)

    def _chosen(self, state: State, best: Any, stays_blank: Any, stays_label: Any, grown: Any) -> State:
        """The state of the prefixes ``best``: numbers below `width` stay as they are, others grow by a class."""
        paths, sizes, _, _, above = state
        stays, way = e.less(best, self.width), e.maximum(e.subtract(best, self.width), 0)
        source = e.where(stays, best, e.floor_divide(way, self.classes))
        label = e.subtract(way, e.multiply(e.floor_divide(way, self.classes), self.classes))
        old, size = take_along_axis(paths, expand_dims(source, -1), 1), take_along_axis(sizes, source, 1)
        at_end = e.equal(iota((1, 1, self.steps), 2, like=paths), expand_dims(size, -1))
        grows = expand_dims(e.logical_not(stays), -1)
        new = e.where(e.logical_and(at_end, grows), expand_dims(label, -1), old)
        inside = take_along_axis(stays_label, source, 1)
        ends_label = e.where(stays, inside, take_along_axis(grown, way, 1))
        ends_blank = e.where(stays, take_along_axis(stays_blank, source, 1), NEVER)
        # [batch, of the shorter one, of the longer one]
        square: tuple[Dim, ...] = (self.batch, self.width, self.width)
        rows = take_along_axis(above, broadcast_to(expand_dims(source, 2), square), 1)
        were = take_along_axis(rows, broadcast_to(expand_dims(source, 1), square), 2)
        same = e.equal(expand_dims(source, 2), expand_dims(source, 1))
        sprang = e.logical_and(same, transpose(grows, (0, 2, 1)))
        place = broadcast_to(expand_dims(e.minimum(size, full_like(size, self.steps - 1)), 1), square)
        following = transpose(
            take_along_axis(old, place, 2), (0, 2, 1)
        )  # what comes where the shorter one grew
        through = e.logical_and(were, e.equal(following, expand_dims(label, 2)))
        above = e.where(expand_dims(stays, 2), e.logical_or(were, sprang), through)
        return (
            new, e.add(size, e.cast(e.logical_not(stays), "int32")),
            e.maximum(ends_blank, NEVER), e.maximum(ends_label, NEVER), above,
        )  # fmt: skip


def _either(a: Any, b: Any) -> Any:
    """The logarithm of the sum of two probabilities."""
    return e.logaddexp(a, b)
