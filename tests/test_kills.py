"""Commands that train or collect are killed and run again; `scripts/check_release` does it more often."""

from __future__ import annotations

import pytest

from learnsys.testing.kills import COMMANDS, arguments_of, check_kills


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return tmp_path_factory.mktemp("samples")


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_runs_end_as_if_never_killed(name, tmp_path, samples):
    assert check_kills(lambda out: arguments_of(name, out, samples), tmp_path, moments=3) == 3
