"""The model card of an exported stage: what it was trained from, on and how well it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from palestra.evaluation.pooling import lookup

if TYPE_CHECKING:
    from palestra.recipe.config import Recipe
    from palestra.recipe.finished import FinishedStage

_MEASURES = ("pass@1", "lenient@1", "greedy", "format", "language_consistency")
_ORIGINS = ("base", "student")


def model_card(stage: FinishedStage, prompt: str, prefill: str) -> str:
    """Return the Markdown of the card, with the metadata that the Hugging Face hub reads."""
    recipe = stage.recipe
    lineage = _lineage(recipe, stage.name)
    base = _base(recipe, lineage[0])
    lines = [
        *_metadata(recipe, base),
        f"# {_text(recipe.name)}: {_text(stage.name)}",
        "",
        _text(recipe.description) or "A model trained by Palestra.",
        "",
        f"- Base model: {_code(base)}",
        f"- Lineage: {' > '.join(_code(name) for name in ('base model', *lineage))}",
        f"- Seed: {recipe.seed}",
        f"- Palestra: {version('palestra')}",
        f"- Began: {_text(stage.manifest.started)}",
        f"- Prompt: {_code(prompt)}, prefill {_code(json.dumps(prefill, ensure_ascii=False))}; "
        "`chat_template.jinja` has both",
        "",
        "`recipe.yaml` holds the whole recipe, every default filled in.",
        "",
        "## Stages",
        "",
        *_table(("stage", "type", "from", "steps", "seconds", "trained on"), _stages(stage)),
        "",
        "## Mixtures",
        "",
        *_mixtures(recipe, lineage),
        "## Evaluation",
        "",
        *_evaluation(stage),
    ]
    return "\n".join(lines) + "\n"


def _metadata(recipe: Recipe, base: str) -> list[str]:
    tags = ["palestra", "reasoning", "reinforcement-learning"]
    named = [f"base_model: {json.dumps(base)}"] if recipe.model_ref.kind == "hub" else []
    return [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        *named,
        f"tags: {json.dumps(tags)}",
        "---",
        "",
    ]


def _base(recipe: Recipe, first: str) -> str:
    student = recipe.stages[first].init_from == "student"
    return str(recipe.student if student else recipe.model)


def _lineage(recipe: Recipe, name: str) -> list[str]:
    """Return the stages whose weights led to those of `name`, first to last."""
    chain = [name]
    while (origin := recipe.stages[chain[0]].init_from) not in _ORIGINS:
        chain.insert(0, origin)
    return chain


def _needed(recipe: Recipe, name: str) -> set[str]:
    """Return every stage that `name` goes back to, by its weights or its data."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found or current in _ORIGINS:
            continue
        found.add(current)
        config: Any = recipe.stages[current]
        waiting.append(config.init_from)
        waiting += [d.from_stage for d in getattr(config, "data", None) or () if d.from_stage]
    return found


def _stages(stage: FinishedStage) -> Iterator[tuple[str, ...]]:
    needed = _needed(stage.recipe, stage.name)
    for name, config in stage.recipe.stages.items():
        record = stage.manifest.stages.get(name)
        if name in needed and record is not None:
            data = ", ".join(_data(config))
            yield (
                name,
                config.type,
                config.init_from,
                str(record.steps),
                f"{record.seconds:.0f}",
                data,
            )


def _data(config: Any) -> Iterator[str]:
    if getattr(config, "mixture", None):
        yield f"mixture {config.mixture}"
    for item in getattr(config, "data", None) or ():
        yield str(item.from_stage or item.file or item.env)


def _mixtures(recipe: Recipe, lineage: Sequence[str]) -> Iterator[str]:
    names = [
        str(mixture)
        for name in recipe.stages
        if name in _needed(recipe, lineage[-1])
        and (mixture := getattr(recipe.stages[name], "mixture", None))
    ]
    for name in dict.fromkeys(names):
        yield from (f"{_code(name)}:", "")
        sources: list[Any] = list(recipe.mixtures[name].sources)
        rows = [
            (
                source.env,
                source.split,
                "any" if source.difficulty is None else str(source.difficulty),
                f"{source.weight:g}" if source.quota is None else f"quota {source.quota}",
                ", ".join(f"{k} {v:g}" for k, v in source.rewards.items()),
            )
            for source in sources
        ]
        yield from _table(("environment", "split", "difficulty", "weight", "rewards"), rows)
        yield ""


def _evaluation(stage: FinishedStage) -> list[str]:
    evals, config = stage.record.evals, stage.recipe.stages[stage.name].eval
    if not evals or config is None:
        return ["The stage was not evaluated."]
    rows = [(env, *(_share(measured, key) for key in _MEASURES)) for env, measured in evals.items()]
    return [
        f"{config.questions} held-out questions of each environment, {config.samples} samples of "
        f"each at temperature {config.temperature:g} and top-p {config.top_p:g}. "
        "95% intervals over questions, in percent.",
        "",
        *_table(("environment", *_MEASURES), rows),
    ]


def _share(measured: Any, key: str) -> str:
    found = lookup(measured, key)
    if found is None:
        return "–"
    low, high = found.ci95
    return f"{found.value * 100:.1f} [{low * 100:.1f}, {high * 100:.1f}]"


def _table(titles: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[Any]) -> list[str]:
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    return lines + ["| " + " | ".join(_text(str(cell)) for cell in row) + " |" for row in rows]


def _text(text: str) -> str:
    """Return `text` as one line that Markdown shows as it is."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in line)


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"
