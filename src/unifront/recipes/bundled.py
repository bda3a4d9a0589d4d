"""Small tables and texts that need no file and no network.

``titanic``: who was saved, by class, sex and age: 2,201 rows, from the counts of Dawson (1995), *The "unusual episode"
data revisited*, Journal of Statistics Education 3. ``airline``: thousands of passengers a month, 1949 to 1960: series G
of Box and Jenkins (1970), *Time series analysis*. ``sonnets``: of Shakespeare (1609). ``iris``: scikit-learn's.
"""

from __future__ import annotations

import itertools
from importlib import resources

import numpy as np

import unifront as uf

Columns = dict[str, np.ndarray]

_PASSENGERS = (
    112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118,
    115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140,
    145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166,
    171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194,
    196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201,
    204, 188, 235, 227, 234, 264, 302, 293, 259, 229, 203, 229,
    242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278,
    284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306,
    315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336,
    340, 318, 362, 348, 363, 435, 491, 505, 404, 359, 310, 337,
    360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405,
    417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432,
)  # fmt: skip
_TITANIC = {
    ("male", "child", "no"): (0, 0, 35, 0),
    ("female", "child", "no"): (0, 0, 17, 0),
    ("male", "adult", "no"): (118, 154, 387, 670),
    ("female", "adult", "no"): (4, 13, 89, 3),
    ("male", "child", "yes"): (5, 11, 13, 0),
    ("female", "child", "yes"): (1, 13, 14, 0),
    ("male", "adult", "yes"): (57, 14, 75, 192),
    ("female", "adult", "yes"): (140, 80, 76, 20),
}
"""Sex, age, survived: the number of people in first, second and third class, and of the crew."""


def titanic() -> Columns:
    """Kinds in all columns."""
    rows = [
        row
        for (sex, age, survived), counts in _TITANIC.items()
        for place, count in zip(("first", "second", "third", "crew"), counts, strict=True)
        for row in itertools.repeat((place, sex, age, survived), count)
    ]
    columns = zip(*rows, strict=True)
    return {
        name: np.array(one, object)
        for name, one in zip(("class", "sex", "age", "survived"), columns, strict=True)
    }


def iris() -> Columns:
    """Four lengths in cm, and the species."""
    (x, y), _ = uf.datasets.iris.load_data(test_split=0.0)
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    species = np.array(["setosa", "versicolor", "virginica"], object)
    return {**{name: x[:, i].astype(np.float64) for i, name in enumerate(names)}, "species": species[y]}


def airline() -> Columns:
    """One column of numbers, a month a row."""
    return {"passengers": np.array(_PASSENGERS, np.float64)}


def sonnets() -> str:
    """Some of the sonnets."""
    return (resources.files(__package__) / "shipped" / "sonnets.txt").read_text(encoding="utf-8")


TABLES = {"titanic": titanic, "iris": iris}
SERIES = {"airline": airline}
TEXTS = {"sonnets": sonnets}
