"""What an operation says of itself is said in full, and its reference bears it out."""

from dataclasses import MISSING, dataclass, fields

import numpy as np
import pytest

from unifront.backends import HostKey, get_backend, installed
from unifront.ir.facts import Facts, inverse
from unifront.ir.graph import Node, Value
from unifront.opset.spec import OPS, OpSpec, Sample
from unifront.opset.tensor import native, type_of
from unifront.testing import assert_close


@dataclass(frozen=True)
class Case:
    spec: OpSpec
    sample: Sample


CASES = [
    Case(spec, sample)
    for spec in OPS.values()
    for sample in spec.samples(np.random.default_rng(1))
    if not sample.regions
]
FACTS = [field.name for field in fields(Facts)]


def reference(case, operands):
    with np.errstate(all="ignore"):
        found = case.spec.reference(*operands, **case.sample.attributes)
    return found if isinstance(found, tuple) else (found,)


def which(condition):
    """One test for each operation with samples of which ``condition`` holds, over all of these."""
    found = {}
    for case in CASES:
        if condition(case):
            found.setdefault(case.spec.name, []).append(case)

    def decorate(check):
        @pytest.mark.parametrize("cases", found.values(), ids=found)
        def test(cases):
            for case in cases:
                check(case)

        return test

    return decorate


@pytest.mark.parametrize("name", FACTS)
def test_no_fact_has_a_default(name):
    said = {field: None for field in FACTS if field != name}
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{name}'"):
        Facts(**said)


def test_an_operation_without_facts_is_refused():
    (field,) = (field for field in fields(OpSpec) if field.name == "facts")
    assert field.default is MISSING is field.default_factory
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'facts'"):
        OpSpec("half_said", lambda x: x, lambda x: x, lambda rng: [], "a test")


@which(lambda case: case.spec.facts.elementwise)
def test_elementwise(case):
    """Any order of axes gives the same elements in that order; the result has the broadcast shape."""
    (result,) = reference(case, case.sample.operands)
    shape = np.broadcast_shapes(*(np.shape(operand) for operand in case.sample.operands))
    assert np.shape(result) == shape
    full = [np.broadcast_to(operand, shape) for operand in case.sample.operands]
    (turned,) = reference(case, [operand.T for operand in full])
    assert_close(turned.T.astype(result.dtype), result)


@which(lambda case: case.spec.facts.commutes)
def test_commutes(case):
    operands = case.sample.operands
    assert len(operands) == 2
    np.testing.assert_array_equal(reference(case, operands)[0], reference(case, operands[::-1])[0])


@pytest.mark.parametrize("name", ["subtract", "divide", "less", "power"])
def test_what_does_not_commute_does_not_say_so(name):
    assert not OPS[name].facts.commutes


@which(lambda case: not case.spec.random and case.spec.facts.keeps_zeros_with(case.sample.attributes))
def test_keeps_zeros(case):
    zeros = [
        operand if operand is None or isinstance(operand, HostKey) else np.zeros_like(operand)
        for operand in case.sample.operands
    ]
    for result in reference(case, zeros):
        assert not np.any(result[np.isfinite(result)] if result.dtype.kind == "f" else result)


@which(
    lambda case: case.spec.facts.elementwise and not case.spec.facts.keeps_zeros_with(case.sample.attributes)
)
def test_elementwise_operations_that_make_something_of_zeros(case):
    (result,) = reference(case, [np.zeros_like(operand) for operand in case.sample.operands])
    assert np.all(result != 0)


@which(lambda case: case.spec.facts.sign_with(case.sample.attributes) != "any" and not case.spec.random)
def test_sign(case):
    sign = case.spec.facts.sign_with(case.sample.attributes)
    operands = [
        np.abs(operand) if sign == "kept" and np.asarray(operand).dtype.kind == "f" else operand
        for operand in case.sample.operands
    ]
    for result in reference(case, operands):
        assert not np.any(np.asarray(result) < 0)


