"""Models as torchvision and timm write them: torch modules under their names, as small as shows each kind of part."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def group(
    channels: int, filters: int, size: int = 3, strides: int = 1, groups: int = 1, act: Any = nn.ReLU,
    epsilon: float = 1e-5,
) -> nn.Sequential:  # fmt: skip
    """Convolution, batch normalization, activation."""
    conv = nn.Conv2d(channels, filters, size, strides, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters, eps=epsilon), *([act()] if act else []))


class Squeeze(nn.Module):
    def __init__(self, channels: int, squeezed: int, act: Any, gate: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x: Any) -> Any:
        return x * self.gate(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))


class Residual(nn.Module):
    """What is added to its input if the shapes allow; its parts are in ``attribute``."""

    def __init__(self, attribute: str, *parts: nn.Module, add: bool) -> None:
        super().__init__()
        self.attribute, self.add = attribute, add
        setattr(self, attribute, nn.Sequential(*parts))

    def forward(self, x: Any) -> Any:
        y = getattr(self, self.attribute)(x)
        return x + y if self.add else y


class Classifier(nn.Module):
    """torchvision's ``features`` and ``classifier``."""

    def __init__(self, features: list[nn.Module], classifier: list[nn.Module]) -> None:
        super().__init__()
        self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(width: int = 16, classes: int = 5) -> nn.Module:
    """At alpha=0.35: the widths below are those of the paper, by 0.35 and rounded to 8."""
    features: list[nn.Module] = [group(3, width, 3, 2, act=nn.ReLU6)]
    channels = width
    stages = (
        (1, 8, 1, 1),
        (6, 8, 2, 2),
        (6, 16, 3, 2),
        (6, 24, 4, 2),
        (6, 32, 3, 1),
        (6, 56, 3, 2),
        (6, 112, 1, 1),
    )
    for expansion, filters, blocks, strides in stages:
        for i in range(blocks):
            inner, step = expansion * channels, 1 if i else strides
            expand = [group(channels, inner, 1, act=nn.ReLU6)] if expansion > 1 else []
            features.append(
                Residual(
                    "conv", *expand, group(inner, inner, 3, step, inner, nn.ReLU6),
                    nn.Conv2d(inner, filters, 1, bias=False), nn.BatchNorm2d(filters),
                    add=step == 1 and channels == filters,
                )
            )  # fmt: skip
            channels = filters
    return Classifier(
        [*features, group(channels, 1280, 1, act=nn.ReLU6)], [nn.Dropout(), nn.Linear(1280, classes)]
    )


