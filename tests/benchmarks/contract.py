"""What the environment contract costs over the bare functions, and episodes a second.

python tests/benchmarks/contract.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from palestra.envs import SingleTurnEnv
from palestra.grading.isolation import IsolatedEnv
from palestra.grading.pool import Pool
from palestra.plugins.registry import get_registry
from palestra.seeding import rng

ENV = "math/Arithmetic-v1"
EPISODES = 2_000
ROUNDS = 7
COMPLETION = "<think>\n12+30=42\n</think>\n<answer>42</answer>"


def microseconds(episode: Callable[[int], object]) -> float:
    """Return the time of one episode."""
    started = time.perf_counter()
    for seed in range(EPISODES):
        episode(seed)
    return (time.perf_counter() - started) / EPISODES * 1e6


def main() -> None:
    """Print the table; the columns are measured in turns."""
    env = get_registry().make_env(ENV)
    assert isinstance(env, SingleTurnEnv)
    generator = rng(0, "bare")
    apart = IsolatedEnv(Pool(ENV, {}, [], deterministic=True))  # as a third party's would be

    def bare(seed: int) -> None:
        env.grade(env.sample(generator, 1 + seed % 5), COMPLETION)

    def contract(seed: int) -> None:
        env.reset(seed=seed)
        env.step(COMPLETION)

    def isolated(seed: int) -> None:
        apart.reset(seed=seed)
        apart.step(COMPLETION)

    columns = {"bare functions": bare, "reset and step": contract, "in a worker process": isolated}
    times: dict[str, list[float]] = {name: [] for name in columns}
    for _ in range(ROUNDS):
        for name, episode in columns.items():
            times[name].append(microseconds(episode))
    base = statistics.median(times["bare functions"])
    print(f"{ENV}, median of {ROUNDS} rounds of {EPISODES} episodes")
    print(f"{'':22}{'us an episode':>14}{'over bare':>12}{'a second':>10}")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:22}{median:>14.1f}{median - base:>12.1f}{1e6 / median:>10.0f}")


if __name__ == "__main__":
    main()
