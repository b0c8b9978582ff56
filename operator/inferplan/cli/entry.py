"""Finds the command and runs it. A command's module, and all that it needs, is imported only when it is called."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from inferplan import __version__
from inferplan.cli.errors import BadInputError, CannotRunError

FINE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A command: the module with its `run(words) -> int`, and what it does in a line."""

    module: str
    summary: str


COMMANDS = {
    "plan": Command("plan", "plan from files: what limits an instance and what to change"),
    "analyze": Command("analyze", "from files: what limits an instance, whether its targets hold, how healthy it is"),
    "estimate": Command("estimate", "memory per GPU and speed of configurations, one or thousands"),
    "show": Command("show", "print an OptimizationPlan, or a file of one, for people"),
    "config": Command("config", "what manifests really run, setting by setting; edit them with --set"),
    "args": Command("args", "lint an engine's arguments: refused, renamed, without effect in a release"),
    "serve": Command("serve", "run the HTTP API, no cluster needed"),
    "operator": Command("run_operator", "run the operator in a cluster, or against one"),
    "crds": Command("crds", "print, write or check the CustomResourceDefinitions"),
    "demo": Command("demo", "run the demo of a checkout of the repository"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0 fine, 1 findings or failure, 2 bad input."""
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(" ".join(("inferplan", *words[:1])), lambda: _run(words))


def guarded(name: str, run: Callable[[], int]) -> int:
    """Runs a command and turns what goes wrong into lines that begin with its name, and an exit code."""
    try:
        code = run()
        sys.stdout.flush()  # here and not at the interpreter's end, where a closed pipe is beyond reach
    except SystemExit as stop:  # argparse ends the process after -h and after a usage error
        return stop.code if isinstance(stop.code, int) else FINE
    except BadInputError as error:
        _complain(name, error.lines)
        return BAD_INPUT
    except CannotRunError as error:
        _complain(name, [str(error)])
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `inferplan plan … | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    return code


def _run(words: Sequence[str]) -> int:
    chosen = _parser().parse_args(words[:1] or ["-h"])
    run: Callable[[Sequence[str]], int] = import_module(f"inferplan.cli.{COMMANDS[chosen.command].module}").run
    return run(words[1:])


def _complain(name: str, lines: Sequence[str]) -> None:
    for line in lines:
        print(f"{name}: {line}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="inferplan",
        description="Measures running LLM servers, finds what limits them and plans what to change.",
        epilog=(
            f"commands:\n{listed}\n\nexample:\n  inferplan plan -f instance.yaml -f deployment.yaml --metrics"
            " scrape.txt\n\n`inferplan COMMAND -h` explains a command."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inferplan {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="COMMAND", help="what to do, see below")
    return parser
