"""Control inversion: SCIP's branch and bound stops at each decision, and goes on when it is told what to do.

SCIP calls a plugin's callback when it needs a decision. The solving process runs in a greenlet, and the callback *is*
the switch of the greenlet that asked for the next decision: SCIP's C frames stay suspended where they are while the
caller looks at the model and acts on it. A switch costs less than a microsecond. No Python code of ours runs inside the
callback, so an exception or an interrupt cannot be lost there.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any, Protocol

from greenlet import getcurrent, greenlet
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr, Model

from learnsys.errors import LearnsysError

_ENDED = object()


class _Home(threading.local):
    """What belongs to one thread."""

    def __init__(self) -> None:
        self.orphans: list[_Core] = []
        """episodes of this thread that were dropped in another one; this thread ends them at its next episode"""


_home = _Home()


class Plugin(Protocol):
    """A SCIP plugin whose callback asks for a decision."""

    hook: str
    """name of the callback that asks (`branchexeclp`, `nodeselect`, `heurexec`)"""

    def decline(self) -> dict[str, Any]:
        """What the callback answers if SCIP is to go on by itself, in the state that the model is in now."""


class SolverError(LearnsysError):
    """SCIP failed, or the episode cannot go on."""


class Episode:
    """One solving process that stops at every decision.

    Dropping the last reference ends the process and frees the model: nothing inside refers to this object.

    Args:
        model: in stage PROBLEM, with `plugin` included. The episode owns it from now on and frees it.
        plugin: asks for the decisions.
    """

    __slots__ = ("__weakref__", "_core", "_finalizer", "claim", "resume")

    claim: Callable[[], None]
    """Declare that the model is about to be changed for the waiting decision.

    Until `resume`, an exception (an interrupt between branching and resuming, say) leaves an episode that can only be
    closed. Raises `SolverError` if no decision waits, or if another thread started the process.
    """
    resume: Callable[[dict[str, Any] | None], bool]
    """Run until the next decision; True if there is one, False if the solving process has ended.

    The argument is what the waiting callback returns to SCIP; None starts the process. Raises `SolverError` if SCIP
    failed, the process has ended, or another thread started it, and whatever a callback of another plugin raised
    (KeyboardInterrupt included).
    """

    def __init__(self, model: Model, plugin: Any) -> None:
        self._core = core = _Core(model, plugin)
        self._finalizer = weakref.finalize(self, _Core.close, core)  # also runs at the interpreter's exit
        self.claim, self.resume = core.claim, core.resume  # not methods: a step is short enough to feel another call

    @property
    def model(self) -> Model:
        """The model: inside branch and bound while a decision waits, solved or stopped after the last one.

        Raises:
            SolverError: the episode is closed.
        """
        if self._core.model is None:
            raise SolverError("the episode is closed; call reset")
        return self._core.model

    @property
    def waiting(self) -> bool:
        """Whether SCIP waits for a decision."""
        return self._core.waiting

    def release(self) -> None:
        """Take `claim` back: the decision waits again."""
        self._core.waiting = True

    def interrupt(self) -> None:
        """End the process at the waiting decision; the model stays readable until `close`."""
        self._core.interrupt()

    def close(self) -> None:
        """End the process, if it still runs, and free the model. May be called twice."""
        self._finalizer()


class _Listener(Eventhdlr):
    """Gives Python the chance to hear Ctrl-C while SCIP presolves and solves the root's LPs.

    A signal is handled where Python code begins to run, and what is raised at the beginning of a callback is lost. So
    the callback is the `send` of a generator, which begins inside its `try`.
    """

    events = (SCIP_EVENTTYPE.PRESOLVEROUND, SCIP_EVENTTYPE.LPEVENT)

    def __init__(self, model: Model, raised: list[BaseException]) -> None:
        listening = self.listen(model, raised)
        next(listening)
        self.eventexec = listening.send  # type: ignore[assignment, method-assign]
        model.includeEventhdlr(self, "learnsys_listener", "hears interrupts")

    @staticmethod
    def listen(model: Model, raised: list[BaseException]) -> Generator[None, Any, None]:
        while True:
            try:
                yield
            except GeneratorExit:
                return
            except BaseException as error:
                raised.append(error)
                model.interruptSolve()

    def eventinit(self) -> None:
        for event in self.events:
            self.model.catchEvent(event, self)

    def stop(self) -> None:
        for event in self.events:
            self.model.dropEvent(event, self)


class _Core:
    """The part of an episode that the solving process may refer to."""

    def __init__(self, model: Model, plugin: Any) -> None:
        self.model: Model | None = model
        self.plugin = plugin
        self.thread = threading.get_ident()
        self.process: greenlet | None = greenlet(self.run)
        self.caller: greenlet | None = None
        """to whom the process switches"""
        self.waiting = False
        self.error: BaseException | None = None
        self.lost: list[Any] = []
        self.raised: list[BaseException] = []
        self.listener: _Listener | None = _Listener(model, self.raised)
        self.orphans = _home.orphans
        while self.orphans:
            self.orphans.pop().close()

    def run(self, _: Any) -> object:
        try:
            assert self.model is not None
            self.model.optimizeNogil()
        except Exception as error:
            self.error = error
        return _ENDED

    def claim(self) -> None:
        if not self.waiting:
            raise SolverError("no decision is waiting; call reset")
        if threading.get_ident() != self.thread:
            raise SolverError("the episode was started in another thread; call reset and step in the same thread")
        self.waiting = False

    def resume(self, answer: dict[str, Any] | None = None) -> bool:
        process = self.process
        if process is None:
            raise SolverError("the episode has ended; call reset")
        caller = getcurrent()
        if caller is not self.caller:
            if threading.get_ident() != self.thread:
                raise SolverError("the episode was started in another thread; call reset and step in the same thread")
            self.caller = process.parent = caller
            setattr(self.plugin, self.plugin.hook, caller.switch)
        # What a callback of another plugin raises never reaches Python's caller: Cython reports it as "unraisable".
        report = sys.unraisablehook
        try:
            sys.unraisablehook = self.lost.append
            ended = process.switch(answer) is _ENDED
        finally:
            sys.unraisablehook = report
        if self.lost or ended:
            return self.settle(ended)
        if self.listener is not None:
            self.listener.stop()  # from now on the process comes back to Python often enough
            self.listener = None
        self.waiting = True
        return True

    def settle(self, ended: bool) -> bool:
        """After the end of the process, or of anything that was raised in a callback."""
        lost, self.lost[:] = self.lost[:], []
        if not ended:
            self.waiting = True
            for unraisable in lost:
                if isinstance(unraisable.exc_value, KeyboardInterrupt):
                    raise unraisable.exc_value
                sys.unraisablehook(unraisable)
            return True
        self.process = None
        if self.raised:
            raise self.raised.pop()
        if self.error is None:
            return False
        error, self.error = self.error, None
        if lost:
            raise lost[0].exc_value
        if "no memory" in str(error) or "insufficient memory" in str(error):
            raise MemoryError("SCIP ran out of memory") from error
        raise SolverError(f"SCIP failed: {error}") from error

    def interrupt(self) -> None:
        """Let the process end: SCIP is told to stop, and every further question is declined."""
        self.waiting = False
        if self.process is None:
            return
        if not self.process:  # never started
            self.process = None
            return
        assert self.model is not None
        plugin, interrupted = self.plugin, None
        self.model.interruptSolve()
        while self.process:
            try:
                self.resume(plugin.decline())
            except KeyboardInterrupt as error:  # not now: a model is only freed after its process has ended
                interrupted = error
        self.waiting, self.process = False, None
        if interrupted is not None:
            raise interrupted

    def close(self) -> None:
        if self.model is None:
            return
        if self.process and threading.get_ident() != self.thread:
            self.orphans.append(self)
            return
        try:
            self.interrupt()
        finally:
            model, self.model, self.process = self.model, None, None
            model.free()


def solve(model: Model, plugin: Any, decide: Callable[..., dict[str, Any]]) -> None:
    """Solve to the end with `decide` as the callback of `plugin`: push mode, without a switch.

    Args:
        decide: called with the callback's own arguments, returns its answer.

    Raises:
        SolverError: SCIP failed.
        Exception: whatever `decide` raised; the solving process has been stopped then.
    """
    raised: list[BaseException] = []
    _Listener(model, raised)

    def guarded(*arguments: Any) -> dict[str, Any]:
        try:
            return plugin.decline() if raised else decide(*arguments)
        except BaseException as error:
            raised.append(error)
            model.interruptSolve()
            return plugin.decline()

    setattr(plugin, plugin.hook, guarded)
    report = sys.unraisablehook
    lost: list[Any] = []
    sys.unraisablehook = lost.append
    try:
        model.optimizeNogil()
    except Exception as error:
        if not raised and lost:
            raised.append(lost[0].exc_value)
        elif not raised:
            raise SolverError(f"SCIP failed: {error}") from error
    finally:
        sys.unraisablehook = report
    if raised:
        raise raised[0]
