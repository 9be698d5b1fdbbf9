"""Where the embedded models lie: Hugging Face folders inside the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def base_dir() -> Path:
    """Return the folder of the embedded base model, what a recipe calls ``tiny``."""
    return Path(str(resources.files("palestra.tiny"))) / "base"


def student_dir() -> Path:
    """Return the folder of the embedded smaller model, what a recipe calls ``tiny-student``."""
    return Path(str(resources.files("palestra.tiny"))) / "student"
