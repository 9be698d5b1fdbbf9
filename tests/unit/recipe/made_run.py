"""A run's folder as `palestra run` leaves it, without the training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from palestra.recipe.config import load_recipe
from palestra.recipe.manifest import Manifest, StageRecord
from palestra.tiny.paths import base_dir

EVALS: dict[str, Any] = {
    "math/Arithmetic-v1": {"pass@1": {"value": 0.5, "ci95": [0.4, 0.6], "n": 100}}
}


def make_run(
    folder: Path,
    *,
    prompt: str = "chat",
    prefill: str = "<think>",
    finished: Mapping[str, bool] | None = None,
) -> Path:
    """Write a run of two stages, ``zero`` and ``r1``, whose weights are the tiny model's."""
    folder.mkdir(parents=True)
    rl: dict[str, Any] = {
        "type": "rl",
        "mixture": "all",
        "steps": 2,
        "prompts_per_step": 2,
        "group_size": 2,
    }
    rl["optim"] = {"learning_rate": 1e-6}
    shown = {"prompt": prompt, "prefill": prefill}
    document = {
        "name": "small",
        "description": "two stages | of <b>nothing</b>",
        "model": "tiny",
        "mixtures": {
            "all": {"sources": [{"env": "math/Arithmetic-v1", "rewards": {"accuracy": 1.0}}]}
        },
        "eval": {"envs": ["math/Arithmetic-v1"], "questions": 100, "samples": 4},
        "stages": {
            "zero": {**rl, **shown, "init_from": "base", "role": "zero"},
            "r1": {**rl, **shown, "init_from": "zero", "role": "r1"},
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    recipe = load_recipe(folder / "recipe.yaml")
    manifest = Manifest.begin(recipe)
    done = finished or {"zero": True, "r1": True}
    for name, is_finished in done.items():
        weights = f"stages/{name}/checkpoints/step-000002/model"
        shutil.copytree(base_dir(), folder / weights)
        manifest.stages[name] = StageRecord(
            hash="", finished=is_finished, weights=weights, steps=2, seconds=3.0, evals=EVALS
        )
    manifest.done = all(done.values())
    manifest.write(folder)
    return folder
