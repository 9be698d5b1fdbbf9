"""A step's record: one Parquet file of its rollouts, and its numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palestra.errors import TrainingError
from palestra.rewards.format import is_strict
from palestra.rewards.language import chain_of_thought, language_share
from palestra.rollout.trajectory import Group, Trajectory

if TYPE_CHECKING:
    from palestra.optimizers.batch import Batch


_REFLECTION = re.compile(
    r"\b(?:wait|mistake|however|but|retry|error|verify|wrong|evaluate|check)\b"
    r"|等等|等一下|然而|但是|重试|错误|验证|不对|检查",
    re.IGNORECASE,
)
_COLUMNS = (
    "step",
    "source",
    "env_id",
    "task_id",
    "prompt_hash",
    "group",
    "member",
    "language",
    "difficulty",
    "prompt",
    "completion",
    "actions",
    "reference",
    "extracted",
    "reward",
    "components",
    "status",
    "reason",
    "stop_reason",
    "length",
    "advantage",
    "token_ids",
    "loss_mask",
    "sampler_logprobs",
    "versions",
    "advantages",
)


def write_rollout(folder: Path, step: int, groups: Sequence[Group], rollout: Batch) -> Path:
    """Write the step's trajectories, token-exact, as one file renamed into place.

    Those that were not trained on (invalid members, dropped groups) are there too, without an
    advantage.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    advantages = _advantages(groups, rollout)
    rows = [
        _row(step, group, number, member, advantages.get((group.number, number)))
        for group in groups
        for number, member in enumerate(group.members)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"step-{step:06d}.parquet"
    temporary = place.with_suffix(".tmp")
    try:
        table = pa.Table.from_pylist(rows, schema=_schema())
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(place)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"cannot write rollouts {place}: {exc}") from exc
    return place


def _schema() -> Any:
    """Return the columns: a step in which one is empty has the same as any other."""
    import pyarrow as pa

    kinds = {
        pa.int64(): ("step", "group", "member", "difficulty", "length"),
        pa.float64(): ("reward", "advantage"),
        pa.list_(pa.int64()): ("token_ids",),
        pa.list_(pa.int32()): ("versions",),
        pa.list_(pa.bool_()): ("loss_mask",),
        pa.list_(pa.float32()): ("sampler_logprobs", "advantages"),
        pa.list_(pa.string()): ("actions",),
    }
    kind_of = {name: kind for kind, names in kinds.items() for name in names}
    return pa.schema([(name, kind_of.get(name, pa.string())) for name in _COLUMNS])


def _advantages(groups: Sequence[Group], rollout: Batch) -> dict[tuple[int, int], list[float]]:
    """Return the advantage of each trained policy token, by group and member."""
    if "advantages" not in rollout.fields:
        return {}
    trained = set(rollout.group_S.tolist())
    keys = [
        (g.number, i)
        for g in groups
        if g.number in trained
        for i, m in enumerate(g.members)
        if m.is_valid
    ]
    parts = rollout["advantages"].split(rollout.lengths_S.tolist())
    return {key: part.tolist() for key, part in zip(keys, parts, strict=True)}


