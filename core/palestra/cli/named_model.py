"""The model that a command line names, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palestra.stages.policy import LoadedPolicy


def load_named(model: str, prompt: str | None, prefill: str | None) -> LoadedPolicy:
    """Load what a command line names; a stage's model is prompted as the stage was.

    Args:
        model: ``tiny``, ``tiny-student``, a folder, a hub id, a run, or ``RUN:STAGE``.
        prompt: how messages become text; the stage's, else ``chat``, where None.
        prefill: what completions begin with; the stage's, else nothing, where None.

    Raises:
        ConfigError: no such model, or one that cannot be prompted so.
    """
    from palestra.recipe.finished import find_stage, is_run
    from palestra.recipe.models import resolve_model

    source = model
    if is_run(model):
        stage = find_stage(model)
        config = stage.recipe.stages[stage.name]
        source = str(stage.weights)
        prompt = config.prompt if prompt is None else prompt
        prefill = config.prefill if prefill is None else prefill
    else:
        source = resolve_model(model).source
    import torch
    from transformers.utils import logging

    from palestra.stages.policy import load_model

    logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_model(source, prompt or "chat", prefill or "", device)
