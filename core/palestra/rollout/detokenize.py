"""The text of each token of a sequence, where a token may be half of a character."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_HALF = "\ufffd"  # what decoders give for bytes that are no whole character
_LONGEST = 8  # tokens that one character may be spread over

Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """Splits the text of a sequence among its tokens; joined, the pieces are the text.

    A character whose bytes are spread over several tokens is the piece of the last of them, and the
    pieces of the others are empty.

    Args:
        decode: the text of some ids, special tokens kept.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._alone: dict[int, str] = {}
        # At the very front of a text some decoders drop a space: decode behind a letter instead.
        letters = (i for i in range(512) if decode([i]).strip().isalpha())
        self._anchor = [i for i in (next(letters, None),) if i is not None]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the piece of each id."""
        out: list[str] = []
        waiting: list[int] = []  # tokens whose bytes are no whole character yet
        for token in ids:
            alone = self._piece(token)
            if not waiting and _HALF not in alone:
                out.append(alone)
                continue
            waiting.append(token)
            text = self._joint(waiting)
            if text.endswith(_HALF) and len(waiting) < _LONGEST:
                out.append("")
            else:
                out.append(text)
                waiting = []
        if waiting and not out[-1]:
            out[-1] = self._joint(waiting)
        return out

    def _piece(self, token: int) -> str:
        if token not in self._alone:
            self._alone[token] = self._joint([token])
        return self._alone[token]

    def _joint(self, tokens: list[int]) -> str:
        front = self._decode(self._anchor)
        whole = self._decode([*self._anchor, *tokens])
        return whole[len(front) :] if whole.startswith(front) else self._decode(tokens)


def load_detokenizer(folders: Iterable[Path]) -> Detokenizer | None:
    """Return one for the first of `folders` that holds a ``tokenizer.json``; None without any."""
    for file in (folder / "tokenizer.json" for folder in folders):
        if file.is_file() and (decode := _decoder(file)) is not None:
            return Detokenizer(decode)
    return None


def _decoder(file: Path) -> Decode | None:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # damaged: the library raises bare Exceptions
        return None
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False))
