"""A channel between two processes: JSON messages over a socket, with deadlines.

JSON and not pickle: whoever sits at the other end can send wrong data, never code.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from typing import Any, cast

MAX_MESSAGE = 256 * 1024 * 1024
_HEADER = struct.Struct("!I")


class ChannelClosed(ConnectionError):
    """The other end is gone, or sent what is no message."""


class Channel:
    """One end of a connected stream socket.

    Args:
        connection: the socket; the channel closes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        """Return the descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, message: object, timeout_s: float | None = None) -> None:
        """Send one message.

        Raises:
            ChannelClosed: the other end is gone.
            TimeoutError: the other end did not take it within `timeout_s` seconds.
        """
        data = json.dumps(message, default=str).encode()
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(data)} bytes is too large (limit {MAX_MESSAGE})")
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(_HEADER.pack(len(data)) + data)
        except TimeoutError:
            raise
        except OSError as exc:
            raise ChannelClosed(str(exc)) from exc

    def receive(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for one message and return it.

        Raises:
            ChannelClosed: the other end is gone, or sent what is no message.
            TimeoutError: none came within `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        (length,) = _HEADER.unpack(self._exactly(_HEADER.size, deadline))
        if length > MAX_MESSAGE:
            raise ChannelClosed(f"announced a message of {length} bytes (limit {MAX_MESSAGE})")
        try:
            message = json.loads(self._exactly(length, deadline))
        except (ValueError, RecursionError) as exc:
            raise ChannelClosed(f"sent what is not JSON: {exc}") from exc
        if not isinstance(message, dict):
            raise ChannelClosed(f"sent a {type(message).__name__}, no message")
        return cast("dict[str, Any]", message)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _exactly(self, count: int, deadline: float | None) -> bytes:
        chunks: list[bytes] = []
        while count:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0.0:
                raise TimeoutError("no answer in time")
            try:
                ready, _, _ = select.select([self._socket], [], [], left)
                if not ready:
                    raise TimeoutError("no answer in time")
                self._socket.settimeout(None)
                chunk = self._socket.recv(min(count, 1 << 20))
            except TimeoutError:
                raise
            except (OSError, ValueError) as exc:
                raise ChannelClosed(str(exc)) from exc
            if not chunk:
                raise ChannelClosed("the process ended")
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)
