"""Distillation: a student is fine-tuned on what its teacher wrote, and on nothing else."""

from __future__ import annotations

from palestra.stages.sft import SFTStage


class DistillStage(SFTStage):
    """Supervised fine-tuning of the student (DeepSeek-R1, appendix F); the data is the teacher's.

    A type of its own because recipes, plans and reports tell the teacher.
    """
