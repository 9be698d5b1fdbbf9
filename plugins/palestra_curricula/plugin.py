"""What the curricula package brings."""

from palestra.plugins.specs import CurriculumSpec


def palestra_curricula() -> list[CurriculumSpec]:
    """Declare the built-in curricula."""
    return [
        CurriculumSpec(
            name="schedule",
            entry_point="palestra_curricula.schedule:Schedule",
            config="palestra_curricula.schedule:ScheduleConfig",
            summary="difficulty and weights that are fixed beforehand, by step",
        ),
        CurriculumSpec(
            name="success_rate",
            entry_point="palestra_curricula.success_rate:SuccessRate",
            config="palestra_curricula.success_rate:SuccessRateConfig",
            summary="moves difficulty so that prompts stay between too easy and too hard",
        ),
    ]
