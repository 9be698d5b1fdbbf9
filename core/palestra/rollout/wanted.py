"""Which of a step's groups are wanted: the first usable ones, by number, and no more."""

from __future__ import annotations

from collections.abc import Callable

from palestra.rollout.trajectory import Group


class Wanted:
    """Judges finished groups, and says from which number on none can be wanted any more.

    What is wanted follows from the groups' numbers, not from which ends first: else short
    completions would be preferred, and no run would be like another.

    Args:
        count: usable groups that are wanted.
        usable: whether a group can be trained on; asked once of each.
    """

    def __init__(self, count: int, usable: Callable[[Group], bool]) -> None:
        self._count, self._usable = count, usable
        self._verdicts: dict[int, bool] = {}

    def usable(self, group: Group) -> bool:
        """Whether `group` can be trained on."""
        if group.number not in self._verdicts:
            self._verdicts[group.number] = self._usable(group)
        return self._verdicts[group.number]

    @property
    def last(self) -> float:
        """Number of the last group that may be wanted, as far as is known."""
        usable = sorted(number for number, verdict in self._verdicts.items() if verdict)
        return usable[self._count - 1] if len(usable) >= self._count else float("inf")
