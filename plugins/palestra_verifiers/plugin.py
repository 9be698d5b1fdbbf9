"""What the verifiers adapter brings: the declarative half, cheap to import."""

from palestra.plugins.specs import EnvironmentSpec


def palestra_environments() -> list[EnvironmentSpec]:
    """Declare one environment, whose argument `id` names an installed verifiers package."""
    return [
        EnvironmentSpec(
            name="verifiers/Env-v1",
            entry_point="palestra_verifiers.env:VerifiersEnv",
            summary="an environment of the verifiers library, named by `id`, its package",
            requires=("verifiers>=0.4",),
            has_reference=False,
            max_turns=16,
        )
    ]
