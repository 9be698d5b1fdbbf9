"""What Palestra itself brings, declared the way any plugin would: names, no imports of the code."""

from palestra.plugins.specs import PolicyOptimizerSpec, RewardModelSpec, SamplerSpec, StageSpec


def palestra_reward_models() -> list[RewardModelSpec]:
    """Declare the rule-based rewards of DeepSeek-R1."""
    return [
        RewardModelSpec(
            name="format",
            entry_point="palestra.rewards.format:FormatReward",
            summary="1 where the completion keeps to <think>…</think> <answer>…</answer>",
        ),
        RewardModelSpec(
            name="language_consistency",
            entry_point="palestra.rewards.language:LanguageConsistencyReward",
            summary="the share of the thoughts that is written in the task's language",
        ),
    ]


def palestra_policy_optimizers() -> list[PolicyOptimizerSpec]:
    """Declare GRPO, as R1 used it."""
    return [
        PolicyOptimizerSpec(
            name="grpo",
            entry_point="palestra.optimizers.grpo:GRPO",
            config="palestra.optimizers.grpo:GRPOConfig",
            summary="group-relative policy optimization, as DeepSeek-R1 used it",
        )
    ]


def palestra_samplers() -> list[SamplerSpec]:
    """Declare the embedded sampler, and vLLM within the trainer or on servers."""
    return [
        SamplerSpec(
            name="transformers",
            entry_point="palestra.rollout.samplers.transformers:make_sampler",
            config="palestra.rollout.samplers.config:TransformersConfig",
            summary="the embedded sampler: batched generation in the trainer's process",
        ),
        SamplerSpec(
            name="vllm",
            entry_point="palestra.rollout.samplers.vllm:VLLMSampler",
            config="palestra.rollout.samplers.config:VLLMConfig",
            summary="vLLM in the trainer's process",
        ),
        SamplerSpec(
            name="vllm-server",
            entry_point="palestra.rollout.samplers.vllm_server:VLLMServerSampler",
            config="palestra.rollout.samplers.config:VLLMServerConfig",
            summary="any number of vLLM servers, here or on other machines",
        ),
    ]


def palestra_stages() -> list[StageSpec]:
    """Declare the stages of the R1 recipe."""
    return [
        StageSpec(
            name="rl",
            entry_point="palestra.stages.rl:RLStage",
            config="palestra.stages.config:RLConfig",
            summary="reinforcement learning on a mixture of environments",
        ),
        StageSpec(
            name="sft",
            entry_point="palestra.stages.sft:SFTStage",
            config="palestra.stages.config:SFTConfig",
            summary="supervised fine-tuning on worked examples",
        ),
        StageSpec(
            name="rejection_sampling",
            entry_point="palestra.stages.rejection_sampling:RejectionSamplingStage",
            config="palestra.stages.config:RejectionSamplingConfig",
            summary="keep a policy's best completions as examples for fine-tuning",
        ),
        StageSpec(
            name="distill",
            entry_point="palestra.stages.distill:DistillStage",
            config="palestra.stages.config:DistillConfig",
            summary="fine-tune a smaller student on a teacher's completions",
        ),
        StageSpec(
            name="reward_model",
            entry_point="palestra.stages.reward_model:RewardModelStage",
            config="palestra.stages.config:RewardModelConfig",
            summary="train a scalar reward model on preferences",
        ),
        StageSpec(
            name="evaluate",
            entry_point="palestra.stages.evaluate:EvaluateStage",
            config="palestra.stages.config:EvaluateConfig",
            summary="measure a model on held-out tasks",
        ),
    ]
