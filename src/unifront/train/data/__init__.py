"""Data for training: arrays, tables or sources of batches, checked against the model once, cast once."""

from unifront.train.data.ahead import Ahead
from unifront.train.data.arrays import Arrays, forget_pages, gathered, mapped_by, split
from unifront.train.data.inputs import (
    check_inputs,
    check_whole_batches,
    fitted,
    free_sizes,
    inputs_in,
    no_outputs,
    own_arrays,
    size_of_batches,
    sizes_of,
)
from unifront.train.data.py_dataset import PyDataset
from unifront.train.data.sources import ENDLESS, Stream, batches_of, is_stream, kind_of, no_batch, warn_of_end
from unifront.train.data.tables import batch_of_columns, named_columns
from unifront.train.data.targets import check_targets, check_weights
from unifront.train.data.types import is_for, like_the_first, types_of

__all__ = [
    "ENDLESS",
    "Ahead",
    "Arrays",
    "PyDataset",
    "Stream",
    "batch_of_columns",
    "batches_of",
    "check_inputs",
    "check_targets",
    "check_weights",
    "check_whole_batches",
    "fitted",
    "forget_pages",
    "free_sizes",
    "gathered",
    "inputs_in",
    "is_for",
    "is_stream",
    "kind_of",
    "like_the_first",
    "mapped_by",
    "named_columns",
    "no_batch",
    "no_outputs",
    "own_arrays",
    "size_of_batches",
    "sizes_of",
    "split",
    "types_of",
    "warn_of_end",
]
