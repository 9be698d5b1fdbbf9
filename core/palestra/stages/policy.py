"""Loading the model that a stage begins with, ready to sample and to train."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from palestra.errors import ConfigError, did_you_mean
from palestra.learner.sharding import is_sharding
from palestra.plugins.registry import Kind
from palestra.rollout.prompting import Prompter
from palestra.rollout.samplers.base import Sampler, SamplerContext
from palestra.seeding import derive_seed
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
        pad = cast("int | None", self.tokenizer.pad_token_id)
        return pad if pad is not None else self.prompter.stop_token_ids[0]


def load_trainee(context: StageContext) -> LoadedPolicy:
    """Load the weights that the stage begins with, ready to be trained as the engine says.

    Raises:
        ConfigError: as `load_policy`; adapters that the model has no place for, or no peft; kernels
            that this machine or Liger does not have.
    """
    policy, engine = load_policy(context), context.recipe.engine
    if engine.liger:
        from palestra.learner.liger import use_liger

        use_liger(policy.model)
    if engine.lora is not None:
        from palestra.learner.lora import add_adapters

        seed = derive_seed(context.recipe.seed, "lora", context.name)
        add_adapters(policy.model, engine.lora, seed)
    if engine.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    return policy


def load_policy(context: StageContext) -> LoadedPolicy:
    """Load the weights that the stage begins with.

    Raises:
        ConfigError: no such model, or one that cannot be prompted as the stage says.
    """
    config, device = context.config, context.accelerator.device
    policy = load_model(context.weights, config.prompt, config.prefill, device)
    if policy.tokenizer.pad_token_id is None:
        context.progress.note("the model has no pad token: its end token fills batches up")
    return policy


def load_model(source: str, prompt: str, prefill: str, device: torch.device) -> LoadedPolicy:
    """Load a model folder or hub id in float32 (Accelerate casts where asked).

    Args:
        source: what `transformers` loads it from.
        prompt: how messages become text: ``r1_zero``, ``chat``, ``raw``, or a ``.jinja`` file.
        prefill: text that every completion begins with.
        device: where it goes.

    Raises:
        ConfigError: no such model, or one that cannot be prompted as `prompt` says.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except Exception as exc:  # a damaged folder can fail in any of three libraries
        why = _first_paragraph(exc)
        if Path(source).is_dir():
            raise ConfigError(f"cannot load the model in {source}: {why}") from exc
        raise ConfigError(
            f"model: cannot load '{source}': neither a model folder here nor one that "
            f"the Hugging Face hub gives.{did_you_mean(source, ('tiny', 'tiny-student'))} {why}"
        ) from exc
    prompter = Prompter(tokenizer, prompt, prefill, _generation_stops(model))
    model = cast("PreTrainedModel", model.to(device))
    return LoadedPolicy(model=model, tokenizer=tokenizer, prompter=prompter)


def _first_paragraph(exc: Exception) -> str:
    """Return what went wrong in one line; transformers adds pages of advice."""
    first = " ".join(str(exc).strip().partition("\n\n")[0].split())
    return first if isinstance(exc, OSError | ValueError) else f"{type(exc).__name__}: {first}"


def _generation_stops(model: PreTrainedModel) -> list[int]:
    config = getattr(model, "generation_config", None)
    ends = cast("int | list[int] | None", getattr(config, "eos_token_id", None))
    return [] if ends is None else ends if isinstance(ends, list) else [ends]


def make_sampler(context: StageContext, model: PreTrainedModel) -> Sampler:
    """Return the sampler that the recipe's engine names, with the weights that `model` began with.

    One that does not read `model` itself has to be given later weights by `update_weights`.
    """
    engine, accelerator = context.recipe.engine, context.accelerator
    factory = cast("Any", context.registry.load(Kind.SAMPLER, engine.sampler.type))
    about = SamplerContext(
        model=model,
        source=context.weights,
        copy=(lambda: load_policy(context).model) if is_sharding(accelerator) else None,
        precision=engine.precision,
        scratch=context.folder / "sampler",
        session=_session(context),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        wait=accelerator.wait_for_everyone,
        note=context.progress.note,
    )
    return factory(about, **engine.sampler.options)


def _session(context: StageContext) -> str:
    """Return a word that this run's processes share and no other run has."""
    words = [uuid.uuid4().hex[:12]]
    if context.accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        words = broadcast_object_list(words)
    return words[0]
