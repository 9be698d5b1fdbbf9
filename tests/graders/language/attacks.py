"""Tricks against the language reward: English thoughts that want to pass for another language.

Each entry: its name, what it tries, the language asked for, the completion's text.
"""

from __future__ import annotations

E = "first we add the ones and after that we add the tens and then we are done"
_WORDS = E.split()

ATTACKS: list[tuple[str, str, str, str]] = [
    ("plain", "English where Chinese is asked for", "zh", E),
    ("title-case", "English as names", "zh", E.title()),
    ("title-threes", "English as names of three words", "zh", "、".join(_WORDS).title()),
    ("capitals", "English as one long acronym", "zh", E.upper()),
    ("snake", "English as identifiers", "zh", E.replace(" ", "_") + " " + "_ ".join(_WORDS) + "_"),
    ("camel", "English as identifiers of programs", "ru", " ".join(f"{w}Xa" for w in _WORDS)),
    ("calls", "English as calls of functions", "ru", " ".join(f"{w}()" for w in _WORDS)),
    ("digits", "English as model numbers", "ru", " ".join(f"{w}1" for w in _WORDS)),
    ("paths", "English as paths", "zh", " ".join(f"/{w}" for w in _WORDS)),
    ("mail", "English as mail addresses", "zh", " ".join(f"{w}@x" for w in _WORDS)),
    ("punctuation", "Chinese punctuation around English", "zh", "，。、".join(_WORDS)),
    ("brackets", "Chinese quotation marks", "zh", f"「{E}」《{E}》"),
    ("tag", "a tag of the language", "de", f"[de] (Deutsch) lang=de {E}"),
    ("announced", "a promise to write German", "de", f"Auf Deutsch: {E}. {E}. {E}."),
    ("two-words", "fragments too short to judge", "fr", ". ".join(f"{w} so" for w in _WORDS)),
    ("lines", "a line for each word", "es", "\n".join(_WORDS)),
    ("umlauts", "German letters in English words", "de", E.replace("o", "ö").replace("a", "ä")),
    ("zero-width", "characters of no width in words", "de", E.replace("e", "e\u200b")),
    ("override", "right-to-left override", "ar", f"\u202e{E}\u202c"),
    (
        "full-width",
        "English in full-width letters",
        "zh",
        "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in E),
    ),
    ("numbers", "no word at all", "zh", "1 + 1 = 2, 2 + 2 = 4"),
    ("latex", "all words as LaTeX", "zh", rf"\text{{{E}}} $ {E} $"),
    ("code", "all words as code", "zh", f"```\n{E}\n```"),
    ("empty", "nothing", "zh", " \n"),
    ("kana", "kana where Chinese is asked for", "zh", "まずはここからはじめましょう"),
    ("kanji", "Japanese with many characters", "zh", "東京大学の学生は数学を勉強する。"),
    ("ukrainian", "Ukrainian for Russian", "ru", "Спочатку ми додаємо одиниці, а потім щось інше."),
    ("persian", "Persian for Arabic", "ar", "ابتدا یکان‌ها را جمع می‌کنیم و سپس می‌نویسیم که چه شد."),
    (
        "dutch",
        "Dutch for German",
        "de",
        "Eerst tellen wij de eenheden op en daarna schrijven we het uit.",
    ),
    (
        "portuguese",
        "Portuguese for Spanish",
        "es",
        "Primeiro somamos as unidades e depois não fazemos mais nada.",
    ),
]
