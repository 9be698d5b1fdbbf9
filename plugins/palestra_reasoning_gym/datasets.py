"""The datasets of reasoning-gym 0.1.25: which the adapter offers, how each is guarded, and why not.

A table, so that listing the environments does not import reasoning-gym; a test holds it to the
installed version. `tests/benchmarks/reasoning_gym_overlap.py` measures what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REQUIRES = ("reasoning-gym>=0.1.25,<0.2",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset that the adapter offers.

    Attributes:
        levels: levels of upstream's curriculum that work, in order; () takes upstream's defaults.
            Left out are those that raise, that take longer than 0.15 s an item, that reject their
            own reference, or that have too few prompts for three splits.
        guard: a name in `palestra_reasoning_gym.guards`, or "" where the scorer needs none.
        reference: the field of upstream's metadata with a right answer, "" for its ``answer``, None
            where it gives none.
        fresh: whether the constructor draws from the seed, so that each item needs a new one.
        chance: the share of tasks that the most frequent answer gets right.
    """

    levels: tuple[int, ...] = ()
    guard: str = ""
    reference: str | None = ""
    fresh: bool = False
    chance: float = 0.0


def _up_to(count: int) -> tuple[int, ...]:
    return tuple(range(count))


OFFERED: Mapping[str, Dataset] = {
    "ab": Dataset(levels=_up_to(4)),
    "acre": Dataset(fresh=True, chance=0.45),
    "advanced_geometry": Dataset(levels=_up_to(4)),
    "aiw": Dataset(levels=_up_to(9), chance=0.15),
    "base_conversion": Dataset(levels=_up_to(5)),
    "basic_arithmetic": Dataset(levels=_up_to(5)),
    "bf": Dataset(levels=_up_to(2)),
    "binary_alternation": Dataset(levels=_up_to(4), chance=0.25),
    "binary_matrix": Dataset(levels=_up_to(4), guard="exact"),
    "bitwise_arithmetic": Dataset(levels=_up_to(10)),
    "caesar_cipher": Dataset(levels=_up_to(2)),
    "calendar_arithmetic": Dataset(levels=_up_to(4), chance=0.15),
    "chain_sum": Dataset(levels=_up_to(11)),
    "circuit_logic": Dataset(levels=_up_to(5), chance=0.6),
    "color_cube_rotation": Dataset(levels=_up_to(5), chance=0.1),
    "count_bits": Dataset(levels=_up_to(5), chance=0.1),
    "count_primes": Dataset(levels=_up_to(5)),
    "countdown": Dataset(levels=_up_to(2), guard="arithmetic"),
    "course_schedule": Dataset(levels=_up_to(5), chance=0.55),
    "cryptarithm": Dataset(levels=_up_to(4)),
    "decimal_arithmetic": Dataset(levels=_up_to(4)),
    "decimal_chain_sum": Dataset(levels=_up_to(5)),
    "dice": Dataset(levels=_up_to(4)),
    "emoji_mystery": Dataset(levels=_up_to(6)),
    "family_relationships": Dataset(levels=_up_to(9), chance=0.25),
    "figlet_font": Dataset(levels=_up_to(6), guard="exact"),
    "fraction_simplification": Dataset(levels=_up_to(4), guard="fraction"),
    "futoshiki": Dataset(levels=_up_to(2)),
    "game_of_life": Dataset(levels=_up_to(2), guard="unspaced", chance=0.55),
    "game_of_life_halting": Dataset(levels=_up_to(2), guard="exact", chance=0.55),
    "gcd": Dataset(levels=_up_to(4), chance=0.4),
    "group_anagrams": Dataset(levels=_up_to(4)),
    "gsm_symbolic": Dataset(guard="exact", fresh=True),
    "intermediate_integration": Dataset(levels=(0, 1, 2, 5, 6, 7), guard="expression"),
    "jugs": Dataset(levels=_up_to(1), chance=0.15),
    "kakurasu": Dataset(levels=_up_to(4), guard="bits"),
    "knights_knaves": Dataset(levels=_up_to(4), guard="exact"),
    "largest_island": Dataset(levels=_up_to(4), chance=0.15),
    "lcm": Dataset(levels=_up_to(4)),
    "leg_counting": Dataset(levels=_up_to(36)),
    "letter_counting": Dataset(levels=_up_to(8), chance=0.35),
    "letter_jumble": Dataset(levels=_up_to(5), guard="exact"),
    "mahjong_puzzle": Dataset(levels=_up_to(4), chance=0.4),
    "manipulate_matrix": Dataset(levels=_up_to(5)),
    "maze": Dataset(levels=_up_to(4), chance=0.15),
    "mini_sudoku": Dataset(levels=_up_to(5)),
    "modulo_grid": Dataset(levels=(0, 2, 3, 4, 5)),
    "n_queens": Dataset(levels=_up_to(4), guard="listed", chance=0.2),
    "needle_haystack": Dataset(levels=_up_to(4)),
    "number_filtering": Dataset(levels=_up_to(4)),
    "number_format": Dataset(levels=_up_to(4)),
    "number_sequence": Dataset(levels=_up_to(1), chance=0.15),
    "number_sorting": Dataset(levels=_up_to(8)),
    "palindrome_generation": Dataset(levels=_up_to(4)),
    "palindrome_partitioning": Dataset(levels=_up_to(4)),
    "path_star": Dataset(levels=_up_to(4)),
    "polynomial_equations": Dataset(levels=_up_to(4), guard="solutions", chance=0.35),
    "pool_matrix": Dataset(levels=_up_to(4)),
    "power_function": Dataset(levels=_up_to(5)),
    "prime_factorization": Dataset(levels=_up_to(4), guard="factors"),
    "products": Dataset(levels=_up_to(11), chance=0.1),
    "puzzle24": Dataset(levels=(3,), guard="arithmetic"),
    "quantum_lock": Dataset(levels=_up_to(9), guard="buttons"),
    "rearc": Dataset(levels=_up_to(7)),
    "rectangle_count": Dataset(levels=_up_to(5), chance=0.15),
    "rotate_matrix": Dataset(levels=_up_to(5)),
    "rotten_oranges": Dataset(levels=_up_to(4), chance=0.55),
    "rush_hour": Dataset(levels=_up_to(4), reference=None),
    "self_reference": Dataset(levels=_up_to(10), chance=0.4),
    "sentence_reordering": Dataset(levels=_up_to(4)),
    "shortest_path": Dataset(levels=_up_to(4), chance=0.6),
    "simple_equations": Dataset(levels=_up_to(4)),
    "simple_geometry": Dataset(levels=_up_to(4)),
    "simple_integration": Dataset(levels=_up_to(4), guard="expression"),
    "spell_backward": Dataset(levels=_up_to(5), guard="exact"),
    "spiral_matrix": Dataset(levels=_up_to(4), guard="exact"),
    "string_insertion": Dataset(levels=_up_to(4), guard="exact"),
    "string_manipulation": Dataset(levels=_up_to(5)),
    "string_splitting": Dataset(levels=_up_to(4)),
    "string_synthesis": Dataset(levels=_up_to(4)),
    "sudoku": Dataset(levels=(0, 1, 2, 4)),
    "survo": Dataset(levels=_up_to(2), guard="numbers"),
    "syllogism": Dataset(levels=_up_to(4), chance=0.75),
    "time_intervals": Dataset(levels=_up_to(7), guard="exact"),
    "tower_of_hanoi": Dataset(levels=(1, 2), chance=0.1),
    "tsumego": Dataset(levels=_up_to(4), chance=0.1),
    "word_sequence_reversal": Dataset(levels=_up_to(4)),
    "word_sorting": Dataset(levels=_up_to(5)),
    "zebra_puzzles": Dataset(levels=_up_to(3), chance=0.4),
}

