"""What goes wrong between us and the cloud, sorted by what to do about it, and said in one line."""

from __future__ import annotations

import httpx
from connectrpc.errors import ConnectError
from e2b.exceptions import (
    AuthenticationException,
    NotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotRunningException,
    SandboxUnreachableException,
    ServiceBusyException,
)

from palestra.errors import ConfigError, PalestraError, PluginError
from palestra.terminal import one_line
from palestra_e2b.settings import KEYS

_LATER = frozenset({429, 502, 503, 504})
_LONGEST = 300  # characters of what a server says


def is_busy(exc: BaseException) -> bool:
    """Whether the same request may be granted later."""
    if isinstance(exc, RateLimitException | ServiceBusyException):
        return True
    return isinstance(exc, SandboxException) and exc.status_code in _LATER


def is_gone(exc: BaseException) -> bool:
    """Whether a machine that was there is there no more, or cannot be reached."""
    lost = (SandboxNotRunningException, SandboxUnreachableException, NotFoundException)
    return isinstance(exc, (*lost, httpx.TransportError, ConnectError, OSError))


def failure(exc: BaseException, what: str) -> PalestraError:
    """Return the error to raise for `exc`: what failed, why, and what would help."""
    if isinstance(exc, PalestraError):
        return exc
    said = one_line(str(exc))[:_LONGEST] or type(exc).__name__
    if isinstance(exc, AuthenticationException):
        return ConfigError(
            f"sandbox 'e2b': the key in E2B_API_KEY is refused ({said}). Make a new one at {KEYS}"
        )
    if isinstance(exc, httpx.TransportError):
        mend = "check the network, and E2B_DOMAIN where it is set"
        return PluginError(f"sandbox 'e2b': {what}: the server does not answer ({said}); {mend}")
    return PluginError(f"sandbox 'e2b': {what}: {said}")
