r"""One spelling for what people and models write in many: Unicode, LaTeX dressing, typography.

What comes out is ASCII mathematics with LaTeX commands (and letters of any script in text), for
`palestra_math.tokens` to read. Nothing is evaluated and nothing is guessed: a character that
changes how text looks without changing what it says (a right-to-left override) is refused.
"""

from __future__ import annotations

import re
import unicodedata

from palestra_math.limits import MAX_ANSWER, Unreadable

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni")
_SUPER_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUB_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile("[¼½¾⅐-⅞↉]")
_SYMBOLS = str.maketrans(
    {
        **dict.fromkeys("−–‒﹣－", "-"),
        **dict.fromkeys("×⋅∙✕✖∗·", " \\cdot "),
        **dict.fromkeys("÷∕⁄／", "/"),
        **dict.fromkeys("，、", ","),
        **dict.fromkeys("；", ";"),
        **dict.fromkeys("：", ":"),
        **dict.fromkeys("\u00a0\u2009\u202f\u2007\u2002\u2003\u200a\u3000", " "),
        **dict.fromkeys("’‘", "'"),
        "π": " \\pi ",
        "√": " \\sqrt ",
        "∞": " \\infty ",
        "≤": " \\le ",
        "⩽": " \\le ",
        "≥": " \\ge ",
        "⩾": " \\ge ",
        "≠": " \\ne ",
        "≈": " \\approx ",
        "∪": " \\cup ",
        "∩": " \\cap ",
        "∈": " \\in ",
        "∅": " \\emptyset ",
        "±": " \\pm ",
        "∓": " \\mp ",
        "°": "^\\circ ",
        "º": "^\\circ ",
        "ℝ": " \\mathbb{R} ",
        "θ": " \\theta ",
        "℃": "^\\circ C",
        "℉": "^\\circ F",
    }
)
_ALIASES = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|middle)(?![a-zA-Z])\s*\.?"), ""),
    (re.compile(r"\\(?:displaystyle|textstyle|limits|nolimits|bf|rm|it)(?![a-zA-Z])"), " "),
    (
        re.compile(r"(?<=\d)(?:(?<!\\),?\\[,!;: ]|~|\{,\}|\{\\,\}|\\thinspace(?![a-zA-Z]))(?=\d)"),
        "\x1f",
    ),
    (re.compile(r"\\(?:quad|qquad|thinspace|enspace)(?![a-zA-Z])|(?<!\\)\\[,;:! \n]|~"), " "),
    (re.compile(r"\\(?:times|cdotp|ast)(?![a-zA-Z])"), r"\\cdot"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le"),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge"),
    (re.compile(r"\\(?:neq)(?![a-zA-Z])"), r"\\ne"),
    (re.compile(r"\\(?:lt)(?![a-zA-Z])"), "<"),
    (re.compile(r"\\(?:gt)(?![a-zA-Z])"), ">"),
    (re.compile(r"\\(?:simeq|thickapprox)(?![a-zA-Z])"), r"\\approx"),
    (re.compile(r"\\(?:varnothing)(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\(?:lbrace)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(?:[lr]vert|mid|vert)(?![a-zA-Z])"), "|"),
    (
        re.compile(r"\\degrees?(?![a-zA-Z])|\^\s*\{?\s*\\(?:circ|degree)(?![a-zA-Z])\s*\}?"),
        r"^\\circ ",
    ),
    (
        re.compile(r"\\(?:mathrm|mbox|textbf|textit|textrm|mathit|mathbf|textnormal)(?![a-zA-Z])"),
        r"\\text",
    ),
    (re.compile(r"\\operatorname\*?\s*\{\s*([a-zA-Z]+)\s*\}"), r"\\\1 "),
)
_WRAPPERS = (
    re.compile(r"\$\$(.*)\$\$", re.DOTALL),
    re.compile(r"\$([^$]*)\$", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*(.*)\*\*", re.DOTALL),
    re.compile(r"`([^`]*)`", re.DOTALL),
    re.compile(r"\\(?:text|fbox|boxed)\s*\{([^{}]*)\}", re.DOTALL),
)
_INVISIBLE_AT_ENDS = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def normalise(text: str) -> str:
    """Return `text` in one spelling.

    Raises:
        Unreadable: it is empty, too long, or holds characters that only deceive the eye.
    """
    text = text.strip().strip(_INVISIBLE_AT_ENDS).strip()
    if not text:
        raise Unreadable("the answer is empty")
    if len(text) > MAX_ANSWER:
        raise Unreadable(f"the answer is longer than {MAX_ANSWER} characters")
    text = _unicode(text)
    text = unwrapped(text)
    for pattern, plain in _ALIASES:
        text = pattern.sub(plain, text)
    return unwrapped(text)


def unwrapped(text: str) -> str:
    r"""Return `text` without dollar signs, ``\text{}`` and markdown around the whole of it."""
    for _ in range(8):
        before = text
        text = text.strip().rstrip(".。！").rstrip()
        for wrapper in _WRAPPERS:
            match = wrapper.fullmatch(text)
            if match and match[1].strip():
                text = match[1].strip()
        if text == before:
            break
    return text


def _unicode(text: str) -> str:
    for char in text:
        if unicodedata.category(char) in ("Cf", "Cs", "Cc", "Co") and char not in "\n\t\r":
            raise Unreadable(f"the answer holds an invisible character, U+{ord(char):04X}")
    text = _SUPER_RUN.sub(lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _SUB_RUN.sub(lambda m: f"_{{{m[0].translate(_SUBSCRIPTS)}}}", text)
    text = _VULGAR.sub(_fraction, text)
    return unicodedata.normalize("NFKC", text.translate(_SYMBOLS)).translate(_SYMBOLS)


def _fraction(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
    return f"\\frac{{{above}}}{{{below}}}"
