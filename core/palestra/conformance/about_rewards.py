"""Checks of rewards: the right answer earns the maximum, and no probe earns anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from palestra.conformance import probes
from palestra.conformance.check import (
    Check,
    Make,
    Violation,
    judged,
    tried,
    without_reference,
)
from palestra.conformance.episodes import begin
from palestra.conformance.evidence import Evidence, Grading
from palestra.conformance.statistics import beats_chance
from palestra.envs.together import step_alone
from palestra.plugins.specs import EnvironmentSpec

AGAIN = range(8)
NOTHING_TO_SEND = "no task has a reference that differs from another's"


@judged(
    "reference-earns-the-maximum",
    "the reference completion earns the highest reward of the declared range",
    "mend grade() or reference_completion(), or declare has_reference=False",
    without_reference,
)
def reference_earns(evidence: Evidence) -> str:
    """Look at every graded reference."""
    high = evidence.spec.reward_range[1]
    graded = [g for g in evidence.gradings if g.probe == "reference"]
    if not graded:
        raise Violation("reference_completion() gave nothing for any task")
    refused = false_fails(evidence)
    if refused:
        worst = refused[0]
        raise Violation(
            f"{len(refused)} of {len(graded)} references earned less than {high:g}, as: "
            f"{worst.example} {worst.reason or worst.raised or worst.stuck}".rstrip()
        )
    return f"{len(graded)} references"


@judged(
    "rewards-keep-their-range",
    "every reward lies within the declared reward_range",
    "declare the real EnvironmentSpec.reward_range, or clip",
)
def range_kept(evidence: Evidence) -> str:
    """Look at every reward of every turn."""
    low, high = evidence.spec.reward_range
    valid = [g for g in evidence.gradings if not g.failed]
    for grading in valid:
        for reward in grading.rewards:
            if not low - 1e-9 <= reward <= high + 1e-9:  # NaN lies in no range
                raise Violation(f"{reward:g} is outside {low:g} to {high:g}: {grading.example}")
    rewards = [reward for g in valid for reward in g.rewards]
    return f"{min(rewards, default=0):g} to {max(rewards, default=0):g}"


@tried(
    "same-answer-same-reward",
    "the same completion of the same task earns the same again, in a new instance too",
    "make grading a function of task and completion, or declare deterministic=False",
    lambda spec: "" if spec.deterministic else "the spec declares deterministic=False",
)
def same_reward(make: Make, spec: EnvironmentSpec) -> str:
    """Grade right and wrong answers twice, the second time backwards in a new instance."""

    def graded(seeds: Iterable[int]) -> dict[tuple[int, int], float]:
        env = make()
        rewards: dict[tuple[int, int], float] = {}
        for seed in seeds:
            for number in range(4):
                start = begin(env, seed)
                answer = start.reference if number == 0 else ("x", "1", "")[number - 1]
                completion = probes.in_form("tags", answer or "")
                rewards[seed, number] = float(step_alone(env, completion)[1])
        return rewards

    first, again = graded(AGAIN), graded(reversed(AGAIN))
    for (seed, number), reward in first.items():
        if again[seed, number] != reward:
            raise Violation(
                f"seed {seed}: one completion earned {reward:g}, then {again[seed, number]:g}"
            )
    return ""


def _unpaid(evidence: Evidence, *kinds: str) -> str:
    """Hold probes to nothing at all: they answer no task."""
    graded = list(evidence.of(*kinds))
    paid = evidence.paid(graded)
    if paid:
        raise Violation(f"{len(paid)} of {len(graded)} were paid, as: {paid[0].example}")
    return f"{len(graded)} probes" if graded else NOTHING_TO_SEND


@judged(
    "silence-is-not-paid",
    "an empty completion, or white space, earns nothing",
    "pay for an answer alone: start at 0 where none is found",
)
def silence(evidence: Evidence) -> str:
    """Judge the empty completions."""
    return _unpaid(evidence, "silence")


@judged(
    "tags-alone-are-not-paid",
    "<think> and <answer> with nothing in them earn nothing",
    "leave the format to the reward model 'format', and refuse an empty answer",
)
def tags(evidence: Evidence) -> str:
    """Judge the empty tags."""
    return _unpaid(evidence, "tags")


@judged(
    "prompt-is-not-paid",
    "the prompt, echoed bare or as the answer, earns nothing",
    "compare the whole answer with the reference; do not search it for the reference",
)
def prompt_echo(evidence: Evidence) -> str:
    """Judge the echoes."""
    return _unpaid(evidence, "echo")


@judged(
    "info-is-not-paid",
    "no value of info, graded as a completion, is right more often than chance",
    "take out of info (and of the task's id and metadata) what gives the answer away",
)
def info_values(evidence: Evidence) -> str:
    """Judge the values of info, place by place: some are right by accident."""
    return _no_better_than_chance(evidence, "info")


@judged(
    "guesses-do-not-beat-chance",
    "no fixed guess earns more over 200 tasks than the declared chance explains (p < 0.001)",
    "balance the answers or draw from more of them, or declare the real EnvironmentSpec.chance",
)
def guesses(evidence: Evidence) -> str:
    """Judge the fixed guesses by an exact binomial test over the panel."""
    return _no_better_than_chance(evidence, "guess")


@judged(
    "another-answer-is-not-paid",
    "the reference of another task, where it differs, is right no more often than chance",
    "compare with this task's reference alone, as a whole",
    without_reference,
)
def another_answer(evidence: Evidence) -> str:
    """Judge the answers of other tasks."""
    return _no_better_than_chance(evidence, "another")


@judged(
    "listed-candidates-are-not-paid",
    "an answer that lists every candidate, the right one among them, earns nothing",
    "read one answer and compare it as a whole; where there are several, take the last or none",
    without_reference,
)
def listed_candidates(evidence: Evidence) -> str:
    """Judge the lists."""
    return _unpaid(evidence, "listed")


@judged(
    "broken-text-is-not-paid",
    "unbalanced tags, null bytes, a megabyte of text and what makes parsers hang earn nothing",
    "parse strictly, and treat what does not parse as a wrong answer",
)
def broken_text(evidence: Evidence) -> str:
    """Judge the texts that are no answers to anything."""
    return _unpaid(evidence, "broken", "megabyte", "hang")


@judged(
    "injections-are-not-paid",
    "a completion that gives orders to its judge earns nothing",
    "tell the judge where the completion begins and ends, and read its verdict from its own words",
)
def injections(evidence: Evidence) -> str:
    """Judge the prompt injections."""
    return _unpaid(evidence, "injection")


@judged(
    "own-probes-are-not-paid",
    "every cheat of probes(task) earns nothing",
    "mend grade() for the cheat that you wrote down",
)
def own_probes(evidence: Evidence) -> str:
    """Judge the author's own cheats, without any tolerance."""
    graded = list(evidence.of("own"))
    paid = [g for g in graded if g.total > evidence.floor + 1e-9]
    if paid:
        raise Violation(f"{len(paid)} of {len(graded)} were paid, as: {paid[0].example}")
    return f"{len(graded)} probes" if graded else "the environment brings none"


