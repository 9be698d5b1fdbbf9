"""Experiment trackers, through Accelerate; none unless the recipe names some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from accelerate import Accelerator


def missing_package(tracker: str) -> str | None:
    """Return the pip line for a tracker whose package is not installed."""
    return None if find_spec(tracker) is not None else f"pip install {tracker}"


def start_trackers(
    accelerator: Accelerator, project: str, folder: Path, settings: Mapping[str, Any]
) -> None:
    """Start the trackers that `accelerator` was made with, if any.

    Args:
        accelerator: the run's.
        project: what the trackers file the run under: the recipe's name.
        folder: of the run; its name is the run's, and trackers that write files do so in it.
        settings: the resolved recipe.
    """
    name = folder.resolve().name
    accelerator.init_trackers(
        project,
        config=flat(settings),
        init_kwargs={
            "wandb": {"name": name, "dir": str(folder)},
            "trackio": {"name": name},
            "mlflow": {"run_name": name},
        },
    )


def log_metrics(accelerator: Accelerator, stage: str, row: Mapping[str, Any], *, step: int) -> None:
    """Send the numbers of `row` to the trackers, as ``STAGE/KEY``.

    Args:
        accelerator: the run's.
        stage: name of the stage.
        row: metrics of a step, or evaluations by environment.
        step: steps of the run so far, those of earlier stages included: trackers take no less.
    """
    numbers = {
        f"{stage}/{key}": value
        for key, value in flat(row).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    accelerator.log(numbers, step=step)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, str | int | float | bool]:
    """Return nested values by dotted path; what is neither number nor text is written as text."""
    out: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            out |= flat(cast("Mapping[str, Any]", value), name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            out |= flat({str(i): item for i, item in enumerate(cast("Sequence[Any]", value))}, name)
        else:
            out[name] = value if isinstance(value, str | int | float | bool) else str(value)
    return out
