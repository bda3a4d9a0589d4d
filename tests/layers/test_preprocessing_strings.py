"""Vocabularies and hashes: judged by Keras with the same data; forms of strings, files, configs, errors."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.errors import ArgumentError, DTypeError, FileFormatError, NotBuiltError, ShapeError, UnknownName
from unifront.layers.preprocessing.hashes import farmhash64, siphash24
from unifront.testing import assert_close

WORDS = ["sea", "fire", "earth", "wind"]
DATA = [["fire", "wind", "über", ""], ["sea", "sea", "moon", "fire"]]
RNG = np.random.default_rng(4)


def host(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def pair(name, **options):
    return getattr(layers, name)(**options), getattr(keras.layers, name)(**options)


def agree(ours, theirs):
    ours, theirs = np.asarray(ours), host(theirs)
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs)


# ---------------------------------------------------------------- hashes

KNOWN = [
    (b"", 0x9AE16A3B2F90404F),
    (b"a", 12917804110809363939),
    (b"hello", 13009744463427800296),
    (b"hello world", 6381520714923946011),
]
"""FarmHash64 as TensorFlow's to_hash_bucket_fast has it."""
SIP_KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
SIP = [(0, 0x726FDB47DD0E0E31), (1, 0x74F839C593DC67FD), (8, 0x93F5F5799A932462), (15, 0xA129CA6149BE45E5)]
"""Lengths of the messages 00 01 02 …, and what the paper's authors give for them (appendix A, vectors.h)."""


def test_hashes_of_known_strings():
    assert farmhash64([text for text, _ in KNOWN]).tolist() == [value for _, value in KNOWN]
    assert siphash24([bytes(range(n)) for n, _ in SIP], SIP_KEY).tolist() == [value for _, value in SIP]


@pytest.mark.parametrize("salt", [None, (0, 0), (133, 2**62)])
def test_hashes_of_every_length_are_tensorflows(salt):
    texts = [bytes(RNG.integers(1, 128, n, dtype=np.uint8)).decode() for n in [*range(140), 255, 256, 1000]]
    ours, theirs = pair("Hashing", num_bins=2**61 - 1, salt=salt)
    agree(ours(texts), theirs(np.array(texts, object)))


HASHED = [
    ({"num_bins": 3}, [["A"], ["B"], ["C"], ["D"], ["é"]]),
    ({"num_bins": 3, "mask_value": ""}, [["A", ""], ["C", "D"]]),
    ({"num_bins": 1, "mask_value": ""}, ["A", ""]),
    ({"num_bins": 3, "salt": 133}, ["omar", "stringer", "marlo", "wire"]),
    ({"num_bins": 300, "salt": [133, 137]}, ["omar", "stringer"]),
    ({"num_bins": 1000}, np.array([0, -1, 5, 10**12, -(2**63), 2**63 - 1])),
    ({"num_bins": 1000, "mask_value": 5}, np.array([[0, -1, 5]], np.int32)),
    ({"num_bins": 1000}, np.array([2.7, -2.7, 0.0], np.float32)),
    ({"num_bins": 5, "output_mode": "one_hot"}, np.array([[1], [2]])),
    ({"num_bins": 5, "output_mode": "multi_hot"}, np.array([[1, 3], [2, 2]])),
    ({"num_bins": 5, "output_mode": "count"}, np.array([[1, 3], [2, 2]])),
    ({"num_bins": 5, "dtype": "int32"}, np.zeros((0, 3), np.int64)),
    ({"num_bins": 5}, np.array(7)),
]


@pytest.mark.parametrize(("options", "data"), HASHED, ids=str)
def test_hashing_as_keras(options, data):
    ours, theirs = pair("Hashing", **options)
    agree(ours(data), theirs(np.array(data, object) if isinstance(data, list) else data))
    agree(layers.deserialize(json.loads(json.dumps(layers.serialize(ours))))(data), ours(data))


