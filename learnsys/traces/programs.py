"""Whether a command can be recorded, told before anything runs."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from learnsys.errors import InputError

_X86_64 = 62  # e_machine of the ELF header


def find_program(command: Sequence[str]) -> str:
    """The absolute path of the command's program, looked up on the PATH if its name has no slash.

    Raises:
        InputError: there is none, it cannot be executed, or it is nothing that the recorder can run: a 32-bit or
            foreign binary, a file that is neither ELF nor a script, a program with more rights than its user.
    """
    if not command or not command[0]:
        raise InputError("no command to record", remedy="put it after --, as in: -- python3 work.py")
    for part in command:
        if "\0" in part:
            raise InputError(f"a zero byte in {part!r}, which no command can hold")
    name = command[0]
    found = name if "/" in name else shutil.which(name)
    if found is None:
        raise InputError(f"no program {name!r} on the PATH", remedy="check its name, or give its path")
    path = Path(os.path.abspath(found))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError("is a directory, not a program", file=path)
        if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
            raise InputError("is not executable", file=path, remedy="chmod +x it, or record its interpreter with it")
        with open(path, "rb") as file:
            head = file.read(256)
    except FileNotFoundError:
        raise InputError("no such program", file=path, remedy="check its name") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    _check_kind(path, head)
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID) or _has_capabilities(path):
        raise InputError(
            "runs with more rights than its user (setuid, setgid or capabilities), which Valgrind refuses",
            file=path,
            remedy="record a copy of it: copies lose these rights",
        )
    return str(path)


def _check_kind(path: Path, head: bytes) -> None:
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        if not os.access(interpreter, os.X_OK):
            raise InputError(f"needs {interpreter or 'an interpreter'}, which cannot be executed", file=path)
        return
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        raise InputError("is neither an ELF program nor a script that starts with #!", file=path)
    bits, machine = {1: 32, 2: 64}.get(head[4], 0), int.from_bytes(head[18:20], "little")
    if bits != 64 or machine != _X86_64:
        kind = f"{bits}-bit" if bits != 64 else "foreign"
        raise InputError(
            f"is a {kind} program (ELF machine {machine}); the recorder runs 64-bit x86 ones",
            file=path,
            remedy="record a 64-bit build of it",
        )


def _has_capabilities(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False
