"""A request in vLLM's words."""

from __future__ import annotations

from typing import Any

from palestra.errors import TrainingError
from palestra.rollout.samplers.base import Request


def sampling_arguments(request: Request) -> dict[str, Any]:
    """Return vLLM's sampling parameters of a request, as JSON could hold them."""
    params = request.params
    return {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "max_tokens": params.max_tokens,
        "seed": request.seed,
        "logprobs": 0,  # that of the drawn token, and no other
        "stop_token_ids": list(request.stop_token_ids),
        "ignore_eos": True,  # the tokens that stop are those asked for, and no other
        "detokenize": False,
        "skip_special_tokens": False,
    }


def check_length(request: Request, limit: int) -> None:
    """Refuse a prompt that leaves no room for a completion.

    Raises:
        TrainingError: names the lengths and what can be changed.
    """
    if len(request.token_ids) + 1 > limit:
        raise TrainingError(
            f"a prompt of {len(request.token_ids)} tokens does not fit the sampler's context of "
            f"{limit}: shorten the prompts, or raise engine.sampler.max_model_len if the model "
            "can take it"
        )
