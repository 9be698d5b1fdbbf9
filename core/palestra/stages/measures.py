"""What a step's row says of speed and memory, from its counts and its phases."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TIMES = ("seconds", "speed/", "memory/")
"""How keys of measured times and memory begin: all others are the same in every run of a seed."""


def add_speeds(row: dict[str, Any], seconds: float, peak: float) -> None:
    """Add ``seconds``, ``seconds/other`` and the rates that a step's row has the counts for.

    Keys: ``speed/tokens`` (sampled tokens, or where none are those trained on, a second of the
    step), ``speed/generated`` (sampled tokens a second of generating), ``speed/trained`` (trained
    tokens a second of the updates), and the model FLOPs utilisation of the generating
    (``speed/mfu_generate``), of the updates (``speed/mfu_train``) and of the whole (``speed/mfu``).

    Args:
        row: metrics of the step, its ``seconds/PHASE``, ``tokens_*`` and ``flops/*`` among them.
        seconds: that the whole step took.
        peak: operations a second that all processes' devices can do.
    """
    phases = sum(value for key, value in row.items() if key.startswith("seconds/"))
    row["seconds"] = seconds
    row["seconds/other"] = max(0.0, seconds - phases)
    flops = {kind: row.get(f"flops/{kind}") for kind in ("generate", "train")}
    counted = [count for count in flops.values() if count is not None]
    rates = {
        "tokens": (row.get("tokens_generated", row.get("tokens_trained")), seconds),
        "generated": (row.get("tokens_generated"), _generating(row)),
        "trained": (row.get("tokens_trained"), row.get("seconds/backward")),
        "mfu_generate": (_share(flops["generate"], peak), _generating(row)),
        "mfu_train": (_share(flops["train"], peak), row.get("seconds/backward")),
        "mfu": (_share(sum(counted) if counted else None, peak), seconds),
    }
    for name, (amount, time) in rates.items():
        if amount is not None and time:
            row[f"speed/{name}"] = amount / time


def _generating(row: dict[str, Any]) -> float | None:
    """Return the seconds of generating, within the step or ahead of it."""
    return row.get("seconds/generate", row.get("seconds_ahead/generate"))


def _share(flops: float | None, peak: float) -> float | None:
    return None if flops is None else flops / peak


def add_memory(row: dict[str, Any], device: torch.device) -> None:
    """Add ``memory/rss_mb``, the most this process has held, and on a GPU ``memory/gpu_mb``.

    The second is the most that torch had allocated on it since the last call.
    """
    row["memory/rss_mb"] = peak_rss_mb()
    if device.type == "cuda":
        import torch

        row["memory/gpu_mb"] = torch.cuda.max_memory_allocated(device) >> 20
        torch.cuda.reset_peak_memory_stats(device)


def peak_rss_mb() -> int:
    """Return the most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20) if sys.platform == "darwin" else peak >> 10
