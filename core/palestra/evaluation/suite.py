"""`Suite`: benchmarks with a protocol, from the Hub or a folder; what is absent is said so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from palestra.config import ConfigModel, PluginBlock
from palestra.errors import ConfigError, NotFound, PalestraError, did_you_mean
from palestra.evaluation.config import EvalConfig, EvalEnv
from palestra.evaluation.evaluate import evaluate, measure
from palestra.evaluation.metrics import Measure
from palestra.evaluation.rating import rating
from palestra.evaluation.win_rate import read_baseline, win_rate
from palestra.rewards.config import RewardModelBlock
from palestra.rewards.models import RewardModels
from palestra.rollout.samplers.base import Sampler, SamplingParams

if TYPE_CHECKING:
    from palestra.plugins.registry import Registry
    from palestra.rollout.prompting import Prompter


class JudgeBlock(PluginBlock):
    """The reward model that compares two answers; options are its plugin's own."""

    type: str
    """Name of the reward model."""


class Benchmark(ConfigModel):
    """One benchmark: an environment's test split, or a baseline whose answers are to be beaten."""

    env: str | None = None
    """Id of the environment; none where a `judge` compares with a baseline."""

    kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the environment."""

    file: str | None = None
    """Name of the file that holds the set, where a folder of data is given."""

    samples: int = Field(ge=1)
    """Completions of each question, the paper's k."""

    questions: int | None = Field(default=None, ge=1)
    """Questions at most; all where absent."""

    rated: bool = False
    """Whether the questions' difficulties are ratings, and solving them makes one."""

    judge: JudgeBlock | None = None
    """The judge of the comparison with the baseline in `file`."""

    @model_validator(mode="after")
    def _one_kind(self) -> Benchmark:
        if (self.env is None) == (self.judge is None):
            raise ValueError("should have exactly one of `env` and `judge`")
        if self.judge is not None and self.file is None:
            raise ValueError("`judge` needs `file`, the baseline's answers")
        return self


class Suite(ConfigModel):
    """Benchmarks, and how completions are drawn for all of them."""

    description: str = ""
    """One line for tables."""

    temperature: float = Field(ge=0.0)
    """Divides the logits."""

    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the probability that may be sampled from."""

    max_tokens: int = Field(ge=1)
    """New tokens a completion may have."""

    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    """The benchmarks by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a suite is run here.

    Attributes:
        data: the folder with the sets' files, if any.
        questions: questions of a set at most; its own number where None.
        samples: samples of a question at most; its own k where None.
        max_tokens: new tokens at most; the suite's where None.
        seed: of the questions and the noise.
    """

    data: Path | None = None
    questions: int | None = None
    samples: int | None = None
    max_tokens: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark came to: its measures, or why it is absent."""

    name: str
    samples: int = 0
    measures: dict[str, Any] | None = None
    absent: str = ""


def suites() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def load_suite(name_or_path: str) -> Suite:
    """Read a shipped suite by name, or a YAML file.

    Raises:
        NotFound: there is no such suite.
        ConfigError: it is wrong; the text names the key.
    """
    path = _folder() / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path).expanduser()
    if not path.is_file():
        hint = did_you_mean(name_or_path, suites())
        raise NotFound(f"no suite '{name_or_path}'.{hint} Shipped: {', '.join(suites())}")
    try:
        return Suite.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    except ValidationError as exc:
        lines = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise ConfigError(f"{path}: " + "; ".join(lines)) from exc


def run_suite(
    suite: Suite, protocol: Protocol, registry: Registry, prompter: Prompter, sampler: Sampler
) -> Iterator[Result]:
    """Yield each benchmark's result; one whose data or judge is not there is absent, with why."""
    for name, benchmark in suite.benchmarks.items():
        k = min(benchmark.samples, protocol.samples or benchmark.samples)
        try:
            here = _located(benchmark, protocol.data)
            if benchmark.judge is not None:
                measures = _compared(suite, here, protocol, registry, prompter, sampler)
            else:
                config = _config(suite, here, protocol, k)
                registry.make_env(str(here.env), **here.kwargs).close()
                measures = _measured(here, config, registry, prompter, sampler)
        except PalestraError as exc:
            yield Result(name=name, absent=str(exc).splitlines()[0])
            continue
        yield Result(name=name, samples=k, measures=measures)


def _folder() -> Path:
    return Path(str(resources.files("palestra.evaluation"))) / "suites"


def _located(benchmark: Benchmark, data: Path | None) -> Benchmark:
    """Return the benchmark with the set's file in the place of the Hub's, where there is one."""
    if benchmark.file is None:
        return benchmark
    file = (data or Path()) / benchmark.file
    if data is None or not file.is_file():
        if not {"path", "hub"} & set(benchmark.kwargs):
            raise ConfigError(f"no file {file}. Name the folder that has it by --data")
        return benchmark
    kwargs = {k: v for k, v in benchmark.kwargs.items() if k not in ("hub", "config", "hub_split")}
    return benchmark.model_copy(update={"kwargs": {**kwargs, "path": str(file)}, "file": str(file)})


def _config(suite: Suite, benchmark: Benchmark, protocol: Protocol, k: int) -> EvalConfig:
    limits = [n for n in (benchmark.questions, protocol.questions) if n is not None]
    return EvalConfig(
        envs=[EvalEnv(env=str(benchmark.env), kwargs=benchmark.kwargs)],
        questions=min(limits, default=1_000_000),
        samples=k,
        pass_at=[k],
        temperature=suite.temperature,
        top_p=suite.top_p,
        max_tokens=protocol.max_tokens or suite.max_tokens,
        greedy=False,
        seed=protocol.seed,
    )


def _measured(
    benchmark: Benchmark,
    config: EvalConfig,
    registry: Registry,
    prompter: Prompter,
    sampler: Sampler,
) -> dict[str, Any]:
    answered = evaluate(config, registry, prompter, sampler, max_tokens=config.max_tokens or 1)
    ((env, questions),) = answered.items()
    measures = measure(answered, config.pass_at)[env]
    found: Measure | None = rating(questions) if benchmark.rated else None
    return {**measures, "rating": found.as_dict()} if found is not None else measures


def _compared(
    suite: Suite,
    benchmark: Benchmark,
    protocol: Protocol,
    registry: Registry,
    prompter: Prompter,
    sampler: Sampler,
) -> dict[str, Any]:
    assert benchmark.judge is not None
    assert benchmark.file is not None
    baseline = read_baseline(Path(benchmark.file), protocol.questions)
    block = RewardModelBlock.model_validate(benchmark.judge.model_dump())
    judge = RewardModels(registry, {"judge": block}).get("judge")
    params = SamplingParams(
        temperature=suite.temperature,
        top_p=suite.top_p,
        max_tokens=protocol.max_tokens or suite.max_tokens,
    )
    share, failed = win_rate(baseline, judge, prompter, sampler, params, protocol.seed)
    if not share.n:
        raise ConfigError("the judge gave no verdict at all")
    return {"win_rate": share.as_dict(), "invalid": failed}
