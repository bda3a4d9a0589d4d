"""Every public call made wrongly: it raises one of `unifront.errors`, or the value is right after all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest

import unifront as uf
from tests.attacks.wrong_calls import VALUES, Target, targets
from unifront.errors import UnifrontError

NUMBERS = {"0", "1.5", "10**12", "10**30"}
SIGNED = NUMBERS | {"-1"}
ANY_NUMBER = SIGNED | {"nan", "inf", "True"}
ARRAYS = ANY_NUMBER | {"[]", "empty array", "array of rank 5", "[[1], [2, 3]]"}
FALSY = {"[]", "empty array"}

RIGHT: dict[str, set[str]] = {
    # tensors: numbers are tensors, and lists; that a weight or bound is NaN is for the user to know
    r"ops\.\w+\.(x|y|x1|x2|xs|condition|indices|data|pred|like|learning_rate|initial|start|stop)": ARRAYS,
    r"losses\.\w+\(\)\.(sample_weight|mask)": ARRAYS,
    r"ops\.\w+\.like": {
        "array of strings",
        "array of objects",
        "complex array",
        "['a']",
        "[None]",
    },  # only whose array it is counts
    r"ops\.get_item\.key": {"None", "...", "-1", "0"},
    r"ops\.\w+\.(q|bins|values|default|init_val|init|base|dx|b|tol|rcond|rtol|atol|x_min|x_max|default_value)": ARRAYS,
    r"ops\.\w+\.(nan|posinf|neginf|max_val|variable|a|array|counts|probabilities|loop_vars|elements|elems|abs_|angle)": ARRAYS,
    r"ops\.\w+\.(mask|bias|scale|inputs|sorted_sequence|x1|x2|lower|upper|alpha|beta)": ARRAYS,
    r"ops\.(is_tensor|view|array|convert_to_\w+)\.x": set(VALUES),  # they say what is an array, or make one
    r"ops\.\w+\.(x|x1|x2|xs|y|data|elems|a|array|variable|condition|init_val|rcond|max_val)": {
        "complex array"
    },
    r"layers\.Lambda\.mask": FALSY | {"{}", "[None]", "array of rank 5"},  # judged beside what it masks
    r"layers\.Lambda\.arguments": {"{}"},
    r"layers\.Lambda\.output_shape": set(VALUES) - {"int"},  # judged where masks and free sizes are
    r"layers\.ReversibleEmbedding\.(logit_soft_cap|reverse_dtype)": NUMBERS | {"inf", "int"},
    r"layers\.Pipeline\.layers": FALSY,
    r"layers\.ContrastLimitedAdaptiveHistogramEqualization\.clip_limit": SIGNED,
    r"layers\.MelSpectrogram\.(sampling_rate|max_freq|min_power|ref_power)": NUMBERS - {"0"},
    r"layers\.MelSpectrogram\.(min_freq|top_db)": NUMBERS,
    r"layers\.MelSpectrogram\.mag_exp": SIGNED,
    r"layers\.(Hashing|HashedCrossing)\.num_bins": {"10**12"},  # the hash has 64 bits
    r"layers\.(Hashing|StringLookup|IntegerLookup)\.salt": {"-1", "0", "10**12"},
    r"layers\.(Hashing|StringLookup)\.(mask_value|mask_token|oov_token)": {"'no'", "''"},
    r"layers\.(Hashing|IntegerLookup)\.(mask_value|mask_token|oov_token)": {"-1", "0", "10**12"},
    r"layers\.IntegerLookup\.vocabulary_dtype": {"None"},
    r"layers\.(StringLookup|TextVectorization)\.vocabulary": {"['a']", "array of strings"},
    r"layers\.\w+\.vocabulary_size": {"0"},
    r"layers\.\w+\.has_input_vocabulary": {"0", "True"},
    r"layers\.TextVectorization\.(standardize|split)": {"None"},
    r"ops\.scan\.(init|xs|unroll)": set(VALUES) - {"-1", "0"},  # any structure is carried along
    r"layers\.\w+\.bounding_box_format": {"'no'", "''"},  # judged when there are boxes
    r"layers\.\w+\.\w*initializer": {"None", "empty array", "array of rank 5"},  # of the values themselves
    r"layers\.\w+\.\w*factor": {"0", "-1", "1.5", "True"},  # its span
    r"layers\.\w+\.(fill_value|offset|scale)": SIGNED | {"nan", "inf", "None", "[None]", "True"},
    r"layers\.\w+\.(implementation|flash_attention|output_padding|attention_axes|output_shape|sigma|num_ops)": {
        "0",
        "-1",
        "True",
        "[]",
        "empty array",
    },
    r"layers\.\w+\.(bin_boundaries|renorm_clipping|renorm_momentum)": ARRAYS | {"{}"},
    r"(initializers|regularizers)\.get\.identifier": {"None", "empty array", "array of rank 5"},
    r"initializers\.\w+\.(input_axes|output_axes)": FALSY,
    r"layers\.\w+\.lora_alpha": SIGNED,
    r"losses\.get\.(loss|identifier)": {"None", "[]", "[None]"},  # no loss
    r"losses\.\w+\.(reduction|name)": {"None"},
    r"losses\.Circle\(\)\.(y_true|y_pred)": ARRAYS,  # any labels, and none
    r"losses\.\w+\.(gamma|alpha|beta|margin)": NUMBERS | {"inf"},
    r"losses\.CategoricalFocalCrossentropy\.alpha": ARRAYS,  # of each class
    r"losses\.\w+\.axis": {"''"},  # several axes, none of them
    r"optimizers\.\w+\.(undecayed_names|exclude_layers)": FALSY | {"['a']", "array of strings"},
    r"optimizers\.Muon\.muon_[abc]": SIGNED,
    r"optimizers\.\w+\.(ns_steps|rms_rate|adam_lr_ratio|beta|initial_accumulator_value)": NUMBERS,
    r"optimizers\.\w+\.(adam_weight_decay|adam_beta_1|adam_beta_2|epsilon_1|epsilon_2|clip_threshold)": NUMBERS,
    r"optimizers\.\w+\.(loss_scale_factor|initial_scale|dynamic_growth_steps)": NUMBERS,
    r"optimizers\.\w+\.l[12]\w*_strength": NUMBERS,
    r"optimizers\.\w+\.(learning_rate_power|beta_2_decay)": {"-1", "0"},
    r"schedules\.CosineDecayRestarts\.(first_decay_steps|t_mul|m_mul)": NUMBERS,
    r"schedules\.OneCycle\.(maximal_learning_rate|total_steps|initial_divisor|final_divisor|share_rising)": NUMBERS,
    r"Model\.compile\.jit_compile": {"0", "True"},
    r"Model\.export\.filepath": {"'no'"},  # a folder, for TensorFlow
    r"Model\.save(_weights)?\.filepath": {"'no'", "''"},
    r"ops\.vectorize\.excluded": {"[]", "['a']"},
    r"Model\.compile\.remat": {"'no'", "['a']", "10**12", "10**30"},  # patterns, and bytes
    r"Model\.(fit|evaluate)\.sample_weight": {"{}", "[None]"},  # of no output
    r"Model\.(evaluate|predict)\.callbacks": {"[]", "{}", "[None]"},  # nobody listens
    r"optimizers\.get\.identifier": {"None"},
    r"regularizers\.\w+\.(l1|l2)": {"None"},
    r".*\.window": {"None"},
    r"ops\.\w+\.(size|N|M|n|num|minlength|kth|axisa|axisb|axisc|shift|decimals|offset|order|length)": SIGNED
    | FALSY,
    r"ops\.\w+\.(beam_width|top_paths|mask_index|num_segments|newshape|output_padding)": SIGNED,
    r"ops\.(geomspace|linspace|logspace)\.axis": SIGNED,
    r"ops\.(diag|rot90)\.k": SIGNED,
    r"ops\.convert_to_tensor\.(sparse|ragged)": {"0"},
    r"ops\.dot_product_attention\.flash_attention": {"0", "True"},
    r"ops\.full(_like)?\.fill_value": {"nan"},
    r"ops\.histogram\.(range|bins)": {"None", "0", "[]"},
    r"ops\.switch\.index": ANY_NUMBER,
    r"ops\.unravel_index\.shape": {"empty array"},
    # numbers without bounds
    r"ops\.\w+\.(alpha|negative_slope|constant_values|fill_value)": SIGNED | {"inf", "True"},
    r"ops\.arange\.(start|stop|step)": SIGNED | {"inf"},
    r"ops\.\w+\.(mean|minimum|maximum|epsilon|stddev)": SIGNED | {"inf"},
    r".*\.(alpha|mask_value|threshold|min_delta|baseline|gain|value|mean|minval|maxval)": SIGNED | {"True"},
    r"initializers\.RandomUniform\.\w+": SIGNED,
    r"initializers\.Constant\.value": {"inf"},
    # numbers from 0 up
    r".*\.(negative_slope|threshold|max_value|l1|l2|epsilon|stddev|scale)": NUMBERS | {"inf"},
    r".*\.(learning_rate|initial_learning_rate|end_learning_rate|min_lr|weight_decay|clipnorm|clipvalue)": NUMBERS,
    r".*\.(global_clipnorm|decay_rate|decay_steps|power|warmup_target|warmup_steps|delta|alpha)": NUMBERS,
    r".*\.(rate|dropout|recurrent_dropout|momentum|ema_momentum|rho|beta_1|beta_2|label_smoothing|probability)": {
        "0"
    },
    # ints
    r".*\.(seed|patience|cooldown|verbose|start_from_epoch|maximum_iterations)": {
        "0",
        "10**12",
        "10**30",
        "True",
    },
    r".*\.(axis|axes|axis1|axis2|source|destination|start_axis|index|ignore_class|groups)": {"-1", "0"}
    | FALSY,
    r".*\.(shared_axes|indices_or_sections)": FALSY,
    r".*\.(shape|input_shape|batch_shape|repeats|k|padding|cropping|pad_width|batch_size)": {"-1", "0", "[]"},
    # names: "no" is as good as any; in a shape it names a size, and None leaves one free
    r".*\.(name|monitor|pattern|path)": {"'no'", "''"},
    r"layers\.InputLayer\.optional": {"None"},
    r"value_and_grad\.wrt": {
        "-1",
        "0",
        "10**12",
        "10**30",
        "[]",
    },  # positions, judged when there are arguments
    r"ops\.all_reduce\.axis_name": {"'no'"},  # one device has no mesh
    r"optimizers\.\w+\.groups": {"{}"},  # none
    r"(layers\.InputLayer|Input)\.\w+": {"'no'", "['a']", "[None]", "int"},
    r"Model\.build\.input_shape": {"[None]"},
    r"metrics\.\w+\.(thresholds|recall|precision|specificity|sensitivity|num_regressors)": {"0"},
    r"metrics\.\w+\.class_id": {"-1", "0"},
    r"metrics\.FBetaScore\.beta": NUMBERS - {"0"},
    r".*\.dtype": {"int"},
    r".*\.(activation|recurrent_activation|regularizer)": {"None"},
    r".*\.use_cudnn": {"0", "True"},
    r"Model\.compile\.(run_eagerly|steps_per_execution|jit_compile|auto_scale_loss)": {"None"},
    r"backend\.name": {"None"},
    r"Model\.compile\.optimizer": {"None"},  # nothing trains
    # what compile keeps is judged when the outputs are known
    r"Model\.compile\.(loss|metrics|weighted_metrics)": {"[]", "{}", "[None]"},
    r"Model\.compile\.loss_weights": SIGNED | {"[]", "{}", "[None]", "[[1], [2, 3]]"},
    r"(Sequential\.layers|Model\.set_weights\.values)": {"None", "[]"},
    r"(.*\.shape|ops\.tile\.repeats)": {"empty array"},  # a scalar's
    r"Variable\.(name|aggregation|synchronization)": {"''", "'no'"},
}
"""Values that are wrong elsewhere and right here, by the names of callable and parameter."""

OF_THE_USER = {("ops.while_loop.loop_vars", "[]"), ("ops.while_loop.loop_vars", "[[1], [2, 3]]")}
"""Calls in which the user's own function fails, with an error of its own."""


