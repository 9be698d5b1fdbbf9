"""From a run's folder to the viewer's page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from palestra.report.viewer.data import COLUMNS, step_data
from palestra.report.viewer.page import render
from palestra.rollout.detokenize import load_detokenizer
from palestra.rollout.recorded import RecordedStage, find_stage, read_step


def build_view(
    run: Path,
    stage: str | None = None,
    steps: Sequence[int] = (),
    output: Path | None = None,
    tokenizer: Path | None = None,
) -> Path:
    """Write the page of a stage's rollouts, whole or not at all.

    Args:
        run: the run's folder, finished or not.
        stage: the stage's name; the last one with rollouts where None.
        steps: which steps are on the page; the first and the last where none is named.
        output: the page; ``RUN/view/STAGE.html`` where None.
        tokenizer: a folder with the model's, where the run has saved no checkpoint yet.

    Returns:
        The path of the page.

    Raises:
        ConfigError: no such run, stage or step.
        DataError: a record is damaged.
    """
    found = find_stage(run, stage)
    wanted = sorted({*steps} or {min(found.steps), max(found.steps)})
    recipe = _recipe(run)
    labels = _labels(recipe, found.name)
    detokenizer = load_detokenizer(_tokenizers(run, found, tokenizer))
    files = {step: found.file(step) for step in wanted}
    data = {
        step: step_data(read_step(file, COLUMNS), labels, detokenizer)
        for step, file in files.items()
    }
    target = output or run / "view" / f"{found.folder.name}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".tmp")
    unfinished.write_text(
        render(run.resolve().name, found.name, data), encoding="utf-8", newline="\n"
    )
    os.replace(unfinished, target)
    return target


def _recipe(run: Path) -> dict[str, Any]:
    """Return the run's recipe as plain data: it names things, and is not run."""
    try:
        data: object = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _labels(recipe: dict[str, Any], stage: str) -> list[str]:
    """Return what metrics call the stage's sources; nothing where the recipe does not say."""
    try:
        mixture = recipe["stages"][stage]["mixture"]
        ids = [str(source["env"]) for source in recipe["mixtures"][mixture]["sources"]]
    except (KeyError, TypeError):
        return []
    return [env if ids.count(env) == 1 else f"{env}#{i}" for i, env in enumerate(ids)]


def _tokenizers(run: Path, stage: RecordedStage, other: Path | None) -> list[Path]:
    """Return where the stage's tokenizer may lie: its checkpoints, then other stages'."""
    own = sorted((stage.folder / "checkpoints").glob("step-*/model"), reverse=True)
    others = [] if own else sorted(run.glob("stages/*/checkpoints/step-*/model"))
    return [*own, *([other] if other else []), *others]
