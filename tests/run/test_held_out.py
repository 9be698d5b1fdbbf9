"""No evaluation question is ever trained on: not in the base corpus, not by RL, not by SFT."""

from __future__ import annotations

import itertools

import pyarrow.parquet as pq
import pytest

from palestra.evaluation.evaluate import _as_source, questions
from palestra.mixture.sources import Source
from palestra.plugins.registry import get_registry
from palestra.recipe.config import load_recipe
from palestra.tiny.build import sources
from palestra.tiny.corpus import Noise, documents
from tests.run.conftest import CUT


def question_hashes(recipe_name: object) -> set[str]:
    """The prompt hashes of every question that any stage of a recipe is evaluated on."""
    recipe = load_recipe(str(recipe_name))
    hashes: set[str] = set()
    for stage in recipe.stages.values():
        for env in stage.eval.envs if stage.eval else ():
            source = Source(_as_source(env), get_registry(), "test")
            for draw in questions(source, stage.eval):
                _, info = source.env().reset(options={**source.options, **draw.options})
                assert info["split"] == "test"
                hashes.add(info["prompt_hash"])
    return hashes


def test_no_question_of_r1_tiny_occurs_in_the_base_corpus() -> None:
    asked = question_hashes("r1-tiny")
    assert len(asked) == 500
    for stream in (0, 1):  # the tokenizer's documents, and the model's
        written = documents(sources(), stream, Noise())
        assert not asked & {d.prompt_hash for d in itertools.islice(written, 10_000)}


@pytest.mark.slow
def test_no_question_is_rolled_out_or_trained_on(finished) -> None:
    asked = question_hashes(CUT)
    trained: set[str] = set()
    for file in finished.glob("stages/*/rollouts/*.parquet"):
        trained |= set(pq.read_table(file, columns=["prompt_hash"])["prompt_hash"].to_pylist())
    for file in finished.glob("stages/*/examples.parquet"):
        trained |= set(pq.read_table(file, columns=["prompt_hash"])["prompt_hash"].to_pylist())
    assert len(trained) > 50
    assert not asked & trained
