"""Finding what a run left: the stage that ``RUN`` or ``RUN:STAGE`` names, and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palestra.errors import ConfigError, NotFound, did_you_mean
from palestra.recipe.manifest import Manifest, StageRecord, read_manifest

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedStage:
    """A finished stage of a run.

    Attributes:
        run: the folder of the run.
        recipe: as it was run.
        manifest: the run's.
        name: of the stage.
        record: what the stage left.
    """

    run: Path
    recipe: Recipe
    manifest: Manifest
    name: str
    record: StageRecord

    @property
    def folder(self) -> Path:
        """Where the stage wrote."""
        number = list(self.recipe.stages).index(self.name) + 1
        return self.run / "stages" / f"{number:02d}-{self.name}"

    @property
    def weights(self) -> Path:
        """The model folder that the stage trained.

        Raises:
            ConfigError: it trained none, or the folder is gone.
        """
        weights = self.record.weights
        if not weights.startswith("stages/"):
            raise ConfigError(
                f"stage '{self.name}' of {self.run} trains no weights: what it ends with is "
                f"{weights}, as it was given"
            )
        folder = self.run / weights
        if not (folder / "config.json").is_file():
            raise ConfigError(f"the weights of stage '{self.name}' are gone from {folder}")
        return folder


def is_run(text: str) -> bool:
    """Whether `text` names the folder of a run, or a stage of one."""
    return _is_run_folder(Path(text)) or _is_run_folder(Path(text.rpartition(":")[0] or text))


def find_stage(text: str, stage: str | None = None) -> FinishedStage:
    """Return the finished stage that ``RUN`` or ``RUN:STAGE`` names.

    Args:
        text: the folder of a run, and behind a colon the name of a stage.
        stage: the name of a stage, where `text` has none. Without either, the run's result is
            meant: its last stage of role ``r1``, or else the last that trained and is no ablation.

    Raises:
        ConfigError: no such run, or a stage that is not finished.
        NotFound: no such stage.
    """
    path = Path(text)
    if not _is_run_folder(path) and ":" in text:
        before, _, after = text.rpartition(":")
        path, stage = Path(before), stage or after
    manifest = read_manifest(path)
    if manifest is None:
        what = "holds no run: it has no manifest.json" if path.is_dir() else "does not exist"
        raise ConfigError(f"{path} {what}")
    from palestra.recipe.config import load_recipe

    recipe = load_recipe(path / "recipe.yaml")
    name = stage if stage is not None else _result(path, recipe, manifest)
    if name not in recipe.stages:
        hint = did_you_mean(name, recipe.stages)
        known = ", ".join(recipe.stages)
        raise NotFound(f"no stage '{name}' in {path}.{hint} Stages: {known}")
    record = manifest.stages.get(name)
    if record is None or not record.finished:
        raise ConfigError(
            f"stage '{name}' of {path} is not finished. Go on with: "
            f"palestra run {path / 'recipe.yaml'} --resume --output {path}"
        )
    return FinishedStage(run=path, recipe=recipe, manifest=manifest, name=name, record=record)


def stages_of_role(run: Path, role: str) -> list[str]:
    """Return the finished stages of `role`, in the recipe's order.

    Raises:
        ConfigError: no such run, or no finished stage of that role.
    """
    manifest = read_manifest(run)
    if manifest is None:
        raise ConfigError(f"{run} holds no run: it has no manifest.json")
    from palestra.recipe.config import load_recipe

    stages = load_recipe(run / "recipe.yaml").stages
    finished = [n for n in stages if (r := manifest.stages.get(n)) is not None and r.finished]
    found = [name for name in finished if stages[name].role == role]
    if not found:
        roles = list(dict.fromkeys(str(r) for n in finished if (r := stages[n].role) is not None))
        raise ConfigError(
            f"{run} has no finished stage of role '{role}'.{did_you_mean(role, roles)} "
            f"Roles: {', '.join(roles) or 'none'}"
        )
    return found


def _result(run: Path, recipe: Recipe, manifest: Manifest) -> str:
    if not manifest.done:
        finished = [n for n in recipe.stages if (r := manifest.stages.get(n)) and r.finished]
        raise ConfigError(
            f"{run} is an unfinished run. Go on with it by --resume, or name a finished stage: "
            f"{', '.join(finished) or 'there is none yet'}"
        )
    trained = [
        name
        for name in recipe.stages
        if (record := manifest.stages.get(name)) is not None
        and record.finished
        and record.weights.startswith("stages/")
        and recipe.stages[name].yields_weights
        and recipe.stages[name].yields_policy
    ]
    if not trained:
        raise ConfigError(f"{run} has no stage that trained weights")
    whole = [name for name in trained if recipe.stages[name].variant is None] or trained
    best = [name for name in whole if recipe.stages[name].role == "r1"]
    return (best or whole)[-1]


def _is_run_folder(path: Path) -> bool:
    return (path / "manifest.json").is_file()