CROSSED = [
    ({"num_bins": 5}, [["A", "B", "A", "B", "A"], [101, 101, 101, 102, 102]]),
    ({"num_bins": 10**9}, [[["A"], ["é"]], [[-101], [7]]]),
    ({"num_bins": 50}, [["A", "B"], ["C", "D"], [3, 2]]),
    ({"num_bins": 4, "output_mode": "one_hot"}, [[["A"], ["B"]], [[1], [2]]]),
]


@pytest.mark.parametrize(("options", "data"), CROSSED, ids=str)
def test_crossing_as_keras(options, data):
    ours, theirs = pair("HashedCrossing", **options)
    agree(ours([np.array(one) for one in data]), theirs([np.array(one) for one in data]))


# ---------------------------------------------------------------- lookups

LOOKED_UP = [
    {},
    {"num_oov_indices": 3},
    {"num_oov_indices": 3, "salt": [3, 4]},
    {"mask_token": ""},
    {"mask_token": "", "num_oov_indices": 2},
    {"output_mode": "multi_hot"},
    {"output_mode": "multi_hot", "mask_token": "", "max_tokens": 9, "pad_to_max_tokens": True},
    {"output_mode": "count", "num_oov_indices": 2},
    {"output_mode": "one_hot"},
    {"output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 1.0, 2.0]},
    {
        "output_mode": "tf_idf",
        "idf_weights": [0.5, 0.25, 1.0, 2.0],
        "max_tokens": 8,
        "pad_to_max_tokens": True,
    },
]


@pytest.mark.parametrize("options", LOOKED_UP, ids=str)
def test_string_lookup_as_keras(options):
    ours, theirs = pair("StringLookup", vocabulary=WORDS, **options)
    agree(ours(DATA), theirs(np.array(DATA, object)))
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(ours))))
    agree(again(DATA), ours(DATA))
    agree(ours(DATA), keras.layers.StringLookup.from_config(ours.get_config())(np.array(DATA, object)))


@pytest.mark.parametrize("options", [{}, {"mask_token": ""}, {"max_tokens": 4}, {"output_mode": "tf_idf"},
                                     {"output_mode": "tf_idf", "max_tokens": 12, "pad_to_max_tokens": True}], ids=str)  # fmt: skip
def test_string_lookup_adapts_as_keras(options):
    ours, theirs = pair("StringLookup", **options)
    ours.adapt(DATA)
    theirs.adapt(np.array(DATA, object))
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    assert ours.vocabulary_size() == theirs.vocabulary_size()
    agree(ours(DATA), theirs(np.array(DATA, object)))
    again = layers.StringLookup.from_config(ours.get_config())
    again.adapt(["new"])  # it was learned, so it may be learned anew
    assert "new" in again.get_vocabulary()


def test_indices_back_to_strings():
    layer = layers.StringLookup(vocabulary=WORDS, mask_token="", invert=True)
    assert layer(np.array([[2, 5, 0], [1, 9, -4]])).tolist() == [
        ["sea", "wind", ""],
        ["[UNK]", "[UNK]", "[UNK]"],
    ]


NUMBERS = np.array([[12, 1138, 42, 7], [42, 0, -5, 36]])


@pytest.mark.parametrize("options", [{}, {"num_oov_indices": 3}, {"mask_token": 0}, {"mask_token": 0, "output_mode": "count"},
    {"num_oov_indices": 5, "oov_method": "farmhash"}, {"num_oov_indices": 5, "oov_method": "farmhash", "salt": 7},
    {"output_mode": "multi_hot"}, {"output_mode": "tf_idf", "idf_weights": [1.0, 2.0, 3.0, 4.0]}], ids=str)  # fmt: skip
def test_integer_lookup_as_keras(options):
    ours, theirs = pair("IntegerLookup", vocabulary=[42, 1138, -5, 36], **options)
    expected = host(theirs(NUMBERS))
    agree(ours(NUMBERS), expected)
    agree(layers.IntegerLookup.from_config(ours.get_config())(NUMBERS), expected)
    if "oov_method" in options:
        with pytest.raises(ArgumentError, match="needs values"):
            ours(uf.Input((4,), dtype="int64"))
        return
    x = uf.Input((None,), dtype="int64")
    model = uf.Model(x, ours(x))
    for name in installed():
        assert_close(model.predict(NUMBERS, backend=name).astype(expected.dtype), expected)


