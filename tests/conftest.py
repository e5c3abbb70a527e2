"""Fixtures that several test files share."""

import pytest


@pytest.fixture(scope="session")
def recorder_cache(tmp_path_factory):
    """One cache folder for the recorder's tool in all tests, not the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder
