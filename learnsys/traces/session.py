"""One run of a program under the recorder's Valgrind tool, read while it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError

RECORD = np.dtype([("key", "<u8"), ("address", "<u8")])
"""What the tool writes: kind << 56 | pc, byte address."""
_CHUNK = 2**18
_GRACE = 5.0
"""Seconds between asking a program to end and killing it."""
_KEPT = 20
"""Lines of Valgrind's own messages that are kept."""


@dataclass
class Session:
    """One run of `start` (Valgrind and its options) on `command` (a program's path and its arguments)."""

    start: Sequence[str]
    command: Sequence[str]
    environment: Mapping[str, str]
    timeout: float | None
    progress: Callable[[int], None]

    accesses: int = 0
    """records read"""
    stopped: str = ""
    """why the program was ended from here: "timeout", "interrupt" or "" """
    status: int = 0
    """its exit status, or minus the signal that ended it"""
    messages: tuple[str, ...] = ()
    """what Valgrind had to say about it"""

    def records(self) -> Generator[NDArray[np.void]]:
        """Run the program; yield its records (dtype `RECORD`) as they come. The other fields are set at the end.

        Raises:
            InputError: there was no record.
        """
        with tempfile.TemporaryDirectory(prefix="learnsys-") as scratch:
            pipe, log = os.path.join(scratch, "records"), os.path.join(scratch, "log")
            os.mkfifo(pipe, 0o600)
            reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            os.set_blocking(reading, True)
            # Held open while the program lives: between two programs of one process (exec) nobody else writes.
            writing = os.open(pipe, os.O_WRONLY)
            files = [f"--parent={os.getpid()}", f"--out={pipe}", f"--log-file={log}.%p"]
            try:
                process = self._launch([*self.start, *files, "--", *self.command])
            except BaseException:
                os.close(writing)
                os.close(reading)
                raise
            waiter = threading.Thread(target=_close_at_end, args=(process, writing), daemon=True)
            waiter.start()
            try:
                with self._stoppable(process):
                    yield from self._read(reading)
            finally:
                process.kill()
                waiter.join()
                os.close(reading)
            self.status = process.returncode
            self.messages = _messages(f"{log}.{process.pid}")
        if not self.accesses:
            raise InputError(f"no access was recorded: {self._what_happened()}", remedy=self._advice())

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(command, env=dict(self.environment))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot be started ({reason})", file=self.command[0]) from None

    def _read(self, descriptor: int) -> Iterator[NDArray[np.void]]:
        """Records from a pipe until its end; half a record there (of a killed program) is left out."""
        size = RECORD.itemsize
        while True:
            buffer = bytearray(_CHUNK * size)
            view = memoryview(buffer)
            filled = 0
            while filled < len(view) and (count := os.readv(descriptor, [view[filled:]])):
                filled += count
                self.progress(self.accesses + filled // size)
            if filled >= size:
                self.accesses += filled // size
                yield np.frombuffer(buffer, RECORD, filled // size)
            if filled < len(view):
                return

    @contextmanager
    def _stoppable(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """End the program at the timeout, at Ctrl-C and at SIGTERM, and go on reading what it still sends."""
        timers: list[threading.Timer] = []

        def call_later(seconds: float, function: Callable[[], object]) -> None:
            timer = threading.Timer(seconds, function)
            timer.daemon = True
            timer.start()
            timers.append(timer)

        def stop(reason: str) -> None:
            if self.stopped:
                process.kill()
                return
            self.stopped = reason
            process.terminate()
            call_later(_GRACE, process.kill)

        if self.timeout is not None:
            call_later(self.timeout, lambda: stop("timeout"))
        before = {}
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, lambda *_: stop("interrupt"))
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _what_happened(self) -> str:
        if self.stopped:
            return f"the program was ended by the {self.stopped} before"
        if self.status < 0:
            return f"the program was killed by {signal_name(-self.status)}"
        return f"the program ended with status {self.status}"

    def _advice(self) -> str:
        if said := [line for line in self.messages if line.startswith(("valgrind:", "llctrace:"))]:
            return f"Valgrind said: {said[0]}"
        return "skip fewer accesses, or record the program that does the work (children are not recorded)"


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _close_at_end(process: subprocess.Popen[bytes], descriptor: int) -> None:
    process.wait()
    os.close(descriptor)


def _messages(log: str) -> tuple[str, ...]:
    """The first lines of Valgrind's log, without the process ids before them."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = [line.split("== ", 1)[-1].strip() for _, line in zip(range(_KEPT), file, strict=False)]
    except OSError:
        return ()
    return tuple(line for line in lines if line)
