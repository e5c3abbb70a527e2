"""The house: links, wheel, light imports, registries whose strings import."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("envs", "policies", "traces")
HEAVY = {"torch", "stable_baselines3", "pyscipopt", "matplotlib", "numba", "scipy", "pyarrow"}


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout


@pytest.mark.parametrize("room", ROOMS)
def test_links_resolve_or_are_absent(room):
    link = ROOT / room
    if link.is_symlink():
        assert link.resolve() == ROOT / "learnsys" / room
    else:  # a checkout without links leaves a small text file, or nothing
        assert not link.is_dir()


def test_no_file_imports_a_room_bare():
    """`import envs.cache` would be another module than `learnsys.envs.cache`: kernels twice, registries split."""
    files = [*ROOT.glob("learnsys/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("scripts/**/*.py")]
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not [name for name in names if name.split(".")[0] in ROOMS], f"{file} line {node.lineno}"


@pytest.mark.parametrize("module", ["learnsys", "learnsys.cli", "learnsys.__main__"])
def test_import_is_light(module):
    loaded = json.loads(_python(f"import {module}, sys, json; print(json.dumps(list(sys.modules)))"))
    assert not HEAVY & {name.split(".")[0] for name in loaded}


def test_every_command_imports_and_has_help():
    from learnsys.cli import COMMANDS

    for entry, summary in COMMANDS.values():
        module, function = entry.split(":")
        command = getattr(importlib.import_module(module), function)
        assert command.__doc__ and summary


def test_every_registered_environment_imports():
    import gymnasium as gym

    import learnsys.envs

    for name in learnsys.envs.ENVIRONMENTS:
        spec = gym.spec(name)
        for entry in (spec.entry_point, spec.vector_entry_point):
            if entry is not None:
                module, attribute = entry.split(":")
                assert hasattr(importlib.import_module(module), attribute)


def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "learnsys", source / "learnsys", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"learnsys"}
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "learnsys").rglob("*.py")}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "learnsys").rglob("*.parquet")}
    assert expected <= set(names)
    assert "learnsys/py.typed" in names


def test_nothing_tracked_is_large_or_names_a_machine():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pattern = re.compile(r"/(?:home/[a-z]+|root|work)/[a-zA-Z.]")
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.is_symlink():
            continue
        assert path.stat().st_size < 5_000_000, name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".json", ".c", "") and name != "tests/test_layout.py":
            assert not pattern.search(path.read_text(errors="ignore")), name


def test_samples_stay_small():
    sizes = [path.stat().st_size for path in (ROOT / "learnsys/traces/data").glob("*.parquet")]
    assert sum(sizes) <= 12_000_000
    assert not [size for size in sizes if size > 4_000_000]


def test_environment_is_not_the_source_tree():
    """The console script works from any directory."""
    environment = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "learnsys", "--help"]
    text = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True).stdout
    assert "cache simulate" in text


def test_every_dependency_has_its_licence_listed():
    """`scripts/licences` writes the page."""
    rows = re.findall(r"^\| (\S+) \| .+ \| (.+) \| .+ \|$", (ROOT / "docs/licences.md").read_text(), re.M)
    listed = {name: licence for name, licence in rows if name not in ("package", "---")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    wanted += [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1].isalnum()]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", each)[0]).lower() for each in wanted}
    assert len(names) > 90 and names <= set(listed)
    assert "?" not in listed.values()
