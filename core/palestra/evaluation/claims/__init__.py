"""The paper's claims, judged by code from measured numbers; `evidence` has the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palestra.evaluation.claims.arms import ARM_CLAIMS
from palestra.evaluation.claims.behaviour import BEHAVIOUR_CLAIMS
from palestra.evaluation.claims.evidence import Claim, Evidence, Verdict, combine, show
from palestra.evaluation.claims.stages import STAGE_CLAIMS
from palestra.evaluation.pooling import Json, records

__all__ = ["CLAIMS", "Claim", "Verdict", "combine", "judge_claims", "show"]

CLAIMS: tuple[Claim, ...] = (*STAGE_CLAIMS, *BEHAVIOUR_CLAIMS, *ARM_CLAIMS)
"""Every claim that can be tested in miniature, in the order of the page."""


def judge_claims(
    stages: object, curves: Mapping[str, Sequence[Json]] | None = None
) -> list[dict[str, object]]:
    """Judge every claim whose stages ran.

    Args:
        stages: the list ``stages`` of ``results.json``.
        curves: the rows of each stage's ``metrics.jsonl``, by stage name.

    Returns:
        The list ``claims`` of ``results.json``: id, claim, source, measured and verdict.
        ``measured`` holds one line under ``text`` and each number with its interval.
    """
    evidence = Evidence(stages=records(stages), curves=curves or {})
    judged: list[dict[str, object]] = []
    for claim in CLAIMS:
        finding = claim.judge(evidence)
        if finding is not None:
            measured: dict[str, object] = {"text": finding.text}
            measured |= {name: value.as_dict() for name, value in finding.numbers.items()}
            judged.append(
                {
                    "id": claim.id,
                    "claim": claim.claim,
                    "source": claim.source,
                    "measured": measured,
                    "verdict": str(finding.verdict),
                }
            )
    return judged
