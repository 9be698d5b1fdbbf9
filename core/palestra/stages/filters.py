"""Filters of sampled completions, each of which counts what it took.

DeepSeek-R1 kept correct samples and dropped thoughts with mixed languages, long paragraphs or code
blocks (arXiv 2501.12948v2, appendix B.3.3), and repetition from the cold start (B.3.2). A
completion is taken by the first filter that refuses it, cheap ones first, so the counts add up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from palestra.evaluation.evaluate import asked
from palestra.mixture.audit import Fingerprint, normalised_words
from palestra.rewards.base import RewardSum, Scored
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought
from palestra.rollout.record import language_consistency
from palestra.rollout.streaming import Splitter

if TYPE_CHECKING:
    from palestra.envs import Score
    from palestra.evaluation.config import EvalConfig
    from palestra.plugins.registry import Registry
    from palestra.rewards.models import RewardModels
    from palestra.rollout.trajectory import Group, Trajectory
    from palestra.stages.filter_config import FilterConfig

_CODE = re.compile(r"```|^( {4}|\t)\S.*\n(?:\1\S.*\n?)+", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n\s*\n")

Refuses = Callable[["Trajectory"], bool]


class Taken:
    """How many completions each filter took, in the order they were asked."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def sift(self, name: str, members: Iterable[Trajectory], refuses: Refuses) -> list[Trajectory]:
        """Return the members that a filter leaves."""
        kept: list[Trajectory] = []
        for member in members:
            if refuses(member):
                self.counts[name] += 1
            else:
                kept.append(member)
        return kept

    def __str__(self) -> str:
        return (
            ", ".join(f"{name} {count}" for name, count in self.counts.items() if count) or "none"
        )


class Filters:
    """The filters of one stage.

    Args:
        config: the stage's `filters`.
        require: lowest value of each named reward component.
        layout: how a kept completion is written; one without both parts is taken.
        registry: where evaluations find their environments.
        models: the run's reward models, the judges among them.
        evaluations: whose questions no example may hold.
        where: how errors name the stage.
    """

    def __init__(
        self,
        config: FilterConfig,
        require: Mapping[str, float],
        layout: str | None,
        registry: Registry,
        models: RewardModels,
        evaluations: Sequence[EvalConfig],
        where: str,
    ) -> None:
        self.config, self.require, self.layout = config, require, layout
        judges = {f"model.{name}": 1.0 for name in config.judges}
        self._judges = RewardSum(judges, models, where)
        self._evaluations = (
            [
                Fingerprint.of(asked(env, each, registry), config.decontaminate)
                for each in evaluations
                for env in each.envs
            ]
            if config.decontaminate
            else []
        )

    def sift(self, groups: Sequence[Group], taken: Taken) -> list[Trajectory]:
        """Return the members of the groups that every filter leaves, their order kept."""
        members = [member for group in groups for member in group.members]
        left = taken.sift("no verdict", members, lambda m: not m.is_valid)
        left = taken.sift("cut short", left, lambda m: m.stop_reason == "length")
        for name, least in self.require.items():
            left = taken.sift(name, left, _below(name, least))
        for name, refuses in self._by_text():
            left = taken.sift(name, left, refuses)
        left = self._judged(left, groups, taken)
        if self._evaluations:
            left = taken.sift("decontaminate", left, self._is_contaminated)
        return left

    def _by_text(self) -> Iterable[tuple[str, Refuses]]:
        config = self.config
        if self.layout is not None:
            yield "layout", lambda m: not all(thinking_and_answer(m.text))
        if (low := config.min_tokens) is not None:
            yield "min_tokens", lambda m: m.length < low
        if (high := config.max_tokens) is not None:
            yield "max_tokens", lambda m: m.length > high
        if (share := config.language) is not None:
            yield "language", lambda m: m.language is not None and _language(m) < share
        if (most := config.repetition) is not None:
            n = config.repetition_ngram
            yield "repetition", lambda m: repetition(m.text, n) > most
        if (words := config.max_paragraph) is not None:
            yield "max_paragraph", lambda m: longest_paragraph(chain_of_thought(m.text)) > words
        if not config.code_in_thought:
            yield "code_in_thought", lambda m: has_code(chain_of_thought(m.text))

    def _judged(
        self, members: list[Trajectory], groups: Sequence[Group], taken: Taken
    ) -> list[Trajectory]:
        if not self.config.judges or not members:
            return members
        group_of = {id(member): group for group in groups for member in group.members}
        batch = [_scored(member, group_of[id(member)]) for member in members]
        scores = self._judges.model_scores(batch)
        rows = {id(member): row for member, row in zip(members, scores, strict=True)}

        def score(name: str, member: Trajectory) -> Score:
            return rows[id(member)][f"model.{name}"]

        left = members
        for name, least in self.config.judges.items():
            by = partial(score, name)
            left = taken.sift(f"judge {name} failed", left, partial(_has_no_verdict, by))
            left = taken.sift(f"judge {name}", left, partial(_pays_less, by, least))
        return left

    def _is_contaminated(self, member: Trajectory) -> bool:
        prompt = "\n".join(m["content"] for m in member.messages if m["role"] != "system")
        return any(
            each.touches(text) for each in self._evaluations for text in (prompt, member.text)
        )

    def key(self, member: Trajectory) -> tuple[str, str]:
        """Return what makes two examples the same."""
        if self.config.duplicates == "exact":
            return member.prompt_hash, member.text
        prompt = " ".join(m["content"] for m in member.messages)
        return " ".join(normalised_words(prompt)), " ".join(normalised_words(member.text))


