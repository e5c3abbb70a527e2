"""Errors that a user can cause and mend. The command line shows each as one line and exits with code 2."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

_LONGEST = 600
"""characters of a message: other libraries' reasons may hold their stack"""


class LearnsysError(Exception):
    """Base of all errors that learnsys raises on purpose."""


class InputError(LearnsysError):
    """Bad input: a file, an argument or a configuration that cannot be used.

    Args:
        message: what is wrong, without a full stop.
        file: the file in which it was found.
        place: where in it ("line 7", "byte 1024", "record 12", "column 'pc'").
        remedy: what to do next.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        place: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else fspath(file)
        self.place = place
        self.remedy = remedy
        message = message if len(message) <= _LONGEST else message[:_LONGEST] + " ..."
        where = [str(part) for part in (self.file, place) if part is not None]
        text = " ".join(": ".join([*where, message + (f"; {remedy}" if remedy else "")]).splitlines())
        super().__init__("".join(each if each.isprintable() else "\ufffd" for each in text))  # text from files, too

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes send their errors back pickled
        return _rebuild, (self.message, self.file, self.place, self.remedy)


def _rebuild(message: str, file: str | None, place: str | None, remedy: str | None) -> InputError:
    return InputError(message, file=file, place=place, remedy=remedy)
