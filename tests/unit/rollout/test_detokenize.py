"""The pieces of a sequence's tokens are its text, whatever the tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palestra.rollout.detokenize import Detokenizer, load_detokenizer
from palestra.tiny.paths import base_dir

TEXTS = ["the quick brown fox", "数学是语言", "naïve café 🦊🐻", "a b  c\n\td"] * 20


def byte_level() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(base_dir() / "tokenizer.json"))


def byte_fallback() -> Any:
    """A tokenizer in the way of Llama 2: ``▁`` for spaces, bytes for what it does not know."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz数"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made


def decoder(tokenizer: Any) -> Detokenizer:
    return Detokenizer(lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False))


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=40))
def test_the_pieces_of_a_text_are_the_text(make: Any, text: str) -> None:
    tokenizer = make()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    pieces = decoder(tokenizer).pieces(ids)
    assert len(pieces) == len(ids)
    whole = tokenizer.decode(ids, skip_special_tokens=False)
    assert "".join(pieces).lstrip(" ") == whole.lstrip(" ")  # a decoder may drop the first space


@settings(deadline=None, max_examples=200)
@given(ids=st.lists(st.integers(0, 507), max_size=40))
def test_the_pieces_of_any_tokens_are_what_they_decode_to(ids: list[int]) -> None:
    tokenizer = byte_level()
    pieces = decoder(tokenizer).pieces(ids)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=False)


def test_a_character_in_parts_is_the_piece_of_its_last_token() -> None:
    tokenizer = byte_level()
    ids = tokenizer.encode("x🦊y", add_special_tokens=False).ids
    assert decoder(tokenizer).pieces(ids) == ["x", *[""] * (len(ids) - 3), "🦊", "y"]


def test_the_first_folder_with_a_sound_tokenizer_is_taken(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "tokenizer.json").write_text("{")
    found = load_detokenizer([tmp_path / "none", damaged, base_dir()])
    assert found is not None
    ids = byte_level().encode("<think>ok</think>").ids
    assert "".join(found.pieces(ids)) == "<think>ok</think>"
    assert load_detokenizer([tmp_path, damaged]) is None
