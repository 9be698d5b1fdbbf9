"""What Palestra's logic package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the logic environments."""
    return [
        EnvironmentSpec(
            name="logic/Ordering-v1",
            entry_point="palestra_logic.ordering:OrderingEnv",
            summary="put three to seven things in order from shuffled premises, English or Chinese",
            chance=1 / 6,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/KnightsAndKnaves-v1",
            entry_point="palestra_logic.knights:KnightsAndKnavesEnv",
            summary="who tells the truth and who lies, two to six people; en, zh, de",
            chance=0.1,  # a coin for each: the mean of 1/4 to 1/64
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Boolean-v1",
            entry_point="palestra_logic.boolean:BooleanEnv",
            summary="the truth of an expression of two to ten operators; en, zh",
            chance=0.5,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Sudoku-v1",
            entry_point="palestra_logic.sudoku:SudokuEnv",
            summary="4x4 to 9x9 Sudokus, each with one solution; en, zh",
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Zebra-v1",
            entry_point="palestra_logic.zebra:ZebraEnv",
            summary="who lives where and has what, three to five houses, one solution; en, zh",
            chance=0.01,  # 1/36 at level 1, and from there 1/216 down
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Syllogism-v1",
            entry_point="palestra_logic.syllogism:SyllogismEnv",
            summary="what follows from sentences with all, no and some; en, zh, de",
            chance=1 / 3,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/GraphColouring-v1",
            entry_point="palestra_logic.colouring:GraphColouringEnv",
            summary="colour graphs of 5 to 12 nodes with three colours; en, zh",
            chance=0.01,  # a random colouring: 1/40 at level 1, and from there 1/130 down
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/SAT-v1",
            entry_point="palestra_logic.sat:SATEnv",
            summary="satisfy a formula of 4 to 10 variables; en, zh",
            chance=0.04,  # 1/16 at level 1, at most 1/32 above
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Maze-v1",
            entry_point="palestra_logic.maze:MazeEnv",
            summary="walk through a maze in several turns, 5x5 to 12x12; en, zh",
            max_turns=8,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="logic/Planning-v1",
            entry_point="palestra_logic.planning:PlanningEnv",
            summary="stack three to six blocks as asked in several turns; en, zh",
            max_turns=8,
            isolation="inline",
        ),
    ]
