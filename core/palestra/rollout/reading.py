"""`Reader`: how a scalar reward model reads a conversation and its completion, token for token.

One that a stage trained is read as it was trained: the stage writes that into the model's config.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from palestra.envs import Message
from palestra.errors import ConfigError
from palestra.rewards.seen import Sees, seen
from palestra.rollout.prompting import Prompter

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

KEY = "palestra_reader"
"""Key of the model's config under which a stage notes how its reward model reads."""


class Reader:
    """Turns a conversation and what was said into the tokens that a reward model scores.

    Args:
        tokenizer: the model's own.
        prompt: ``chat``, ``r1_zero`` or ``raw`` as in a stage; ``conversation`` to have the chat
            template write the completion too, as most published models were trained; ``pair`` for
            a tokenizer's own form of two texts (encoders).
        sees: which part of the completion.

    Raises:
        ConfigError: the tokenizer cannot be prompted so.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: str, sees: Sees) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        self.sees: Sees = sees
        self._prompter: Prompter | None = None
        if prompt not in ("conversation", "pair"):
            self._prompter = Prompter(tokenizer, prompt)
        elif prompt == "conversation" and not tokenizer.chat_template:
            raise ConfigError("prompt: conversation, but the reward model has no chat template")

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        config: PretrainedConfig,
        prompt: str | None = None,
        sees: Sees | None = None,
    ) -> Reader:
        """Return the reader of a model: as asked, else as noted in its config, else as is usual."""
        noted = cast("dict[str, Any]", getattr(config, KEY, None) or {})
        usual = "conversation" if tokenizer.chat_template else "pair"
        prompt = prompt or str(noted.get("prompt", usual))
        return cls(tokenizer, prompt, sees or cast("Sees", noted.get("sees", "completion")))

    def note(self, config: PretrainedConfig) -> None:
        """Write into a model's config how it is read."""
        setattr(config, KEY, {"prompt": self.prompt, "sees": self.sees})

    def ids(self, messages: Sequence[Message], completion: str) -> list[int]:
        """Return the tokens of a conversation and its completion."""
        said = seen(completion, self.sees)
        if self._prompter is not None:
            end = self._prompter.stop_token_ids[0]
            own = self.tokenizer.encode(said, add_special_tokens=False)
            return [*self._prompter.open(messages), *own, end]
        if self.prompt == "pair":
            text = "\n".join(message["content"] for message in messages)
            return list(cast("Any", self.tokenizer(text, said))["input_ids"])
        turns = [*map(dict, messages), {"role": "assistant", "content": said}]
        text = str(self.tokenizer.apply_chat_template(cast("Any", turns), tokenize=False))
        if said.strip() not in text:
            raise ConfigError(
                "prompt: conversation, but the reward model's chat template drops a part of the "
                "completion. See the answer alone (`sees: answer`), or use another `prompt`"
            )
        return list(self.tokenizer.encode(text, add_special_tokens=False))
