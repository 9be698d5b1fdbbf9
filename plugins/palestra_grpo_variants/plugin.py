"""What the GRPO variants bring: names only; a recipe that uses one imports its module."""

from palestra.plugins.specs import PolicyOptimizerSpec


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare the variants."""
    return [
        _spec("dr_grpo", "dr_grpo:DrGRPO", "GRPO done right: no deviation, a constant length"),
        _spec("dapo", "dapo:DAPO", "clip-higher, dynamic sampling, token-level, overlong shaping"),
        _spec("gspo", "gspo:GSPO", "one ratio and one clip for each sequence"),
        _spec("cispo", "cispo:CISPO", "clips the weight of a token, never its gradient"),
        _spec("grpo_process", "process:ProcessGRPO", "GRPO with a reward for each step"),
        _spec("grpo_off_policy", "off_policy:OffPolicyGRPO", "GRPO that corrects for its sampler"),
    ]


def _spec(name: str, place: str, summary: str) -> PolicyOptimizerSpec:
    entry_point = f"palestra_grpo_variants.{place}"
    return PolicyOptimizerSpec(
        name=name, entry_point=entry_point, config=f"{entry_point}Config", summary=summary
    )
