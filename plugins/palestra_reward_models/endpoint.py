"""An OpenAI-compatible endpoint: one request, with a deadline, and what its failure means."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, cast

from palestra.errors import ConfigError
from palestra_reward_models.judge_config import EndpointConfig

if TYPE_CHECKING:
    import httpx

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
_FOR_ALL = {401, 403, 404}  # a wrong key, or a wrong address or model
_LARGEST = 1 << 20  # bytes of a reply


class Unanswered(Exception):
    """A request without a reply; the text says why, in one line.

    Attributes:
        again: whether it may go better next time.
        down: whether others would fare no better now.
        after_s: seconds that the endpoint asked to wait, if it did.
    """

    def __init__(
        self, why: str, *, again: bool = True, down: bool = False, after_s: float | None = None
    ) -> None:
        super().__init__(why)
        self.again, self.down, self.after_s = again, down, after_s


class Endpoint:
    """Sends chat requests; safe to share between threads.

    Raises:
        ConfigError: nobody says where the endpoint is.
    """

    def __init__(self, config: EndpointConfig) -> None:
        address = config.base_url or os.environ.get("OPENAI_BASE_URL", "")
        if not address.startswith(("http://", "https://")):
            raise ConfigError(
                "a judge needs the address of its endpoint, as http://localhost:8000/v1: give "
                f"`base_url`, or set OPENAI_BASE_URL{f' (not {address!r})' if address else ''}"
            )
        self.config, self.address = config, address.rstrip("/")
        self._client: httpx.Client | None = None

    def connect(self) -> None:
        """Make ready to send, if that is not done."""
        if self._client is None:
            import httpx

            self._client = httpx.Client(
                timeout=self.config.timeout_s,
                limits=httpx.Limits(max_connections=self.config.concurrency),
            )

    def chat(self, messages: list[dict[str, str]], extra: dict[str, Any]) -> str:
        """Return the reply to a conversation; `extra` goes into the request.

        Raises:
            Unanswered: there is none, or it was cut.
        """
        import httpx

        assert self._client is not None, "connect comes first"
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": messages,
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            **extra,
        }
        key = os.environ.get(self.config.api_key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        deadline = time.monotonic() + self.config.timeout_s
        url = f"{self.address}/chat/completions"
        try:
            with self._client.stream("POST", url, json=body, headers=headers) as response:
                text = _read(response, deadline, self.config.timeout_s)
        except httpx.TimeoutException:
            late = f"the judge at {self.address} took longer than {self.config.timeout_s:g} s"
            raise Unanswered(late, down=True) from None
        except httpx.HTTPError as exc:
            what = str(exc) or type(exc).__name__
            why = f"the judge at {self.address} does not answer: {what}"
            raise Unanswered(why, down=True) from exc
        if response.status_code != 200:
            raise self._refused(response.status_code, text, response.headers.get("retry-after"))
        return _content(text)

    def _refused(self, status: int, text: str, after: str | None) -> Unanswered:
        said = " ".join(text.split())[:200]
        seconds = float(after) if after and after.strip().isdecimal() else None
        why = f"the judge at {self.address} answered with status {status}: {said}"
        again = status in _AGAIN
        return Unanswered(why, again=again, down=again or status in _FOR_ALL, after_s=seconds)


def _read(response: httpx.Response, deadline: float, limit_s: float) -> str:
    """Read a reply to its end: a server that drips would never run into a read's timeout."""
    parts: list[bytes] = []
    for part in response.iter_bytes():
        parts.append(part)
        if sum(map(len, parts)) > _LARGEST:
            raise Unanswered("the judge's reply is larger than 1 MiB")
        if time.monotonic() > deadline:
            raise Unanswered(f"the judge took longer than {limit_s:g} s", down=True)
    return b"".join(parts).decode("utf-8", "replace")


def _content(text: str) -> str:
    try:
        choice: Any = json.loads(text)["choices"][0]
        content = choice["message"]["content"]
        if not isinstance(content, str):
            raise TypeError(f"content is {type(content).__name__}")
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        said = " ".join(text.split())[:120]
        raise Unanswered(f"the judge's reply is no chat completion: {said!r} ({exc})") from exc
    if cast("str | None", choice.get("finish_reason")) == "length":
        raise Unanswered("the judge's reply was cut at max_tokens; give it more")
    return content
