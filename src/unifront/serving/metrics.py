"""What is counted, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from unifront.serving.served import Served

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXAMPLES = tuple(float(2**n) for n in range(11))
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "unifront_requests",
            "Requests for predictions.",
            ["model", "protocol", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "unifront_request_seconds", "From a request's headers to its answer.", ["model", "protocol"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._predictions = Histogram(
            "unifront_prediction_seconds", "One prediction, of one request or of several.", ["model"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._examples = Histogram(
            "unifront_prediction_examples", "Examples in one prediction.", ["model"],
            buckets=EXAMPLES, registry=self._registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "unifront_waiting_requests", "Requests that wait for a model.", ["model"], registry=self._registry
        )
        self._info = Gauge(
            "unifront_model",
            "A model that is served; always 1.",
            ["model", "backend"],
            registry=self._registry,
        )

    def serves(self, models: Iterable[Served]) -> None:
        """Show the models before anybody asks for them."""
        for one in models:
            self._info.labels(one.name, str(one.place)).set(1)
            self.waiting(one.name, 0)

    def answered(self, model: str, protocol: str, status: int, seconds: float) -> None:
        """Count a request; ``model`` is empty for one that there is not."""
        self._requests.labels(model, protocol, str(status)).inc()
        self._seconds.labels(model, protocol).observe(seconds)

    def predicted(self, model: str, examples: int, seconds: float) -> None:
        """Count a prediction."""
        self._predictions.labels(model).observe(seconds)
        self._examples.labels(model).observe(examples)

    def waiting(self, model: str, count: int) -> None:
        """Say how many requests wait."""
        self._waiting.labels(model).set(count)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
