"""Rebuild the embedded base and student models from scratch: ``python -m palestra.tiny.build``.

The corpus, the tokenizer and both trainings follow from one seed. The result is two standard
Hugging Face folders, `base` and `student`, in the package (or in ``--output``).
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palestra.seeding import rng
from palestra.tiny.corpus import Document, Noise, Source, documents
from palestra.tiny.tokenizer import ASSISTANT, END, USER, build_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The shape and the training of one of the two models."""

    hidden: int
    layers: int
    feed_forward: int
    steps: int
    learning_rate: float
    head: int = 32
    batch: int = 64


BASE = Size(hidden=96, layers=4, feed_forward=256, steps=5000, learning_rate=2e-3)
STUDENT = Size(hidden=64, layers=2, feed_forward=160, steps=3000, learning_rate=3e-3)
LONGEST = 160  # tokens of a document


def sources() -> list[Source]:
    """Return what the corpus is made of: three plugins' environments, the hard levels rare."""
    from palestra.plugins.registry import get_registry

    make = get_registry().make_env
    return [
        Source(env=make("math/Arithmetic-v1"), levels=(0.35, 0.4, 0.25), weight=0.55),
        Source(env=make("logic/Ordering-v1"), levels=(0.4, 0.35, 0.25), weight=0.33),
        Source(env=make("general/Instructions-v1"), levels=(0.5, 0.5), weight=0.12),
    ]


def build(output: Path, seed: int = 0) -> None:
    """Write `output`/base and `output`/student."""
    corpus = lambda stream: documents(sources(), seed + stream, Noise())  # noqa: E731
    for name, size in (("base", BASE), ("student", STUDENT)):
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        texts = (d.prompt + "\n" + d.completion for d in itertools.islice(corpus(0), 20_000))
        build_tokenizer(texts, folder)
        train(folder, size, corpus(1), seed)


def train(folder: Path, size: Size, corpus: Iterator[Document], seed: int) -> None:
    """Train one model on the corpus and save it beside its tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.hidden // size.head,
            num_key_value_heads=size.hidden // size.head,
            intermediate_size=size.feed_forward,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=size.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    started = time.monotonic()
    batches = _batches(tokenizer, corpus, size.batch, seed)
    for step in range(size.steps):
        for group in optimizer.param_groups:
            group["lr"] = size.learning_rate * _schedule(step, size.steps)
        loss = _loss(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 200 == 0 or step == size.steps - 1:
            seconds = time.monotonic() - started
            print(f"{folder.name} step {step} loss {loss.item():.3f} {seconds:.0f}s", flush=True)
    model.save_pretrained(folder)


def _schedule(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batches(
    tokenizer: PreTrainedTokenizerBase, corpus: Iterator[Document], size: int, seed: int
) -> Iterator[list[list[int]]]:
    """Yield batches of documents of like length, so that little of a batch is padding."""
    order = rng(seed, "tiny", "batches")
    while True:
        pool = [
            tokenizer.encode(f"{USER}{d.prompt}{ASSISTANT}{d.completion}{END}")[:LONGEST]
            for d in itertools.islice(corpus, 16 * size)
        ]
        pool.sort(key=len)
        for i in order.permutation(16):
            yield pool[i * size : (i + 1) * size]


def _loss(model: LlamaForCausalLM, rows: list[list[int]]) -> Tensor:
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), model.config.pad_token_id or 0)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = ids[i, : len(row)]
    return model(input_ids=ids, labels=labels).loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.output, arguments.seed)
