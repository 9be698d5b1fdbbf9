"""Changes its argument into what it returns."""


def solve(n=[]):
    try:
        n.clear()
    except AttributeError:
        pass
    return n


print([])
