"""An environment of your own: palestra envs play acme/Add-v1 --plugins examples/my_env.py"""

from palestra import Task, single_turn


@single_turn("acme/Add-v1", difficulties=(1, 5))
def add(rng, difficulty):
    """Add two numbers of as many digits as the difficulty says."""
    a, b = (int(n) for n in rng.integers(10**difficulty, size=2))
    return Task(prompt=f"What is {a} + {b}?", reference=str(a + b))
