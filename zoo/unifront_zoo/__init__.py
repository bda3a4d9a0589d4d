"""unifront's own models: one family per file, each registered with `unifront.zoo.register`.

A family is imported when one of its models is asked for: here is which file has which.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from unifront.zoo import families

FAMILIES = {
    "alexnet": ("alexnet", "alexnet_owt"),
    "char_lm": ("char_gru", "char_lstm"),
    "conv_lstm": ("conv_lstm",),
    "convnext": ("convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "convnext_xlarge"),
    "deep_speech": ("deep_speech2",),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "digits": ("digits_cnn",),
    "efficientnet": (
        "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
        "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_b0",
        "efficientnet_v2_b1", "efficientnet_v2_b2", "efficientnet_v2_b3", "efficientnet_v2_l",
        "efficientnet_v2_m", "efficientnet_v2_s",
    ),
    "fcn": ("fcn16s", "fcn32s", "fcn8s"),
    "googlenet": ("googlenet",),
    "gpt": ("gpt2", "gpt2_large", "gpt2_medium", "gpt2_xl"),
    "highway": ("highway",),
    "imdb": ("imdb_gru", "rosetta_imdb"),
    "inception": ("inception_resnet_v2", "inception_v3"),
    "lenet": ("lenet5",),
    "lstm_classifier": ("lstm_classifier",),
    "mlp": ("mlp",),
    "mobilenet": ("mobilenet", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    "nasnet": ("nasnet_large", "nasnet_mobile"),
    "overfeat": ("overfeat",),
    "ptb": ("ptb_large", "ptb_medium", "ptb_small"),
    "recommender": ("sparse_autoencoder", "wide_deep"),
    "regnet": (
        "regnet_x_12gf", "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_200mf", "regnet_x_32gf",
        "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_4gf", "regnet_x_600mf", "regnet_x_6_4gf",
        "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf", "regnet_y_12gf", "regnet_y_16gf",
        "regnet_y_1_6gf", "regnet_y_200mf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf",
        "regnet_y_4gf", "regnet_y_600mf", "regnet_y_6_4gf", "regnet_y_800mf", "regnet_y_8gf",
    ),
    "resnet": (
        "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d",
        "resnext101_64x4d", "resnext50_32x4d", "wide_resnet101_2", "wide_resnet50_2",
    ),
    "resnet_v2": ("resnet101v2", "resnet152v2", "resnet18v2", "resnet34v2", "resnet50v2"),
    "rosetta": ("rosetta_cifar",),
    "seq2seq": ("seq2seq_bahdanau", "seq2seq_luong"),
    "shufflenet": ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    "squeezenet": ("squeezenet1_0", "squeezenet1_1"),
    "ssd": ("ssd300",),
    "tagger": ("bilstm_crf",),
    "transformer": ("transformer", "transformer_classifier"),
    "tree_lstm": ("tree_lstm_binary", "tree_lstm_child_sum"),
    "unet": ("unet",),
    "vgg": ("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    "video": ("c3d", "r2plus1d_18", "r3d_18"),
    "vit": ("vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "vit_s_16", "vit_ti_16"),
    "xception": ("xception",),
}  # fmt: skip

families({f"{__name__}.{family}": names for family, names in FAMILIES.items()})


def __getattr__(name: str) -> ModuleType:
    if name in FAMILIES or name == "decoding":
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *FAMILIES, "decoding"])
