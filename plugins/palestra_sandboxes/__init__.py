"""Sandboxes for untrusted programs: bubblewrap or user namespaces, Docker, and none at all."""
