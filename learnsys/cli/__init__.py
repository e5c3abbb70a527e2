"""The command line: `learnsys NOUN VERB ...`. A command's code is imported only when it runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from learnsys.errors import InputError, LearnsysError

COMMANDS: dict[tuple[str, str], tuple[str, str]] = {
    ("trace", "record"): ("learnsys.cli.record:record", "record the last-level-cache stream of a program"),
    ("trace", "inspect"): ("learnsys.cli.trace:inspect", "what a trace holds, and its LRU curve"),
    ("trace", "convert"): ("learnsys.cli.trace:convert", "convert a trace to another format"),
    ("trace", "synth"): ("learnsys.cli.trace:synth", "write a synthetic trace"),
    ("trace", "formats"): ("learnsys.cli.trace:formats", "the trace formats"),
    ("cache", "simulate"): ("learnsys.cli.cache:simulate", "hit rates of policies on a trace"),
    ("cache", "train"): ("learnsys.cli.cache_train:train", "train a policy to imitate Belady on a trace"),
    ("cache", "ablate"): ("learnsys.cli.cache_ablate:ablate", "what each part of a training recipe is worth"),
    ("cache", "explain"): ("learnsys.cli.cache_explain:explain", "why a trained policy evicts what it evicts"),
    ("branch", "generate"): ("learnsys.cli.branch_generate:generate", "write random instances of a family"),
    ("branch", "collect"): ("learnsys.cli.branch_collect:collect", "collect samples of strong branching"),
    ("branch", "evaluate"): ("learnsys.cli.branch_evaluate:evaluate", "compare branching policies inside SCIP"),
    ("branch", "choose"): (
        "learnsys.cli.branch_evaluate:choose",
        "the best branching policy for a family, as a folder",
    ),
    ("branch", "train"): ("learnsys.cli.branch_train:train", "train a network to imitate strong branching"),
    ("branch", "kida"): ("learnsys.cli.branch_train:kida", "train for the ML4CO dual task by dataset aggregation"),
    ("branch", "solve"): ("learnsys.cli.branch:solve", "solve a model with SCIP and a branching policy"),
    ("mis", "generate"): ("learnsys.cli.mis_generate:generate", "write random graphs of a family"),
    ("mis", "train"): ("learnsys.cli.mis_train:train", "train a policy for independent sets"),
    ("mis", "solve"): ("learnsys.cli.mis:solve", "find a large independent set of a graph"),
    ("mis", "evaluate"): ("learnsys.cli.mis_evaluate:evaluate", "compare policies on a folder of graphs"),
    ("env", "list"): ("learnsys.cli.env:list_environments", "the registered environments"),
    ("env", "check"): ("learnsys.cli.env:check", "run the contracts on an environment"),
    ("run", "list"): ("learnsys.cli.run:list_runs", "the runs in a folder"),
    ("run", "show"): ("learnsys.cli.run:show", "one run: configuration, curve, result"),
    ("run", "compare"): ("learnsys.cli.run:compare", "runs side by side"),
    ("run", "report"): ("learnsys.cli.report:report", "one offline HTML page about runs"),
    ("doctor", ""): ("learnsys.cli.doctor:doctor", "versions, tools and caches on this machine"),
    ("warmup", ""): ("learnsys.cli.doctor:warmup", "compile all kernels once into the cache"),
}
"""(noun, verb) -> ("module:function", help line)."""

TOGETHER = {("cache", "train"), ("branch", "train"), ("mis", "train")}
"""the commands that `torchrun` may start several processes of"""


def usage(noun: str | None = None) -> str:
    """The list of commands, or of one noun's verbs."""
    lines = ["usage: learnsys NOUN VERB [ARGUMENTS]   (learnsys NOUN VERB --help tells more)", ""]
    for (first, second), (_, summary) in COMMANDS.items():
        if noun in (None, first):
            lines.append(f"  {f'{first} {second}':<18}{summary}")
    return "\n".join(lines)


def _find(arguments: Sequence[str]) -> tuple[Callable[..., Any] | None, str, list[str]]:
    """The function that `arguments` name (None: show usage), the program's name, and what is left for it."""
    noun = arguments[0]
    for verb, rest in (("", 1), (arguments[1] if len(arguments) > 1 else "", 2)):
        if (noun, verb) in COMMANDS:
            module, function = COMMANDS[noun, verb][0].split(":")
            return (
                getattr(import_module(module), function),
                f"learnsys {noun} {verb}".strip(),
                [*arguments[rest:]],
            )
    return None, "learnsys", []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 the command's own "no", 2 bad input, 130 interrupted."""
    try:
        code = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except LearnsysError as error:
        print(f"learnsys: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output (head, less) has left: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "out of memory"
        name = getattr(error, "filename", None)
        print(f"learnsys: {f'{name}: ' if name else ''}{reason}{_remedy(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("learnsys: interrupted", file=sys.stderr)
        return 130
    return 2


def _remedy(error: BaseException) -> str:
    """What to do about an error of the operating system."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "; make room there and give the same command again"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "; see to its permissions or name another place"
    return "; use a smaller case or a larger machine" if isinstance(error, MemoryError) else ""


def _dispatch(arguments: list[str]) -> int:
    nouns = {noun for noun, _ in COMMANDS}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from learnsys import __version__

        print(__version__)
        return 0
    if arguments[0] in nouns and arguments[1:2] in (["-h"], ["--help"]) and (arguments[0], "") not in COMMANDS:
        print(usage(arguments[0]))
        return 0
    function, program, rest = _find(arguments)
    if function is None:
        print(usage(arguments[0] if arguments[0] in nouns else None), file=sys.stderr)
        print(f"learnsys: no command {' '.join(arguments[:2])!r}", file=sys.stderr)
        return 2
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun's
        if tuple(arguments[:2]) not in TOGETHER:
            raise InputError(f"{program[9:]} runs in one process", remedy="start it without torchrun")
        if os.environ.get("RANK", "0") != "0":  # the first process speaks for all
            sys.stdout = open(os.devnull, "w")
    if arguments[:2] in (["branch", "generate"], ["branch", "collect"]):
        from learnsys.cli.branch_generate import spelled_out

        rest = spelled_out(rest)
    import tyro

    return int(tyro.cli(function, args=rest, prog=program) or 0)
