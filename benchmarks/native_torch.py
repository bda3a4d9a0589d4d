"""Hand-written PyTorch: the models and the step as an expert writes them.

channels_last   eager, channels-last memory, fused Adam; `nn.LSTM` and `nn.GRU`. This is the native column.
contiguous      eager as PyTorch comes: channels-first memory, Adam as it is by default.
compiled        the first, through `torch.compile`.

PyTorch's defaults stand: `cudnn.benchmark` off, TF32 in cuDNN's convolutions on, in matrix products off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import rows
import torch
from contender import Batches, Contender
from convnets import NETWORKS, Conv, Dense, Inception, Pool
from rows import Row
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Variant:
    channels_last: bool = True
    fused: bool | None = True
    compiled: bool = False


VARIANTS = {
    "channels_last": Variant(),
    "contiguous": Variant(channels_last=False, fused=None),
    "compiled": Variant(compiled=True),
}


class Mlp(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.dense_1 = nn.Linear(64, 128)
        self.dense_2 = nn.Linear(128, 128)
        self.logits = nn.Linear(128, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.dense_1(x))
        x = functional.relu(self.dense_2(x))
        return self.logits(x)


class Chain(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.hidden = nn.Sequential(*(nn.Linear(8, 8) for _ in range(rows.CHAIN)))
        self.logits = nn.Linear(8, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.hidden(x))


class Cifar(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.conv_1 = nn.Conv2d(3, 50, 3, padding=1)
        self.conv_2 = nn.Conv2d(50, 50, 3, padding=1)
        self.conv_3 = nn.Conv2d(50, 100, 3, padding=1)
        self.conv_4 = nn.Conv2d(100, 100, 3, padding=1)
        self.dense = nn.Linear(6400, 512)
        self.logits = nn.Linear(512, row.classes)
        self.rates = row.dropout

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = self.rates
        x = functional.relu(self.conv_1(x), inplace=True)
        x = functional.relu(self.conv_2(x), inplace=True)
        x = functional.dropout(functional.max_pool2d(x, 2), first, self.training)
        x = functional.relu(self.conv_3(x), inplace=True)
        x = functional.relu(self.conv_4(x), inplace=True)
        x = functional.dropout(functional.max_pool2d(x, 2), second, self.training)
        # The dense kernel's rows are in height, width, channel order, which channels-last memory has already.
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = functional.dropout(functional.relu(self.dense(x), inplace=True), third, self.training)
        return self.logits(x)


class Gru(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.embedding = nn.Embedding(row.vocabulary, 125)
        self.gru = nn.GRU(125, 100, batch_first=True)
        self.logits = nn.Linear(100, row.classes)

    def forward(self, words: Tensor) -> Tensor:
        _, last = self.gru(self.embedding(words))
        return self.logits(last[-1])


class Lstm(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.lstm = nn.LSTM(64, 256, num_layers=2, batch_first=True)
        self.logits = nn.Linear(256, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        _, (last, _) = self.lstm(x)
        return self.logits(last[-1])


class _Normalized(nn.Module):
    """A convolution and its batch norm; `forward` is without the ReLU."""

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, size, stride, padding=size // 2)
        momentum = 1 - rows.BATCH_NORM_MOMENTUM
        self.bn = nn.BatchNorm2d(filters, eps=rows.BATCH_NORM_EPSILON, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int, has_shortcut: bool):
        super().__init__()
        self.shortcut = _Normalized(channels, 4 * filters, 1, stride) if has_shortcut else nn.Identity()
        self.first = _Normalized(channels, filters, 1, stride)
        self.second = _Normalized(filters, filters, 3)
        self.third = _Normalized(filters, 4 * filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first(x), inplace=True)
        y = functional.relu(self.second(y), inplace=True)
        y = self.third(y)
        y += self.shortcut(x)
        return functional.relu(y, inplace=True)


class ResNet50(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.conv1 = _Normalized(3, 64, 7, stride=2)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.blocks = nn.Sequential(*(_Bottleneck(*block[1:]) for block in rows.resnet50_blocks()))
        self.predictions = nn.Linear(2048, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(functional.relu(self.conv1(x), inplace=True))
        return self.predictions(self.blocks(x).mean((2, 3)))


class Attention(nn.Module):
    """Self-attention; the three projections in as one product."""

    def __init__(self) -> None:
        super().__init__()
        self.in_weight, self.in_bias = (
            nn.Parameter(torch.empty(*s)) for s in ((3 * rows.WIDTH, rows.WIDTH), (3 * rows.WIDTH,))
        )
        self.out_weight, self.out_bias = (
            nn.Parameter(torch.empty(*s)) for s in ((rows.WIDTH, rows.WIDTH), (rows.WIDTH,))
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = functional.linear(x, self.in_weight, self.in_bias)
        query, key, value = parts.view(batch, tokens, 3, rows.HEADS, -1).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, key, value)
        found = found.transpose(1, 2).reshape(batch, tokens, width)
        return functional.linear(found, self.out_weight, self.out_bias)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(rows.WIDTH, eps=rows.LAYER_NORM_EPSILON)
        self.attention = Attention()
        self.norm_2 = nn.LayerNorm(rows.WIDTH, eps=rows.LAYER_NORM_EPSILON)
        self.expand = nn.Linear(rows.WIDTH, rows.INNER)
        self.project = nn.Linear(rows.INNER, rows.WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.project(functional.gelu(self.expand(self.norm_2(x))))


class Transformer(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.body = nn.Sequential(*(_Block() for _ in range(rows.TRANSFORMER_BLOCKS)))
        self.logits = nn.Linear(rows.WIDTH, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.body(x).mean(1))


class Plain(nn.Conv2d):
    """A convolution without bias."""

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1, groups: int = 1):
        super().__init__(channels, filters, size, stride, size // 2, groups=groups, bias=False)


class Depthwise(Plain):
    def __init__(self, channels: int, stride: int):
        super().__init__(channels, channels, 3, stride, channels)


class _Relu6(nn.Module):
    """A convolution, its batch norm, and ReLU6."""

    def __init__(self, conv: nn.Conv2d, relu: bool = True):
        super().__init__()
        self.conv, self.relu = conv, relu
        momentum = 1 - rows.BATCH_NORM_MOMENTUM
        self.bn = nn.BatchNorm2d(conv.out_channels, eps=rows.BATCH_NORM_EPSILON, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return functional.relu6(x, inplace=True) if self.relu else x


class _Inverted(nn.Module):
    def __init__(self, channels: int, inner: int, filters: int, stride: int):
        super().__init__()
        self.expand = nn.Identity() if inner == channels else _Relu6(Plain(channels, inner, 1))
        self.depthwise = _Relu6(Depthwise(inner, stride))
        self.project = _Relu6(Plain(inner, filters, 1), relu=False)
        self.adds = stride == 1 and channels == filters

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.stem = _Relu6(Plain(3, 32, 3, 2))
        self.body = nn.Sequential(*(_Inverted(*block) for block in rows.mobilenet_v2_blocks()))
        self.head = _Relu6(Plain(320, 1280, 1))
        self.logits = nn.Linear(1280, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.head(self.body(self.stem(x))).mean((2, 3)))


class ConvLstm(nn.Module):
    """All states over time; `[time, batch, channels, height, width]` in and out."""

    def __init__(self, channels: int):
        super().__init__()
        gates = 4 * rows.FILTERS
        self.kernel = nn.Parameter(torch.empty(gates, channels, 3, 3))
        self.recurrent = nn.Parameter(torch.empty(gates, rows.FILTERS, 3, 3))
        self.bias = nn.Parameter(torch.empty(gates))

    def forward(self, x: Tensor) -> Tensor:
        projected = functional.conv2d(x.flatten(0, 1), self.kernel, self.bias, padding=1)
        projected = projected.unflatten(0, x.shape[:2])
        hidden = carry = x.new_zeros(x.shape[1], rows.FILTERS, *x.shape[3:])
        states = []
        for step in projected:
            gates = step + functional.conv2d(hidden, self.recurrent, padding=1)
            i, f, c, o = gates.chunk(4, 1)
            carry = torch.sigmoid(f) * carry + torch.sigmoid(i) * torch.tanh(c)
            hidden = torch.sigmoid(o) * torch.tanh(carry)
            states.append(hidden)
        return torch.stack(states)


class ConvLstms(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        self.convlstm_1, self.convlstm_2 = ConvLstm(3), ConvLstm(rows.FILTERS)
        self.logits = nn.Linear(rows.FILTERS, row.classes)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.permute(1, 0, 4, 2, 3)
        return self.logits(self.convlstm_2(self.convlstm_1(frames))[-1].mean((2, 3)))


class InceptionModule(nn.Module):
    def __init__(self, channels: int, part: Inception):
        super().__init__()
        for name, (size, _, inside, filters) in part.convolutions(channels).items():
            setattr(self, name, nn.Conv2d(inside, filters, size, padding=size // 2))

    def forward(self, x: Tensor) -> Tensor:
        def branch(x: Tensor, *convolutions: nn.Module) -> Tensor:
            for convolution in convolutions:
                x = functional.relu(convolution(x), inplace=True)
            return x

        return torch.cat(
            [
                branch(x, self.one),
                branch(x, self.reduce_3, self.three),
                branch(x, self.reduce_5, self.five),
                branch(functional.max_pool2d(x, 3, 1, 1), self.project),
            ],
            1,
        )


class ConvNet(nn.Module):
    def __init__(self, row: Row):
        super().__init__()
        shapes = {weight.name: weight.shape for weight in row.weights}
        self.body = nn.Sequential()
        channels = row.input_shape[-1]
        for place, part in enumerate(NETWORKS[row.name]):
            match part:
                case Conv():
                    module = nn.Conv2d(channels, part.filters, part.size, part.stride, part.padding)
                    channels = part.filters
                case Pool():
                    module = nn.MaxPool2d(part.size, 2, ceil_mode=part.over)
                case Inception():
                    module, channels = InceptionModule(channels, part), part.filters
                case Dense():
                    module = nn.Linear(*shapes[f"body_{place}/kernel"])
            self.body.append(module)
        self.logits = nn.Linear(*shapes["logits/kernel"])

    def forward(self, x: Tensor) -> Tensor:
        for module in self.body:
            if isinstance(module, nn.Linear) and x.ndim == 4:
                # The dense kernel's rows are in height, width, channel order.
                x = x.permute(0, 2, 3, 1).flatten(1)
            x = module(x)
            if isinstance(module, nn.Conv2d | nn.Linear):
                x = functional.relu(x, inplace=True)
        return self.logits(x if x.ndim == 2 else x.mean((2, 3)))


MODELS: dict[str, Callable[[Row], nn.Module]] = {
    "mlp": Mlp,
    "chain": Chain,
    "cifar": Cifar,
    "gru": Gru,
    "lstm": Lstm,
    "resnet50": ResNet50,
    "transformer": Transformer,
    "mobilenet_v2": MobileNetV2,
    "convlstm": ConvLstms,
    **dict.fromkeys(NETWORKS, ConvNet),
}


# ------------------------------------------------------------------ the row's weights, in PyTorch's layouts

LayerValues = dict[str, np.ndarray]


def _gates_zrh_to_rzn(values: np.ndarray) -> np.ndarray:
    update, reset, candidate = np.split(values, 3, axis=-1)
    return np.concatenate([reset, update, candidate], axis=-1)


def _recurrent_values(
    layers: list[LayerValues], biases: Callable[[LayerValues], tuple[np.ndarray, np.ndarray]]
):
    for index, values in enumerate(layers):
        bias_ih, bias_hh = biases(values)
        yield f"weight_ih_l{index}", values["kernel"].T
        yield f"weight_hh_l{index}", values["recurrent_kernel"].T
        yield f"bias_ih_l{index}", bias_ih
        yield f"bias_hh_l{index}", bias_hh


def _lstm_values(*layers: LayerValues) -> dict[str, np.ndarray]:
    return dict(
        _recurrent_values(list(layers), lambda values: (values["bias"], np.zeros_like(values["bias"])))
    )


def _gru_values(values: LayerValues) -> dict[str, np.ndarray]:
    values = {name: _gates_zrh_to_rzn(value) for name, value in values.items()}
    return dict(_recurrent_values([values], lambda values: tuple(values["bias"])))


def _attention_values(values: LayerValues) -> dict[str, np.ndarray]:
    parts = [values[f"{part}/kernel"].reshape(rows.WIDTH, -1).T for part in ("query", "key", "value")]
    biases = [values[f"{part}/bias"].ravel() for part in ("query", "key", "value")]
    return {
        "in_weight": np.concatenate(parts),
        "in_bias": np.concatenate(biases),
        "out_weight": values["attention_output/kernel"].reshape(-1, rows.WIDTH).T,
        "out_bias": values["attention_output/bias"],
    }


LAYOUTS: dict[type[nn.Module], Callable[..., dict[str, np.ndarray]]] = {
    nn.Linear: lambda v: {"weight": v["kernel"].T, "bias": v["bias"]},
    nn.Conv2d: lambda v: {"weight": v["kernel"].transpose(3, 2, 0, 1), "bias": v["bias"]},
    Plain: lambda v: {"weight": v["kernel"].transpose(3, 2, 0, 1)},
    Depthwise: lambda v: {"weight": v["kernel"].transpose(2, 3, 0, 1)},
    nn.LayerNorm: lambda v: {"weight": v["gamma"], "bias": v["beta"]},
    Attention: _attention_values,
    ConvLstm: lambda v: {
        "kernel": v["kernel"].transpose(3, 2, 0, 1),
        "recurrent": v["recurrent_kernel"].transpose(3, 2, 0, 1),
        "bias": v["bias"],
    },
    nn.Embedding: lambda v: {"weight": v["embeddings"]},
    nn.LSTM: _lstm_values,
    nn.GRU: _gru_values,
    nn.BatchNorm2d: lambda v: {
        "weight": v["gamma"],
        "bias": v["beta"],
        "running_mean": v["moving_mean"],
        "running_var": v["moving_variance"],
        "num_batches_tracked": np.zeros((), np.int64),
    },
}


def _row_layers(path: str) -> tuple[str, ...]:
    """The row's names of the layers that the module at `path` holds."""
    if path == "lstm":
        return "lstm_1", "lstm_2"
    parts = path.split(".")
    if parts[0] == "blocks":
        block = [name for name, *_ in rows.resnet50_blocks()][int(parts[1])]
        position = ["shortcut", "first", "second", "third"].index(parts[2])
        return (f"{block}_{position}_{parts[3]}",)
    return ("_".join(parts),)


