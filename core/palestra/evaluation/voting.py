"""Exact expectations over all choices of k samples: the best of them, and their majority."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence


def expected_best(values: Sequence[float], k: int) -> float:
    """Mean, over all choices of `k` of `values`, of the largest chosen.

    For values of 0 and 1, c of them 1, this is ``1 - C(n-c, k) / C(n, k)``; partial credit is
    handled by the same formula: the i-th smallest is the best of ``C(i-1, k-1)`` choices.

    Example:
        >>> expected_best([1.0, 0.0, 0.0, 0.0], 2)
        0.5
    """
    ordered = sorted(values)
    total = math.comb(len(ordered), k)
    return math.fsum(value * (math.comb(rank, k - 1) / total) for rank, value in enumerate(ordered))


def expected_majority(votes: Sequence[tuple[str | None, float]], k: int) -> float:
    """Mean, over all choices of `k` of `votes`, of the correctness of the majority answer.

    Each vote is (answer, correctness). None never votes; a choice without any answer is wrong. Tied
    answers share the vote: the value is the mean over them, what a fair coin would give on average.
    An answer is as correct as the samples that gave it, on average, where they differ.
    """
    given: defaultdict[str, list[float]] = defaultdict(list)
    for answer, correct in votes:
        if answer is not None:
            given[answer].append(correct)
    groups = [(len(values), math.fsum(values) / len(values)) for values in given.values()]
    if len(votes) == k:
        return _majority(groups)
    silent = len(votes) - sum(size for size, _ in groups)
    total = 0.0
    for most in range(1, k + 1):
        for voters, value in enumerate(_won_with(groups, most, k)):
            total += value * math.comb(silent, k - voters)
    return total / math.comb(len(votes), k)


def _majority(groups: Sequence[tuple[int, float]]) -> float:
    """Return the mean correctness of the most frequent answers."""
    most = max((size for size, _ in groups), default=0)
    winners = [correct for size, correct in groups if size == most]
    return math.fsum(winners) / len(winners) if winners else 0.0


def _won_with(groups: Sequence[tuple[int, float]], most: int, k: int) -> list[float]:
    """Sum, for each number of voters up to `k`, the majority's correctness over all choices.

    Counted are the choices in which the winning answers have exactly `most` votes each. The table
    goes through the answers one by one; its state is (voters so far, winners so far), its entry
    the number of choices and the sum of their winners' correctness.
    """
    table: dict[tuple[int, int], tuple[int, float]] = {(0, 0): (1, 0.0)}
    for size, correct in groups:
        following: dict[tuple[int, int], tuple[int, float]] = {}
        for (voters, winners), (ways, credit) in table.items():
            for votes in range(min(size, most, k - voters) + 1):
                choices = math.comb(size, votes)
                won = votes == most
                state = (voters + votes, winners + won)
                old_ways, old_credit = following.get(state, (0, 0.0))
                gained = credit + ways * correct if won else credit
                following[state] = (old_ways + ways * choices, old_credit + gained * choices)
        table = following
    sums = [0.0] * (k + 1)
    for (voters, winners), (_, credit) in table.items():
        if winners:
            sums[voters] += credit / winners
    return sums
