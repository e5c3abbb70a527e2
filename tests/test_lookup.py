"""Things found by name."""

from collections import OrderedDict

import pytest

from learnsys.errors import InputError
from learnsys.lookup import imported, look_up


def test_a_name_finds_its_thing():
    assert look_up({"one": 1, "two": 2}, "two", "number") == 2
    assert imported("collections:OrderedDict") is OrderedDict


def test_the_error_names_what_there_is():
    with pytest.raises(InputError, match=r"no number is called 'three'; choose from one, two, or count yourself"):
        look_up({"one": 1, "two": 2}, "three", "number", also=", or count yourself")