def _row(
    step: int, group: Group, number: int, member: Trajectory, advantages: list[float] | None
) -> dict[str, Any]:
    own = member.loss_mask
    row = {
        "step": step,
        "source": str(group.source),
        "env_id": member.env_id,
        "task_id": member.task_id,
        "prompt_hash": member.prompt_hash,
        "group": group.number,
        "member": number,
        "language": member.language,
        "difficulty": member.difficulty,
        "prompt": member.messages[-1]["content"],
        "completion": member.text,
        "actions": [_writable(action) for action in member.actions],
        "reference": None if group.reference is None else str(group.reference),
        "extracted": member.extracted,
        "reward": member.reward,
        "components": json.dumps(dict(member.components)),
        "status": str(member.status),
        "reason": member.reason,
        "stop_reason": member.stop_reason,
        "length": member.length,
        "advantage": advantages[0] if advantages else None,
        "token_ids": member.token_ids.tolist(),
        "loss_mask": own.tolist(),
        "sampler_logprobs": member.sampler_logprobs[own].tolist(),
        "versions": member.versions[own].tolist(),
        "advantages": advantages,
    }
    # Half a surrogate pair is a string to Python, but no UTF-8.
    return {k: _writable(v) if isinstance(v, str) else v for k, v in row.items()}


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def rollout_metrics(
    kept: Sequence[Group], dropped: Sequence[Group], sources: Sequence[str] = ()
) -> dict[str, float | int]:
    """Return what a step's metrics say of its rollout; shares and means are over valid members.

    Keys: ``reward``, ``reward/NAME`` for each component, ``length`` (policy tokens), ``entropy``
    (minus the mean log-prob of the sampled tokens), ``format``, ``language_consistency``,
    ``reflection`` (see `reflection_words`, of each 1,000 policy tokens), ``truncated``, ``groups``,
    ``groups_dropped``, ``groups_without_signal``, ``invalid``; and those of `source_metrics`.

    Args:
        kept: the groups that are trained on.
        dropped: the others.
        sources: what the mixture's sources are called, in their order.
    """
    members = [m for g in kept for m in g.valid]
    everyone = [m for g in [*kept, *dropped] for m in g.members]
    count = max(1, len(members))
    metrics: dict[str, float | int] = {"reward": sum(m.reward for m in members) / count}
    for name in sorted({name for m in members for name in m.components}):
        values = [m.components[name] for m in members if name in m.components]
        metrics[f"reward/{name}"] = sum(values) / len(values)
    shares = [s for m in members if (s := language_consistency(m)) is not None]
    policy_tokens = sum(m.length for m in members)
    logprob = sum(float(m.sampler_logprobs.sum(dtype="float64")) for m in members)
    if shares:  # thoughts of numbers alone are in no language
        metrics["language_consistency"] = sum(shares) / len(shares)
    return metrics | {
        "length": policy_tokens / count,
        "entropy": -logprob / max(1, policy_tokens),
        "format": sum(is_strict(m.text) for m in members) / count,
        "reflection": 1000 * sum(reflection_words(m.text) for m in members) / max(1, policy_tokens),
        "truncated": sum(m.stop_reason == "length" for m in members) / count,
        "groups": len(kept),
        "groups_dropped": len(dropped),
        "groups_without_signal": sum(not g.has_signal for g in kept),
        "invalid": sum(not m.is_valid for m in everyone),
        **source_metrics(kept, dropped, sources),
    }


def reflection_words(text: str) -> int:
    """Count the words by which R1-Zero's reflection is measured (arXiv 2501.12948, Figure 9), and
    their Chinese counterparts."""
    return len(_REFLECTION.findall(text))


def source_metrics(
    kept: Sequence[Group], dropped: Sequence[Group], sources: Sequence[str]
) -> dict[str, float]:
    """Return what each source of the mixture gave to a step.

    Keys: ``share/SOURCE`` of the prompts that are trained on, ``grader_errors/SOURCE`` as a share
    of its completions, dropped groups included, and ``source_reward/SOURCE``, the mean over valid
    members; the last two only where there are any.
    """
    metrics: dict[str, float] = {}
    for number, name in enumerate(sources):
        own = [g for g in kept if g.source == number]
        metrics[f"share/{name}"] = len(own) / max(1, len(kept))
        members = [
            m for g in [*own, *(g for g in dropped if g.source == number)] for m in g.members
        ]
        if members:
            failed = sum(not m.status.is_valid for m in members)
            metrics[f"grader_errors/{name}"] = failed / len(members)
        rewards = [m.reward for g in own for m in g.valid]
        if rewards:
            metrics[f"source_reward/{name}"] = sum(rewards) / len(rewards)
    return metrics


def language_consistency(member: Trajectory) -> float | None:
    """Return the share of target-language words in a trajectory's thoughts, if it has any word."""
    if member.language is None:
        return None
    return language_share(chain_of_thought(member.text), member.language)
