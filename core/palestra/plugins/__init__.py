"""Plugins: what they may declare (`specs`, `hookspecs`), how they are found, and the registry.

This package is cheap to import, because the declarative half of every plugin imports it.
"""

from palestra.plugins.kinds import Kind
from palestra.plugins.specs import (
    API_VERSION,
    CurriculumSpec,
    EnvironmentSpec,
    PolicyOptimizerSpec,
    RewardModelSpec,
    SamplerSpec,
    SandboxSpec,
    Spec,
    StageSpec,
)

__all__ = [
    "API_VERSION",
    "CurriculumSpec",
    "EnvironmentSpec",
    "Kind",
    "PolicyOptimizerSpec",
    "RewardModelSpec",
    "SamplerSpec",
    "SandboxSpec",
    "Spec",
    "StageSpec",
]
