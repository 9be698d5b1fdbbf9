"""What the judges are told; cheap to import, since recipes are validated through it."""

from __future__ import annotations

from pydantic import Field

from palestra.config import ConfigModel
from palestra.rewards.seen import Sees


class EndpointConfig(ConfigModel):
    """An OpenAI-compatible endpoint, and how patient to be with it."""

    model: str = Field(min_length=1)
    """Name of the model, as the endpoint knows it."""

    base_url: str | None = None
    """Address up to ``/chat/completions``; that of `OPENAI_BASE_URL` where absent."""

    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a key never stands in a recipe."""

    temperature: float = Field(default=0.0, ge=0.0)
    """Of the judge's sampling."""

    max_tokens: int = Field(default=1024, ge=1)
    """New tokens of a reply; one that is cut is no verdict."""

    timeout_s: float = Field(default=60.0, gt=0.0)
    """Seconds that one request may take from beginning to end."""

    retries: int = Field(default=3, ge=0)
    """Times that a request is made again where it failed, or the reply was no verdict."""

    backoff_s: float = Field(default=0.5, ge=0.0)
    """Seconds before the first of them; twice as many before each next one, at most 30. What a
    `Retry-After` of the endpoint says goes before."""

    concurrency: int = Field(default=8, ge=1)
    """Requests at once."""

    structured: bool = True
    """Whether to ask for the verdict's JSON schema (`response_format`); false for an endpoint that
    does not know it. The reply is checked in any case."""

    cache: str | None = None
    """Folder that keeps the verdicts; ``judge`` in Palestra's cache folder where absent."""

    sees: Sees = "answer"
    """What the judge sees of a completion: what stands behind the thoughts, or all of it."""


class JudgeConfig(EndpointConfig):
    """Options of ``{type: judge}``."""

    criteria: str = (
        "Decide whether the answer is correct. It is where it comes to the same result as the "
        "reference, if there is one, however it is written; else where you find it correct."
    )
    """What makes an answer correct, in words for the judge."""


class PairJudgeConfig(EndpointConfig):
    """Options of ``{type: judge_pairs}``."""

    criteria: str = (
        "Decide which of the two answers helps the one who asks more. Neither length nor the order "
        "in which they stand is a merit."
    )
    """What makes one answer better than another, in words for the judge."""
