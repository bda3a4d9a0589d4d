"""``with uf.backend("jax"):`` and ``keras.backend``'s functions: ``uf.backend.floatx()``.

To Python a package's attribute and its submodule of that name are one thing, and programs want both: a scope to call,
and a namespace that ``from keras import backend as K`` and ``import keras.backend`` find. So what stands under the
name is neither a module nor a function: it is the one object of `Namespace`, which takes this module's place.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from unifront import keras_backend as functions
from unifront.backends import Placement, use_backend

if TYPE_CHECKING:  # to a type checker a module's names are its own
    from unifront.keras_backend import *  # noqa: F403  # all of them, as `Namespace` has them


class Namespace:
    """Called with a backend's name, a scope in which that is the default; it has ``keras.backend``'s functions.

    Example::

        with uf.backend("numpy"):
            print(uf.backend.backend(), uf.backend.floatx())
    """

    backend = staticmethod(functions.backend)
    clear_session = staticmethod(functions.clear_session)
    device = staticmethod(functions.device)
    epsilon = staticmethod(functions.epsilon)
    floatx = staticmethod(functions.floatx)
    get_uid = staticmethod(functions.get_uid)
    image_data_format = staticmethod(functions.image_data_format)
    is_float_dtype = staticmethod(functions.is_float_dtype)
    is_int_dtype = staticmethod(functions.is_int_dtype)
    is_keras_tensor = staticmethod(functions.is_keras_tensor)
    result_type = staticmethod(functions.result_type)
    set_epsilon = staticmethod(functions.set_epsilon)
    set_floatx = staticmethod(functions.set_floatx)
    set_image_data_format = staticmethod(functions.set_image_data_format)
    standardize_dtype = staticmethod(functions.standardize_dtype)

    def __call__(self, name: str | Placement) -> AbstractContextManager[Placement]:
        """A ``with`` block in which ``name`` is the default backend of this thread or task."""
        return use_backend(name)

    def __repr__(self) -> str:
        return "<unifront.backend>"


NAMESPACE: Namespace = Namespace()
# What Python asks of whatever was imported.
vars(NAMESPACE).update(__name__=__name__, __spec__=__spec__, __file__=__file__)
sys.modules[__name__] = NAMESPACE  # type: ignore[assignment]  # no module, on purpose
