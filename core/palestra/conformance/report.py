"""`Report`: how an environment did, for a person, for a script and for a badge."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from palestra.conformance.check import Result
from palestra.terminal import visible

NOT_LOOKED_AT = "not looked at to the end: see makes-and-resets"
"""Of the checks that an environment which stopped working fails for want of evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of all checks of one environment.

    Attributes:
        env: its id.
        results: of each check.
        false_passes: probes that were paid.
        probes: how many were graded.
        false_fails: references that were refused.
        references: how many were graded.
    """

    env: str
    results: tuple[Result, ...]
    false_passes: int = 0
    probes: int = 0
    false_fails: int = 0
    references: int = 0

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> list[Result]:
        """The checks that failed."""
        return [result for result in self.results if result.state == "failed"]

    def count(self, state: str) -> int:
        """Return how many checks ended in a state."""
        return sum(result.state == state for result in self.results)

    @property
    def counts(self) -> str:
        """The line on false passes and false fails."""
        return (
            f"false passes: {self.false_passes} of {self.probes} probes paid; "
            f"false fails: {self.false_fails} of {self.references} references refused"
        )

    def text(self) -> str:
        """Return the table, safe to print."""
        width = max(len(result.name) for result in self.results)
        lines = [f"{self.env}"]
        unseen = 0
        for result in self.results:
            head = f"  {result.name:<{width}}  "
            if result.what == NOT_LOOKED_AT:
                unseen += 1
            elif result.state == "failed":
                lines.append(f"{head}FAILED: {result.what}")
                lines.append(f"  {'':<{width}}  mend: {result.mend}")
            elif result.state == "n/a":
                lines.append(f"{head}n/a: {result.what}")
            else:
                lines.append(f"{head}ok" + (f" ({result.what})" if result.what else ""))
        if unseen:
            lines.append(f"  {unseen} more could not be looked at to the end, and count as failed")
        lines.append(
            f"  {self.count('ok')} ok, {self.count('failed')} failed, {self.count('n/a')} n/a; "
            f"{self.counts}"
        )
        return visible("\n".join(lines))

    def document(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {
            "env": self.env,
            "passed": self.count("ok"),
            "failed": self.count("failed"),
            "na": self.count("n/a"),
            "false_pass": self.false_passes,
            "probes": self.probes,
            "false_fail": self.false_fails,
            "references": self.references,
            "checks": [asdict(result) for result in self.results],
        }
