"""Running a recipe: the run directory, one stage after the other, results and report."""

from __future__ import annotations

import errno
import json
import os
import platform
import shlex
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import ConfigError, TrainingError
from palestra.plugins.registry import Kind, get_registry
from palestra.recipe.graph import select, stage_hash, validate_graph
from palestra.recipe.manifest import Manifest, StageRecord, read_manifest
from palestra.recipe.preflight import audit, try_sources
from palestra.recipe.progress import Display, make_display
from palestra.recipe.reward_models import make_reward_models
from palestra.stages.base import StageContext, StageResult, read_rows
from palestra.stages.config import DistillConfig
from palestra.stages.lost import naming_a_lost_process
from palestra.stages.measures import peak_rss_mb
from palestra.stages.trackers import start_trackers

if TYPE_CHECKING:
    from accelerate import Accelerator

    from palestra.recipe.config import Recipe
    from palestra.stages.config import StageConfig

RUNS = Path("runs")
RESULTS_SCHEMA = 1
_VERSIONS = ("palestra", "torch", "transformers", "accelerate", "gymnasium", "numpy")


def run_recipe(
    recipe: Recipe,
    *,
    output: Path | None = None,
    resume: bool = False,
    only: str | None = None,
    until: str | None = None,
    json_output: bool = False,
    profile: int = 0,
) -> Path:
    """Run the stages of `recipe`, those that are finished and unchanged excepted.

    Args:
        recipe: loaded and valid.
        output: the run directory; by default ``runs/RECIPE-DATE-SEED``.
        resume: go on with the run in `output`, or with the newest unfinished one of the recipe.
        only: run this stage, and what it needs.
        until: run the stages up to this one.
        json_output: print ``results.json`` on stdout at the end, and nothing else there.
        profile: steps of each stage to trace with torch's profiler.

    Returns:
        The run directory.

    Raises:
        ConfigError: the output holds another recipe's or seed's run, or a run and `resume` is not
            given; an environment or a reward is not what the recipe takes it for.
        TrainingError: a stage cannot go on.
        KeyboardInterrupt: after the state was saved.
    """
    # Threads that spin while they wait starve whoever shares the cores, and themselves with it:
    # passive ones took a third of the time on a busy machine. Torch's OpenMP reads this at load.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    validate_graph(recipe)
    names = select(recipe, only=only, until=until)
    display = make_display(names)
    folder = _prepare(recipe, output, resume, display)
    try_sources(recipe, names)
    overlaps = audit(recipe, names)
    for found in overlaps:
        if found.shared:
            display.note(
                f"audit: {found.shared} of {found.questions} questions of {found.evaluation} share "
                f"{recipe.audit_ngram} words in a row with a training prompt (none is one)"
            )
    with closing(display), _naming_a_full_disk(folder):
        run = _Run(recipe, folder, names, display, profile)
        run.manifest.audit = [found.as_dict() for found in overlaps]
        try:
            with run.tracked(), naming_a_lost_process(run.accelerator.num_processes):
                run.all_stages()
        except KeyboardInterrupt:
            # The resolved recipe in the folder has every --set and --seed of this run in it.
            again = ["palestra", "run", str(folder / "recipe.yaml"), "--resume", "--output"]
            display.note(f"stopped; go on with: {shlex.join([*again, str(folder)])}")
            raise
        results = run.write_results()
    if run.is_main:
        from palestra.report.page import build_report
        from palestra.report.summary import summary_tables

        with _naming_a_full_disk(folder):
            page = build_report(folder)
        if json_output:
            print(json.dumps(results, indent=1, ensure_ascii=False))
        else:
            display.final(summary_tables(results, page))
    return folder


