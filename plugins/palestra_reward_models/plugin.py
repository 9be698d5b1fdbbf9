"""What the package brings: names only; a recipe that uses one imports its module."""

from palestra.plugins.specs import RewardModelSpec

_HERE = "palestra_reward_models"


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the reward models."""
    return [
        RewardModelSpec(
            name="neural",
            entry_point=f"{_HERE}.neural:Neural",
            config=f"{_HERE}.neural_config:NeuralConfig",
            summary="the score of a sequence-classification model with one label",
        ),
        RewardModelSpec(
            name="judge",
            entry_point=f"{_HERE}.judge:Judge",
            config=f"{_HERE}.judge_config:JudgeConfig",
            summary="a language model says whether the answer is correct",
            requires=("httpx>=0.28",),
        ),
        RewardModelSpec(
            name="judge_pairs",
            entry_point=f"{_HERE}.judge:PairJudge",
            config=f"{_HERE}.judge_config:PairJudgeConfig",
            summary="a language model compares the answers of a group, positions swapped",
            requires=("httpx>=0.28",),
        ),
        RewardModelSpec(
            name="length",
            entry_point=f"{_HERE}.lengths:LengthReward",
            config=f"{_HERE}.lengths:LengthConfig",
            summary="1 at a target length, falling to 0 on both sides",
        ),
        RewardModelSpec(
            name="overlong",
            entry_point=f"{_HERE}.lengths:OverlongReward",
            config="palestra.rewards.shaping:OverlongConfig",
            summary="0, falling to -1 as a completion comes near the longest length (DAPO)",
        ),
        RewardModelSpec(
            name="repetition",
            entry_point=f"{_HERE}.repetition:RepetitionReward",
            config=f"{_HERE}.repetition:RepetitionConfig",
            summary="minus the share of n-grams that a completion says again",
        ),
        RewardModelSpec(
            name="self_consistency",
            entry_point=f"{_HERE}.self_consistency:SelfConsistencyReward",
            config=f"{_HERE}.self_consistency:SelfConsistencyConfig",
            summary="agreement with the answers of the group, without a reference",
        ),
    ]
