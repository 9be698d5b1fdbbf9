"""Distillation: a student is fine-tuned on what its teacher wrote, or on its logits too."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from palestra.learner.distillation import DistilledPolicy, shared_vocabulary
from palestra.stages.config import DistillConfig
from palestra.stages.policy import load_model
from palestra.stages.sft import SFTStage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from palestra.learner.logprobs import Policy

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DistillStage(SFTStage):
    """Supervised fine-tuning of the student (DeepSeek-R1, appendix F); the data is the teacher's.

    With `logits` the loss is the forward KL to the teacher's distribution over the same tokens.
    """

    def wrap(self, model: PreTrainedModel) -> Policy:
        """Return what scores completion tokens: by the teacher's logits, where they are asked for.

        Raises:
            ConfigError: teacher and student have not the same tokenizer.
        """
        context, config = self.context, cast("DistillConfig", self.context.config)
        if config.logits is None:
            return super().wrap(model)
        teacher = load_model(context.teacher, "raw", "", context.accelerator.device)
        names = (config.init_from, config.teacher)
        vocabulary = shared_vocabulary(self.policy.tokenizer, teacher.tokenizer, names)
        frozen = teacher.model.to(_PRECISIONS[context.recipe.engine.precision])  # type: ignore[arg-type]
        return DistilledPolicy(model, frozen, config.logits.temperature, vocabulary)