def is_right(target: Target, parameter: Parameter, label: str) -> bool:
    """Whether the call is right: flags take 0 and True, None stands where it is the default, and `RIGHT`."""
    name = f"{target.name}.{parameter.name}"
    if label == "None" and (parameter.default is None or "None" in str(parameter.annotation)):
        return True
    if label in ("0", "True") and isinstance(parameter.default, bool):
        return True
    return any(label in labels and re.fullmatch(pattern, name) for pattern, labels in RIGHT.items())


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    uf.set_backend("numpy")
    yield
    uf.set_backend(None)
    uf.set_floatx("float32")


def attack(target: Target) -> tuple[int, list[str]]:
    """The number of wrong calls of ``target``, and what was not refused as it should be."""
    faults, calls = [], 0
    for parameter in target.parameters():
        for label, value in VALUES.items():
            name = f"{target.name}.{parameter.name}"
            calls += 1
            try:
                target.call(**{parameter.name: value})
            except UnifrontError as error:
                if not str(error).strip():
                    faults.append(f"{name} = {label}: an error without words")
            except Exception as error:  # noqa: BLE001  # that is what is looked for
                if (name, label) not in OF_THE_USER:
                    faults.append(f"{name} = {label}: {type(error).__name__}: {error}")
            else:
                if not is_right(target, parameter, label):
                    faults.append(f"{name} = {label}: not refused")
            finally:
                uf.set_backend("numpy")
                uf.set_floatx("float32")
    return calls, faults


