"""What every stage is given, and how a training stage steps, records, saves and resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from palestra.errors import DataError
from palestra.learner.checkpoint import Checkpoints
from palestra.plugins.registry import Registry
from palestra.rewards.models import RewardModels
from palestra.stages.flops import peak_flops
from palestra.stages.interrupt import deferred_interrupt
from palestra.stages.measures import add_memory, add_speeds
from palestra.stages.memory import naming_the_knob
from palestra.stages.profile import StepProfiler
from palestra.stages.trackers import log_metrics

if TYPE_CHECKING:
    from accelerate import Accelerator

    from palestra.learner.snapshot import Snapshot
    from palestra.recipe.config import Recipe
    from palestra.stages.config import StageConfig
    from palestra.stages.policy import LoadedPolicy


class Progress(Protocol):
    """Whoever watches a run."""

    def stage(self, name: str, steps: int) -> None:
        """A stage begins; `steps` is 0 where it has none."""
        ...

    def step(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """A step is done."""
        ...

    def activity(self, what: str) -> None:
        """Something that is no step begins, such as an evaluation."""
        ...

    def completion(self, prompt: str, text: str, scores: Mapping[str, float]) -> None:
        """A completion to look at; its text is the model's, so hostile."""
        ...

    def note(self, text: str) -> None:
        """A line for the log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """What a stage is given.

    Attributes:
        name: of the stage.
        config: its part of the recipe.
        recipe: the whole.
        folder: where it writes: ``stages/NN-name`` of the run.
        weights: the model folder or hub id it begins with.
        data: Parquet files of the earlier stages that made some.
        registry: plugins.
        accelerator: devices, processes, precision; one for the run.
        progress: whoever watches.
        profile: steps to trace.
        steps_before: steps of the run's earlier stages.
        teacher: the model folder or hub id of the teacher whose logits are distilled; "" for none.
        lineage: hash of all that decides what the stage makes.
        reward_models: the run's reward models; the registered ones alone where None.
    """

    name: str
    config: StageConfig
    recipe: Recipe
    folder: Path
    weights: str
    data: Mapping[str, Path]
    registry: Registry
    accelerator: Accelerator
    progress: Progress
    profile: int = 0
    steps_before: int = 0
    teacher: str = ""
    lineage: str = ""
    reward_models: RewardModels | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.accelerator.is_main_process


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What a stage leaves.

    Attributes:
        weights: the model it ends with (its input's where it trains none).
        data: a Parquet file of examples, where it made one.
        steps: steps done.
        evals: the final evaluation, by environment id.
        facts: numbers for the report.
    """

    weights: str
    data: Path | None = None
    steps: int = 0
    evals: Mapping[str, Any] = field(default_factory=dict[str, Any])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Stage(Protocol):
    """A type of stage: made with its context, run once."""

    def __init__(self, context: StageContext) -> None: ...

    def run(self) -> StageResult:
        """Do the work, or go on with it where checkpoints are found."""
        ...


