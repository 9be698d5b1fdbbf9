"""A torch profiler's trace of a few steps, for ``palestra run --profile``."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class StepProfiler:
    """Traces `count` steps of a stage into ``trace-steps-A-B.json.gz``, a Chrome trace.

    The first step of a process is left out where more follow: it pays for what is done once.

    Args:
        folder: where the trace is written.
        count: steps to trace; 0 traces none.
        note: told where the trace is.
    """

    def __init__(self, folder: Path, count: int, note: Callable[[str], None]) -> None:
        self._folder, self._count, self._note = folder, count, note
        self._profiler: Any = None
        self._traced: list[int] = []
        self._seen = 0

    @contextmanager
    def step(self, number: int, *, is_last: bool) -> Generator[None]:
        """Run one step, traced if its turn has come."""
        self._seen += 1
        is_due = len(self._traced) < self._count and (self._seen > 1 or is_last)
        if not is_due:
            yield
            return
        if self._profiler is None:
            self._profiler = _make_profiler()
            self._profiler.start()
        self._traced.append(number)
        done = False
        try:
            yield
            done = True
        finally:
            if is_last or not done or len(self._traced) == self._count:
                self._write()

    def _write(self) -> None:
        self._profiler.stop()
        first, last = self._traced[0], self._traced[-1]
        file = self._folder / f"trace-steps-{first}-{last}.json.gz"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._profiler.export_chrome_trace(str(file))
        self._count = 0
        self._note(f"trace of steps {first} to {last}: {file} (open it in ui.perfetto.dev)")


def _make_profiler() -> Any:
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    return profile(activities=activities)