def test_integer_lookup_adapts_and_inverts_as_keras():
    ours, theirs = pair("IntegerLookup")
    ours.adapt(NUMBERS)
    theirs.adapt(NUMBERS)
    assert ours.get_vocabulary() == [int(one) for one in theirs.get_vocabulary()]
    back = layers.IntegerLookup(vocabulary=ours.get_vocabulary(), invert=True)
    assert np.array_equal(back(ours(NUMBERS)), NUMBERS)
    assert np.array_equal(back([0, 99]), [-1, -1])
    assert np.array_equal(layers.IntegerLookup()(np.array([4, 5])), [0, 0])


# ---------------------------------------------------------------- texts

TEXTS = ["Fire, fire! and Wind?", "the  SEA\tand\nthe é-É sea", "", "  moon  "]
TEXT_VOCABULARY = ["and", "sea", "fire", "the sea", "é"]
VECTORIZED = [
    {},
    {"output_sequence_length": 3},
    {"output_sequence_length": 9},
    {"standardize": None},
    {"standardize": "lower"},
    {"standardize": "strip_punctuation"},
    {"split": "character"},
    {"split": None, "output_sequence_length": None},
    {"ngrams": 2},
    {"ngrams": (2, 3)},
    {"output_mode": "multi_hot"},
    {"output_mode": "count", "ngrams": 2},
    {"output_mode": "multi_hot", "max_tokens": 12, "pad_to_max_tokens": True},
    {"output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 1.0, 2.0, 3.0]},
]


@pytest.mark.parametrize("options", VECTORIZED, ids=str)
def test_text_vectorization_as_keras(options):
    ours, theirs = pair("TextVectorization", vocabulary=TEXT_VOCABULARY, **options)
    agree(ours(TEXTS), theirs(np.array(TEXTS, object)))
    agree(ours([[text] for text in TEXTS]), theirs(np.array(TEXTS, object)[:, None]))
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(ours))))
    agree(again(TEXTS), ours(TEXTS))
    agree(
        ours(TEXTS),
        keras.layers.TextVectorization.from_config(dict(ours.get_config()))(np.array(TEXTS, object)),
    )


@pytest.mark.parametrize("options", [{}, {"max_tokens": 5}, {"ngrams": 2}, {"output_mode": "tf_idf"}, {"split": "character"}], ids=str)  # fmt: skip
def test_text_vectorization_adapts_as_keras(options):
    ours, theirs = pair("TextVectorization", **options)
    ours.adapt(TEXTS)
    theirs.adapt(np.array(TEXTS, object))
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    agree(ours(TEXTS), theirs(np.array(TEXTS, object)))


@uf.saving.register_keras_serializable("tests")
def shouted(texts):
    return np.char.upper(texts)


@uf.saving.register_keras_serializable("tests")
def by_comma(texts):
    return [text.split(",") for text in texts]


def test_functions_standardize_and_split():
    layer = layers.TextVectorization(standardize=shouted, split=by_comma, vocabulary=["A", "B C"])
    assert layer(["a,b c", "d"]).tolist() == [[2, 3], [1, 0]]
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert again(["a,b c", "d"]).tolist() == [[2, 3], [1, 0]]


# ---------------------------------------------------------------- forms, files, models

FORMS = {
    "list": lambda: DATA,
    "tuple": lambda: tuple(map(tuple, DATA)),
    "array of str": lambda: np.array(DATA),
    "array of objects": lambda: np.array(DATA, object),
    "array of bytes": lambda: np.char.encode(np.array(DATA), "utf-8"),
    "tf tensor": lambda: __import__("tensorflow").constant(DATA),
}


