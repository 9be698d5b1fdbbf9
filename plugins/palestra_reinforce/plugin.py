"""What the REINFORCE family brings: names only; a recipe that uses one imports its module."""

from palestra.plugins.specs import PolicyOptimizerSpec


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare the optimizers."""
    return [
        PolicyOptimizerSpec(
            name="rloo",
            entry_point="palestra_reinforce.rloo:RLOO",
            config="palestra_reinforce.rloo:RLOOConfig",
            summary="REINFORCE, each completion against the mean of its group's others",
        ),
        PolicyOptimizerSpec(
            name="reinforce_pp",
            entry_point="palestra_reinforce.reinforce_pp:ReinforcePP",
            config="palestra_reinforce.reinforce_pp:ReinforcePPConfig",
            summary="REINFORCE++: returns whitened over all tokens of the batch, no groups needed",
        ),
        PolicyOptimizerSpec(
            name="reinforce_pp_baseline",
            entry_point="palestra_reinforce.reinforce_pp:ReinforcePPBaseline",
            config="palestra_reinforce.reinforce_pp:ReinforcePPBaselineConfig",
            summary="REINFORCE++ against the group's mean, whitened over the batch",
        ),
    ]
