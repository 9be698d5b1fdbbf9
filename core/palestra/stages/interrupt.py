"""Ctrl-C between two steps: the first asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt(say: Callable[[str], None]) -> Generator[Callable[[], bool]]:
    """Hold a first SIGINT back, so that the step under way can end and be saved.

    Yields:
        A function that tells whether one came. A second one raises KeyboardInterrupt at once.
    """
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        say("stopping after this step; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
