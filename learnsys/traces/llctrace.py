"""Builds llctrace.c, the Valgrind tool behind the recorder, on the user's machine and once per version of it.

The tool links Valgrind, so its binary is never shipped: see the licence note at the head of llctrace.c.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learnsys.errors import InputError

SOURCE = Path(__file__).with_suffix(".c")
INSTALL = "install what the recorder needs: sudo apt-get install valgrind gcc"
_ARCHIVES = ("libcoregrind-amd64-linux.a", "libvex-amd64-linux.a", "libgcc-sup-amd64-linux.a")
_COMPILE = (
    *("-O2", "-m64", "-std=gnu99", "-fno-stack-protector", "-fno-strict-aliasing", "-fno-builtin"),
    *("-fomit-frame-pointer", "-DVGA_amd64=1", "-DVGO_linux=1", "-DVGP_amd64_linux=1"),
    "-DVGPV_amd64_linux_vanilla=1",
)
_LINK = (
    *("-static", "-nodefaultlibs", "-nostartfiles", "-u", "_start", "-m64"),
    *("-Wl,--build-id=none", "-Wl,-Ttext-segment=0x58000000"),
)
_PATH_LENGTH = 160
"""The tool's folder stands in the environment of the recorded program and so shifts its stack. Names of one length
make recordings of different users alike."""


@dataclass(frozen=True)
class Valgrind:
    """An installed Valgrind, with what a tool is built from."""

    launcher: Path
    """the program that starts tools"""
    version: str
    """as it prints it"""
    headers: Path
    """folder of pub_tool_*.h"""
    archives: Path
    """folder of libcoregrind-amd64-linux.a"""
    support: Path
    """folder of the files that every tool needs when it runs"""


def find_valgrind() -> Valgrind:
    """The Valgrind on the PATH.

    Raises:
        InputError: no 64-bit x86 Linux, no Valgrind, or one without the files that tools are built from.
    """
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise InputError(
            f"the recorder works on 64-bit x86 Linux, not on {platform.system()} {platform.machine()}",
            remedy="record there and copy the trace here",
        )
    found = shutil.which("valgrind")
    if found is None:
        raise InputError("valgrind is not installed", remedy=INSTALL)
    launcher = Path(found).resolve()
    if (binary := launcher.with_name("valgrind.bin")).exists():
        launcher = binary  # Debian wraps it in a script that adds variables to the environment of the program
    try:
        answer = subprocess.run([launcher, "--version"], env={}, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"valgrind does not start ({error})", file=launcher, remedy=INSTALL) from None
    prefix = launcher.parent.parent
    folders = [
        *sorted(prefix.glob("lib/*/valgrind")),
        *(prefix / name / "valgrind" for name in ("libexec", "lib64", "lib")),
    ]

    def holding(names: Sequence[str], places: Sequence[Path]) -> Path:
        for folder in places:
            if all((folder / name).is_file() for name in names):
                return folder
        raise InputError(f"{names[0]} of valgrind is missing (looked below {prefix})", remedy=INSTALL)

    return Valgrind(
        launcher=launcher,
        version=answer.stdout.strip(),
        headers=holding(["pub_tool_tooliface.h"], [prefix / "include" / "valgrind"]),
        archives=holding(_ARCHIVES, folders),
        support=holding(["default.supp", "vgpreload_core-amd64-linux.so"], folders),
    )


def cache_folder() -> Path:
    """Where built tools are kept: $XDG_CACHE_HOME/learnsys, or ~/.cache/learnsys.

    Raises:
        InputError: the path holds a blank or a colon, which would split the LD_PRELOAD that Valgrind makes from it.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache") / "learnsys"
    if any(character in ":;" or character.isspace() for character in str(folder)):
        raise InputError(
            "a blank, colon or semicolon in the path of the cache folder",
            file=folder,
            remedy="set XDG_CACHE_HOME to a folder without",
        )
    return folder


def build_tool(valgrind: Valgrind) -> Path:
    """The folder to name in VALGRIND_LIB so that `--tool=llctrace` works; built on first use.

    Builds may race: each makes its own folder and the first to rename it wins.

    Raises:
        InputError: no C compiler, the build fails, or the cache folder cannot be written or executed from.
    """
    source = SOURCE.read_bytes()
    recipe = "\n".join([*_COMPILE, *_LINK, *(str(value) for value in vars(valgrind).values())])
    digest = hashlib.sha256(source + recipe.encode()).hexdigest()[:16]
    cache = cache_folder()
    folder = cache / f"llctrace-{digest}".ljust(max(0, _PATH_LENGTH - len(str(cache)) - 1), "_")
    if folder.is_dir():
        return folder
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise InputError("gcc is not installed", remedy=INSTALL)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".llctrace-", dir=cache) as scratch:
            made = Path(scratch) / "lib"
            made.mkdir()
            _build(valgrind, compiler, made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    except OSError as error:
        raise InputError(
            f"cannot keep the built recorder ({error.strerror or error})",
            file=cache,
            remedy="set XDG_CACHE_HOME to a folder that you can write to",
        ) from None
    return folder


def _build(valgrind: Valgrind, compiler: str, folder: Path) -> None:
    """Compile, link and try the tool in `folder`."""
    built = folder / "llctrace-amd64-linux"
    core, vex, support = (str(valgrind.archives / name) for name in _ARCHIVES)
    compile_ = [compiler, *_COMPILE, f"-I{valgrind.headers}", "-c", str(SOURCE), "-o", "llctrace.o"]
    link = [compiler, *_LINK, "-o", str(built), "llctrace.o", core, vex, "-lgcc", support]
    for step in (compile_, link):
        _run(step, folder.parent, {**os.environ, "LC_ALL": "C"}, "does not build", INSTALL)
    for file in valgrind.support.iterdir():
        (folder / file.name).symlink_to(file)
    attempt = [str(valgrind.launcher), "--tool=llctrace", "--help"]
    remedy = "set XDG_CACHE_HOME to a folder that programs may run from"
    _run(attempt, folder.parent, {"VALGRIND_LIB": str(folder)}, "does not start", remedy)


def _run(command: Sequence[str], folder: Path, environment: dict[str, str], failure: str, remedy: str) -> None:
    result = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode:
        lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        raise InputError(f"the recorder's tool {failure} here ({reason})", remedy=remedy)
