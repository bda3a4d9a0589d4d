"""The classic CNNs as torch modules, under the names that torchvision gives them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.classic_judges import scaled


class Classifier(nn.Module):
    """``features``, a pooling to a fixed size, ``classifier``: AlexNet and VGG."""

    def __init__(self, features: list[nn.Module], size: int, classifier: list[nn.Module]) -> None:
        super().__init__()
        self.features, self.size = nn.Sequential(*features), size
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), self.size)
        return self.classifier(x.flatten(1))


def alexnet_owt(classes: int, units: int) -> nn.Module:
    features: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for inside, filters in ((192, 384), (384, 256), (256, 256)):
        features += [nn.Conv2d(inside, filters, 3, 1, 1), nn.ReLU()]
    dense = [nn.Dropout(), nn.Linear(256 * 36, units), nn.ReLU(), nn.Dropout(), nn.Linear(units, units)]
    return Classifier([*features, nn.MaxPool2d(3, 2)], 6, [*dense, nn.ReLU(), nn.Linear(units, classes)])


def vgg(classes: int, units: int, stages: tuple[int, ...], batch_norm: bool) -> nn.Module:
    features: list[nn.Module] = []
    channels = 3
    for depth, filters in zip(stages, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            norm = [nn.BatchNorm2d(filters)] * batch_norm
            features += [nn.Conv2d(channels, filters, 3, 1, 1), *norm, nn.ReLU()]
            channels = filters
        features.append(nn.MaxPool2d(2))
    dense = [
        nn.Linear(512 * 49, units),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Dropout(),
    ]
    return Classifier(features, 7, [*dense, nn.Linear(units, classes)])


# ------------------------------------------------------------------ SqueezeNet 1.1


class Fire(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, 4 * squeezed, 1)
        self.expand3x3 = nn.Conv2d(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


class SqueezeNet(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16), Fire(128, 16), pool(), Fire(128, 32),
            Fire(256, 32), pool(), Fire(256, 48), Fire(384, 48), Fire(384, 64), Fire(512, 64),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).mean((2, 3))


# ------------------------------------------------------------------ DenseNet-121


class DenseLayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


class DenseNet(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, 64, 7, 2, 3, bias=False), norm0=nn.BatchNorm2d(64), relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        channels = 64
        for stage, depth in enumerate((6, 12, 24, 16), 1):
            block: OrderedDict[str, nn.Module] = OrderedDict()
            for i in range(depth):
                block[f"denselayer{i + 1}"] = DenseLayer(channels + 32 * i)
            parts[f"denseblock{stage}"] = nn.Sequential(block)
            channels += 32 * depth
            if stage < 4:
                conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
                parts[f"transition{stage}"] = nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(channels), relu=nn.ReLU(), conv=conv, pool=nn.AvgPool2d(2)
                    )
                )
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features, self.classifier = nn.Sequential(parts), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).relu().mean((2, 3)))


# ------------------------------------------------------------------ GoogLeNet, Inception v3


class ConvBn(nn.Module):
    def __init__(
        self, channels: int, filters: int, size: int | tuple[int, int], stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        sizes = (size, size) if isinstance(size, int) else size
        padding = tuple(n // 2 * same for n in sizes)
        self.conv = nn.Conv2d(channels, filters, sizes, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class InceptionV1(nn.Module):
    def __init__(self, channels: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, project = filters
        self.branch1 = ConvBn(channels, one, 1)
        self.branch2 = nn.Sequential(ConvBn(channels, reduce3, 1), ConvBn(reduce3, three, 3))
        self.branch3 = nn.Sequential(ConvBn(channels, reduce5, 1), ConvBn(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), ConvBn(channels, project, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = (
            ConvBn(channels, 128, 1),
            nn.Linear(2048, 1024),
            nn.Linear(1024, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.adaptive_avg_pool2d(x, 4))
        return self.fc2(self.fc1(x.flatten(1)).relu())


class GoogLeNet(nn.Module):
    def __init__(self, classes: int, modules: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = ConvBn(3, 64, 7, 2), ConvBn(64, 64, 1), ConvBn(64, 192, 3)
        self.numbers, channels = list(modules), 192
        for number, filters in modules.items():
            setattr(self, f"inception{number}", InceptionV1(channels, filters))
            one, _, three, _, five, project = filters
            channels = one + three + five + project
        self.aux1, self.aux2 = Auxiliary(512, classes), Auxiliary(528, classes)
        self.fc = nn.Linear(channels, classes)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        x = functional.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        found = {}
        for number in self.numbers:
            x = getattr(self, f"inception{number}")(x)
            if number in ("4a", "4d"):
                name = {"4a": "aux1", "4d": "aux2"}[number]
                found[name] = getattr(self, name)(x)
            if number in ("3b", "4e"):
                x = functional.max_pool2d(x, 3 if number == "3b" else 2, 2, ceil_mode=True)
        return {"predictions": self.fc(x.mean((2, 3))), **found}

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)["predictions"]


Step = tuple[str, int, int | tuple[int, int]]
"""A module's name, its filters and size."""


