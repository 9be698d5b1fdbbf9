"""What a checkpoint holds of a learner: taken by all processes together, written by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A learner's weights and state between two updates.

    Attributes:
        model: the trained one.
        weights: what it weighs, where its own tensors are not that: sharded, or under adapters.
        files: what else a checkpoint needs, by the names of files.
    """

    model: PreTrainedModel
    weights: Mapping[str, Tensor] | None
    files: Mapping[str, Any]

    def write(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write ``model/``, a plain Hugging Face folder, and the files into `folder`."""
        if self.weights is None:
            self.model.save_pretrained(folder / "model")
        else:
            with torch.device("meta"):
                plain = type(self.model)(self.model.config)
            if hasattr(self.model, "generation_config"):
                plain.generation_config = self.model.generation_config
            plain.save_pretrained(folder / "model", state_dict=self._tied(self.weights))
        tokenizer.save_pretrained(folder / "model")
        for name, state in self.files.items():
            torch.save(state, folder / name)

    def _tied(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights, with one tensor for what is one in the model: it is written once."""
        names: dict[int, str] = {}
        out = dict(weights)
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            first = names.setdefault(id(tensor), name)
            if first != name:
                out[name] = out[first]
        return out