@contextmanager
def _naming_a_full_disk(folder: Path) -> Generator[None]:
    """Say which disk is full: an error in writing a metric or a rollout does not."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            f"the disk is full: cannot write in {folder}. Free some space, then go on with "
            "--resume; nothing but the steps since the last checkpoint is lost"
        ) from exc


def _prepare(recipe: Recipe, output: Path | None, resume: bool, display: Display) -> Path:
    """Choose the run directory, and refuse one that holds something else."""
    if resume and output is None:
        found = _newest_unfinished(recipe)
        display.note(f"resuming {found}")
        return found
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = output or RUNS / f"{recipe.name}-{stamp}-{recipe.seed}"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --output names a folder")
    manifest = read_manifest(folder)
    if manifest is not None:
        if manifest.recipe != recipe.name:
            raise ConfigError(
                f"{folder} holds a run of recipe '{manifest.recipe}', not of '{recipe.name}'. "
                "Name another --output"
            )
        if manifest.seed != recipe.seed:
            raise ConfigError(
                f"{folder} holds a run with seed {manifest.seed}, not {recipe.seed}. "
                f"Say --seed {manifest.seed}, or name another --output"
            )
        if not resume:
            raise ConfigError(
                f"{folder} holds a run already. Go on with it by --resume, or name another --output"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and holds no run. Name another --output")
    elif resume:
        raise ConfigError(f"{folder} holds no run to resume")
    return folder


def _newest_unfinished(recipe: Recipe) -> Path:
    runs = [
        (manifest, folder)
        for folder in (RUNS.iterdir() if RUNS.is_dir() else ())
        if (manifest := read_manifest(folder))
        and manifest.recipe == recipe.name
        and not manifest.done
    ]
    found = [(m.started, folder) for m, folder in runs if m.seed == recipe.seed]
    if not found:
        others = sorted({m.seed for m, _ in runs})
        hint = f"; there is one with --seed {' and '.join(map(str, others))}" if others else ""
        raise ConfigError(
            f"no unfinished run of '{recipe.name}' with seed {recipe.seed} under {RUNS}/{hint}"
        )
    return max(found)[1]


class _Run:
    """One process's part in a run."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        names: Sequence[str],
        display: Display,
        profile: int = 0,
    ) -> None:
        self.recipe, self.names, self.display, self.profile = recipe, names, display, profile
        self.registry = get_registry()
        self.accelerator = _accelerator(recipe, folder)
        self.is_main = self.accelerator.is_main_process
        self.folder = Path(self._agree(str(folder)))
        self.manifest = read_manifest(self.folder) or Manifest.begin(recipe)
        self.manifest.selected = list(names)
        self.reward_models = make_reward_models(recipe, self._weights_of)
        self.manifest.done = False
        if self.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.manifest.write(self.folder)
            (self.folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        self.registry.notify("palestra_run_started", run=self.folder)

    def _agree(self, text: str) -> str:
        """Return the main process's `text` on every process (names hold a time)."""
        if self.accelerator.num_processes == 1:
            return text
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([text])[0]

    @contextmanager
    def tracked(self) -> Generator[None]:
        """Run with the recipe's trackers, if it names some."""
        if not self.recipe.engine.trackers:
            yield
            return
        settings = self.recipe.as_dict()
        start_trackers(self.accelerator, self.recipe.name, self.folder, settings)
        try:
            yield
        finally:
            for tracker in self.accelerator.trackers:  # end_training would end the processes too
                tracker.finish()

    def all_stages(self) -> None:
        """Run what is to run; a finished stage whose inputs are unchanged is skipped."""
        for name in self.names:
            digest = stage_hash(self.recipe, name)
            record = self.manifest.stages.get(name)
            if record is not None and record.finished and record.hash == digest:
                self.display.note(f"{name}: finished, and nothing it depends on has changed")
                self.display.finished(name, record.evals)
                continue
            folder = self._folder_of(name)
            if record is None or record.hash != digest:
                if folder.exists() and self.is_main:
                    self.display.note(f"{name}: something it depends on has changed: made anew")
                    shutil.rmtree(folder)
                record = self.manifest.stages[name] = StageRecord(hash=digest)
                self._write_manifest()  # a stage that is killed is known, so it can go on
            self.accelerator.wait_for_everyone()
            self._stage(name, folder, record)
        self.manifest.done = True
        self._write_manifest()

    def _stage(self, name: str, folder: Path, record: StageRecord) -> None:
        config = self.recipe.stages[name]
        folder.mkdir(parents=True, exist_ok=True)
        context = StageContext(
            name=name,
            config=config,
            recipe=self.recipe,
            folder=folder,
            weights=self._weights_of(config.init_from),
            data={n: self.folder / r.data for n, r in self._made().items() if r.data},
            registry=self.registry,
            accelerator=self.accelerator,
            progress=self.display,
            profile=self.profile,
            steps_before=self._steps_before(name),
            teacher=self._teacher_of(config),
            lineage=record.hash,
            reward_models=self.reward_models,
        )
        started = time.monotonic()
        before = record.seconds
        try:
            factory = cast("Any", self.registry.load(Kind.STAGE, config.type))
            result = cast("StageResult", factory(context).run())
        finally:
            record.seconds = before + time.monotonic() - started
            record.peak_rss_mb = max(record.peak_rss_mb, peak_rss_mb())
            self._write_manifest()
        record.weights, record.steps = self._inside(result.weights), result.steps
        record.data = self._inside(result.data) if result.data else None
        record.evals, record.facts = dict(result.evals), dict(result.facts)
        record.finished = True
        self._write_manifest()
        self.write_results()
        self.accelerator.free_memory()
        self.registry.notify(
            "palestra_stage_finished", run=self.folder, stage=name, report=record.evals
        )
        self.display.finished(name, record.evals)

    def _steps_before(self, name: str) -> int:
        earlier = list(self.recipe.stages)[: list(self.recipe.stages).index(name)]
        return sum(record.steps for n, record in self._made().items() if n in earlier)

    def _made(self) -> dict[str, StageRecord]:
        return {n: r for n, r in self.manifest.stages.items() if r.finished}

    def _weights_of(self, origin: str) -> str:
        if origin == "base":
            return self.recipe.model_ref.source
        if origin == "student":
            student = self.recipe.student_ref
            assert student is not None, "the graph was validated"
            return student.source
        weights = self.manifest.stages[origin].weights
        if not weights.startswith("stages/"):  # a stage that trains nothing passed them on
            return weights
        place = self.folder / weights
        if not place.is_dir():
            raise TrainingError(
                f"the weights of stage '{origin}' are gone from {place}. Remove its folder in "
                f"{self.folder / 'stages'} to make them anew"
            )
        return str(place)

    def _teacher_of(self, config: StageConfig) -> str:
        if isinstance(config, DistillConfig) and config.logits is not None:
            return self._weights_of(config.teacher)
        return ""

    def _inside(self, path: str | Path) -> str:
        """Return a path within the run relative to it, so that the folder may be moved."""
        place = Path(path)
        return str(place.relative_to(self.folder) if place.is_relative_to(self.folder) else path)

    def _folder_of(self, name: str) -> Path:
        number = list(self.recipe.stages).index(name) + 1
        return self.folder / "stages" / f"{number:02d}-{name}"

    def _write_manifest(self) -> None:
        if self.is_main:
            self.manifest.write(self.folder)

    def write_results(self) -> dict[str, Any]:
        """Write ``results.json`` and return it: what is measured so far, and the claims."""
        from palestra.evaluation.claims import judge_claims

        made = self._made()
        stages = [_stage_entry(n, self.recipe, made[n]) for n in self.recipe.stages if n in made]
        curves = {n: read_rows(self._folder_of(n) / "metrics.jsonl") for n in made}
        results: dict[str, Any] = {
            "schema": RESULTS_SCHEMA,
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "model": self.recipe.model,
            "versions": versions(),
            "seconds": sum(r.seconds for r in self.manifest.stages.values()),
            "peak_rss_mb": max((r.peak_rss_mb for r in made.values()), default=0),
            "stages": stages,
            "claims": judge_claims(stages, curves),
            "audit": self.manifest.audit,
        }
        if self.is_main:
            temporary = self.folder / "results.tmp"
            temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False))
            temporary.replace(self.folder / "results.json")
        return results


