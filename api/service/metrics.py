"""Prometheus metrics. Labels never contain collection, key or image names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "askpix_requests", "Answers by route and status.", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "askpix_request_seconds",
            "Time to the end of an answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.running = Gauge("askpix_requests_running", "Requests at work.", registry=self._registry)
        self.refused = Counter(
            "askpix_refused", "Requests turned away, by reason.", ("reason",), registry=self._registry
        )
        self.jobs = Gauge("askpix_jobs", "Jobs by state.", ("state",), registry=self._registry)

    def text(self, jobs: dict[str, int]) -> bytes:
        """Return the metrics in Prometheus' text format."""
        for state in ("queued", "running", "done", "failed", "cancelled"):
            self.jobs.labels(state).set(jobs.get(state, 0))
        return generate_latest(self._registry)