def load_weights(model: nn.Module, row: Row) -> None:
    layers = row.layer_values()
    for path, module in model.named_modules():
        if type(module) in LAYOUTS:
            values = LAYOUTS[type(module)](*(layers.pop(name) for name in _row_layers(path)))
            module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in values.items()})
    if layers:
        raise ValueError(f"{row.name}: no module took the weights of {sorted(layers)}.")


# ------------------------------------------------------------------ the contender


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class TorchContender(Contender):
    def __init__(self, row: Row, variant: Variant):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model = MODELS[row.name](row)
        load_weights(model, row)
        for name, parameter in model.named_parameters():
            # nn.LSTM has a second bias, which adds nothing to the model; held at zero it is the row's model
            # again.
            if "lstm.bias_hh" in name:
                parameter.requires_grad_(False)
        model = model.to(self.device)
        if variant.channels_last:
            model = model.to(memory_format=torch.channels_last)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.parameter_count = sum(parameter.numel() for parameter in trained)
        self.optimizer: torch.optim.Optimizer
        if row.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(trained, lr=rows.SGD_RATE, fused=variant.fused)
        else:
            self.optimizer = torch.optim.Adam(
                trained,
                lr=rows.LEARNING_RATE,
                betas=(rows.BETA_1, rows.BETA_2),
                eps=rows.EPSILON,
                fused=variant.fused,
            )
        self.model = torch.compile(model) if variant.compiled else model
        data = [self._place(x, y, variant) for x, y in row.data()]
        self.train_batches: Batches[Tensor] = cycle(data)
        self.infer_batches: Batches[Tensor] = cycle(data)

    def _place(self, x: np.ndarray, y: np.ndarray, variant: Variant) -> tuple[Tensor, Tensor]:
        inputs = torch.from_numpy(x).to(self.device)
        if inputs.ndim == 4:
            inputs = inputs.permute(0, 3, 1, 2)
            inputs = inputs if variant.channels_last else inputs.contiguous()
        return inputs, torch.from_numpy(y).long().to(self.device)

    def train_step(self) -> None:
        if not self.model.training:
            self.model.train()
        x, y = next(self.train_batches)
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()

    def infer(self) -> None:
        if self.model.training:
            self.model.eval()
        x, _ = next(self.infer_batches)
        with torch.inference_mode():
            self.logits = self.model(x)

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def last_loss(self) -> float:
        return self.loss.item()

    def last_logits(self) -> np.ndarray:
        return self.logits.cpu().numpy()


def build(row: Row, backend: str, variant: str) -> Contender:
    return TorchContender(row, VARIANTS[variant])
