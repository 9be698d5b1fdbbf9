"""How right `target_language_share` is: on sentences of one language, and on mixed texts.

    python tests/benchmarks/language_share.py [--texts 500]

The sentences are those of tests/graders/language/sentences.json: messages of Django's user
interface, translated by its community. A mixed text is ten of them from two languages; its true
share is counted from where each came from. Where lingua is installed, the last table compares it
with py3langid at telling the languages of the Latin script apart.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from palestra.rewards.language import prose, words
from palestra_language import target_language_share
from palestra_language.identify import is_in
from palestra_language.languages import SHARING

FILE = Path(__file__).parents[1] / "graders" / "language" / "sentences.json"
SENTENCES: dict[str, list[str]] = json.loads(FILE.read_text(encoding="utf-8"))["sentences"]
IN_A_TEXT = 10
LATIN = ("de", "en", "es", "fr")


def counted(sentence: str) -> int:
    return sum(1 for _ in words(prose(sentence)))


def monolingual(language: str) -> tuple[float, float]:
    """Return the share of sentences judged to be in their language, and of words."""
    shares = [target_language_share(s, language) for s in SENTENCES[language]]
    sizes = [counted(s) for s in SENTENCES[language]]
    own = sum(share * size for share, size in zip(shares, sizes, strict=True))
    return sum(share > 0.5 for share in shares) / len(shares), own / sum(sizes)


def mixed(one: str, other: str, draw: random.Random) -> tuple[str, float]:
    """Return a text of two languages, and the true share of the first."""
    some = draw.randint(0, IN_A_TEXT)
    chosen = [(one, s) for s in draw.sample(SENTENCES[one], some)]
    chosen += [(other, s) for s in draw.sample(SENTENCES[other], IN_A_TEXT - some)]
    draw.shuffle(chosen)
    own = sum(counted(s) for language, s in chosen if language == one)
    return " ".join(s for _, s in chosen), own / sum(counted(s) for _, s in chosen)


def errors(one: str, other: str, texts: int, seed: int = 0) -> list[float]:
    """Return how far the share is from the true one, text by text."""
    draw = random.Random(f"{seed} {one} {other}")
    pairs = [mixed(one, other, draw) for _ in range(texts)]
    return [abs(target_language_share(text, one) - true) for text, true in pairs]


def identifiers() -> dict[str, Callable[[str, str], bool]]:
    """Return the identifiers that are installed: whether a sentence is in a language."""
    found: dict[str, Callable[[str, str], bool]] = {"py3langid": lambda s, k: is_in(s, k, "latin")}
    if importlib.util.find_spec("lingua"):
        import lingua

        codes = [c.upper().replace("NO", "NB") for c in SHARING["latin"]]
        known = [getattr(lingua.IsoCode639_1, code) for code in codes]
        detector = lingua.LanguageDetectorBuilder.from_iso_codes_639_1(*known).build()

        def by_lingua(sentence: str, language: str) -> bool:
            told = detector.detect_language_of(sentence)
            return told is not None and told.iso_code_639_1.name.lower() == language

        found["lingua"] = by_lingua
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=500)
    texts = parser.parse_args().texts
    print(f"{'one language':<14}{'sentences':>10}{'right':>9}{'words':>9}")
    for language in SENTENCES:
        right, own = monolingual(language)
        print(f"{language:<14}{len(SENTENCES[language]):>10}{right:>9.2%}{own:>9.2%}")
    print(f"\n{'two languages':<14}{'texts':>10}{'mean':>9}{'p99':>9}{'within .05':>12}")
    for one in SENTENCES:
        off = sorted(e for other in SENTENCES if other != one for e in errors(one, other, texts))
        mean, p99 = sum(off) / len(off), off[int(len(off) * 0.99)]
        within = sum(e <= 0.05 for e in off) / len(off)
        print(f"{one:<14}{len(off):>10}{mean:>9.4f}{p99:>9.4f}{within:>12.2%}")
    print(f"\n{'identifier':<14}{'language':>10}{'right':>9}{'others':>9}{'ms':>9}")
    for name, identify in identifiers().items():
        for language in LATIN:
            since = time.perf_counter()
            own = [identify(s, language) for s in SENTENCES[language]]
            each = (time.perf_counter() - since) / len(own) * 1e3
            foreign = [identify(s, language) for k in LATIN if k != language for s in SENTENCES[k]]
            right, wrong = sum(own) / len(own), sum(foreign) / len(foreign)
            print(f"{name:<14}{language:>10}{right:>9.2%}{wrong:>9.2%}{each:>9.2f}")


if __name__ == "__main__":
    main()
