"""`Check`: a demand on environments, how it is looked at, and how a violation is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from palestra.plugins.specs import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

    from palestra.conformance.evidence import Evidence

Make = Callable[[], "gymnasium.Env[Any, Any]"]
NotApplicable = Callable[[EnvironmentSpec], str]


class Violation(Exception):
    """The environment does not keep a demand; the text is one line, with an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One demand.

    A check is either tried (`try_out` runs in the child, with environments of its own) or judged
    (`judge` looks at what the child drew and graded). Both return a note for the table, or raise
    `Violation`.

    Attributes:
        name: as reports and tests name it, in kebab-case.
        demand: what an environment must do, one sentence.
        mend: what an author does about a violation.
        not_applicable: the declared field of the spec that makes the demand meaningless; "" for
            an environment that must keep it.
    """

    name: str
    demand: str
    mend: str
    not_applicable: NotApplicable = lambda spec: ""
    try_out: Callable[[Make, EnvironmentSpec], str] | None = None
    judge: Callable[[Evidence], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an environment did in one check.

    Attributes:
        name: the check's.
        state: ``ok``, ``failed`` or ``n/a``.
        what: what is wrong, with a real example; of ``n/a`` the reason; of ``ok`` a note, if any.
        demand: the check's.
        mend: what to do about a failure, "" for the others.
    """

    name: str
    state: Literal["ok", "failed", "n/a"]
    what: str = ""
    demand: str = ""
    mend: str = ""

    @property
    def message(self) -> str:
        """What a person reads of a failure."""
        return f"{self.name}: {self.what}\n  demand: {self.demand}\n  mend: {self.mend}"


Trial = Callable[[Make, EnvironmentSpec], str]
Judgement = Callable[["Evidence"], str]


def tried(
    name: str, demand: str, mend: str, not_applicable: NotApplicable = lambda spec: ""
) -> Callable[[Trial], Check]:
    """Make a check of a function that tries an environment out."""

    def decorate(function: Trial) -> Check:
        return Check(
            name=name, demand=demand, mend=mend, not_applicable=not_applicable, try_out=function
        )

    return decorate


def judged(
    name: str, demand: str, mend: str, not_applicable: NotApplicable = lambda spec: ""
) -> Callable[[Judgement], Check]:
    """Make a check of a function that judges what was drawn and graded."""

    def decorate(function: Judgement) -> Check:
        return Check(
            name=name, demand=demand, mend=mend, not_applicable=not_applicable, judge=function
        )

    return decorate


def without_reference(spec: EnvironmentSpec) -> str:
    """The reason of checks that need a reference."""
    return "" if spec.has_reference else "the spec declares has_reference=False"


def single_turn(spec: EnvironmentSpec) -> str:
    """The reason of checks that need a conversation."""
    return "" if spec.max_turns > 1 else "the spec declares max_turns=1"
