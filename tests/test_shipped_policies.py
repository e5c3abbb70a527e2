"""The trained policies in the package: small, described, found by name, as good as their cards say."""

import json
import re

import pytest

from learnsys.cli import main
from learnsys.errors import InputError
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.shipped import shipped_folder, shipped_names
from learnsys.traces.samples import sample_names


def test_they_are_for_samples():
    assert shipped_names("parrot")
    assert set(shipped_names("parrot")) <= {f"sample:{name}" for name in sample_names()}


@pytest.mark.parametrize("trace", shipped_names("parrot"))
def test_small_and_described(trace):
    folder = shipped_folder("parrot", trace)
    files = ["card.md", "config.json", "metrics.jsonl", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert (folder / "model.safetensors").stat().st_size <= 2 * 2**20
    card = (folder / "card.md").read_text()
    assert trace in card
    assert "--seed" in card
    assert ParrotPolicy.load(folder).config.line_features


def test_found_by_name_and_as_good_as_its_card(capsys):
    trace = shipped_names("parrot")[-1]
    assert main(["cache", "simulate", "--trace", trace, "--policies", "lru,parrot,belady", "--json"]) == 0
    rows = {row["policy"]: row for row in next(iter(json.loads(capsys.readouterr().out)["results"].values()))}
    card = (shipped_folder("parrot", trace) / "card.md").read_text()
    cells = re.search(r"^\| parrot \(this file\) \|(.*)\|$", card, re.MULTILINE)[1].split("|")
    assert float(cells[2]) == pytest.approx(100 * rows["parrot"]["hit_rate"], abs=0.006)
    assert float(cells[3]) == pytest.approx(rows["parrot"]["normalised"], abs=0.0006)


def test_other_traces_have_none(capsys):
    with pytest.raises(InputError, match=r"no trained parrot ships for my\.parquet"):
        shipped_folder("parrot", "my.parquet")
    assert main(["cache", "simulate", "--trace", "sample:nothing", "--policies", "parrot"]) == 2