def mobilenet_v3_small(classes: int = 5) -> nn.Module:
    rows = (
        (16, 16, 3, 2, True, nn.ReLU), (72, 24, 3, 2, False, nn.ReLU), (88, 24, 3, 1, False, nn.ReLU),
        (96, 40, 5, 2, True, nn.Hardswish), *[(240, 40, 5, 1, True, nn.Hardswish)] * 2,
        (120, 48, 5, 1, True, nn.Hardswish), (144, 48, 5, 1, True, nn.Hardswish),
        (288, 96, 5, 2, True, nn.Hardswish), *[(576, 96, 5, 1, True, nn.Hardswish)] * 2,
    )  # fmt: skip
    features: list[nn.Module] = [group(3, 16, 3, 2, act=nn.Hardswish, epsilon=1e-3)]
    channels = 16
    for inner, filters, size, strides, squeeze, act in rows:
        parts: list[nn.Module] = (
            [group(channels, inner, 1, act=act, epsilon=1e-3)] if inner != channels else []
        )
        parts.append(group(inner, inner, size, strides, inner, act, 1e-3))
        if squeeze:
            parts.append(Squeeze(inner, (inner // 4 + 4) // 8 * 8 or 8, nn.ReLU, nn.Hardsigmoid))
        parts.append(group(inner, filters, 1, act=None, epsilon=1e-3))
        features.append(Residual("block", *parts, add=strides == 1 and channels == filters))
        channels = filters
    features.append(group(channels, 576, 1, act=nn.Hardswish, epsilon=1e-3))
    return Classifier(
        features, [nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(), nn.Linear(1024, classes)]
    )


def efficientnet(rows: Any, stem: int, top: int, epsilon: float, classes: int = 5) -> nn.Module:
    """``rows``: expansion, filters, blocks, size, strides, fused."""
    features: list[nn.Module] = [group(3, stem, 3, 2, act=nn.SiLU, epsilon=epsilon)]
    channels = stem
    for expansion, filters, blocks, size, strides, fused in rows:
        stage = []
        for i in range(blocks):
            inner, step = expansion * channels, 1 if i else strides
            if fused:
                parts = [
                    group(
                        channels,
                        inner if expansion > 1 else filters,
                        size,
                        step,
                        act=nn.SiLU,
                        epsilon=epsilon,
                    )
                ]
                parts += [group(inner, filters, 1, act=None, epsilon=epsilon)] if expansion > 1 else []
            else:
                parts = [group(channels, inner, 1, act=nn.SiLU, epsilon=epsilon)] if expansion > 1 else []
                parts += [
                    group(inner, inner, size, step, inner, nn.SiLU, epsilon),
                    Squeeze(inner, max(1, channels // 4), nn.SiLU, nn.Sigmoid),
                    group(inner, filters, 1, act=None, epsilon=epsilon),
                ]
            stage.append(Residual("block", *parts, add=step == 1 and channels == filters))
            channels = filters
        features.append(nn.Sequential(*stage))
    return Classifier(
        [*features, group(channels, top, 1, act=nn.SiLU, epsilon=epsilon)],
        [nn.Dropout(), nn.Linear(top, classes)],
    )


class ShuffleBlock(nn.Module):
    def __init__(self, channels: int, filters: int, strides: int) -> None:
        super().__init__()
        half = filters // 2
        if strides == 2:
            depthwise = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)
            self.branch1 = nn.Sequential(depthwise, nn.BatchNorm2d(channels), *group(channels, half, 1))
        self.branch2 = nn.Sequential(
            *group(channels if strides == 2 else half, half, 1), *group(half, half, 3, strides, half, None),
            *group(half, half, 1),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        if hasattr(self, "branch1"):
            parts = [self.branch1(x), self.branch2(x)]
        else:
            left, right = x.chunk(2, dim=1)
            parts = [left, self.branch2(right)]
        return nn.functional.channel_shuffle(torch.cat(parts, 1), 2)


class ShuffleNet(nn.Module):
    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = group(3, 24, 3, 2)
        channels = 24
        for stage, filters, blocks in ((2, 48, 4), (3, 96, 8), (4, 192, 4)):
            parts = [
                ShuffleBlock(channels if not i else filters, filters, 1 if i else 2) for i in range(blocks)
            ]
            setattr(self, f"stage{stage}", nn.Sequential(*parts))
            channels = filters
        self.conv5, self.fc = group(192, 1024, 1), nn.Linear(1024, classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        return self.fc(self.conv5(self.stage4(self.stage3(self.stage2(x)))).mean((2, 3)))


class RegNetBlock(nn.Module):
    def __init__(self, channels: int, filters: int, strides: int, width: int, squeeze: bool) -> None:
        super().__init__()
        if strides > 1 or channels != filters:
            self.proj = group(channels, filters, 1, strides, act=None)
        self.f = nn.Sequential()
        self.f.add_module("a", group(channels, filters, 1))
        self.f.add_module("b", group(filters, filters, 3, strides, filters // width))
        if squeeze:
            self.f.add_module("se", Squeeze(filters, round(channels / 4), nn.ReLU, nn.Sigmoid))
        self.f.add_module("c", group(filters, filters, 1, act=None))

    def forward(self, x: Any) -> Any:
        return F.relu((self.proj(x) if hasattr(self, "proj") else x) + self.f(x))


class RegNet(nn.Module):
    """``rows``: filters, blocks, width of groups."""

    def __init__(self, rows: Any, squeeze: bool, classes: int = 5) -> None:
        super().__init__()
        self.stem, self.trunk_output, channels = group(3, 32, 3, 2), nn.Sequential(), 32
        for stage, (filters, blocks, width) in enumerate(rows, 1):
            part = nn.Sequential()
            for i in range(blocks):
                block = RegNetBlock(channels, filters, 1 if i else 2, width, squeeze)
                part.add_module(f"block{stage}-{i}", block)
                channels = filters
            self.trunk_output.add_module(f"block{stage}", part)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        return self.fc(self.trunk_output(self.stem(x)).mean((2, 3)))


class Norm2d(nn.LayerNorm):
    def __init__(self, filters: int) -> None:
        super().__init__(filters, eps=1e-6)

    def forward(self, x: Any) -> Any:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.permute(self.axes)


class ConvNeXtBlock(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.ones(filters, 1, 1))
        self.block = nn.Sequential(
            nn.Conv2d(filters, filters, 7, padding=3, groups=filters), Permute(0, 2, 3, 1),
            nn.LayerNorm(filters, eps=1e-6), nn.Linear(filters, 4 * filters), nn.GELU(),
            nn.Linear(4 * filters, filters), Permute(0, 3, 1, 2),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return x + self.layer_scale * self.block(x)


class ConvNeXt(nn.Module):
    def __init__(self, depths: Any, filters: Any, classes: int = 5) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, filters[0], 4, 4), Norm2d(filters[0]))]
        for stage, (depth, wide) in enumerate(zip(depths, filters, strict=True)):
            if stage:
                before = filters[stage - 1]
                parts.append(nn.Sequential(Norm2d(before), nn.Conv2d(before, wide, 2, 2)))
            parts.append(nn.Sequential(*(ConvNeXtBlock(wide) for _ in range(depth))))
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(Norm2d(filters[-1]), nn.Flatten(), nn.Linear(filters[-1], classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3), keepdim=True))


class ViTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Any) -> Any:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    def __init__(self, side: int, patch: int, width: int, depth: int, heads: int, classes: int = 5) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, 1 + (side // patch) ** 2, width))
        self.encoder.layers = nn.Sequential()
        for i in range(depth):
            self.encoder.layers.add_module(f"encoder_layer_{i}", ViTBlock(width, heads))
        self.encoder.ln = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(width, classes))

    def forward(self, x: Any) -> Any:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.encoder.pos_embedding
        return self.heads(self.encoder.ln(self.encoder.layers(x))[:, 0])


class TimmAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, steps, width))


class TimmViTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = TimmAttention(width, heads), nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class TimmViT(nn.Module):
    def __init__(self, side: int, patch: int, width: int, depth: int, heads: int, classes: int = 5) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(TimmViTBlock(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def _conv3d(channels: int, filters: int, size: Any, strides: Any) -> nn.Conv3d:
    return nn.Conv3d(channels, filters, size, strides, [one // 2 for one in size], bias=False)


def _factored(channels: int, filters: int, middle: int, strides: int) -> nn.Sequential:
    space = _conv3d(channels, middle, (1, 3, 3), (1, strides, strides))
    return nn.Sequential(
        space, nn.BatchNorm3d(middle), nn.ReLU(), _conv3d(middle, filters, (3, 1, 1), (strides, 1, 1))
    )  # fmt: skip


class VideoBlock(nn.Module):
    def __init__(self, channels: int, filters: int, strides: int) -> None:
        super().__init__()
        middle = channels * filters * 27 // (channels * 9 + 3 * filters)
        first = _factored(channels, filters, middle, strides)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(filters), nn.ReLU())
        self.conv2 = nn.Sequential(_factored(filters, filters, middle, 1), nn.BatchNorm3d(filters))
        if strides > 1:
            shortcut = nn.Conv3d(channels, filters, 1, strides, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(filters))

    def forward(self, x: Any) -> Any:
        y = self.conv2(self.conv1(x))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class R2Plus1D(nn.Module):
    def __init__(self, width: int, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv3d(3, 45, (1, 7, 7), (1, 2, 2)), nn.BatchNorm3d(45), nn.ReLU(),
            _conv3d(45, width, (3, 1, 1), (1, 1, 1)), nn.BatchNorm3d(width), nn.ReLU(),
        )  # fmt: skip
        channels = width
        for stage in range(1, 5):
            filters = width * 2 ** (stage - 1)
            blocks = VideoBlock(channels, filters, 2 if stage > 1 else 1), VideoBlock(filters, filters, 1)
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            channels = filters
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))).mean((2, 3, 4)))