@pytest.mark.parametrize("form", FORMS)
def test_strings_in_every_form(form):
    expected = layers.StringLookup(vocabulary=WORDS)(DATA)
    assert np.array_equal(layers.StringLookup(vocabulary=WORDS)(FORMS[form]()), expected)
    learned = layers.StringLookup()
    learned.adapt(FORMS[form]())
    assert learned.get_vocabulary() == ["[UNK]", "sea", "fire", "über", "wind", "moon", ""]


def test_batches_of_every_kind_teach():
    import tensorflow as tf
    import torch

    for data in (
        iter(DATA),
        tf.data.Dataset.from_tensor_slices(DATA).batch(1),
        torch.utils.data.DataLoader([DATA[0], DATA[1]], batch_size=1, collate_fn=lambda rows: np.array(rows)),
    ):
        layer = layers.StringLookup()
        layer.adapt(data)
        assert layer.get_vocabulary() == ["[UNK]", "sea", "fire", "über", "wind", "moon", ""]


def test_texts_are_prepared_before_the_model_and_train_it():
    texts, labels = ["good film", "bad film", "good", "bad"] * 4, np.array([1, 0, 1, 0] * 4, np.float32)
    vectorize = layers.TextVectorization(output_sequence_length=3)
    vectorize.adapt(texts)
    model = uf.Sequential([uf.Input((3,), dtype="int32"), layers.Embedding(vectorize.vocabulary_size(), 4),
                           layers.GlobalAveragePooling1D(), layers.Dense(1, activation="sigmoid")])  # fmt: skip
    model.compile("adam", loss="binary_crossentropy")
    model.fit(vectorize(texts), labels, epochs=1, verbose=0)
    assert model.predict(vectorize(["good"])).shape == (1, 1)


