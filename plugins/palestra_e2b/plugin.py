"""What the E2B package brings: the declarative half, which does not import the SDK."""

from palestra.plugins.specs import SandboxSpec


def palestra_sandboxes() -> list[SandboxSpec]:
    """Declare the sandbox in the cloud."""
    return [
        SandboxSpec(
            name="e2b",
            entry_point="palestra_e2b.sandbox:E2BSandbox",
            summary="virtual machines of e2b.dev, kept warm; needs E2B_API_KEY",
            requires=("e2b-code-interpreter>=2.11,<3",),
        ),
    ]
