"""A clock that only its owner moves: what measures time is tested without waiting."""

import pytest


class FakeClock:
    """Stands for the module ``time`` of a module that measures."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, of the clock and of the processor."""
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    process_time = thread_time = monotonic = perf_counter


def fake_clock(monkeypatch: pytest.MonkeyPatch, module: str) -> FakeClock:
    """Give the module with this dotted name a clock of its own."""
    clock = FakeClock()
    monkeypatch.setattr(f"{module}.time", clock)
    return clock
