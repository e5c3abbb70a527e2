"""Settings changed by text."""

import pytest

from learnsys.errors import InputError
from learnsys.policies.cache.parrot.config import RECIPES, parrot
from learnsys.settings import override


def test_values_of_every_kind():
    config = override(
        parrot(),
        ("model.history=20", "hidden=32", "losses=log_likelihood,kl", "unknown=0.25", "decisions_only=False"),
    )
    assert (config.model.history, config.model.hidden) == (20, 32)
    assert config.training.losses == ("log_likelihood", "kl")
    assert (config.training.unknown, config.training.decisions_only) == (0.25, False)
    assert override(config, ("loop.schedule.rounds=4", "attend_to=cell")).loop.schedule.rounds == 4
    assert override(config, ("decisions_only=true",)).training.decisions_only
    assert parrot().model.history == 30


def test_no_setting_leaves_everything():
    for recipe in RECIPES.values():
        assert override(recipe(), ()) == recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("history", "key=value"),
        ("histori=3", "no setting"),
        ("rounds=3", "ambiguous"),
        ("history=many", "wrong kind"),
        ("attend_to=everything", "wrong kind"),
        ("losses=guess", "wrong kind"),
        ("warm_up=10", "does not fill"),
        ("batch=0", "must be"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(text, message):
    with pytest.raises(InputError, match=message):
        override(parrot(), (text,))
