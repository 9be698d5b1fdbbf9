"""Loading the model that a stage begins with, ready to sample and to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from palestra.errors import ConfigError
from palestra.plugins.registry import Kind
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Sampler
from palestra.stages.base import StageContext

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicy:
    """A model with its tokenizer, and how it is prompted."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompter: Prompter

    @property
    def pad(self) -> int:
        """The id that fills batches up; a model without one lends its end token."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.prompter.stop_token_ids[0])


def load_policy(context: StageContext) -> LoadedPolicy:
    """Load the weights that the stage begins with, in float32 (Accelerate casts where asked).

    Raises:
        ConfigError: no such model, or one that cannot be prompted as the stage says.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(context.weights)
        model = AutoModelForCausalLM.from_pretrained(context.weights, dtype=torch.float32)
    except (OSError, ValueError) as exc:
        if Path(context.weights).is_dir():
            raise ConfigError(f"cannot load the model in {context.weights}: {exc}") from exc
        raise ConfigError(
            f"model: cannot load '{context.weights}': neither a model folder here nor one that "
            f"the Hugging Face hub gives: {str(exc).splitlines()[0]}"
        ) from exc
    prompter = Prompter(tokenizer, context.config.prompt, context.config.prefill)
    if tokenizer.pad_token_id is None:
        context.progress.note("the model has no pad token: its end token fills batches up")
    model = cast("PreTrainedModel", model.to(context.accelerator.device))
    return LoadedPolicy(model=model, tokenizer=tokenizer, prompter=prompter)


def make_sampler(context: StageContext, model: PreTrainedModel) -> Sampler:
    """Return the sampler that the recipe's engine names, on `model`'s live weights."""
    block = context.recipe.engine.sampler
    factory = cast("Any", context.registry.load(Kind.SAMPLER, block.type))
    return factory(model, **block.options)