class Stateful(Protocol):
    """Something whose state belongs in a checkpoint, as plain data."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class Trained(Protocol):
    """What a training loop saves and loads: `Learner`, or one like it."""

    def snapshot(self) -> Snapshot: ...

    def load(self, folder: Path) -> None: ...


class TrainingLoop:
    """Steps a stage, and keeps its record so that a killed run ends with the same numbers.

    A checkpoint lies between two steps and holds all that the next step depends on. On resume,
    metrics and rollouts past it are cut, and made again.

    Args:
        context: the stage's.
        learner: trains the policy.
        policy: the model with its tokenizer.
        state: what else the next step depends on, by name.
        evaluate: returns the evaluation of the weights as they are.
        begin: is told the step that the run goes on from, 0 for a new one, when all is loaded.
        ended: whether the stage ends with the step that is done, or was resumed from.
    """

    def __init__(
        self,
        context: StageContext,
        learner: Trained,
        policy: LoadedPolicy,
        state: Mapping[str, Stateful],
        evaluate: Callable[[], Mapping[str, Any]],
        begin: Callable[[int], None] = lambda step: None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self.context, self.learner, self.policy = context, learner, policy
        self._state, self._evaluate, self._begin, self._ended = state, evaluate, begin, ended
        self.checkpoints = Checkpoints(
            context.folder / "checkpoints", keep_last=context.config.keep_last
        )
        self.metrics_file = context.folder / "metrics.jsonl"
        self.evals_file = context.folder / "evals.jsonl"
        self.profiler = StepProfiler(
            context.folder, context.profile if context.is_main else 0, context.progress.note
        )

    def run(self, steps: int, step: Callable[[int], dict[str, Any]]) -> StageResult:
        """Run `step` for each number from where the last checkpoint stands, up to `steps`."""
        done = self._resume()
        self._begin(done)
        self.context.progress.stage(self.context.name, steps)
        evals: Mapping[str, Any] = {}
        with deferred_interrupt(self.context.progress.note) as interrupted:
            for number in range(done + 1, steps + 1):
                if self._ended():
                    break
                with self.profiler.step(number, is_last=number == steps):
                    metrics = self._step(number, step)
                done, last = number, number == steps or self._ended()
                due = self._is_due(number, last) and not interrupted()
                evals = self._record_evaluation(number) if due else {}
                if number % self.context.config.save_steps == 0 or last or interrupted():
                    self._save(number, metrics, evals)
                if interrupted():
                    raise KeyboardInterrupt
        place = self.checkpoints.all()[-1]
        if not evals and self.context.config.eval is not None:  # stopped behind the last step
            row = _last_row(self.evals_file)
            evals = row["evals"] if row.get("step") == done else self._record_evaluation(done)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        facts = {"checkpoint_bytes": size}
        return StageResult(weights=str(place / "model"), steps=done, evals=evals, facts=facts)

    def _step(self, number: int, step: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        started = time.monotonic()
        with naming_the_knob(number):
            metrics = step(number)
        self._measure(metrics, time.monotonic() - started)
        self._append(self.metrics_file, {"step": number, **metrics})
        self._track(number, metrics)
        self.context.progress.step(self.context.name, number, metrics)
        return metrics

    def _measure(self, metrics: dict[str, Any], seconds: float) -> None:
        accelerator, precision = self.context.accelerator, self.context.recipe.engine.precision
        peak = peak_flops(accelerator.device, precision) * accelerator.num_processes
        add_speeds(metrics, seconds, peak)
        add_memory(metrics, accelerator.device)

    def _track(self, number: int, row: Mapping[str, Any]) -> None:
        context = self.context
        log_metrics(context.accelerator, context.name, row, step=context.steps_before + number)

    def _is_due(self, number: int, last: bool) -> bool:
        config = self.context.config.eval
        if config is None:
            return False
        return last or bool(config.every and number % config.every == 0)

    def _record_evaluation(self, number: int) -> Mapping[str, Any]:
        evals = self._evaluate()
        self._append(self.evals_file, {"step": number, "evals": evals})
        self._track(number, {"eval": evals})
        return evals

    def _save(self, number: int, metrics: Mapping[str, Any], evals: Mapping[str, Any]) -> None:
        context = self.context
        snapshot = self.learner.snapshot()
        if context.is_main:
            state = {name: part.state_dict() for name, part in self._state.items()}

            def write(folder: Path) -> None:
                snapshot.write(folder, self.policy.tokenizer)
                (folder / "state.json").write_text(json.dumps({"step": number, "state": state}))

            self.checkpoints.save(number, write, self._best(metrics, evals))
        context.accelerator.wait_for_everyone()

    def _best(self, metrics: Mapping[str, Any], evals: Mapping[str, Any]) -> float | None:
        """Return the value of `best_metric`: a metric of the step, or of its evaluation."""
        name = self.context.config.best_metric
        if name is None:
            return None
        if name in metrics:
            return float(metrics[name])
        values = [float(e[name]["value"]) for e in evals.values() if name in e]
        return sum(values) / len(values) if values else None

    def _resume(self) -> int:
        """Load the newest sound checkpoint, cut what lies past it, and return its step."""
        place = self.checkpoints.latest()
        done = 0
        if place is not None:
            saved = json.loads((place / "state.json").read_text())
            self.learner.load(place)
            for name, part in self._state.items():
                part.load_state_dict(saved["state"][name])
            done = int(saved["step"])
            self.context.progress.note(f"{self.context.name}: going on from step {done}")
        if self.context.is_main:
            _cut(self.metrics_file, done)
            _cut(self.evals_file, done)
            for file in (self.context.folder / "rollouts").glob("step-*.parquet"):
                if int(file.stem.removeprefix("step-")) > done:
                    file.unlink()
        self.context.accelerator.wait_for_everyone()
        return done

    def _append(self, file: Path, row: Mapping[str, Any]) -> None:
        if self.context.is_main:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file; an unfinished last line (a killed process's) is left out.

    Raises:
        DataError: a line that is not the last is not JSON.
    """
    if not file.is_file():
        return []
    rows: list[dict[str, Any]] = []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as exc:
            if number == len(lines):
                break
            raise DataError(f"{file}:{number}: not JSON: {exc.msg}") from exc
    return rows


def _cut(file: Path, step: int) -> None:
    """Keep the rows of `file` up to and with `step`."""
    if file.is_file():
        kept = [row for row in read_rows(file) if row["step"] <= step]
        temporary = file.with_suffix(".tmp")
        temporary.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8"
        )
        temporary.replace(file)


def _last_row(file: Path) -> dict[str, Any]:
    rows = read_rows(file)
    return rows[-1] if rows else {}