_HASH_SEED = "its prompts change with PYTHONHASHSEED, so a seed does not decide the task"

REFUSED: Mapping[str, str] = {
    "arc_1d": "its generator searches without a bound: an item takes seconds now and then",
    "arc_agi": "its items are slow: two or three a second",
    "boxnet": "its scorer raises on JSON that is no list of steps, and it has no reference answer",
    "codeio": _HASH_SEED,
    "coin_flip": "it has few items: 84 prompts in 200 draws",
    "complex_arithmetic": "its scorer rejects its own large references, by rounding",
    "composite": "it mixes the other datasets: name them as sources of a mixture",
    "graph_color": "its scorer pays some lists of several colourings",
    "isomorphic_strings": _HASH_SEED,
    "knight_swap": _HASH_SEED,
    "list_functions": _HASH_SEED,
    "polynomial_multiplication": _HASH_SEED,
    "propositional_logic": "its scorer pays a premise that is repeated as the conclusion",
    "ransom_note": _HASH_SEED,
    "rubiks_cube": "its scorer rejects the example answers of its own items",
    "sokoban": "its generator searches without a bound: an item takes minutes now and then",
    "word_ladder": "its reference answers change with PYTHONHASHSEED",
}
"""Datasets that the adapter does not offer, and what in upstream is the reason."""
