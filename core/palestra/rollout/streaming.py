"""`stream`: one completion as text while it is made, thoughts and answer told apart."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from palestra.rollout.prompting import Prompter
    from palestra.rollout.samplers.base import SamplingParams

Part = Literal["thinking", "answer"]
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_LONGEST = max(map(len, TAGS))


class Splitter:
    """Takes a completion's text piece by piece, and gives it back by part, without its tags.

    What may be the beginning of a tag is kept until it is known to be one or not.
    """

    def __init__(self) -> None:
        self._kept = ""
        self._part: Part = "answer"

    def feed(self, piece: str, *, last: bool = False) -> Iterator[tuple[Part, str]]:
        """Yield what is certain so far, and with the `last` piece all of it."""
        self._kept += piece
        while self._kept:
            place = self._kept.find("<")
            if place < 0:
                yield self._part, self._kept
                self._kept = ""
                return
            if place:
                yield self._part, self._kept[:place]
                self._kept = self._kept[place:]
            tag = next((t for t in TAGS if self._kept.startswith(t)), None)
            if tag is not None:
                self._part = "thinking" if tag == "<think>" else "answer"
                self._kept = self._kept[len(tag) :]
            elif not last and any(t.startswith(self._kept) for t in TAGS):
                return
            else:
                yield self._part, self._kept[0]
                self._kept = self._kept[1:]


def stream(
    model: PreTrainedModel,
    prompter: Prompter,
    token_ids: tuple[int, ...],
    params: SamplingParams,
    seed: int,
) -> Iterator[str]:
    """Yield the text of one completion as it grows, prefill first, its stop token left out.

    Args:
        model: what generates; it is left in evaluation mode.
        prompter: how tokens become text.
        token_ids: the conversation, as ``prompter.open`` gives it.
        params: how tokens are drawn.
        seed: of torch's generator.
    """
    pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    streamer = _Streamer(prompter, pieces)
    stopped = threading.Event()
    ids = torch.tensor([token_ids], device=model.device)
    how: dict[str, Any] = {"do_sample": params.temperature > 0}
    if how["do_sample"]:
        how |= {"temperature": params.temperature, "top_p": params.top_p, "top_k": params.top_k}

    def generate() -> None:
        try:
            torch.manual_seed(seed)
            generate: Any = model.eval().generate
            generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=params.max_tokens,
                eos_token_id=list(prompter.stop_token_ids),
                pad_token_id=prompter.stop_token_ids[0],
                streamer=streamer,
                stopping_criteria=[lambda ids, scores, **_: _full(ids, stopped)],
                **how,
            )
            pieces.put(None)
        except BaseException as exc:
            pieces.put(exc)

    thread = threading.Thread(target=generate, daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:  # Ctrl-C, or nobody reads on
        stopped.set()
        thread.join()


def _full(ids: torch.Tensor, stopped: threading.Event) -> torch.Tensor:
    """Return whether each sequence is to end now."""
    return torch.full((ids.shape[0],), stopped.is_set(), device=ids.device)


class _Streamer:
    """What `generate` tells of its tokens, the prompt first."""

    def __init__(
        self, prompter: Prompter, pieces: queue.SimpleQueue[str | BaseException | None]
    ) -> None:
        self._prompter, self._pieces = prompter, pieces
        self._ids: list[int] | None = None
        self._shown = 0

    def put(self, value: torch.Tensor) -> None:
        if self._ids is None:
            self._ids = []
        else:
            self._ids += value.flatten().tolist()
        self._show(held="\ufffd")  # half of a character, until its other bytes come

    def end(self) -> None:
        self._show(held="")

    def _show(self, held: str) -> None:
        text = self._prompter.action(self._ids or [])
        kept = text.rstrip(held) if held else text
        if len(kept) > self._shown:
            self._pieces.put(kept[self._shown :])
            self._shown = len(kept)