class Mixed(nn.Module):
    """Chains of convolutions side by side; ``strided``: their last ones halve the image, beside a max pooling."""

    def __init__(self, channels: int, *chains: tuple[Step, ...], strided: bool = False) -> None:
        super().__init__()
        self.chains, self.strided = [[name for name, _, _ in chain] for chain in chains], strided
        for chain in chains:
            inside = channels
            for i, (name, filters, size) in enumerate(chain):
                last = strided and i == len(chain) - 1
                self.add_module(name, ConvBn(inside, filters, size, 1 + last, same=not last))
                inside = filters

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain in self.chains:
            y = functional.avg_pool2d(x, 3, 1, 1) if chain == ["branch_pool"] else x
            for name in chain:
                y = getattr(self, name)(y)
            found.append(y)
        return torch.cat([*found, functional.max_pool2d(x, 3, 2)] if self.strided else found, 1)


class MixedE(Mixed):
    """The chains of two end in two convolutions side by side, ``a`` and ``b``."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            channels,
            (("branch1x1", 320, 1),),
            (("branch3x3_1", 384, 1),),
            (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)),
            (("branch_pool", 192, 1),),
        )
        for name in ("branch3x3_2", "branch3x3dbl_3"):
            self.add_module(f"{name}a", ConvBn(384, 384, (1, 3)))
            self.add_module(f"{name}b", ConvBn(384, 384, (3, 1)))

    def forward(self, x: Tensor) -> Tensor:
        y, z = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        middle = [
            self.branch3x3_2a(y),
            self.branch3x3_2b(y),
            self.branch3x3dbl_3a(z),
            self.branch3x3dbl_3b(z),
        ]
        pooled = self.branch_pool(functional.avg_pool2d(x, 3, 1, 1))
        return torch.cat([self.branch1x1(x), *middle, pooled], 1)


def mixed_a(channels: int, pooled: int) -> Mixed:
    return Mixed(
        channels,
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        (("branch_pool", pooled, 1),),
    )


def mixed_c(inner: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    double = [(inner, 1), (inner, column), (inner, row), (inner, column), (192, row)]
    return Mixed(
        768,
        (("branch1x1", 192, 1),),
        (("branch7x7_1", inner, 1), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)),
        tuple((f"branch7x7dbl_{i}", *step) for i, step in enumerate(double, 1)),
        (("branch_pool", 192, 1),),
    )


class InceptionAux(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = ConvBn(768, 128, 1), ConvBn(128, 768, 5, same=False)
        self.fc = nn.Linear(768, classes)


class InceptionV3(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvBn(3, 32, 3, 2, same=False)
        self.Conv2d_2a_3x3 = ConvBn(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = ConvBn(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = ConvBn(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvBn(80, 192, 3, same=False)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = mixed_a(192, 32), mixed_a(256, 64), mixed_a(288, 64)
        double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
        self.Mixed_6a = Mixed(288, (("branch3x3", 384, 3),), double, strided=True)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(mixed_c, (128, 160, 160, 192))
        seven = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]
        self.Mixed_7a = Mixed(
            768,
            (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)),
            tuple((f"branch7x7x3_{i}", *step) for i, step in enumerate(seven, 1)),
            strided=True,
        )
        self.Mixed_7b, self.Mixed_7c = MixedE(1280), MixedE(2048)
        self.AuxLogits, self.fc = InceptionAux(classes), nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        for name, module in self.named_children():
            if name not in ("AuxLogits", "fc"):
                x = module(x)
        return self.fc(x.mean((2, 3)))


def randomize(module: nn.Module) -> nn.Module:
    """Weights that keep the size of what passes through, and statistics other than at the start; `eval` mode."""
    with torch.no_grad():
        for i, value in enumerate([*module.parameters(), *module.buffers()]):
            if value.dtype == torch.float32:
                shape = tuple(value.shape)
                value.copy_(torch.from_numpy(scaled(shape, math.prod(shape[1:]), i)))
    return module.eval()


NETS: dict[str, Callable[[], nn.Module]] = {
    "alexnet_owt": lambda: alexnet_owt(5, 16),
    "vgg11": lambda: vgg(5, 16, (1, 1, 2, 2, 2), batch_norm=False),
    "vgg13_bn": lambda: vgg(5, 16, (2, 2, 2, 2, 2), batch_norm=True),
    "squeezenet1_1": lambda: SqueezeNet(5),
    "densenet121": lambda: DenseNet(5),
    "inception_v3": lambda: InceptionV3(5),
}
