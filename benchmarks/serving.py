"""How many requests a second `unifront serve` answers, with requests joined for one prediction and without.

    python benchmarks/serving.py                           # a CNN for 32×32 images, on the default backend
    python benchmarks/serving.py model.uf --backend torch --clients 1 32 --max-batch 1 16 --seconds 10

For each --max-batch a server is started. So many clients, in this process, send one example a request (in KServe's
protocol, as bytes) over a connection that stays open, and the next one when it is answered. Server and clients share
the machine's cores. Printed are requests a second, the median and the 99th percentile of the milliseconds to an
answer, and how many examples a prediction had on average. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

NAME = "model"
FREE = 16
"""The length of a free axis."""
DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1"}


@contextmanager
def served(model: str, backend: str | None, max_batch: int) -> Iterator[str]:
    """The address of a server, while it runs."""
    command = [sys.executable, "-m", "unifront.cli", "serve", f"{NAME}={model}", "--port", "0", "--json"]
    command += ["--max-batch", str(max_batch), *(["--backend", backend] if backend else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = server.stdout.readline()
            if not line:
                raise SystemExit("The server did not start.")
            text += line
        try:
            yield json.loads(text)["url"]
        finally:
            server.terminate()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        found: bytes = answer.read()
        return found


def request_for(url: str) -> bytes:
    """A whole request with one random example of what the model takes."""
    rng = np.random.default_rng(0)
    inputs, parts = [], []
    for tensor in json.loads(fetched(f"{url}/v2/models/{NAME}"))["inputs"]:
        shape = [1, *(FREE if size < 0 else size for size in tensor["shape"][1:])]
        drawn = rng.integers(0, 2, shape) if "INT" in tensor["datatype"] else rng.normal(size=shape)
        parts.append(drawn.astype(DTYPES[tensor["datatype"]]).tobytes())
        inputs.append({**tensor, "shape": shape, "parameters": {"binary_data_size": len(parts[-1])}})
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = b"".join([head, *parts])
    lines = [
        f"POST /v2/models/{NAME}/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
        f"Inference-Header-Content-Length: {len(head)}", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + body


async def ask(url: str, request: bytes, until: float, seconds: list[float]) -> None:
    """One client: asks until the time is over, and notes how long each answer took."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while (began := time.perf_counter()) < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if " 200 " not in head.partition("\r\n")[0]:
            raise SystemExit(f"The server answered: {head}")
        await reader.readexactly(int(head.partition("\r\ncontent-length:")[2].split()[0]))
        seconds.append(time.perf_counter() - began)
    writer.close()


async def asked(url: str, request: bytes, clients: int, seconds: float) -> list[float]:
    found: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(ask(url, request, until, found) for _ in range(clients)))
    return found


def counted(url: str) -> np.ndarray:
    """Examples and predictions so far."""
    lines = [line.rpartition(" ") for line in fetched(f"{url}/metrics").decode().splitlines()]
    names = [f"unifront_prediction_examples_{part}" for part in ("sum", "count")]
    return np.array([sum(float(n) for key, _, n in lines if key.startswith(name)) for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="rosetta_cifar", help="as `unifront serve` takes it")
    parser.add_argument("--backend")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--max-batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=5.0)
    given: Any = parser.parse_args()
    print(f"{'max batch':>9} {'clients':>7} {'requests/s':>10} {'median ms':>9} {'99 % ms':>8} {'batch':>6}")
    for max_batch in given.max_batch:
        with served(given.model, given.backend, max_batch) as url:
            request = request_for(url)
            asyncio.run(asked(url, request, max(given.clients), min(1.0, given.seconds)))  # to warm up
            for clients in given.clients:
                before, began = counted(url), time.perf_counter()
                found = asyncio.run(asked(url, request, clients, given.seconds))
                spent = time.perf_counter() - began
                examples, predictions = counted(url) - before
                middle, late = 1000 * np.percentile(found, (50, 99))
                print(
                    f"{max_batch:>9} {clients:>7} {len(found) / spent:>10.0f} {middle:>9.2f} {late:>8.2f} "
                    f"{examples / predictions:>6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