def _stage_entry(name: str, recipe: Recipe, record: StageRecord) -> dict[str, Any]:
    config = recipe.stages[name]
    entry: dict[str, Any] = {
        "name": name,
        "type": config.type,
        "role": config.role,
        "init_from": config.init_from,
        "seconds": record.seconds,
        "steps": record.steps,
        "evals": record.evals,
        **({"facts": record.facts} if record.facts else {}),
    }
    if config.variant is not None:
        entry["variant"] = config.variant
    return entry


def _accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    import torch
    from transformers.utils import logging

    from palestra.learner.launch import launched

    logging.disable_progress_bar()  # the run shows its own
    tune_allocator()
    threads = recipe.engine.threads or max(1, (os.cpu_count() or 1) // _local_processes())
    torch.set_num_threads(threads)
    mixed: Mapping[str, str] = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
    return launched(
        mixed_precision=mixed[recipe.engine.precision],
        log_with=list(recipe.engine.trackers) or None,
        project_dir=folder / "trackers",
    )


def _local_processes() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def tune_allocator() -> None:
    """Let glibc keep freed memory instead of giving it back after every large tensor.

    A training step frees and takes the same hundreds of megabytes again; without this a fifth of
    it goes into page faults on a CPU. A no-op elsewhere.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    import ctypes

    no_mmap, trim_threshold = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(no_mmap, 0)
    libc.mallopt(trim_threshold, -1)


def versions() -> dict[str, str]:
    """Return the versions of what a result may depend on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
