"""The languages that are known by name, and which of them share a script."""

from __future__ import annotations

from palestra.errors import ConfigError, did_you_mean

NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sr": "Serbian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}

SHARING = {
    "latin": (
        *("cs", "da", "de", "en", "es", "fi", "fr", "hu", "id", "it"),
        *("nl", "no", "pl", "pt", "ro", "sv", "tr", "vi"),
    ),
    "cyrillic": ("bg", "ru", "sr", "uk"),
    "arabic": ("ar", "fa", "ur"),
    "han": ("ja", "zh"),
}
"""Languages that a script alone does not tell apart."""


def checked(language: str) -> str:
    """Return the two letters of a language's tag: ``zh`` of ``zh-CN``.

    Raises:
        ConfigError: nobody here knows the language.
    """
    code = language.split("-")[0].strip().lower()
    if code in NAMES:
        return code
    by_name = {name.lower(): known for known, name in NAMES.items()}
    near = did_you_mean(by_name[code], NAMES) if code in by_name else did_you_mean(code, NAMES)
    raise ConfigError(f"no language '{language}'.{near} Known: {', '.join(NAMES)}")
