"""What this package brings."""

from palestra import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare the environment."""
    return [
        EnvironmentSpec(
            name="calendar/Weekday-v1",
            entry_point="palestra_calendar.weekday:WeekdayEnv",
            summary="which day of the week it is, days or dates away, in English and German",
            chance=1 / 7,
            api=">=1,<2",
        )
    ]
