"""What a stage that makes data may filter by: the `filters` block of rejection sampling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from palestra.config import ConfigModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class FilterConfig(ConfigModel):
    """What a completion must be, beside earning what `require` says; absent keys filter nothing."""

    min_tokens: int | None = Field(default=None, ge=1)
    """Tokens that a completion has at least."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens that a completion has at most."""

    language: Share | None = None
    """Lowest share of the thought's words in the language of the question; a question that asks
    for no language passes."""

    repetition: Share | None = None
    """Highest share of a completion's n-grams of words that occurred in it before."""

    repetition_ngram: int = Field(default=4, ge=1)
    """Words of the n-grams of `repetition`."""

    max_paragraph: int | None = Field(default=None, ge=1)
    """Words that a paragraph of the thought has at most."""

    code_in_thought: bool = True
    """Whether the thought may hold a code block."""

    judges: dict[str, float] = Field(default_factory=dict[str, float])
    """Lowest score by each of these reward models, named as in a mixture's rewards. All must agree;
    one that fails takes the completion out."""

    duplicates: Literal["exact", "near"] = "exact"
    """What counts as the same example and is kept once: equal texts, or texts that are equal but
    for case, punctuation, spaces and Unicode form."""

    decontaminate: int = Field(default=0, ge=0)
    """Words in a row (Chinese characters count one each) that an example may not share with a
    question of an evaluation of the recipe; 0 for no limit. R1 took 10."""

    @model_validator(mode="after")
    def _lengths(self) -> FilterConfig:
        low, high = self.min_tokens, self.max_tokens
        if low is not None and high is not None and low > high:
            raise ValueError(f"`min_tokens`, {low}, is above `max_tokens`, {high}")
        return self