def write_layout(layout: str | None, text: str) -> str:
    """Return a completion as the layout has it: ``{thinking}`` and ``{answer}`` in its places."""
    if layout is None:
        return text
    thinking, answer = thinking_and_answer(text)
    parts = {"{thinking}": thinking, "{answer}": answer}
    return re.sub(r"\{(?:thinking|answer)\}", lambda match: parts[match[0]], layout)


def thinking_and_answer(text: str) -> tuple[str, str]:
    """Return the two parts of a completion, without tags and white space around them."""
    parts = {"thinking": "", "answer": ""}
    for part, piece in Splitter().feed(text, last=True):
        parts[part] += piece
    return parts["thinking"].strip(), parts["answer"].strip()


def repetition(text: str, n: int) -> float:
    """Return the share of the n-grams of words that occurred before; 0 where there are none.

    Example:
        >>> repetition("so so so so", 2)
        0.6666666666666666
    """
    words = normalised_words(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def longest_paragraph(text: str) -> int:
    """Return the words of the longest paragraph; blank lines part paragraphs."""
    return max(len(normalised_words(part)) for part in _PARAGRAPH.split(text))


def has_code(text: str) -> bool:
    """Whether a text has a fenced code block, or two lines in a row that are indented as code."""
    return _CODE.search(text) is not None


def _below(name: str, least: float) -> Refuses:
    def refuses(member: Trajectory) -> bool:
        measures = {
            "format": float(is_strict(member.text)),
            "language_consistency": language_consistency(member),
            **member.components,
        }
        value = measures.get(name)
        return value is None or value < least

    return refuses


def _has_no_verdict(by: Callable[[Trajectory], Score], member: Trajectory) -> bool:
    return not by(member).status.is_valid


def _pays_less(by: Callable[[Trajectory], Score], least: float, member: Trajectory) -> bool:
    return by(member).paid < least


def _language(member: Trajectory) -> float:
    share = language_consistency(member)
    return 0.0 if share is None else share


def _scored(member: Trajectory, group: Group) -> Scored:
    return Scored(
        messages=member.messages,
        completion=member.actions[-1] if member.actions else member.text,
        language=member.language,
        env_id=member.env_id,
        task_id=member.task_id,
        group=group.number,
        tokens=member.length,
        truncated=member.stop_reason == "length",
        extracted=member.extracted,
        reference=group.reference,
    )
