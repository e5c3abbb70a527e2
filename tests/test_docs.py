"""The documentation: what its pages run, runs; links lead somewhere; Sphinx builds it without a warning."""

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from learnsys.cli import main
from learnsys.lookup import imported

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = sorted(path for folder in ("tutorials", "how_to") for path in (DOCS / folder).glob("*.md"))
WRITTEN = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "reference", "environments"} & {*path.parts})


REGISTRIES = (
    "learnsys.traces.formats:FORMATS",
    "learnsys.policies.cache.registry:SET_POLICIES",
    "learnsys.policies.branching.registry:POLICIES",
    "learnsys.policies.independent_set.registry:POLICIES",
    "learnsys.envs.branching.observations:OBSERVATIONS",
    "learnsys.envs.branching.instances.registry:FAMILIES",
    "learnsys.graphs:FAMILIES",
)
"""where a page may add a line"""


@pytest.fixture
def registries():
    """What a page adds is gone after it."""
    with ExitStack() as stack:
        for entry in REGISTRIES:
            stack.enter_context(mock.patch.dict(imported(entry)))
        yield


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_blocks_of_a_page_run_in_their_order(page, tmp_path, monkeypatch):
    """`sh` blocks are commands of learnsys; `python` blocks share their names, or are files (`# file: NAME`). Blocks of
    another kind (`py`, `text`) only show something."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {"__name__": "page"}
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    for kind, text in blocks:
        if kind == "sh":
            for line in text.splitlines():
                command, *arguments = shlex.split(line)
                assert command == "learnsys" and main(arguments) == 0, line
        elif kind == "python" and text.startswith("# file: "):
            (tmp_path / text.partition("\n")[0].removeprefix("# file: ")).write_text(text)
        elif kind == "python":
            exec(compile(text, str(page), "exec"), names)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        path = (page.parent / target).resolve()
        assert path.exists() or path.parent.name in ("environments", "reference"), target


@pytest.mark.parametrize("page", sorted((DOCS / "results").glob("*.md")), ids=lambda page: page.stem)
def test_results_name_commands_seeds_and_machine_and_are_in_the_index(page):
    text = page.read_text()
    if page.stem == "index":
        return
    assert re.search(r"^    (learnsys|scripts/|python|torchrun)", text, re.MULTILINE), "no command"
    assert re.search(r"[Ss]eed", text), "no seeds"
    assert re.search(r"cores|GPU|machine|on the seed alone", text), "no machine"
    assert f"]({page.name})" in (DOCS / "results" / "index.md").read_text()


def test_each_kind_of_part_is_one_file_and_one_line():
    """The how-tos show it: a block that is a file, and a line that enters what it defines in a registry."""
    shown = set()
    for page in (DOCS / "how_to").glob("*.md"):
        text = page.read_text()
        if "# file: " in text:
            shown |= set(re.findall(r"^([A-Z_]+)\[\"\w+\"\] = ", text, re.MULTILINE))
    assert shown == {entry.partition(":")[2] for entry in REGISTRIES}


def test_sphinx_builds_it_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "## Observation Space" in (DOCS / "environments" / "Branching-v0.md").read_text()