def test_a_vocabulary_file(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("sea\r\nfire\nearth\nwind\n\n", encoding="utf-8")
    assert np.array_equal(
        layers.StringLookup(vocabulary=str(file))(DATA), layers.StringLookup(vocabulary=WORDS)(DATA)
    )
    assert layers.TextVectorization(vocabulary=file)(["wind sea"]).tolist() == [[5, 2]]
    file.write_text("12\n36\n")
    assert layers.IntegerLookup(vocabulary=file)([36, 12, 5]).tolist() == [2, 1, 0]


BROKEN = [
    (b"a\nb\na\n", FileFormatError, r"words\.txt, line 3: 'a' is there already, in line 1"),
    (b"a\n\xff\xfe\n", FileFormatError, r"words\.txt, line 2: it is not UTF-8"),
    (b"a\nb\0c\n", FileFormatError, r"words\.txt, line 2: it holds a zero byte"),
    (b"\n\n", ArgumentError, "empty vocabulary"),
    (None, ArgumentError, "does not exist"),
]


@pytest.mark.parametrize(("content", "error", "text"), BROKEN, ids=str)
def test_a_broken_vocabulary_file_is_named(tmp_path, content, error, text):
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    for make in (layers.StringLookup, layers.TextVectorization):
        with pytest.raises(error, match=text):
            make(vocabulary=str(file))


def test_a_term_that_is_no_integer_is_named(tmp_path):
    file = tmp_path / "numbers.txt"
    file.write_text("12\n__import__('os').system('false')\n")
    with pytest.raises(FileFormatError, match=r"numbers\.txt, line 2: .* is no 64-bit integer"):
        layers.IntegerLookup(vocabulary=str(file))


def test_prepared_data_in_sequence_is_data(tmp_path):
    """Layers on strings are described as JSON; a .uf file holds a graph, in which they cannot be."""
    text = json.dumps(
        uf.saving.serialize_keras_object([layers.StringLookup(vocabulary=WORDS), layers.Hashing(4)])
    )
    lookup, hashing = uf.saving.deserialize_keras_object(json.loads(text))
    assert np.array_equal(lookup(DATA), layers.StringLookup(vocabulary=WORDS)(DATA))
    assert np.array_equal(hashing(DATA), layers.Hashing(4)(DATA))


REFUSED = [
    (lambda: layers.StringLookup()(uf.Input((1,))), ArgumentError, "Map it over the data first"),
    (lambda: layers.TextVectorization()(uf.Input((1,))), ArgumentError, "Map it over the data first"),
    (lambda: layers.Hashing(3)(uf.Input((1,))), ArgumentError, "Map it over the data first"),
    (lambda: layers.StringLookup(vocabulary=["a", "b", "a"]), ArgumentError, "repeated term"),
    (lambda: layers.StringLookup(vocabulary=["a", ""], mask_token=""), ArgumentError, "reserved mask token"),
    (lambda: layers.StringLookup(vocabulary=["a", "[UNK]"], invert=True), ArgumentError, "reserved OOV token"),
    (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), ArgumentError, "larger than the maximum"),
    (lambda: layers.StringLookup(vocabulary=[]), ArgumentError, "empty vocabulary"),
    (lambda: layers.StringLookup(vocabulary=[3]), DTypeError, "Strings are needed"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"), ArgumentError, "idf_weights"),
    (lambda: layers.StringLookup(vocabulary=["a"], idf_weights=[1.0]), ArgumentError, "idf_weights"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[1.0, 2.0]), ArgumentError, "same length"),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]), ArgumentError, "found OOV values"),
    (lambda: layers.IntegerLookup(vocabulary=[1], num_oov_indices=0)([2]), ArgumentError, "found OOV values"),
    (lambda: layers.StringLookup(output_mode="count")(["a"]), NotBuiltError, "must set the layer's vocabulary"),
    (lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]), ArgumentError, "Cannot adapt layer"),
    (lambda: layers.TextVectorization(vocabulary=["a"]).adapt(["b"]), ArgumentError, "Cannot adapt layer"),
    (lambda: layers.StringLookup(max_tokens=1), ArgumentError, "greater than 1"),
    (lambda: layers.StringLookup(sparse=True), ArgumentError, "dense"),
    (lambda: layers.StringLookup(vocabulary=["a"])([["a"], ["a", "b"]]), DTypeError, "unequal lengths"),
    (lambda: layers.StringLookup(vocabulary=["a"])([1]), DTypeError, "Strings are needed"),
    (lambda: layers.StringLookup(encoding="utf-9"), ArgumentError, "none that Python knows"),
    (lambda: layers.StringLookup(vocabulary=["a"])([b"\xff"]), DTypeError, "not text in utf-8"),
    (lambda: layers.IntegerLookup(vocabulary=[1])([1.5]), DTypeError, "takes integers"),
    (lambda: layers.IntegerLookup(vocabulary=[2**63]), DTypeError, "64-bit"),
    (lambda: layers.IntegerLookup(salt=3), ArgumentError, "farmhash"),
    (lambda: layers.TextVectorization(ragged=True), ArgumentError, "dense"),
    (lambda: layers.TextVectorization(standardize="lowr"), UnknownName, "lower"),
    (lambda: layers.TextVectorization(ngrams=[1]), ArgumentError, "`ngrams` must be"),
    (lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3), ArgumentError, "must not be set"),
    (lambda: layers.TextVectorization()([["a", "b"]]), ShapeError, "last shape dimension must be 1"),
    (lambda: layers.Hashing(0), ArgumentError, "num_bins"),
    (lambda: layers.Hashing(3, salt="a"), ArgumentError, "`salt` argument"),
    (lambda: layers.Hashing(3, dtype="float32"), ArgumentError, "integer type"),
    (lambda: layers.HashedCrossing(3)([[1]]), ArgumentError, "at least two"),
    (lambda: layers.HashedCrossing(3)([np.array([1, 2]), np.array([1])]), ShapeError, "equal shape"),
    (lambda: layers.HashedCrossing(3)([np.array([1.0]), np.array([1])]), DTypeError, "integer or string"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "text"), REFUSED)
def test_what_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_ragged_tensors_are_refused():
    import tensorflow as tf

    with pytest.raises(DTypeError, match="RaggedTensor is no array"):
        layers.StringLookup(vocabulary=WORDS)(tf.ragged.constant([["a"], ["b", "c"]]))


