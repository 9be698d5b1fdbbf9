"""A Sphinx extension that writes the reference from the code.

A comment in a page, ``<!-- generated: NAME -->``, is replaced by Markdown that is made when the
page is read, so the reference cannot be out of date. The title of a fence, as in
``python title="my_env.py"``, becomes its caption.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from palestra_reference.api import hooks, specs
from palestra_reference.commands import commands
from palestra_reference.keys import keys

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "hooks": hooks,
    "recipe keys": keys,
    "specs": specs,
}

_MARKER = re.compile(r"^<!-- generated: (.+?) -->$", re.MULTILINE)
_TITLED = re.compile(r'^```(\w+) title="([^"]+)"$', re.MULTILINE)
# Files of the repository are beside the built pages, not in them.
_OUTSIDE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./){2,}((?:examples|core|environments|plugins|tests)/[^)]*)\)"
)


def complete(text: str) -> str:
    """Return a page with what is generated in its place.

    Raises:
        KeyError: a marker names nothing that is generated.
    """
    text = _MARKER.sub(lambda match: GENERATED[match[1]](), text)
    text = _OUTSIDE.sub(r"\1 (`\2`)", text)
    return _TITLED.sub(r"```{code-block} \1\n:caption: \2", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""

    def on_source_read(_app: Sphinx, _page: str, source: list[str]) -> None:
        source[0] = complete(source[0])

    app.connect("source-read", on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
