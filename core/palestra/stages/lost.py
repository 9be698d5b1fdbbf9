"""A process that is gone, in one line: the others learn of it by a connection that breaks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from palestra.errors import PalestraError, TrainingError

_SAID = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "connection refused",
    "nccl communicator was aborted",
    "remote process exited",
    "timed out waiting",
)


@contextmanager
def naming_a_lost_process(processes: int) -> Generator[None]:
    """Say that another process of the run is gone, where a collective operation failed for that.

    Args:
        processes: of the run; with one, nothing is lost but itself.

    Raises:
        TrainingError: another process is gone, or has not answered within torch's timeout.
    """
    try:
        yield
    except PalestraError:
        raise
    except RuntimeError as exc:  # torch's own errors of gloo and NCCL are RuntimeErrors
        said = " ".join(str(exc).partition("\n")[0].split())
        if processes == 1 or not any(text in str(exc).lower() for text in _SAID):
            raise
        raise TrainingError(
            f"one of the run's {processes} processes is gone, or does not answer ({said[:200]}). "
            "What it said last tells why. `--resume` goes on from the last checkpoint, with any "
            "number of processes"
        ) from exc
