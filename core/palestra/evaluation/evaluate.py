"""Evaluation of a policy on fixed held-out questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from palestra.errors import ConfigError
from palestra.evaluation.metrics import Question, Sample, majority_gain, summarize
from palestra.mixture.config import SourceConfig
from palestra.mixture.draw import Draw
from palestra.mixture.sources import Source
from palestra.rewards.format import is_strict
from palestra.rollout.collection import Collection, Gather, alone
from palestra.rollout.play import roll_out_everywhere
from palestra.rollout.prompting import Prompter
from palestra.rollout.record import language_consistency
from palestra.rollout.samplers.base import Sampler, SamplingParams
from palestra.rollout.trajectory import Group, Trajectory
from palestra.seeding import rng

if TYPE_CHECKING:
    from palestra.evaluation.config import EvalConfig, EvalEnv
    from palestra.plugins.registry import Registry

_TRIES = 40  # draws a question, before the environment is taken to have no more distinct ones


def evaluate(
    config: EvalConfig,
    registry: Registry,
    prompter: Prompter,
    sampler: Sampler,
    *,
    max_tokens: int,
    rank: int = 0,
    world: int = 1,
    gather: Gather = alone,
) -> dict[str, list[Question]]:
    """Return the questions of each environment, answered and graded.

    The questions depend on `config` alone, so stages of one run, and runs of one recipe, answer
    the same ones. `measure` makes numbers of them.
    """
    how = Collection(
        params=SamplingParams(
            temperature=config.temperature,
            max_tokens=config.max_tokens or max_tokens,
            top_p=config.top_p,
            top_k=config.top_k,
        ),
        group_size=config.samples,
        noise=(config.seed, "evaluate"),
        rank=rank,
        world=world,
        gather=gather,
    )
    greedy = replace(how, params=replace(how.params, temperature=0.0), group_size=1)
    out: dict[str, list[Question]] = {}
    for env in config.envs:
        source = Source(_as_source(env), registry, f"eval ({env.env})")
        draws = questions(source, config)
        sampled = roll_out_everywhere(draws, [source], sampler, prompter, how)
        best: list[Group] = []
        if config.greedy:
            best = roll_out_everywhere(draws, [source], sampler, prompter, greedy)
        out[_label(env, out)] = _questions(sampled, best)
    return out


def measure(
    answered: Mapping[str, Sequence[Question]], pass_at: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return, for each environment, the measures of `palestra.evaluation.metrics.summarize`."""
    out: dict[str, dict[str, Any]] = {}
    for env, found in answered.items():
        gains = {str(k): majority_gain(found, k).as_dict() for k in pass_at if k > 1}
        out[env] = {**summarize(found, tuple(pass_at)), "cons_gain@k": gains}
    return out


def questions(source: Source, config: EvalConfig) -> list[Draw]:
    """Return draws of `config.questions` distinct questions (fewer where there are no more)."""
    env = source.env()
    split = source.options["split"]
    count = env.count(split, source.config.language)
    if count is not None:
        order = rng(config.seed, "questions", source.config.env).permutation(count)
        candidates: Sequence[int] = order.tolist()
    else:
        first = config.seed * 1_000_000
        candidates = range(first, first + _TRIES * config.questions)
    seen: set[str] = set()
    draws: list[Draw] = []
    for index in candidates:
        if len(draws) == config.questions:
            break
        _, info = env.reset(options={**source.options, "index": index})
        if info["prompt_hash"] not in seen:
            seen.add(info["prompt_hash"])
            draws.append(Draw(number=len(draws), source=0, env_seed=0, options={"index": index}))
    if not draws:
        raise ConfigError(f"{source.where}: no question in split '{split}'")
    return draws


def asked(env: EvalEnv, config: EvalConfig, registry: Registry) -> list[str]:
    """Return the prompts of the questions that an evaluation asks of one of its environments."""
    source = Source(_as_source(env), registry, env.env)
    return [prompt_of(source, draw) for draw in questions(source, config)]


def prompt_of(source: Source, draw: Draw) -> str:
    """Return all that the policy is shown before its first turn, but for the system's part."""
    _, info = source.env().reset(seed=draw.env_seed, options={**source.options, **draw.options})
    return "\n".join(m["content"] for m in info["messages"] if m["role"] != "system")


def _as_source(env: EvalEnv) -> SourceConfig:
    return SourceConfig(
        env=env.env,
        kwargs=env.kwargs,
        split=env.split,
        difficulty=env.difficulty,
        language=env.language,
    )


def _label(env: EvalEnv, taken: Mapping[str, object]) -> str:
    """Return the environment's id, or with what sets it apart where the id is there already."""
    if env.env not in taken:
        return env.env
    return f"{env.env} ({env.split}, difficulty {env.difficulty}, {env.language or 'any language'})"


def _questions(sampled: Sequence[Group], greedy: Sequence[Group]) -> list[Question]:
    best = {g.number: g.members[0] for g in greedy}
    return [
        Question(
            task_id=g.members[0].task_id,
            prompt_hash=g.members[0].prompt_hash,
            difficulty=g.members[0].difficulty,
            language=g.members[0].language,
            samples=tuple(_sample(m) for m in g.members),
            greedy=_sample(best[g.number]) if g.number in best else None,
        )
        for g in sampled
    ]


def _sample(member: Trajectory) -> Sample:
    return Sample(
        correct=member.components.get("accuracy", member.reward),
        lenient=member.components.get("lenient_accuracy"),
        answer=member.extracted,
        length=member.length,
        format=float(is_strict(member.text)),
        language=language_consistency(member),
        truncated=member.stop_reason == "length",
        valid=member.is_valid,
    )