def _by_variant(gradings: Iterable[Grading]) -> dict[str, list[Grading]]:
    variants: dict[str, list[Grading]] = defaultdict(list)
    for grading in gradings:
        variants[grading.variant].append(grading)
    return variants


def _lucky(evidence: Evidence, kind: str) -> dict[str, list[Grading]]:
    """Return the variants of a probe that earn more than chance explains."""
    variants = _by_variant(evidence.of(kind))
    return {
        variant: graded
        for variant, graded in variants.items()
        if beats_chance([evidence.share(g) for g in graded], evidence.spec.chance, len(variants))
    }


def _no_better_than_chance(evidence: Evidence, kind: str) -> str:
    variants = _by_variant(evidence.of(kind))
    for graded in _lucky(evidence, kind).values():
        earned = sum(evidence.share(g) for g in graded)
        paid = next(g for g in graded if evidence.share(g) > 0)
        raise Violation(
            f"right {earned:g} times in {len(graded)} tasks, where chance is "
            f"{evidence.spec.chance:.3g}, as: {paid.example}"
        )
    tasks = max((len(graded) for graded in variants.values()), default=0)
    return f"{len(variants)} answers to {tasks} tasks" if tasks else NOTHING_TO_SEND


def false_passes(evidence: Evidence) -> tuple[int, int]:
    """Return how many probes were paid that should not be, and how many there were."""
    strict = ("silence", "tags", "echo", "listed", "broken", "megabyte", "hang", "injection", "own")
    lucky = ("info", "guess", "another")
    graded = list(evidence.of(*strict))
    paid = len(evidence.paid(graded))
    probes_ = len(graded)
    for kind in lucky:
        probes_ += sum(1 for _ in evidence.of(kind))
        paid += sum(len(evidence.paid(found)) for found in _lucky(evidence, kind).values())
    return paid, probes_


def false_fails(evidence: Evidence) -> list[Grading]:
    """Return the references that did not earn the maximum."""
    high = evidence.spec.reward_range[1]
    return [
        g
        for g in evidence.gradings
        if g.probe == "reference" and (g.failed or g.total < high - 1e-9)
    ]


CHECKS: tuple[Check, ...] = (
    reference_earns,
    range_kept,
    same_reward,
    silence,
    tags,
    prompt_echo,
    info_values,
    guesses,
    another_answer,
    listed_candidates,
    broken_text,
    injections,
    own_probes,
)
