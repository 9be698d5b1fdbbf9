"""Distillation: a student is fine-tuned on what its teacher wrote, or on its logits too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from palestra.learner.distillation import DistilledPolicy, shared_vocabulary
from palestra.precision import dtype_of
from palestra.stages.config import DistillConfig
from palestra.stages.policy import load_model
from palestra.stages.sft import SFTStage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from palestra.learner.logprobs import Policy


class DistillStage(SFTStage):
    """Supervised fine-tuning of the student (DeepSeek-R1, appendix F); the data is the teacher's.

    With `logits` the loss is the forward KL to the teacher's distribution over the same tokens.
    """

    def wrap(self, model: PreTrainedModel) -> Policy:
        """Return what scores completion tokens: by the teacher's logits, where they are asked for.

        Raises:
            ConfigError: teacher and student have not the same tokenizer, or packed rows are one
                sequence to the teacher.
        """
        context, config = self.context, cast("DistillConfig", self.context.config)
        if config.logits is None:
            return super().wrap(model)
        loaded = load_model(context.teacher, "raw", "", context.accelerator.device)
        names = (config.init_from, config.teacher)
        vocabulary = shared_vocabulary(self.policy.tokenizer, loaded.tokenizer, names)
        teacher: Any = loaded.model
        self.require_apart(teacher)
        frozen = teacher.to(dtype_of(context.recipe.engine.precision))
        return DistilledPolicy(model, frozen, config.logits.temperature, vocabulary)
