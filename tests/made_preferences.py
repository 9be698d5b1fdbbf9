"""A preference set whose gold is known: the grader of ``general/Instructions-v1``.

The better completion follows the instruction; the worse one says the same words another number of
times, or in another order, and that environment refuses it.
"""

from __future__ import annotations

import json
from pathlib import Path

from palestra.plugins.registry import get_registry
from palestra.seeding import rng


def write_preferences(file: Path, tasks: int, wrong: int = 3) -> int:
    """Write pairs of up to `tasks` tasks (prompts that come again are skipped); return their number."""
    env = get_registry().make_env("general/Instructions-v1")
    draw = rng(0, "made preferences")
    seen: set[str] = set()
    rows: list[str] = []
    for index in range(tasks):
        _, info = env.reset(options={"index": index})
        assert env.task is not None
        if info["prompt_hash"] in seen:
            continue
        seen.add(info["prompt_hash"])
        good = str(env.reference_completion(env.task))
        for bad in sorted(_spoilt(env, good, draw))[:wrong]:
            row = {"prompt": info["messages"], "chosen": good, "rejected": bad}
            rows.append(json.dumps(row, ensure_ascii=False))
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(rows)


def _spoilt(env, good: str, draw) -> set[str]:
    thought, _, rest = good.partition("<answer>")
    words = rest.removesuffix("</answer>").split()
    found: set[str] = set()
    for _ in range(6):
        if len(set(words)) == 1:
            said = [words[0]] * int(draw.integers(2, 7))
        else:
            said = [words[i] for i in draw.permutation(len(words))]
        text = f"{thought}<answer>{' '.join(said)}</answer>"
        if env.grade(env.task, text).components["accuracy"] == 0:
            found.add(text)
    return found