PIPED = {
    "StringLookup": lambda: layers.StringLookup(vocabulary=WORDS),
    "StringLookup, nothing unknown": lambda: layers.StringLookup(vocabulary=[*WORDS, "über", "moon", ""], num_oov_indices=0),
    "StringLookup, vectors": lambda: layers.StringLookup(vocabulary=WORDS, output_mode="multi_hot"),
    "TextVectorization": lambda: layers.TextVectorization(vocabulary=WORDS, split=None),
    "Hashing": lambda: layers.Hashing(7),
    "HashedCrossing": lambda: (lambda x: layers.HashedCrossing(9)([x[..., 0], x[..., 1]])),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPED)
def test_strings_in_the_map_of_a_dataset(name):
    import tensorflow as tf

    layer = PIPED[name]()
    expected = np.asarray(layer(np.array(DATA, object)))
    rows = tf.data.Dataset.from_tensor_slices(DATA)
    batches = rows.batch(1).map(layer)
    assert batches.element_spec.shape.as_list() == [None, *expected.shape[1:]]
    assert batches.element_spec.dtype == expected.dtype
    assert np.array_equal(np.concatenate(list(batches.as_numpy_iterator())), expected)
    if name != "StringLookup, vectors":  # of which a row alone is one example
        single = rows.map(layer)
        assert single.element_spec.shape.as_list() == list(expected.shape[1:])
        assert np.array_equal(np.stack(list(single.as_numpy_iterator())), expected)


def test_texts_of_any_length_in_the_map_of_a_dataset():
    import tensorflow as tf

    layer = layers.TextVectorization(vocabulary=WORDS)
    mapped = tf.data.Dataset.from_tensor_slices(["sea wind", "fire", "wind wind sea"]).batch(2).map(layer)
    assert mapped.element_spec.shape.as_list() == [None, None]
    assert [one.shape for one in mapped.as_numpy_iterator()] == [(2, 2), (1, 3)]
    back = layers.StringLookup(vocabulary=WORDS, invert=True)
    words = tf.data.Dataset.from_tensor_slices([1, 2, 0]).map(back)
    assert [one.decode() for one in words.as_numpy_iterator()] == [*back([1, 2]), "[UNK]"]


def test_strings_in_a_dataset_of_torch():
    import torch

    layer = layers.TextVectorization(vocabulary=WORDS, output_sequence_length=2)

    class Texts(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return layer(["sea wind", "fire", "wind wind sea"][i])

    (batch,) = torch.utils.data.DataLoader(Texts(), batch_size=3)
    assert np.array_equal(batch.numpy(), layer(["sea wind", "fire", "wind wind sea"]))


def test_a_standard_of_the_users_may_be_made_of_tensorflows_operations():
    """As in keras.io's text classification from scratch: `tf.strings` in ``standardize``, the layer in a map."""
    tf = pytest.importorskip("tensorflow")

    def standard(texts):
        return tf.strings.regex_replace(tf.strings.lower(texts), "<br />", " ")

    given = {
        "standardize": standard,
        "split": lambda texts: tf.strings.split(texts),
        "output_sequence_length": 3,
    }
    texts = tf.data.Dataset.from_tensor_slices(["Sea<br />sea wind", "fire"]).batch(2)
    found = []
    for layer in pair("TextVectorization", **given):
        layer.adapt(texts)
        found.append(next(iter(texts.map(layer))).numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(
    ("name", "vocabulary", "rows"),
    [("IntegerLookup", [5, 6], [[6], [5]]), ("StringLookup", ["sea", "wind"], [["wind"], ["sea"]])],
)
def test_lookups_without_unknown_entries_are_mapped(name, vocabulary, rows, batched):
    """What the layer does is found out by values that it knows: zeros and texts of ours it would refuse."""
    tf = pytest.importorskip("tensorflow")
    layer = getattr(layers, name)(vocabulary=vocabulary, num_oov_indices=0)
    data = tf.data.Dataset.from_tensor_slices(rows)
    found = list((data.batch(2) if batched else data).map(layer))
    np.testing.assert_array_equal(np.reshape(found, -1), [1, 0])
