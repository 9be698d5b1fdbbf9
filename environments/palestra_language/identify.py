"""Which of the languages of one script a sentence is in: py3langid, behind one function.

Of the identifiers that need no download, py3langid is small (5 MB; lingua 96 MB), fast (0.1 ms a
sentence, a tenth of lingua's time) and, held to the languages of one script, the most often right;
``tests/benchmarks/language_share.py`` prints the numbers.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from palestra.errors import ConfigError
from palestra_language.languages import SHARING

DOUBT, DOUBT_PER_WORD = 1.5, 8.0
"""A sentence of n words is taken for the target's unless another language is ``1.5 + 8 / n`` times
as probable: three words ("Enter a valid") are no evidence for Portuguese."""

LONGEST = 400
"""Characters that are looked at: they decide, and hostile text is not read to its end."""


def is_in(sentence: str, language: str, script: str) -> bool:
    """Whether a sentence, all of whose words are in `script`, is in `language`.

    Raises:
        ConfigError: py3langid is not installed.
    """
    if language not in SHARING.get(script, ()):
        return False
    probable = _ranked(script, sentence[:LONGEST])
    doubt = DOUBT + DOUBT_PER_WORD / max(1, len(sentence.split()))
    return probable[language] * doubt >= max(probable.values())


@functools.lru_cache(maxsize=4096)
def _ranked(script: str, sentence: str) -> dict[str, float]:
    return dict(_identifier(script).rank(sentence))


@functools.cache
def _identifier(script: str) -> Any:
    identifier = copy.copy(_model())
    identifier.set_languages(SHARING[script])
    return identifier


@functools.cache
def _model() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as exc:
        raise ConfigError(
            "telling languages of one script apart needs py3langid: "
            "pip install 'palestra[language]'"
        ) from exc
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
