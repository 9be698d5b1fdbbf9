"""What every test has: a plugin cache of its own, so that the user's is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

try:
    import hypothesis
except ImportError:  # the environment of tests/vllm has none
    pass
else:  # how long an example takes says more about the machine than about the code
    hypothesis.settings.register_profile(
        "palestra",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("palestra")


@pytest.fixture(autouse=True, scope="session")
def plugin_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALESTRA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
