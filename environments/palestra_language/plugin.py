"""What Palestra's language package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec, RewardModelSpec

IDENTIFIER = ("py3langid>=0.4",)


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the language environments."""
    return [
        EnvironmentSpec(
            name="language/Consistency-v1",
            entry_point="palestra_language.consistency:ConsistencyEnv",
            summary="answer a question of any other environment, thinking in a given language",
            requires=IDENTIFIER,
        )
    ]


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the reward for thinking in the task's language."""
    return [
        RewardModelSpec(
            name="target_language",
            entry_point="palestra_language.reward:TargetLanguageReward",
            summary="the share of the thoughts in the task's language, told by script and sentence",
            requires=IDENTIFIER,
        )
    ]
