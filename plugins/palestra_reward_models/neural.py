"""`neural`: any sequence-classification model with one label, scored a token budget at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palestra.envs import Score
from palestra.errors import ConfigError
from palestra.learner.packing import micro_batches
from palestra.precision import dtype_of
from palestra.rewards.base import Scored
from palestra_reward_models.neural_config import NeuralConfig

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from palestra.rollout.reading import Reader


class Neural:
    """Pays the model's score as it is (DeepSeek-R1, 3.1); its scale is the recipe's to weigh.

    The weights are loaded when there is something to score. What the model cannot read whole has
    no verdict: nothing is cut.

    Args:
        config: see `NeuralConfig`.

    Raises:
        ConfigError: there is no such model, or it is none with one label.
    """

    def __init__(self, config: NeuralConfig) -> None:
        self.config = config
        self._about = _described(config.from_model)
        self._loaded: tuple[PreTrainedModel, Reader, int] | None = None

    def score(self, batch: Sequence[Scored]) -> list[Score]:
        """Return each completion's score.

        Raises:
            ConfigError: the weights cannot be loaded.
        """
        if not batch:
            return []
        if self._loaded is None:
            self._loaded = self._load()
        model, reader, pad = self._loaded
        texts = [reader.ids(item.messages, item.completion) for item in batch]
        limit = cast("int | None", getattr(model.config, "max_position_embeddings", None))
        values: dict[int, float] = {}
        short = [i for i, ids in enumerate(texts) if limit is None or len(ids) <= limit]
        for micro in micro_batches([len(texts[i]) for i in short], self.config.token_budget):
            rows = [short[i] for i in micro]
            scored = _forward(model, [texts[i] for i in rows], pad)
            values |= zip(rows, scored, strict=True)
        return [_score(values.get(i), len(ids), limit) for i, ids in enumerate(texts)]

    def _load(self) -> tuple[PreTrainedModel, Reader, int]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from palestra.rollout.reading import Reader

        source = self.config.from_model
        try:
            tokenizer = AutoTokenizer.from_pretrained(source)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                source, dtype=dtype_of(self.config.precision), output_loading_info=True
            )
        except Exception as exc:  # a damaged folder can fail in any of three libraries
            raise ConfigError(
                f"reward model {source} cannot be loaded: {_first_line(exc)}"
            ) from exc
        model, report = loaded
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise ConfigError(f"reward model {source} is not whole: it has no {missing}")
        device = self.config.device or ("cuda" if torch.cuda.is_available() else "cpu")
        pad = next(
            (i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0
        )
        model.config.pad_token_id = pad
        reader = Reader.of(tokenizer, model.config, self.config.prompt, self.config.sees)
        return model.to(device).eval().requires_grad_(False), reader, int(pad)


def _described(source: str) -> PretrainedConfig:
    """Read a model's config, and refuse what gives no single number."""
    from transformers import AutoConfig

    try:
        about = cast("PretrainedConfig", AutoConfig.from_pretrained(source))
    except Exception as exc:
        where = "" if Path(source).is_dir() else " neither a folder here nor on the hub:"
        raise ConfigError(f"no reward model {source}:{where} {_first_line(exc)}") from exc
    made_of = ", ".join(about.architectures or ["an unknown architecture"])
    if "ForSequenceClassification" not in made_of:
        raise ConfigError(
            f"{source} is no reward model: it holds {made_of}, and one is a "
            "...ForSequenceClassification. A stage of type reward_model trains one"
        )
    if about.num_labels != 1:
        raise ConfigError(
            f"{source} gives {about.num_labels} numbers for a text, and a reward is one: take a "
            "model with a single label"
        )
    return about


def _forward(model: PreTrainedModel, texts: Sequence[Sequence[int]], pad: int) -> list[float]:
    import torch

    width = max(map(len, texts))
    ids = torch.full((len(texts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    device = model.device
    with torch.inference_mode():
        logits: Any = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
    return cast("list[float]", logits[:, 0].float().tolist())


def _score(value: float | None, tokens: int, limit: int | None) -> Score:
    if value is None:
        return Score.failed(f"{tokens} tokens, and the reward model reads at most {limit}")
    if not math.isfinite(value):
        return Score.failed(f"the reward model's score is {value}")
    return Score(value=value, components={"score": value})


def _first_line(exc: Exception) -> str:
    return " ".join(str(exc).strip().partition("\n\n")[0].split())
