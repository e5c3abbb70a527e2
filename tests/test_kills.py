"""Commands that train or collect are killed and run again; `scripts/check_release` does it more often."""

from __future__ import annotations

import pytest

from learnsys.testing.kills import COMMANDS, check_kills


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_runs_end_as_if_never_killed(name, tmp_path):
    def command(out):
        return COMMANDS[name].replace("OUT", str(out)).split()

    assert check_kills(command, tmp_path, moments=3) == 3
