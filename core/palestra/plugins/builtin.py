"""What Palestra's core brings, declared as any plugin would."""

from palestra.plugins.specs import PolicyOptimizerSpec, RewardModelSpec, SamplerSpec, StageSpec


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the rewards of R1's rules."""
    return [
        RewardModelSpec(
            name="format",
            entry_point="palestra.rewards.format:FormatReward",
            summary="1 for <think>…</think><answer>…</answer>, each tag once and in order",
        ),
        RewardModelSpec(
            name="language_consistency",
            entry_point="palestra.rewards.language:LanguageConsistencyReward",
            summary="share of the words of the thoughts in the language asked for",
        ),
    ]


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare GRPO."""
    return [
        PolicyOptimizerSpec(
            name="grpo",
            entry_point="palestra.optimizers.grpo:GRPO",
            config="palestra.optimizers.grpo:GRPOConfig",
            summary="group-relative advantages, clipped ratio, KL in the loss (DeepSeek-R1)",
        )
    ]


def palestra_samplers() -> list[SamplerSpec]:
    """Declare the embedded sampler."""
    return [
        SamplerSpec(
            name="transformers",
            entry_point="palestra.rollout.samplers.transformers:TransformersSampler",
            summary="the trainer's own model, batched, with a KV cache",
        )
    ]


def palestra_stages() -> list[StageSpec]:
    """Declare the stages of the recipe."""
    return [
        StageSpec(
            name="rl",
            entry_point="palestra.stages.rl:RLStage",
            config="palestra.stages.config:RLConfig",
            summary="reinforcement learning on a mixture",
        ),
        StageSpec(
            name="sft",
            entry_point="palestra.stages.sft:SFTStage",
            config="palestra.stages.config:SFTConfig",
            summary="supervised fine-tuning on examples",
        ),
        StageSpec(
            name="rejection_sampling",
            entry_point="palestra.stages.rejection_sampling:RejectionSamplingStage",
            config="palestra.stages.config:RejectionSamplingConfig",
            summary="sample, keep what earns what is required, write it as data",
        ),
        StageSpec(
            name="distill",
            entry_point="palestra.stages.distill:DistillStage",
            config="palestra.stages.config:DistillConfig",
            summary="fine-tune a student on what its teacher wrote",
        ),
        StageSpec(
            name="evaluate",
            entry_point="palestra.stages.evaluate:EvaluateStage",
            config="palestra.stages.config:EvaluateConfig",
            summary="evaluate the weights it is given",
        ),
    ]
