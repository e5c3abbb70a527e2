"""The contract of every command that writes: a full or read-only disk ends it with one line, and nothing is lost.

The disks are real: a small tmpfs, mounted in namespaces that only the command's process sees. That needs no rights
where the kernel lets users have namespaces.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from learnsys.testing.kills import context, finish, results

_NEW_NAMESPACES = 0x10000000 | 0x00020000
"""CLONE_NEWUSER | CLONE_NEWNS"""
_READ_ONLY_AGAIN = 1 | 32
"""MS_RDONLY | MS_REMOUNT"""
_NO_NAMESPACES = 99
"""exit code"""
PAGE = os.sysconf("SC_PAGE_SIZE")


class NoNamespacesError(Exception):
    """This machine lets nobody mount a disk of their own."""


def run_on_disk(
    arguments: Sequence[str],
    disk: Path,
    *,
    pages: int,
    before: Path | None = None,
    after: Path | None = None,
    timeout: float = 600,
) -> tuple[int | None, str]:
    """Run `learnsys ARGUMENTS` with a disk of its own mounted at `disk`: the exit code, and what it said on stderr.

    Args:
        pages: room on the disk, in pages; 0 makes it read-only.
        before: what is on it at the beginning.
        after: where to copy what is on it in the end.

    Raises:
        NoNamespacesError: the kernel refuses.
    """
    disk.mkdir(parents=True, exist_ok=True)
    said = disk.with_name(f"{disk.name}.stderr")
    process = context().Process(target=_on_disk, args=(list(arguments), disk, pages, before, after, said))
    process.start()
    process.join(timeout)
    process.kill()
    process.join()
    if process.exitcode == _NO_NAMESPACES:
        raise NoNamespacesError(said.read_text())
    return process.exitcode, said.read_text()


def _on_disk(arguments: list[str], disk: Path, pages: int, before: Path | None, after: Path | None, said: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *values: object) -> None:
        if getattr(libc, name)(*values):
            said.write_text(f"{name}: {os.strerror(ctypes.get_errno())}")
            os._exit(_NO_NAMESPACES)

    user, group = os.getuid(), os.getgid()
    call("unshare", _NEW_NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    where = os.fsencode(disk)
    call("mount", b"tmpfs", where, b"tmpfs", 0, f"size={pages * PAGE}".encode() if pages else None)
    if before is not None:
        shutil.copytree(before, disk, dirs_exist_ok=True)
    if not pages:
        call("mount", None, where, None, _READ_ONLY_AGAIN, None)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)

    from learnsys.cli import main

    code = main(arguments)
    if after is not None:
        shutil.copytree(disk, after, dirs_exist_ok=True)
    os._exit(code)


def pages_of(folder: Path) -> int:
    """Pages that the files of a folder take."""
    return sum(-(-path.stat().st_size // PAGE) for path in folder.rglob("*") if path.is_file())


def check_one_line(said: str, *parts: str) -> None:
    """Raise AssertionError unless a command said one line, with these parts in it."""
    assert said.count("\n") == 1 and said.startswith("learnsys: "), f"not one line: {said}"
    for part in parts:
        assert part in said, f"{part!r} is not in: {said}"


def check_full_disk(
    command: Callable[[Path], Sequence[str]], folder: Path, *, whole: Path, shares: Iterable[float] = (0.6,)
) -> None:
    """Run a command on a disk with less room than it needs, then with enough, and compare with an undisturbed run.

    Args:
        command: the run folder -> the arguments of `learnsys`.
        folder: where the runs are made.
        whole: the folder of a run that nobody disturbed.
        shares: of the room that `whole` takes.

    Raises:
        AssertionError: the command did not end with one line and exit code 2, left a temporary file, or came to
            another result in the end.
    """
    expected = results(whole)
    for number, share in enumerate(shares):
        disk, kept = folder / f"disk-{number}", folder / f"kept-{number}"
        pages = max(1, int(share * pages_of(whole)))
        code, said = run_on_disk(command(disk / "run"), disk, pages=pages, after=kept)
        assert code == 2, f"exit code {code} on a disk of {pages} pages: {said}"
        check_one_line(said, str(disk), "No space left on device; make room there")
        left = [path for path in kept.rglob("*") if path.suffix == ".part"]
        assert not left, f"temporary files are left: {left}"
        finish(command(kept / "run"))
        assert results(kept / "run") == expected, f"another result after a disk of {pages} pages was full"


def check_read_only(command: Callable[[Path], Sequence[str]], folder: Path, *, before: Path) -> None:
    """Run a command on a read-only disk, on which there is nothing but a run that was interrupted.

    Raises:
        AssertionError: it did not end with one line and exit code 2.
    """
    disk = folder / "read-only"
    code, said = run_on_disk(command(disk / "run"), disk, pages=0, before=before)
    assert code == 2, f"exit code {code} on a read-only disk: {said}"
    check_one_line(said, str(disk), "Read-only file system; see to its permissions or name another place")
