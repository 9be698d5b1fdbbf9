"""The runner of code blocks notices what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pages import blocks
from tests.docs.run_page import Page, Wrong


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    Page(page).run()


GOOD = """
```python title="mine.py"
x = 1
```

```sh
cat mine.py
echo one two three
```

```text
x = 1
one … three
```

```python
y = 2
```

```python
print(y)
```

```text
2
```

```console
$ echo a; echo b; echo c
a
...
c
```

<!-- exits: 3 -->
```sh
exit 3
```

<!-- needs: no_such_module -->
```sh
false
```

<!-- needs: json -->
```sh
true
```

<!-- not run: it would fail -->
```sh
false
```

```yaml
stages:
  zero: {steps: 3}
```
"""


def test_a_page_that_tells_the_truth_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, monkeypatch, GOOD)
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "x = 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\n1 / 0\n```\n", r"page\.md:2: .*\n(.*\n)*ZeroDivisionError"),
        ('```python\nx = 1\n```\n\n```python title="a.py"\nx\n```\n', "NameError"),
        ("```sh\nfalse\n```\n", "exit code 1, not 0"),
        ("<!-- exits: 1 -->\n```sh\ntrue\n```\n", "exit code 0, not 1"),
        ("```sh\necho a\n```\n\n```text\nb\n```\n", "the page says\n  b"),
        ("```sh\necho a; echo b\n```\n\n```text\nb\na\n```\n", "the page says\n  a"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "the page says\n  2"),
        ("<!-- needs: json -->\n```sh\nfalse\n```\n", "exit code 1, not 0"),
        ("```console\n$ echo a\nb\n```\n", "the page says\n  b"),
        ("```sh\npip install nothing\n```\n", "mark it <!-- not run"),
        ("```yaml\nstages:\n  zero: {stepz: 3}\n```\n", "stepz"),
        ("```yaml\nmodel: tiny\nstages:\n  zero: {type: rl}\n```\n", "init_from"),
    ],
)
def test_a_page_that_does_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    with pytest.raises(Wrong, match=message):
        run(tmp_path, monkeypatch, text)


def test_a_block_knows_its_line_language_title_and_comment(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    first, *_, last_shell, recipe = blocks(page)
    assert (first.line, first.language, first.title) == (3, "python", "mine.py")
    assert last_shell.not_run == "it would fail"
    assert recipe.code == "stages:\n  zero: {steps: 3}\n"
