"""Export: a stage's model as a Hugging Face folder that says where it came from."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import ConfigError
from palestra.recipe.card import model_card

if TYPE_CHECKING:
    from palestra.recipe.finished import FinishedStage

_LEFT_OUT = ("README.md", "chat_template.jinja")


def export_stage(stage: FinishedStage, to: Path) -> Path:
    """Write the model of `stage` into the new folder `to`, whole or not at all.

    The weights are copied as they are. The chat template prompts as the stage did, its prefill
    included; the generation config samples as R1's evaluation does (temperature 0.6, top-p 0.95;
    DeepSeek-R1, appendix D.1), or as the stage's own evaluation did.

    Raises:
        ConfigError: `to` is there already, or the stage's prompt is no chat template.
    """
    if to.exists() or to.is_symlink():
        raise ConfigError(f"{to} is there already; --to names a new folder")
    weights, config = stage.weights, stage.recipe.stages[stage.name]
    tokenizer, generation = _prompting(stage, str(weights))
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp's are private, an exported model is not
        for file in sorted(weights.iterdir()):
            if file.is_file() and file.name not in _LEFT_OUT:
                shutil.copyfile(file, temporary / file.name)
        tokenizer.save_pretrained(temporary)
        generation.save_pretrained(temporary)
        (temporary / "recipe.yaml").write_text(stage.recipe.to_yaml(), encoding="utf-8")
        card = model_card(stage, config.prompt, config.prefill)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        temporary.rename(to)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return to


def _prompting(stage: FinishedStage, weights: str) -> tuple[Any, Any]:
    """Return the tokenizer with its new template, and the generation config."""
    from transformers import AutoTokenizer, GenerationConfig

    from palestra.rollout.chat_template import chat_template
    from palestra.rollout.prompting import Prompter

    config = stage.recipe.stages[stage.name]
    tokenizer = cast("Any", AutoTokenizer.from_pretrained(weights))
    ends: int | list[int] | None = None
    if (Path(weights) / "generation_config.json").is_file():
        ends = GenerationConfig.from_pretrained(weights).eos_token_id
    more = [] if ends is None else ends if isinstance(ends, list) else [ends]
    prompter = Prompter(tokenizer, config.prompt, config.prefill, more)
    tokenizer.chat_template = chat_template(prompter)
    own = config.eval
    generation = GenerationConfig(
        do_sample=True,
        temperature=own.temperature if own and own.temperature else 0.6,
        top_p=own.top_p if own and own.temperature else 0.95,
        top_k=own.top_k if own else 0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(prompter.stop_token_ids),
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer, generation
