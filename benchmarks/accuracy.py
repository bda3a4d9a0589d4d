"""Does unifront learn as well as hand-written PyTorch? Digits, five seeds, the same hyper-parameters.

    python benchmarks/accuracy.py [--backend torch] [--seeds 5] [--epochs 15]

The CNN is the zoo's ``digits_cnn``, the LSTM the zoo's ``lstm_classifier`` reading the rows of an image as a
sequence. The hand-written models start from the same distributions (Glorot uniform kernels, orthogonal
recurrent kernels, forget biases of one), drawn by PyTorch, and shuffle and drop by PyTorch's own generator.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

import unifront as uf
from unifront.demo import load_digits

BATCH, RATE, DROPOUT, UNITS = 32, 2e-3, 0.25, 64
Arrays = tuple[np.ndarray, np.ndarray]


def glorot(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if "weight_hh" in name:
            for gate in parameter.data.chunk(4):
                nn.init.orthogonal_(gate)
        elif parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        elif "bias" in name:
            nn.init.zeros_(parameter)
    for name, parameter in module.named_parameters():
        if "bias_ih" in name:
            parameter.data[UNITS : 2 * UNITS] = 1.0


class TorchCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
        self.bn1, self.bn2 = (nn.BatchNorm2d(32, eps=1e-3, momentum=0.1) for _ in range(2))
        self.dense1, self.dense2 = nn.Linear(512, 64), nn.Linear(64, 10)
        for layer in (self.conv1, self.conv2, self.dense1, self.dense2):
            glorot(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(F.relu(self.conv1(x.permute(0, 3, 1, 2))))
        x = F.max_pool2d(self.bn2(F.relu(self.conv2(x))), 2)
        x = F.relu(self.dense1(F.dropout(x, DROPOUT, self.training).flatten(1)))
        return self.dense2(F.dropout(x, DROPOUT, self.training))


class TorchLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.dense = nn.LSTM(8, UNITS, 2, batch_first=True), nn.Linear(UNITS, 10)
        glorot(self.lstm)
        glorot(self.dense)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.lstm(x)[0][:, -1])


def train_torch(build: Callable[[], nn.Module], train: Arrays, test: Arrays, seed: int, epochs: int) -> float:
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), RATE, eps=1e-7)
    x, y = torch.from_numpy(train[0]), torch.from_numpy(train[1]).long()
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(test[0])).argmax(1).numpy()
    return float((found == test[1]).mean())


def train_unifront(
    build: Callable[[], uf.Model], train: Arrays, test: Arrays, seed: int, epochs: int, backend: str
) -> float:
    uf.set_seed(seed)
    model = build()
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(RATE), loss=loss, metrics=["accuracy"])
    model.fit(*train, batch_size=BATCH, epochs=epochs, verbose=0, backend=backend)
    return float(model.evaluate(*test, backend=backend, return_dict=True)["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    (x, y), (x_test, y_test) = load_digits()
    rows = {
        "digits CNN": (TorchCNN, lambda: uf.zoo.create("digits_cnn"), (x, y), (x_test, y_test)),
        "LSTM on rows": (
            TorchLSTM,
            lambda: uf.zoo.create("lstm_classifier", length=8, features=8, units=UNITS),
            (x[..., 0], y),
            (x_test[..., 0], y_test),
        ),
    }
    table = Table(title=f"accuracy on held-out digits, {options.seeds} seeds, {options.epochs} epochs, %")
    for column in ("model", "hand-written PyTorch", f"unifront on {options.backend}", "difference of means"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, (native, ours, train, test) in rows.items():
        seeds = range(options.seeds)
        theirs = 100 * np.array([train_torch(native, train, test, s, options.epochs) for s in seeds])
        mine = 100 * np.array(
            [train_unifront(ours, train, test, s, options.epochs, options.backend) for s in seeds]
        )
        spread = [f"{one.mean():.2f} ± {one.std():.2f}" for one in (theirs, mine)]
        table.add_row(name, *spread, f"{mine.mean() - theirs.mean():+.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
