"""Operations of the user's own, on every backend, in files, and in the conformance suite."""

import inspect
import textwrap

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops, testing
from unifront.backends import added_rows, get_backend, live_table
from unifront.errors import ArgumentError, FileFormatError, UnknownName, UnsupportedOp
from unifront.ir import facts
from unifront.opset import OPS, OpSpec, Sample
from unifront.opset.elementwise import ADD
from unifront.opset.spec import DEFINED
from unifront.testing import assert_close

FRAMEWORKS = [name for name in ("torch", "jax", "tensorflow") if name in uf.backends.installed()]


def cube_spec(name="cube", decomposition=lambda x: ops.multiply(x, ops.square(x)), **options):
    return OpSpec(
        name,
        rule=lambda x: x,
        reference=lambda x: x**3,
        samples=lambda rng: [Sample((rng.normal(size=shape),)) for shape in ((), (2, 3), (0, 2))],
        source="a test",
        decomposition=decomposition,
        facts=facts.elementwise("float32", keeps_zeros=True, sign="kept", commutes=False),
        **options,
    )


@pytest.fixture
def define():
    made = []

    def function(spec, rows=None):
        made.append(spec.name)
        return ops.define(spec, rows)

    yield function
    for name in made:
        if name in DEFINED:
            ops.undefine(name)


ROW = {
    "torch": {"torch": lambda x: x**3},
    "jax": {"jax": lambda x: x**3},
    "tensorflow": {"tensorflow": lambda x: x**3},
}
X = np.array([[-1.5, 2.0], [0.5, 3.0]], np.float32)


class Cube(layers.Layer):
    def call(self, x):
        return ops.cube(x)


def model():
    return uf.Sequential([uf.Input((2,)), layers.Dense(3), Cube()])


@pytest.mark.parametrize("written_out", [False, True], ids=["row", "decomposition"])
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_it_runs_and_is_differentiated(define, backend, written_out):
    cube = define(
        cube_spec(**({} if written_out else {"decomposition": None})), None if written_out else ROW[backend]
    )
    native = get_backend(backend)
    assert_close(native.numpy(cube(native.array(X))), X**3)
    assert ops.cube(np.float32(2)) == 8
    one = model()
    assert_close(one.predict(X, backend=backend), one.predict(X, backend="numpy"))
    found = uf.parity(one, X, backends=[backend], gradients=True)
    assert found.worst_forward < 1e-5
    assert ops.cube is cube
    for case in (case for case in testing.cases() if case.spec.name == "cube"):
        testing.check_forward(backend, case.spec, [case.sample], "float32")
        testing.check_gradient(backend, case.spec, [case.sample], "float64")


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_the_suite_says_where_a_row_is_off(define, backend):
    define(cube_spec(), {backend: lambda x: x**3 * 1.01})
    (_, case, _) = (case for case in testing.cases() if case.spec.name == "cube")
    with pytest.raises(AssertionError, match=rf"cube result 0 of float32 on {backend} .*: off by 0\.0"):
        testing.check_forward(backend, case.spec, [case.sample], "float32")


def test_the_suite_finds_it(define):
    before = len(testing.cases())
    define(cube_spec())
    assert [str(case) for case in testing.cases()][before:] == ["cube-0", "cube-1", "cube-2"]


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_a_row_added_later_counts(define, backend):
    native = get_backend(backend)
    cube = define(cube_spec(decomposition=None))
    with pytest.raises(
        UnsupportedOp, match=f"cube: the backend '{backend}' cannot run it: it has no row for it"
    ):
        cube(native.array(X))
    ops.undefine("cube")
    cube = define(cube_spec(decomposition=None), ROW[backend])
    assert_close(native.numpy(cube(native.array(X))), X**3)
    ops.undefine("cube")
    with pytest.raises(AttributeError, match="cube"):
        _ = ops.cube


def test_rows_of_a_kind_of_device_stand_before_the_others():
    base = {ADD: "any"}
    overlays = {"cuda": {ADD: "ours"}}
    tables = {
        device: live_table("nowhere", base, device, overlays) for device in ("cuda:1", "gpu:0", "cpu", None)
    }
    assert [table[ADD] for table in tables.values()] == ["ours", "ours", "any", "any"]
    added_rows("nowhere:cuda")[ADD] = "user's"
    assert [table[ADD] for table in tables.values()] == ["user's", "user's", "any", "any"]
    added_rows("nowhere:cuda").clear()


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_a_row_for_this_kind_of_device(define, backend):
    native = get_backend(backend)
    kind = {"gpu": "cuda"}.get(native.devices()[0].partition(":")[0], native.devices()[0].partition(":")[0])
    cube = define(cube_spec(), {backend: lambda x: x * 0, f"{backend}:{kind}": lambda x: x**3})
    assert_close(native.numpy(cube(native.array(X))), X**3)
    assert_close(model().predict(X, backend=backend).shape, (2, 3))


def test_files_have_it_written_out(define, tmp_path):
    define(cube_spec())
    one = model()
    expected = one.predict(X, backend="numpy")
    one.save(tmp_path / "cube.uf")
    ops.undefine("cube")
    again = uf.load(tmp_path / "cube.uf")
    assert_close(again.predict(X, backend="numpy"), expected)
    assert "multiply" in str(again.graph())


def test_files_say_which_operation_they_need(define, tmp_path):
    define(cube_spec(decomposition=None))
    one = model()
    expected = one.predict(X, backend="numpy")
    one.save(tmp_path / "cube.uf")
    ops.undefine("cube")
    with pytest.raises(
        FileFormatError, match=r"cube\.uf: it needs the operation 'cube', which its author defined"
    ):
        uf.load(tmp_path / "cube.uf")
    define(cube_spec(decomposition=None))
    assert_close(uf.load(tmp_path / "cube.uf").predict(X, backend="numpy"), expected)


def test_onnx_rows(define, tmp_path):
    onnx = pytest.importorskip("onnx")
    define(
        cube_spec(decomposition=None),
        {"onnx": lambda writer, x: writer.op("Mul", x, writer.op("Mul", x, x))},
    )
    model().export(tmp_path / "cube.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "cube.onnx").graph.node][-2:] == ["Mul", "Mul"]


def test_what_is_refused(define):
    define(cube_spec())
    for spec, rows, error, match in (
        (
            cube_spec(),
            {},
            ArgumentError,
            "There is an operation 'cube' already: it was defined before; undefine it",
        ),
        (cube_spec("add"), {}, ArgumentError, "There is an operation 'add' already: it is unifront's own"),
        (cube_spec("My Op"), {}, ArgumentError, "small letters, digits and _, unlike 'My Op'"),
        (cube_spec("other"), {"torhc": len}, UnknownName, "torhc"),
        (
            cube_spec("other"),
            {"torch": 3},
            ArgumentError,
            "the row of 'other' for 'torch' is a callable, not 3",
        ),
        (lambda x: x, {}, ArgumentError, "define: spec is a OpSpec"),
    ):
        with pytest.raises(error, match=match):
            ops.define(spec, rows)
    assert "other" not in OPS
    with pytest.raises(UnknownName, match="add"):
        ops.undefine("add")


def test_the_example():
    code = textwrap.dedent(inspect.getdoc(ops.define).partition("Example::\n")[2])
    try:
        exec(compile(code, "<define>", "exec"), {"uf": uf, "np": np})
        assert ops.cube(np.float32(2)) == 8
    finally:
        ops.undefine("cube")
