"""`docs/claims.md`: what each claim of the paper came to over several seeds, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palestra.evaluation.claims import CLAIMS, Verdict, combine
from palestra.evaluation.pooling import Json, number, record, records

NOT_TESTABLE: tuple[tuple[str, str, str], ...] = (
    (
        "Process reward models and tree search did not help",
        "Section G.2: unclear steps and labels; the search space, the value model",
        "what failed there is judging the steps of free text; our tasks have steps that a rule can "
        "judge, and noise that we added ourselves would prove itself",
    ),
    (
        "The figures themselves: AIME, MATH-500, Codeforces, AlpacaEval",
        "Tables 3 and 16",
        "they need the models and their GPUs; `r1-benchmarks` measures them on a machine that has "
        "both. Here directions are tested, not heights",
    ),
)
"""Claims that no miniature can test: the claim, where it stands, and why not."""

_MARKS = {
    Verdict.REPRODUCED: "✓ reproduced",
    Verdict.INCONCLUSIVE: "≈ inconclusive",
    Verdict.NOT_REPRODUCED: "✗ not reproduced",
}


def claims_page(results: Mapping[int, Json], command: str) -> str:
    """Return the page.

    Args:
        results: ``results.json`` of each seed's run.
        command: how the page is made anew.
    """
    seeds = sorted(results)
    judged = {s: {str(c["id"]): c for c in records(results[s].get("claims"))} for s in seeds}
    asked = [claim for claim in CLAIMS if any(claim.id in judged[s] for s in seeds)]
    rows = [
        _row(
            claim.claim,
            claim.source,
            _overall([judged[s].get(claim.id) for s in seeds]),
            *(_mark(judged[s].get(claim.id)) for s in seeds),
        )
        for claim in asked
    ]
    head = _row("claim", "in the paper", "verdict", *(f"seed {seed}" for seed in seeds))
    details = [_details(claim.claim, claim.id, judged) for claim in asked]
    missing = [claim.claim for claim in CLAIMS if claim not in asked]
    return "\n".join(
        [
            _opening(results, command),
            head,
            _row(*["---"] * (3 + len(seeds))),
            *rows,
            "",
            *_not_testable(missing),
            "## What was measured",
            "Pooled over the reasoning environments where nothing else is said, each number with "
            "its 95% interval over questions; numbers of training are means over its first tenth "
            "and its last fifth.",
            "",
            *details,
        ]
    )


def _opening(results: Mapping[int, Json], command: str) -> str:
    listed = ", ".join(map(str, sorted(results)))
    minutes = sum(number(r.get("seconds")) or 0.0 for r in results.values()) / 60 / len(results)
    recipe = str(next(iter(results.values())).get("recipe"))
    return f"""# The paper's claims in miniature

DeepSeek-R1 (arXiv 2501.12948v2) says what its recipe does to a model of 671 billion parameters.
This page asks the same of the embedded model of half a million, by `{recipe}`: the recipe, and an
arm for each claim that its stages alone cannot answer. Made by `{command}`; seeds {listed},
{minutes:.0f} minutes each. Nothing on it is written by hand.

A claim is *reproduced* where the 95% interval lies wholly on its side, *not reproduced* where the
value does not even point that way, else *inconclusive*; over seeds, the worst of them counts.
"""


def _overall(entries: Sequence[Json | None]) -> str:
    verdicts = [Verdict(str(entry["verdict"])) for entry in entries if entry is not None]
    return f"**{_MARKS[combine(*verdicts)]}**"


def _mark(entry: Json | None) -> str:
    return "did not run" if entry is None else _MARKS[Verdict(str(entry["verdict"]))][0]


def _details(claim: str, id_: str, judged: Mapping[int, Mapping[str, Json]]) -> str:
    lines = [f"**{claim}**", ""]
    for seed, entries in judged.items():
        if id_ in entries:
            measured = record(entries[id_].get("measured"))
            lines.append(f"- seed {seed}: {_mark(entries[id_])} {measured.get('text', '')}")
    return "\n".join([*lines, ""])


def _not_testable(missing: Sequence[str]) -> list[str]:
    rows = [_row(*entry) for entry in NOT_TESTABLE]
    rows += [_row(claim, "", "its stages did not run in any of these seeds") for claim in missing]
    head = [_row("claim", "in the paper", "why"), _row("---", "---", "---")]
    return ["## Not testable here", *head, *rows, ""]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
