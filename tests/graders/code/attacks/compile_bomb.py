"""Takes the compiler for ever with nested parentheses."""

exec("x = " + "(" * 90 + "1" + ")" * 90)
exec("-" * 300_000 + "1")


def solve(n):
    return 0