@which(lambda case: case.spec.facts.follows is not None)
def test_follows(case):
    """Transposed operands give what untransposed ones give, transposed."""
    rule, (first, *_), attributes = case.spec.facts.follows, case.sample.operands, case.sample.attributes
    order = tuple(np.random.default_rng(3).permutation(first.ndim).tolist())
    count = len(case.sample.operands) if rule.operands is None else rule.operands
    # The sample's operands are what stands after the transpose; the bases what stands before it.
    bases = [np.transpose(operand, inverse(order)) for operand in case.sample.operands[:count]]
    values = tuple(None if o is None else Value(i, type_of(o)) for i, o in enumerate(case.sample.operands))
    node = Node(case.spec, values, (), attributes)
    moved = rule.attributes(node, order)
    if moved is None:
        return
    with np.errstate(all="ignore"):
        found = case.spec.reference(*bases, *case.sample.operands[count:], **moved)
    found = found if isinstance(found, tuple) else (found,)
    places = rule.order(node, order)
    for result, expected in zip(found, reference(case, case.sample.operands), strict=True):
        np.testing.assert_allclose(np.transpose(result, places), expected, rtol=1e-12, atol=1e-12)


@which(lambda case: case.spec.facts.channel_axes > 0)
def test_channel_axes(case):
    """Scaling the last axes of the kernel, and the bias, scales the channels of the result."""
    x, kernel, bias = case.sample.operands
    (result,) = reference(case, (x, kernel, bias))
    shape = kernel.shape[-case.spec.facts.channel_axes :]
    scale = np.random.default_rng(0).uniform(1, 2, shape)
    (scaled,) = reference(case, (x, kernel * scale, None if bias is None else bias * scale.reshape(-1)))
    first = case.sample.attributes.get("data_format") == "channels_first"
    channels = scale.reshape(-1, *(1,) * (x.ndim - 2)) if first else scale.reshape(-1)
    np.testing.assert_allclose(scaled, result * channels, rtol=1e-12, atol=1e-12)


@which(
    lambda case: (
        case.spec.facts.pads_with is not None and isinstance(case.sample.attributes["padding"], tuple)
    )
)
def test_pads_with(case):
    x, *others = case.sample.operands
    attributes = dict(case.sample.attributes)
    pairs = attributes.pop("padding")
    first = attributes["data_format"] == "channels_first"
    widths = [(0, 0), (0, 0), *pairs] if first else [(0, 0), *pairs, (0, 0)]
    padded = np.pad(x, widths, constant_values=0 if case.spec.facts.pads_with == "zeros" else -np.inf)
    inside = case.spec.reference(padded, *others, **attributes, padding=((0, 0),) * len(pairs))
    np.testing.assert_allclose(inside, reference(case, case.sample.operands)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", OPS.values(), ids=OPS)
def test_precision_is_one_of_three(spec):
    assert spec.facts.precision in ("half", "accumulate", "float32")


@pytest.mark.parametrize(
    ("name", "operands"), [("exp", [12.0]), ("power", [300.0, 2.0]), ("square", [100.0])]
)
def test_what_is_safe_in_half_does_not_overflow_where_float32_does_not(name, operands):
    """For operands of a hundred at most; the others are kept in float32."""
    half = [np.float16(operand) for operand in operands]
    with np.errstate(all="ignore"):
        finite = np.isfinite(np.float16(OPS[name].reference(*half)))
    assert finite == (OPS[name].facts.precision == "half")


@which(lambda case: case.spec.facts.whole)
def test_whole_results_have_every_element(case):
    (operand,) = case.sample.operands
    (result,) = reference(case, [operand])
    assert_close(np.sort(result.ravel()), np.sort(operand.ravel()))


@pytest.mark.skipif("torch" not in installed(), reason="it is torch whose results are views")
@which(lambda case: case.spec.facts.fresh)
def test_fresh_results_share_no_memory(case):
    """Where an operation's results are said to have memory of their own, torch's row gives no view of an operand."""
    backend = get_backend("torch")
    rows = backend.rows("cpu")
    if case.spec not in rows.table:
        return
    operands = [native(one, backend) for one in case.sample.operands]
    if any(rows.storage.get((case.spec, i)) for i in range(9)):
        return
    results = rows.table[case.spec](*operands, **case.sample.attributes)
    own = {one.untyped_storage().data_ptr() for one in operands if hasattr(one, "numel") and one.numel()}
    for result in results if isinstance(results, tuple) else (results,):
        assert result.untyped_storage().data_ptr() not in own
