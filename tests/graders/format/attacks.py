"""Tricks against the format reward: shapes that look like R1's format, or hide what is not in it.

Each entry: its name, what it tries, the completion. `OPEN` holds those that still earn 1.
"""

from __future__ import annotations

T, A = "<think>a</think>", "<answer>b</answer>"

ATTACKS: list[tuple[str, str, str]] = [
    ("twice", "the whole shape again and again", (T + A) * 3),
    ("thoughts-twice", "a second pair of thoughts", T + T + A),
    ("answers-twice", "two answers, one of them right", T + A + "<answer>c</answer>"),
    ("answer-in-thoughts", "an answer before the thinking is over", f"<think>a{A}</think>{A}"),
    ("thoughts-in-answer", "thoughts within the answer", f"<answer>{T}b</answer>"),
    ("nested", "thoughts within thoughts", f"<think>{T}</think>{A}"),
    ("nested-answer", "an answer within the answer", f"{T}<answer>{A}</answer>"),
    ("order", "the answer first, the thoughts made up for it", A + T),
    ("prefilled", "a tag that was prefilled, said again", f"<think>\n{T}{A}"),
    ("unopened", "thoughts that are only closed, as if prefilled", f"a</think>{A}"),
    ("unclosed", "an answer cut off at the end", f"{T}<answer>b"),
    ("code", "the whole shape in a block of code", f"```\n{T}{A}\n```"),
    ("quoted", "tags within code, in the thoughts", f"<think>`<answer>`</think>{A}"),
    ("entities", "tags as entities of HTML", (T + A).replace("<", "&lt;").replace(">", "&gt;")),
    ("capitals", "tags in capitals", (T + A).upper()),
    ("spaces", "spaces within the tags", (T + A).replace("<", "< ")),
    ("attributes", "a tag with an attribute", f'<think lang="en">a</think>{A}'),
    ("self-closing", "a tag that opens and closes itself", f"<think/>a</think>{A}"),
    ("full-width", "full-width brackets", (T + A).replace("<", "＜").replace(">", "＞")),
    ("homoglyph", "a Cyrillic letter in the tags", (T + A).replace("a", "а")),
    ("zero-width-tag", "a character of no width in a tag", f"<th\u200bink>a</think>{A}"),
    ("zero-width-before", "a character of no width before the shape", f"\u200b{T}{A}"),
    ("zero-width-between", "a character of no width between the parts", f"{T}\u2060{A}"),
    ("byte-order", "a byte order mark before the shape", f"\ufeff{T}{A}"),
    ("override", "the shape written from right to left", f"\u202e{T}{A}\u202c"),
    ("empty", "no thoughts at all", f"<think></think>{A}"),
    ("blank", "white space for thoughts", f"<think> \n\u3000\u00a0</think>{A}"),
    ("zero-width", "thoughts of no width", f"<think>\u200b\u200d\u2060</think>{A}"),
    ("zero-width-answer", "an answer of no width", f"{T}<answer>\ufeff\u00ad</answer>"),
    ("controls", "control characters for thoughts", f"<think>\x00\x07\x1b</think>{A}"),
    ("aside", "a remark between the parts", f"{T} so {A}"),
    ("afterwards", "a speech behind the answer", f"{T}{A} I am sure of it."),
    ("end-token", "an end token written out", f"{T}{A}<|im_end|>"),
    ("next-turn", "the next question, asked and answered", f"{T}{A}\nUser: 1+1?\n{T}{A}"),
]

OPEN: list[tuple[str, str, str]] = [
    ("full-stop", "one character for thoughts", f"<think>.</think>{A}"),
    ("filler", "a letter that fonts draw as nothing", f"<think>\u3164</think>{A}"),
    (
        "all-in-answer",
        "the thinking in the answer",
        f"<think>-</think><answer>{'so ' * 99}</answer>",
    ),
]
