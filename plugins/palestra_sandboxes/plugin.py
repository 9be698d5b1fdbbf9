"""What the sandbox package brings: the declarative half, cheap to import."""

from palestra.plugins.specs import SandboxSpec


def palestra_sandboxes() -> list[SandboxSpec]:
    """Declare the sandboxes of this machine."""
    return [
        SandboxSpec(
            name="local",
            entry_point="palestra_sandboxes.local:LocalSandbox",
            summary="bubblewrap, or user namespaces: no network, read-only root, own processes",
        ),
        SandboxSpec(
            name="docker",
            entry_point="palestra_sandboxes.docker:DockerSandbox",
            summary="one container a program, without network",
        ),
        SandboxSpec(
            name="unsafe_subprocess",
            entry_point="palestra_sandboxes.unsafe:UnsafeSubprocess",
            summary="no sandbox: limits on memory and files, no protection from the program",
        ),
    ]
