"""Groups as plain data, token for token, for the checkpoint of a run that collects ahead."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from palestra.envs import Status
from palestra.rollout.trajectory import Group, Trajectory

_ARRAYS = {
    "token_ids": np.int64,
    "loss_mask": np.bool_,
    "sampler_logprobs": np.float32,
    "versions": np.int32,
}


def group_data(group: Group) -> dict[str, Any]:
    """Return a group as JSON can hold it; its reference as records have it, as text."""
    return {
        "source": group.source,
        "number": group.number,
        "reference": None if group.reference is None else str(group.reference),
        "members": [_member_data(member) for member in group.members],
    }


def group_from(data: dict[str, Any]) -> Group:
    """Return the group that `group_data` was given."""
    members = tuple(_member_from(member) for member in data["members"])
    return Group(
        source=data["source"],
        number=data["number"],
        members=members,
        reference=data["reference"],
    )


def _member_data(member: Trajectory) -> dict[str, Any]:
    data = {f.name: getattr(member, f.name) for f in fields(member)}
    data |= {name: data[name].tolist() for name in _ARRAYS}  # a float32 is a float64 exactly
    return data | {"status": str(member.status), "components": dict(member.components)}


def _member_from(data: dict[str, Any]) -> Trajectory:
    values: dict[str, Any] = dict(data)
    for name, kind in _ARRAYS.items():
        values[name] = np.array(data[name], dtype=kind)
    values["status"] = Status(data["status"])
    values["rewards"] = tuple((int(token), value) for token, value in data["rewards"])
    values["actions"] = tuple(data["actions"])
    return Trajectory(**values)
