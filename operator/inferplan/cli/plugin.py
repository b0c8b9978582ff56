"""`kubectl inferplan …`: kubectl runs the program kubectl-inferplan, which this package installs."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from inferplan import __version__
from inferplan.apply.asking import Word
from inferplan.cli.documents import Document
from inferplan.cli.entry import guarded
from inferplan.cli.kube import INSTANCES, PLANS, Kubectl
from inferplan.cli.output import write
from inferplan.cli.plugin_diff import diff
from inferplan.cli.plugin_find import find, find_carried
from inferplan.cli.plugin_status import detail, listing
from inferplan.cli.plugin_words import say
from inferplan.cli.show import rendered

NAME = "kubectl inferplan"
_PASSED_ON = ("--context", "--kubeconfig", "--cluster", "--user", "--server", "--as", "--as-uid", "--request-timeout")
_EPILOG = """\
example:
  kubectl inferplan status -n serving
  kubectl inferplan approve llama-70b -n serving --note "seen in staging"

NAME is that of a plan, or of an instance: then its current plan is meant.
For programs: kubectl get inferenceinstances,optimizationplans -o json
exit codes: 0 fine, 1 the answer was no or the cluster refused, 2 bad input"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line of the plugin and returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(NAME, lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    options = _parser().parse_args(words or ["-h"])
    return _COMMANDS[options.command](options)


def _status(options: argparse.Namespace) -> int:
    kubectl = _kubectl(options)
    if options.name is None:
        instances = kubectl.list(INSTANCES, everywhere=options.all_namespaces)
        plans = kubectl.list(PLANS, everywhere=options.all_namespaces)
        place = "in any namespace" if options.all_namespaces else kubectl.place
        write(listing(instances, plans, namespaces=options.all_namespaces, place=place))
    else:
        write(detail(find(kubectl, options.name)))
    return 0


def _explain(options: argparse.Namespace) -> int:
    document = find(_kubectl(options), options.name).document
    write(rendered(Document(f'OptimizationPlan "{document["metadata"]["name"]}"', document)))
    return 0


def _diff(options: argparse.Namespace) -> int:
    kubectl = _kubectl(options)
    return diff(kubectl, find(kubectl, options.name))


def _say(options: argparse.Namespace) -> int:
    kubectl, word = _kubectl(options), Word(options.command)
    found = find_carried(kubectl, options.name) if word is Word.ROLLBACK else find(kubectl, options.name)
    return say(kubectl, found, word, note=options.note, yes=options.yes)


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = MappingProxyType(
    {"status": _status, "diff": _diff, "explain": _explain, **dict.fromkeys(Word, _say)}
)


def _kubectl(options: argparse.Namespace) -> Kubectl:
    flags = [f"{flag}={value}" for flag in _PASSED_ON if (value := getattr(options, _name_of(flag))) is not None]
    flags += [f"--as-group={group}" for group in options.as_group or ()]
    return Kubectl(tuple(flags), options.namespace)


def _name_of(flag: str) -> str:
    return f"kubectl_{flag.removeprefix('--').replace('-', '_')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Shows what InferPlan plans and does in a cluster, and says yes or no to it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared(None)],
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = _shared(argparse.SUPPRESS)
    status = commands.add_parser("status", parents=[shared], help="instances and their plans, or one in detail")
    status.add_argument("name", nargs="?", metavar="NAME", help="a plan or an instance; without, a table of all")
    status.add_argument("-A", "--all-namespaces", action="store_true", help="of every namespace")
    for name, told in (
        ("diff", "what a plan would change in what runs now"),
        ("explain", "a plan in words: what changes, why, with what effect and risk"),
    ):
        commands.add_parser(name, parents=[shared], help=told).add_argument("name", metavar="NAME")
    for word, told in (
        (Word.APPROVE, "let a plan be applied"),
        (Word.REJECT, "say no to a plan that was not applied"),
        (Word.ROLLBACK, "have a plan undone that the workload carries"),
    ):
        _add_word(commands.add_parser(word.value, parents=[shared], help=told))
    return parser


def _add_word(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--note", metavar="TEXT", help="why; it stays with the plan")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask back")


def _shared(default: str | None) -> argparse.ArgumentParser:
    """The flags of kubectl that say which cluster and as whom; before a command's name or behind it."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=default)
    group = shared.add_argument_group("kubectl's flags")
    group.add_argument("-n", "--namespace", metavar="NAMESPACE", help="default: the context's")
    for flag in _PASSED_ON:
        group.add_argument(flag, dest=_name_of(flag), metavar="VALUE")
    group.add_argument("--as-group", action="append", metavar="GROUP")
    return shared
