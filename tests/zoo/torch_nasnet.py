"""NASNet-A (6 @ 4032) as a torch module under timm's names, of any number of cells and filters."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional


def same(x: Tensor, size: int, stride: int, fill: float = 0.0) -> Tensor:
    """``x`` padded as TensorFlow's "same"."""
    pads: list[int] = []
    for n in reversed(x.shape[2:]):
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads, value=fill)


def largest(x: Tensor) -> Tensor:
    return functional.max_pool2d(same(x, 3, 2, -torch.inf), 3, 2)


def mean(x: Tensor, stride: int = 1) -> Tensor:
    """Of what is not padded."""
    found, counts = (
        functional.avg_pool2d(same(one, 3, stride), 3, stride) for one in (x, torch.ones_like(x[:1, :1]))
    )
    return found / counts


def norm(filters: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(filters, eps=1e-3)


class Named(nn.Module):
    """Modules by name."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Branch(nn.Module):
    """ReLU, separable convolution and batch norm, twice."""

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        for n, inputs, step in ((1, channels, stride), (2, filters, 1)):
            depthwise = nn.Conv2d(inputs, inputs, size, step, groups=inputs, bias=False)
            pointwise = nn.Conv2d(inputs, filters, 1, bias=False)
            self.add_module(f"separable_{n}", Named(depthwise_conv2d=depthwise, pointwise_conv2d=pointwise))
            self.add_module(f"bn_sep_{n}", norm(filters))

    def forward(self, x: Tensor) -> Tensor:
        for n, stride in ((1, self.stride), (2, 1)):
            parts = self.get_submodule(f"separable_{n}")
            x = parts.depthwise_conv2d(same(x.relu(), self.size, stride))
            x = self.get_submodule(f"bn_sep_{n}")(parts.pointwise_conv2d(x))
        return x


class Cell(nn.Module):
    """What both kinds begin with: ``h`` of ``x``, and ``p`` of the cell before, halved or not (``how``; None: as it is)."""

    branches: ClassVar[dict[str, tuple[int, int, bool]]]
    """Name: size, stride, whether of ``h``."""

    def __init__(self, channels: int, before: int, filters: int, how: str | None) -> None:
        super().__init__()
        self.conv_1x1 = Named(conv=nn.Conv2d(channels, filters, 1, bias=False), bn=norm(filters))
        self.how = how
        if how == "halved":
            self.path_1, self.path_2 = (
                Named(conv=nn.Conv2d(before, filters // 2, 1, bias=False)) for _ in (1, 2)
            )
            self.final_path_bn = norm(filters)
        elif how == "projected":
            self.conv_prev_1x1 = Named(conv=nn.Conv2d(before, filters, 1, bias=False), bn=norm(filters))
        adjusted = before if how is None else filters
        for name, (size, stride, of_h) in self.branches.items():
            branch = Branch(filters if of_h else adjusted, filters, size, stride)
            self.add_module(f"comb_iter_{name}", branch)

    def begun(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        h = self.conv_1x1.bn(self.conv_1x1.conv(x.relu()))
        if self.how == "halved":
            p = p.relu()
            moved = functional.pad(p, (-1, 1, -1, 1))
            paths = self.path_1.conv(p[..., ::2, ::2]), self.path_2.conv(moved[..., ::2, ::2])
            p = self.final_path_bn(torch.cat(paths, 1))
        elif self.how == "projected":
            p = self.conv_prev_1x1.bn(self.conv_prev_1x1.conv(p.relu()))
        return h, p

    def branch(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(f"comb_iter_{name}")(x)


class Reduction(Cell):
    branches: ClassVar = {
        "0_left": (5, 2, True), "0_right": (7, 2, False), "1_right": (7, 2, False), "2_right": (5, 2, False),
        "4_left": (3, 1, True),
    }  # fmt: skip

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        h, p = self.begun(x, p)
        x0 = self.branch("0_left", h) + self.branch("0_right", p)
        x1 = largest(h) + self.branch("1_right", p)
        x2 = mean(h, 2) + self.branch("2_right", p)
        return torch.cat([x1, x2, mean(x0) + x1, self.branch("4_left", x0) + largest(h)], 1)


class Normal(Cell):
    branches: ClassVar = {
        "0_left": (5, 1, True), "0_right": (3, 1, False), "1_left": (5, 1, False), "1_right": (3, 1, False),
        "4_left": (3, 1, True),
    }  # fmt: skip

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        h, p = self.begun(x, p)
        x0 = self.branch("0_left", h) + self.branch("0_right", p)
        x1 = self.branch("1_left", p) + self.branch("1_right", p)
        return torch.cat([p, x0, x1, mean(h) + p, 2 * mean(p), self.branch("4_left", h) + h], 1)


class NASNet(nn.Module):
    """A cell takes what the two before it gave; a reduction's input is that of the cell behind it too."""

    def __init__(self, classes: int, penultimate: int, blocks: int, stem: int) -> None:
        super().__init__()
        filters = penultimate // 24
        self.blocks = blocks
        self.conv0 = Named(conv=nn.Conv2d(3, stem, 3, 2, bias=False), bn=norm(stem))
        self.cell_stem_0 = Reduction(stem, stem, filters // 4, None)
        self.cell_stem_1 = Reduction(filters, stem, filters // 2, "halved")
        x, p, how = 2 * filters, filters, "halved"
        for stage in range(3):
            own = filters * 2**stage
            if stage:
                self.add_module(f"reduction_cell_{stage - 1}", Reduction(x, p, own, "projected"))
                x, how = 4 * own, "halved"
            for i in range(blocks):
                self.add_module(f"cell_{stage * blocks + i}", Normal(x, p, own, how))
                x, p, how = 6 * own, x, "projected"
        self.last_linear = nn.Linear(x, classes)

    def forward(self, x: Tensor) -> Tensor:
        start = self.conv0.bn(self.conv0.conv(x))
        p = self.cell_stem_0(start, start)
        x = self.cell_stem_1(p, start)
        for stage in range(3):
            if stage:
                x = self.get_submodule(f"reduction_cell_{stage - 1}")(x, p)
            for i in range(self.blocks):
                x, p = self.get_submodule(f"cell_{stage * self.blocks + i}")(x, p), x
        return self.last_linear(x.relu().mean((2, 3)))
