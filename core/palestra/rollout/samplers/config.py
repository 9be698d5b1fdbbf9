"""Options of the samplers that Palestra brings: what stands beside `type` in `engine.sampler`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from palestra.config import ConfigModel


class TransformersConfig(ConfigModel):
    """Options of ``{type: transformers}``, the trainer's own model."""

    max_batch: int = Field(default=512, ge=1)
    """Completions that are generated at once."""


class VLLMConfig(ConfigModel):
    """Options of ``{type: vllm}``, vLLM in the trainer's process."""

    max_batch: int = Field(default=256, ge=1)
    """Completions that are generated at once (vLLM's `max_num_seqs`)."""

    max_model_len: int | None = Field(default=None, ge=2)
    """Tokens of a prompt and its completion together; the model's own context where absent."""

    gpu_memory_utilization: float = Field(default=0.4, gt=0.0, le=1.0)
    """Share of a GPU's memory that vLLM takes, weights included; on a CPU it has no effect."""

    kv_cache_gb: int = Field(default=1, ge=1)
    """GiB of key-value cache on a CPU; on a GPU it has no effect."""

    enforce_eager: bool | None = None
    """Whether vLLM does without CUDA graphs; where absent, only on a CPU."""


class VLLMServerConfig(ConfigModel):
    """Options of ``{type: vllm-server}``, any number of `palestra serve-sampler` processes."""

    urls: list[str] = Field(min_length=1)
    """Where the servers are, as ``http://HOST:PORT``."""

    max_concurrent: int = Field(default=64, ge=1)
    """Requests that one server works on at once."""

    request_timeout_s: float = Field(default=600.0, gt=0.0)
    """Seconds that one completion may take before it is asked of another server."""

    recovery_timeout_s: float = Field(default=600.0, gt=0.0)
    """Seconds that a run waits with no server at all before it stops."""

    health_timeout_s: float = Field(default=30.0, gt=0.0)
    """Seconds in which a server has to say that it is well."""

    sync_timeout_s: float = Field(default=300.0, gt=0.0)
    """Seconds that a server may take over one part of the weights."""

    @field_validator("urls")
    @classmethod
    def _urls(cls, value: list[str]) -> list[str]:
        for url in value:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"should be like http://HOST:8000, not '{url}'")
        plain = [url.rstrip("/") for url in value]
        if len(set(plain)) < len(plain):
            raise ValueError("names one server twice")
        return plain
