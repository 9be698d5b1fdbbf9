"""`judge` and `judge_pairs`: a language model's verdict on an answer, or on two side by side.

A judge that is down, slow, answers nonsense or was talked into something gives no verdict. That is
a failed grading, and never a wrong answer.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from palestra.envs import Score, Status
from palestra.rewards.base import Scored
from palestra.rewards.seen import seen
from palestra_reward_models.endpoint import Endpoint, Unanswered
from palestra_reward_models.judge_config import EndpointConfig, JudgeConfig, PairJudgeConfig
from palestra_reward_models.verdict_cache import VerdictCache
from palestra_reward_models.verdicts import (
    FORM,
    Asked,
    Better,
    Correctness,
    NoVerdict,
    Verdict,
    read_verdict,
    response_format,
)

V = TypeVar("V", bound=Verdict)
T = TypeVar("T")
_LONGEST_WAIT_S = 30.0


class _Bench:
    """Asks one judge, with patience and a memory."""

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self.endpoint = Endpoint(config)
        self.cache = VerdictCache(config.cache)

    def over(self, ask: Callable[[T, list[str]], Score], items: Sequence[T]) -> list[Score]:
        """Return ``ask(item, down)`` for each item, some at once, failures as failed scores.

        Once one has found the judge down, and said why in `down`, the others of the batch do not
        wait for it as well.
        """
        down: list[str] = []

        def score(item: T) -> Score:
            try:
                return ask(item, down)
            except (Unanswered, NoVerdict) as exc:
                return Score.failed(str(exc))

        self.endpoint.connect()
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            return list(pool.map(score, items))

    def verdict(self, asked: Asked, kind: type[V], down: list[str]) -> V:
        """Return the judge's verdict: the one that is kept, or a new one.

        Raises:
            Unanswered, NoVerdict: what the last try ended in.
        """
        c = self.config
        about = (FORM, kind.__name__, self.endpoint.address, c.model, c.temperature, c.max_tokens)
        key = self.cache.key(*about, c.structured, asked.criteria, dict(asked.sections))
        if (kept := self.cache.get(key, kind)) is not None:
            return kept
        for left in reversed(range(c.retries + 1)):
            if down:
                raise Unanswered(down[0])
            code = asked.draw_code()
            extra = {"response_format": response_format(kind)} if c.structured else {}
            try:
                reply = self.endpoint.chat(asked.messages(kind, code), extra)
                verdict = read_verdict(reply, kind, code)
            except (Unanswered, NoVerdict) as exc:
                if not left or not getattr(exc, "again", True):
                    if getattr(exc, "down", False):
                        down.append(str(exc))
                    raise
                time.sleep(self._pause(c.retries - left, getattr(exc, "after_s", None)))
                continue
            self.cache.put(key, verdict)
            return verdict
        raise AssertionError("the last try returns or raises")

    def _pause(self, tried: int, asked_for: float | None) -> float:
        """Return seconds to wait; not the same for all, or all would come back at once."""
        if asked_for is not None:
            return min(asked_for, _LONGEST_WAIT_S)
        return min(self.config.backoff_s * 2**tried, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)


class Judge:
    """1 where the judge finds an answer correct, 0 where it does not (DeepSeek-R1, B.3.3)."""

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config
        self._bench = _Bench(config)

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 1 or 0 for each completion; no verdict where the judge gave none."""
        return self._bench.over(self._score, batch)

    def _score(self, item: Scored, down: list[str]) -> Score:
        answer = seen(item.completion, self.config.sees)
        if not answer.strip():
            return _nothing("judge")
        sections = {"QUESTION": _conversation(item)}
        if item.reference is not None:
            sections["REFERENCE"] = _written(item.reference)
        sections["ANSWER"] = answer
        asked = Asked(criteria=self.config.criteria, sections=sections)
        verdict = self._bench.verdict(asked, Correctness, down)
        value = float(verdict.correctness == "correct")
        return Score(value=value, components={"judge": value}, reason=_short(verdict.analysis))


class PairJudge:
    """The share of comparisons that an answer wins against its neighbours in the group.

    Each member meets the next, the last one the first. Every pair is judged twice with positions
    swapped; a judge that changes its mind with them has seen a draw, which is half a win.
    """

    def __init__(self, config: PairJudgeConfig) -> None:
        self.config = config
        self._bench = _Bench(config)

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return 0 to 1 for each; no verdict where the judge gave none, or there is no group."""
        answers = [seen(item.completion, self.config.sees).strip() for item in batch]
        pairs = _neighbours(batch)

        def compare(pair: tuple[int, int], down: list[str]) -> Score:
            first, second = pair
            question = _conversation(batch[first])
            return self._compare(question, answers[first], answers[second], down)

        results = self._bench.over(compare, pairs)
        return [
            _won(
                [(r, r.value) for p, r in zip(pairs, results, strict=True) if p[0] == i]
                + [(r, 1 - r.value) for p, r in zip(pairs, results, strict=True) if p[1] == i]
            )
            for i in range(len(batch))
        ]

    def _compare(self, question: str, one: str, other: str, down: list[str]) -> Score:
        """Return 1 where `one` is better, 0 where `other` is, and a half for a draw."""
        if one == other:
            return Score(value=0.5)
        if not (one and other):
            return Score(value=float(bool(one)))
        wins = 0.0
        for first, second, is_swapped in ((one, other, False), (other, one, True)):
            sections = {"QUESTION": question, "ANSWER A": first, "ANSWER B": second}
            asked = Asked(criteria=self.config.criteria, sections=sections)
            better = self._bench.verdict(asked, Better, down).better
            wins += 0.5 if better == "tie" else float((better == "B") == is_swapped)
        return Score(value=wins / 2)


def _neighbours(batch: Sequence[Scored]) -> list[tuple[int, int]]:
    groups: dict[object, list[int]] = {}
    for i, item in enumerate(batch):
        if item.group is not None:
            groups.setdefault(item.group, []).append(i)
    pairs: list[tuple[int, int]] = []
    for members in groups.values():
        count = len(members) if len(members) > 2 else len(members) - 1
        pairs += [(members[i], members[(i + 1) % len(members)]) for i in range(count)]
    return pairs


def _won(comparisons: list[tuple[Score, float]]) -> Score:
    if not comparisons:
        return Score.failed("there is no other completion of the prompt to compare with")
    values = [value for result, value in comparisons if result.status.is_valid]
    if not values:
        return comparisons[0][0]
    value = sum(values) / len(values)
    return Score(value=value, components={"judge_pairs": value})


def _nothing(component: str) -> Score:
    return Score(
        value=0.0,
        components={component: 0.0},
        status=Status.UNPARSABLE,
        reason="no answer behind the thoughts",
    )


def _conversation(item: Scored) -> str:
    if len(item.messages) == 1:
        return item.messages[0]["content"]
    return "\n".join(f"{m['role']}: {m['content']}" for m in item.messages)


def _written(reference: object) -> str:
    if isinstance(reference, str):
        return reference
    return json.dumps(reference, ensure_ascii=False, default=str)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"
