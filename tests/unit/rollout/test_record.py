"""The record of a step: token-exact, whole or not there, and its numbers."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from palestra.envs import Message, Status
from palestra.errors import TrainingError
from palestra.learner.packing import pack
from palestra.optimizers.grpo import GRPO, GRPOConfig
from palestra.rollout.record import rollout_metrics, write_rollout
from palestra.rollout.trajectory import Group, Trajectory

HOSTILE = "[/x]\x1b[31m</script><script>alert(1)</script>\u202ereversed 数学 \x00 \ufffd"


def trajectory(
    number: int, reward: float = 0.0, prompt: int = 4, own: int = 5, **fields: Any
) -> Trajectory:
    random = np.random.default_rng(number)
    size = prompt + own
    mask = np.arange(size) >= prompt
    messages: list[Message] = [{"role": "user", "content": "1+1?"}]
    base: dict[str, Any] = dict(
        env_id="math/Arithmetic-v1",
        task_id="train/s1@1",
        prompt_hash="0123456789abcdef",
        messages=messages,
        language="en",
        difficulty=1,
        token_ids=random.integers(0, 2**31, size),
        loss_mask=mask,
        sampler_logprobs=np.where(mask, -random.random(size) * 30, 0).astype(np.float32),
        versions=np.where(mask, 2, -1).astype(np.int32),
        rewards=((size - 1, reward),),
        components={"accuracy": reward},
        status=Status.OK,
        reason="",
        extracted="2",
        stop_reason="stop",
        text="<think>one and one</think><answer>2</answer>",
    )
    return Trajectory(**{**base, **fields})


def groups() -> tuple[list[Group], list[Group]]:
    kept = [
        Group(
            source=0,
            number=7,
            reference="2",
            members=(
                trajectory(0, 1.0),
                trajectory(1, 0.0, status=Status.ERROR, reason="the grader broke"),
                trajectory(2, 0.0, own=9, text=HOSTILE, extracted=None, status=Status.UNPARSABLE),
            ),
        ),
        Group(
            source=1,
            number=3,
            members=(
                trajectory(3, 0.5, language=None, difficulty=None),
                trajectory(4, 0.5, stop_reason="length"),
            ),
        ),
    ]
    return kept, [Group(source=0, number=9, members=(trajectory(5), trajectory(6)))]


def written(folder: Path) -> tuple[Path, list[Group], Any]:
    kept, dropped = groups()
    batch = pack(kept)
    batch = batch.with_fields(GRPO(GRPOConfig()).advantages(batch))
    return write_rollout(folder, 12, kept + dropped, batch), kept + dropped, batch


def test_every_trajectory_comes_back_token_for_token(tmp_path: Path):
    file, all_groups, _ = written(tmp_path / "rollouts")
    assert file == tmp_path / "rollouts" / "step-000012.parquet"
    rows = pq.read_table(file).to_pylist()
    members = [(g, i, m) for g in all_groups for i, m in enumerate(g.members)]
    assert len(rows) == len(members) == 7
    for row, (group, number, member) in zip(rows, members, strict=True):
        assert row["token_ids"] == member.token_ids.tolist()
        assert row["loss_mask"] == member.loss_mask.tolist()
        # float32 to the bit
        assert row["sampler_logprobs"] == member.sampler_logprobs[member.loss_mask].tolist()
        assert row["completion"] == member.text
        assert json.loads(row["components"]) == dict(member.components)
        assert (row["step"], row["group"], row["member"]) == (12, group.number, number)
        for name in ("env_id", "task_id", "prompt_hash", "language", "difficulty", "reward"):
            assert row[name] == getattr(member, name), name
        for name in ("extracted", "reason", "stop_reason", "length"):
            assert row[name] == getattr(member, name), name
        assert row["status"] == str(member.status)
        assert row["prompt"] == "1+1?"
        assert row["reference"] == group.reference


def test_advantages_are_on_the_members_that_were_trained_on(tmp_path: Path):
    file, _, batch = written(tmp_path)
    got = {(r["group"], r["member"]): r["advantage"] for r in pq.read_table(file).to_pylist()}
    own = [float(batch["advantages"][batch.sequence_T == i][0]) for i in range(4)]
    assert got == {
        (7, 0): own[0],
        (7, 1): None,  # invalid
        (7, 2): own[1],
        (3, 0): 0.0,
        (3, 1): 0.0,
        (9, 0): None,  # dropped
        (9, 1): None,
    }
    assert own[0] > 0 > own[1]
    for row in pq.read_table(file).to_pylist():
        value = row["advantage"]
        expected = None if value is None else pytest.approx([value] * row["length"])
        assert row["advantages"] == expected


def test_the_files_of_a_run_are_one_data_set(tmp_path: Path):
    """A step in which a column is empty has the columns of the others."""
    bare = Group(
        source=0,
        number=0,
        members=(trajectory(0, language=None, difficulty=None, extracted=None),),
    )
    write_rollout(tmp_path, 1, [bare], pack([bare]))
    written(tmp_path)
    table = pyarrow.dataset.dataset(tmp_path, format="parquet").to_table()
    assert table.num_rows == 8
    assert set(table["language"].to_pylist()) == {None, "en"}


def test_text_that_is_no_unicode_is_recorded_all_the_same(tmp_path: Path):
    group = Group(source=0, number=0, members=(trajectory(0, text="half \ud83d a pair"),))
    file = write_rollout(tmp_path, 1, [group], pack([group]))
    assert "half" in pq.read_table(file).to_pylist()[0]["completion"]


def test_a_step_written_again_replaces_its_file(tmp_path: Path):
    file, _, _ = written(tmp_path)
    before = file.read_bytes()
    again, _, _ = written(tmp_path)
    assert again.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_a_full_disk_is_a_training_error_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(table: object, where: Path, **_: object) -> None:
        Path(where).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(TrainingError, match=r"step-000012.*No space left"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_over_valid_members():
    kept, dropped = groups()
    metrics = rollout_metrics(kept, dropped)
    assert metrics["reward"] == pytest.approx((1.0 + 0.0 + 0.5 + 0.5) / 4)
    assert metrics["reward/accuracy"] == metrics["reward"]
    assert metrics["length"] == pytest.approx((5 + 9 + 5 + 5) / 4)
    assert metrics["format"] == pytest.approx(3 / 4)
    assert metrics["truncated"] == pytest.approx(1 / 4)
    assert (metrics["groups"], metrics["groups_dropped"]) == (2, 1)
    assert metrics["groups_without_signal"] == 1
    assert metrics["invalid"] == 1
    own = [m.sampler_logprobs[m.loss_mask] for g in kept for m in g.valid]
    assert metrics["entropy"] == pytest.approx(-float(np.concatenate(own).mean()), rel=1e-6)


def test_a_components_mean_is_over_the_members_that_have_it():
    group = Group(
        source=0,
        number=0,
        members=(trajectory(0, 1.0, components={"solved": 1.0}), trajectory(1, 0.0)),
    )
    metrics = rollout_metrics([group], [])
    assert metrics["reward/solved"] == 1.0
    assert metrics["reward/accuracy"] == 0.0


def test_language_consistency_is_over_members_with_words():
    members = (
        trajectory(0, text="<think>all these words</think>"),
        trajectory(1, text="<think>half 一二三四 those</think>"),
        trajectory(2, text="<think>1+1=2</think>"),
        trajectory(3, text="<think>一二三</think>", language=None),
    )
    group = Group(source=0, number=0, members=members)
    assert rollout_metrics([group], [])["language_consistency"] == pytest.approx((1 + 2 / 6) / 2)
    numbers = Group(source=0, number=0, members=members[2:])
    assert "language_consistency" not in rollout_metrics([numbers], [])


def test_reflection_is_the_papers_words_in_a_thousand_tokens():
    members = (
        trajectory(0, text="<think>Wait, but check: checked waiting</think>"),
        trajectory(1, text="<think>等等，不对</think>"),
    )
    group = Group(source=0, number=0, members=members)
    tokens = sum(member.length for member in members)
    assert rollout_metrics([group], [])["reflection"] == pytest.approx(1000 * 5 / tokens)
