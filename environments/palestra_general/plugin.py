"""What Palestra's general package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the general environments."""
    return [*_instructions(), *_structure(), *_tools(), *_open_ended()]


def _instructions() -> list[EnvironmentSpec]:
    return [
        EnvironmentSpec(
            name="general/Instructions-v1",
            entry_point="palestra_general.instructions:InstructionsEnv",
            summary="follow a small instruction whose result a rule can check, English or Chinese",
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/InstructionFollowing-v1",
            entry_point="palestra_general.instruction_following:InstructionFollowingEnv",
            summary="write under instructions of 31 kinds that a rule verifies, as IFEval has them",
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/FewShot-v1",
            entry_point="palestra_general.few_shot:FewShotEnv",
            summary="questions of any other environment, behind worked examples or without",
        ),
    ]


def _structure() -> list[EnvironmentSpec]:
    return [
        EnvironmentSpec(
            name="general/MultipleChoice-v1",
            entry_point="palestra_general.multiple_choice:MultipleChoiceEnv",
            summary="questions with shuffled options, of a local file or a dataset of the Hub",
            chance=0.25,
        ),
        EnvironmentSpec(
            name="general/JSON-v1",
            entry_point="palestra_general.json_schema:JSONEnv",
            summary="put the facts of a text into JSON that keeps to a given schema",
            requires=("jsonschema>=4.18",),
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/FunctionCalling-v1",
            entry_point="palestra_general.function_calling:FunctionCallingEnv",
            summary="choose the right functions and arguments, or say that none fits",
            chance=0.13,
            isolation="inline",
        ),
    ]


def _tools() -> list[EnvironmentSpec]:
    return [
        EnvironmentSpec(
            name="general/Calculator-v1",
            entry_point="palestra_general.calculator:CalculatorEnv",
            summary="arithmetic that is out of reach without calling a calculator",
            max_turns=6,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/Search-v1",
            entry_point="palestra_general.search:SearchEnv",
            summary="questions over several articles of a small corpus, found by searching",
            max_turns=8,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/Calendar-v1",
            entry_point="palestra_general.calendar:CalendarEnv",
            summary="bring a calendar into the state that was asked for, by calling its tools",
            max_turns=8,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/Shop-v1",
            entry_point="palestra_general.shop:ShopEnv",
            summary="buy what was asked for within a budget, by calling a shop's tools",
            max_turns=8,
            isolation="inline",
        ),
    ]


def _open_ended() -> list[EnvironmentSpec]:
    return [
        EnvironmentSpec(
            name="general/Writing-v1",
            entry_point="palestra_general.open_ended:WritingEnv",
            summary="writing tasks without a right answer, for a reward model to judge",
            has_reference=False,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/Helpfulness-v1",
            entry_point="palestra_general.open_ended:HelpfulnessEnv",
            summary="everyday requests without a right answer, for a reward model to judge",
            has_reference=False,
            isolation="inline",
        ),
        EnvironmentSpec(
            name="general/Refusals-v1",
            entry_point="palestra_general.refusals:RefusalsEnv",
            summary="refuse what is harmful, and answer what only sounds so",
            chance=0.5,
            isolation="inline",
        ),
    ]
