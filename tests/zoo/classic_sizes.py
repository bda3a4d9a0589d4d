"""Options that make the classic CNNs of the zoo small."""

from typing import Any

import unifront as uf

_SMALL: dict[str, Any] = {"input_shape": (32, 32, 3), "classes": 5}

CLASSIC: dict[str, dict[str, Any]] = {
    **{name: _SMALL | {"input_shape": (67, 67, 3), "units": 16} for name in ("alexnet", "alexnet_owt")},
    "overfeat": _SMALL | {"input_shape": (71, 71, 3), "units": (16, 16)},
    **{name: _SMALL | {"units": 16} for name in uf.zoo.list("vgg*")},
    **{name: _SMALL | {"input_shape": (64, 64, 3)} for name in ("googlenet", *uf.zoo.list("squeezenet*"))},
    **dict.fromkeys(uf.zoo.list("densenet*"), _SMALL),
    **dict.fromkeys(
        ("inception_v3", "inception_resnet_v2", "xception"), _SMALL | {"input_shape": (75, 75, 3)}
    ),
    **{
        name: _SMALL | {"penultimate_filters": 96, "num_blocks": 1, "stem_block_filters": 8}
        for name in uf.zoo.list("nasnet*")
    },
    "highway": {"features": 8, "units": 6, "depth": 8},
}
QUICK = ("alexnet", "highway", "squeezenet1_1")
"""Those that the default run of the tests goes through."""
