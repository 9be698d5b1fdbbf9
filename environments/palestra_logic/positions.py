"""A small constraint solver: which house is each thing in?

Items are numbered kind by kind, `n` of each kind, and the items of one kind are in different
houses. A domain is a bit mask of houses; clues and "all different" narrow domains until nothing
changes, then the smallest is split.
"""

from __future__ import annotations

Clue = tuple[str, int, int]
"""``at`` and ``not_at`` are about an item and a house, the others about two items."""


def holds(clue: Clue, places: list[int]) -> bool:
    """Whether a clue is true of a table of places."""
    kind, a, b = clue
    here = places[a]
    if kind in ("at", "not_at"):
        return (here == b) == (kind == "at")
    there = places[b]
    if kind in ("same", "apart"):
        return (here == there) == (kind == "same")
    if kind == "before":
        return here < there
    return there - here == 1 or (kind == "next" and there - here == -1)


def solutions(clues: list[Clue], items: int, n: int, *, limit: int) -> list[list[int]]:
    """Return up to `limit` tables of places that all clues allow."""
    found: list[list[int]] = []

    def search(domains: list[int]) -> None:
        if not _narrow(domains, clues, n):
            return
        open_ = [i for i in range(items) if domains[i] & (domains[i] - 1)]
        if not open_:
            found.append([d.bit_length() - 1 for d in domains])
            return
        item = min(open_, key=lambda i: domains[i].bit_count())
        for house in range(n):
            if domains[item] >> house & 1 and len(found) < limit:
                branch = domains.copy()
                branch[item] = 1 << house
                search(branch)

    search([(1 << n) - 1] * items)
    return found


def _narrow(domains: list[int], clues: list[Clue], n: int) -> bool:
    """Narrow all domains as far as single clues can; False where one becomes empty."""
    before: list[int] = []
    while before != domains:
        before = domains.copy()
        for clue in clues:
            _apply(clue, domains, n)
        for first in range(0, len(domains), n):
            _all_different(domains, first, n)
        if 0 in domains:
            return False
    return True


def _apply(clue: Clue, domains: list[int], n: int) -> None:
    kind, a, b = clue
    whole = (1 << n) - 1
    x = domains[a]
    if kind == "at":
        domains[a] = x & 1 << b
        return
    if kind == "not_at":
        domains[a] = x & ~(1 << b)
        return
    y = domains[b]
    if kind == "same":
        domains[a] = domains[b] = x & y
    elif kind == "apart":
        domains[a] = x & ~y if not y & (y - 1) else x
        domains[b] = y & ~x if not x & (x - 1) else y
    elif kind == "left":
        domains[a], domains[b] = x & y >> 1, y & x << 1
    elif kind == "next":
        domains[a], domains[b] = x & (y << 1 | y >> 1), y & (x << 1 | x >> 1)
    elif x and y:  # before: right of the leftmost x, left of the rightmost y
        domains[b] = y & (whole ^ ((x & -x) * 2 - 1))
        domains[a] = x & ((1 << y.bit_length() - 1) - 1)


def _all_different(domains: list[int], first: int, n: int) -> None:
    """A house that is certain for one item is none of the others'; one left to one is its own."""
    kind = domains[first : first + n]
    certain = once = twice = 0
    for domain in kind:
        if not domain & (domain - 1):
            if certain & domain:
                domains[first] = 0
                return
            certain |= domain
    for i, domain in enumerate(kind):
        if domain & (domain - 1):
            kind[i] = domain = domain & ~certain
        twice |= once & domain
        once |= domain
    alone = once & ~twice
    if once != (1 << n) - 1:
        domains[first] = 0
        return
    for i, domain in enumerate(kind, start=first):
        domains[i] = domain & alone or domain
