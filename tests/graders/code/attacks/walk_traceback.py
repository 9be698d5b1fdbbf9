"""Raises and reads the frames of its traceback."""


def solve(n):
    try:
        raise ValueError
    except ValueError as exc:
        frame = exc.__traceback__.tb_frame
        while frame.f_back:
            frame = frame.f_back
        return frame.f_locals.get("request", {}).get("expected")


print(solve(0))
