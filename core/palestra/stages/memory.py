"""Running out of memory, in one line that names the knob."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from palestra.errors import PalestraError, TrainingError

_SAID = ("can't allocate memory", "out of memory", "cannot allocate memory")


@contextmanager
def naming_the_knob(step: int) -> Generator[None]:
    """Say what to turn down where a step runs out of memory; earlier checkpoints stay.

    Raises:
        TrainingError: memory ran out, on the host or on a device.
    """
    try:
        yield
    except PalestraError:
        raise
    except (MemoryError, RuntimeError) as exc:  # torch's own are RuntimeErrors
        said = str(exc)
        if not (isinstance(exc, MemoryError) or any(text in said.lower() for text in _SAID)):
            raise
        first = " ".join(said.partition("\n")[0].split())[:200] or type(exc).__name__
        raise TrainingError(
            f"step {step}: out of memory ({first}). Make engine.token_budget smaller where the "
            "policy learns, engine.sampler.max_batch or sampling.max_tokens where it generates, or "
            "prompts_per_step; `--resume` goes on from the last checkpoint"
        ) from exc
