"""Seeds as Keras takes them: a number, a `SeedGenerator`, or None for what the call around draws from."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from unifront.backends import HostKey
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.elementwise import add, cast
from unifront.opset.random import fold_in
from unifront.opset.shape import unstack
from unifront.opset.tensor import update
from unifront.opset.threefry import key_words, random_key
from unifront.weights import Variable

RNGS = ("native", "portable")
_rng: list[str] = ["native"]
_fresh: list[Callable[[], Any]] = []


def set_rng(rng: str) -> None:
    """Choose what draws random numbers from now on, in models traced, layers called, and by `unifront.random`.

    Args:
        rng: ``"native"`` for each backend's own fast generators, whose numbers differ; or ``"portable"`` for one
            generator (Threefry-2x32), whose bits are the same on every backend, so that dropout and augmentation
            agree. Normal, gamma and beta numbers agree to the last digits, as logarithms do. It is slower, most of all
            in PyTorch.

    Raises `UnknownName` for anything else.

    Example::

        uf.set_rng("portable")
    """
    if rng not in RNGS:
        raise UnknownName("rng", rng, RNGS)
    _rng[:] = [rng]


def current_rng() -> str:
    """What `set_rng` has chosen."""
    return _rng[-1]


def first_key(key: Any) -> Any:
    """The key of a call as its draws take it: native, or two words for the portable generator."""
    return key_words(key) if current_rng() == "portable" else key


def set_fresh_key(function: Callable[[], Any]) -> None:
    """Let ``function`` give the key of each draw that is told no seed (`unifront.trace` does)."""
    _fresh[:] = [function]


def drawn_seed() -> int:
    """31 bits of the operating system's. (`secrets` would load OpenSSL for them.)"""
    return int.from_bytes(os.urandom(4)) >> 1


class SeedGenerator:
    """Seeds, another one at each draw; the numbers of one generator are repeatable.

    Its state, two integers that count on, is a variable that no optimizer changes. While a graph is traced the draws
    are in the graph, and so are the new states.

    Args:
        seed: an int; one from the operating system unless given.
        name: of its state.

    Example::

        seeds = uf.random.SeedGenerator(42)
        uf.random.normal((2, 3), seed=seeds)
        uf.random.normal((2, 3), seed=seeds)  # other numbers
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **options: Any) -> None:
        options.pop("backend", None)  # Keras's own layers give it
        if options:
            wrong = UnknownName("argument of SeedGenerator", next(iter(options)), ["seed", "name"])
            raise ArgumentError(f"Unrecognized keyword arguments: {options}. {wrong}")
        if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool)):
            raise ArgumentError(f"Argument `seed` must be an integer (or None), not {seed!r}.")
        self.name = name or "seed_generator"
        self.seed = None if seed is None else int(seed)
        first = drawn_seed() if self.seed is None else self.seed
        state = np.array([_signed(first), 0], np.int32)
        self.state = Variable.at(
            f"{self.name}/seed_generator_state", (2,), "int32", initial=state, trainable=False, scoped=False
        )

    def next(self, ordered: bool = True) -> Any:
        """The state, two integers, which then counts on. ``ordered`` is Keras's, and changes nothing."""
        before = add(self.state, np.zeros(2, np.int32))
        update(self.state, add(before, np.array([0, 1], np.int32)))
        return before

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator as it was when new."""
        return cls(**config)


def _signed(number: int) -> int:
    """The lower 32 bits of a number, as a signed one."""
    return ((number & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def drawn_key(seed: Any) -> Any:
    """The key of one draw.

    Args:
        seed: an int, which gives the same key each time; a `SeedGenerator`; None for a key that no other draw has; or a
            key, native or portable, which is taken as it is.
    """
    if seed is None:
        if not _fresh:
            importlib.import_module("unifront.trace")  # it sets that; no layer or model has loaded it before
        return _fresh[0]()
    if isinstance(seed, HostKey):
        return seed
    if isinstance(seed, SeedGenerator):
        state = cast(seed.next(), "int32")
        if current_rng() == "native":
            return random_key(state)
        first, count = unstack(state)
        return fold_in(fold_in(np.zeros(2, np.uint32), first), count)
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return first_key(HostKey(int(seed) & 0xFFFFFFFFFFFFFFFF))
    if getattr(seed, "dtype", None) is not None or hasattr(seed, "seed"):
        return seed
    raise ArgumentError(
        f"Argument `seed` must be either an integer or an instance of `SeedGenerator` (or None), not {seed!r}."
    )
