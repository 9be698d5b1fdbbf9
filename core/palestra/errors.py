"""Every error Palestra raises on purpose, and the one helper that names a plugin's failure.

    PalestraError
     +-- ConfigError        (ValueError)    the user's recipe, option or argument; exit code 2
     |    +-- NotFound      (LookupError)   a name that is registered nowhere, with the nearest one
     +-- PluginError        (RuntimeError)  a plugin broke its contract or raised
     |    +-- EnvironmentFailed             an environment raised, or broke its contract
     |    +-- GraderFailed                  a grader or reward model raised: never a wrong answer
     +-- DataError          (ValueError)    a dataset row or a stored file is not what it should be
     |    +-- CheckpointError               no checkpoint, or only damaged ones
     +-- TrainingError      (RuntimeError)  a run cannot go on: a NaN loss, a full disk; exit code 1

Each class is also a builtin, so callers may catch what they know.
"""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class PalestraError(Exception):
    """Base of everything Palestra raises on purpose; its text is for people."""

    exit_code = 1


class ConfigError(PalestraError, ValueError):
    """A recipe, option or argument that validation can reject before anything runs."""

    exit_code = 2


class NotFound(ConfigError, LookupError):
    """A name that nothing is registered under."""

    def __str__(self) -> str:  # KeyError-like classes would print the repr
        return str(self.args[0]) if self.args else ""


class PluginError(PalestraError, RuntimeError):
    """A plugin raised or broke its contract."""


class EnvironmentFailed(PluginError):
    """An environment raised, or broke the contract of `TextEnv`."""


class GraderFailed(PluginError):
    """A grader or a reward model raised; the member is invalid, not wrong."""


class DataError(PalestraError, ValueError):
    """A dataset row or a stored file is not what it should be."""


class CheckpointError(DataError):
    """No checkpoint to load, or none that passes its checksums."""


class TrainingError(PalestraError, RuntimeError):
    """A run that cannot go on."""


@contextmanager
def boundary(error: type[PluginError], what: str) -> Generator[None]:
    """Turn whatever foreign code raises into `error`, naming where it came from.

    Palestra's own errors pass through untouched; the cause stays chained.

    Args:
        error: the class to raise.
        what: plugin, hook and task, as in ``"math/Arithmetic-v1 (palestra): grade of task 3f2a"``.
    """
    try:
        yield
    except PalestraError:
        raise
    except Exception as exc:
        raise error(f"{what}: {type(exc).__name__}: {exc}") from exc


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or an empty string where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