SLOW = ("parity", "Model.fit", "Model.lower", "Model.evaluate", "ops.")


def _attack_all(folder: Path, chosen: Any) -> int:
    calls, faults = 0, []
    for target in targets(folder):
        if chosen(target):
            count, found = attack(target)
            calls, faults = calls + count, faults + found
    assert not faults, "\n".join(faults)
    return calls


def test_wrong_calls_raise_errors_of_ours(tmp_path: Path) -> None:
    """A part that takes few seconds: what users make by hand."""
    common = ("layers.Dense", "layers.Dropout", "layers.BatchNormalization")
    others = (
        "losses.",
        "metrics.",
        "optimizers.",
        "callbacks.",
        "schedules.",
        "regularizers.",
    )
    calls = _attack_all(tmp_path, lambda target: target.name in common or target.name.startswith(others))
    assert calls > 2000


@pytest.mark.slow
def test_all_wrong_calls_raise_errors_of_ours(tmp_path: Path) -> None:
    assert _attack_all(tmp_path, lambda target: True) > 25000


def test_right_calls_work(tmp_path: Path) -> None:
    """The table is about wrong values, so the call that is changed must be right."""
    needs_more = (
        "Model.fit",
        "load",
        "ops.einsum",
        "ops.logical_and",
        "ops.logical_not",
        "ops.logical_or",
        "Model.load_weights",
    )
    for target in targets(tmp_path):
        if target.name not in needs_more:
            target.call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uf.layers.Dense(), "Dense: missing a required argument: 'units'; it takes units, activation"),
        (lambda: uf.layers.Dense(3, use_bias="no"), "Dense: use_bias is True or False, not 'no'"),
        (lambda: uf.layers.Dense(10**12), "Dense: units is a positive int up to 2147483647, not 1000000000000"),
        (lambda: uf.layers.Dense(3, kernel_initializer="glorot"), "Dense: kernel_initializer: Unknown initializer"),
        (lambda: uf.layers.LSTM(3, return_sequences=None), "LSTM: return_sequences is True or False, not None"),
        (lambda: uf.Input((3,), nam="a"), "Unknown argument of Input 'nam'. Did you mean 'name'"),
        (lambda: uf.ops.sum([1.0], keepdims="no"), "sum: keepdims is True or False, not 'no'"),
        (lambda: uf.ops.add([1.0, 2.0], [1.0, 2.0, 3.0]), r"add: The shapes \(2,\) and \(3,\) do not broadcast"),
        (lambda: uf.ops.matmul([1.0]), "matmul: .*missing .*'x2'; it takes x1, x2"),
        (lambda: uf.ops.exp([1.0], axes=1), "Unknown argument of exp 'axes'. Known: x"),
        (lambda: uf.optimizers.Adam(beta_1="0.9"), r"Adam: beta_1 is a number in \[0, 1\), not '0.9'"),
        (lambda: uf.losses.Huber(delta=0), r"Huber: delta is a number in \(0, inf\), not 0"),
        (lambda: uf.Sequential(3), "Sequential takes a list of layers, not 3"),
        (lambda: uf.zoo.create("lenet5", clases=3), "lenet5 does not take 'clases'"),
        (lambda: uf.layers.Dropout(0.5, noise_shape=(1, 3))(uf.Input((3, 4))), "noise_shape .*does not fit"),
    ],
)  # fmt: skip
def test_messages(call: Any, message: str) -> None:
    with pytest.raises(UnifrontError, match=message):
        call()


def test_a_weight_larger_than_memory() -> None:
    layer = uf.layers.Dense(2**31 - 1)
    layer.build((None, 2**20))
    with pytest.raises(UnifrontError, match=r"dense/kernel.*needs .* GB, which is not to be had"):
        layer.kernel.numpy()


def test_signatures_are_those_of_keras() -> None:
    fit = list(inspect.signature(uf.Model.fit).parameters)
    assert fit[:8] == ["self", "x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split"]
    for name in ("compile", "fit", "evaluate", "predict"):
        kinds = {one.kind for one in inspect.signature(getattr(uf.Model, name)).parameters.values()}
        assert kinds <= {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
