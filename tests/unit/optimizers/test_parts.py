"""What optimizers are made of, against numbers worked out by hand and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palestra.optimizers.parts import (
    centred,
    clipped,
    discounted_sums,
    following,
    k3,
    scaled,
    whitened,
)

ROWS = st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=7), min_size=1, max_size=5)


def packed(rows: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.tensor([v for row in rows for v in row], dtype=torch.float64)
    return values, torch.tensor([n for n, row in enumerate(rows) for _ in row])


@given(ROWS, st.floats(0, 1))
def test_discounted_sums_and_next_values_never_leave_a_sequence(rows, discount):
    values, sequence = packed(rows)
    sums, after = [], []
    for row in rows:
        running, back = 0.0, []
        for value in reversed(row):
            running = value + discount * running
            back.append(running)
        sums += back[::-1]
        after += [*row[1:], 0.0]
    np.testing.assert_allclose(discounted_sums(values, sequence, discount), sums, atol=1e-12)
    assert following(values, sequence).tolist() == after
    assert values.tolist() == [v for row in rows for v in row]  # its input is as it was


@given(ROWS)
def test_centring_is_of_each_group_alone_whatever_its_number(rows):
    values, group = packed(rows)
    want, others = [], []
    for row in rows:
        mean = sum(row) / len(row)
        want += [v - mean for v in row]
        others += [v - (sum(row) - v) / (len(row) - 1) if len(row) > 1 else 0.0 for v in row]
    got = centred(values, 3 - 2 * group)
    np.testing.assert_allclose(got, want, atol=2e-7)
    got = centred(values, 3 - 2 * group, leave_one_out=True)
    np.testing.assert_allclose(got, others, atol=1e-6)


def test_scaling_leaves_a_group_of_equals_at_zero():
    values, group = packed([[0.1, 0.1, 0.1], [1.0, 0.0]])
    got = scaled(centred(values, group), group, "sample", 0.0)
    assert got[:3].tolist() == [0.0, 0.0, 0.0]
    assert got[3:].tolist() == pytest.approx([0.7071068, -0.7071068])


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=40))
def test_whitening_gives_mean_zero_and_sample_variance_one(values):
    got = whitened(torch.tensor(values, dtype=torch.float64))
    assert float(got.mean()) == pytest.approx(0.0, abs=1e-6)
    if np.std(values) > 0.01:
        assert float(got.std()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("values", [[2.0], [0.3, 0.3, 0.3]])
def test_whitening_what_does_not_vary_gives_zeros(values):
    assert whitened(torch.tensor(values, dtype=torch.float64)).tolist() == [0.0] * len(values)


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "cut"),
    [(1.5, 1, 1.28, 1), (1.5, -1, -1.5, 0), (0.5, 1, 0.5, 0), (0.5, -1, -0.8, 1)],
)
def test_the_clip_is_the_golden_one(ratio, advantage, objective, cut):  # DAPO's bounds
    loss, where = clipped(torch.tensor([ratio]), torch.tensor([float(advantage)]), 0.2, 0.28)
    assert float(loss) == pytest.approx(-objective)
    assert float(where) == cut


def test_k3_is_the_golden_one():
    x = torch.tensor([0.5, 2.0, 1.0]).log()
    assert k3(torch.zeros(3), x).tolist() == pytest.approx([0.1931472, 0.3068528, 0.0], abs=1e-6)
