"""`inferplan config`: what a manifest really runs, and the manifest with other settings."""

import argparse
import json
import sys
from collections.abc import Sequence

import yaml

from inferplan.api.values import Engine
from inferplan.cli.config_edit import Wanted, edited_file, unified
from inferplan.cli.config_table import config_table
from inferplan.cli.errors import BadInputError
from inferplan.cli.manifest_files import ManifestFile, parsed, read_manifests
from inferplan.cli.output import note, one_line, write
from inferplan.cli.parsers import command_parser
from inferplan.dialects.drift import Severity
from inferplan.dialects.report import Question, Report, report
from inferplan.dialects.report_document import report_document
from inferplan.dialects.version_order import version_number
from inferplan.dialects.words import Unreadable

_DESCRIPTION = """\
What manifests really run: every setting of every engine container, and where it comes from (argument, environment,
configFile, versionDefault). Understands shell scripts, variables, ConfigMaps in the same files, start commands of
vLLM, SGLang and TGI, and objects of any kind. What cannot be read is said, never guessed.

With --set and --unset: the file with other settings in the author's own shape, to the byte the same elsewhere."""
_EXAMPLE = """\
inferplan config -f deployment.yaml
  inferplan config -f deployment.yaml --set max_batch_size=64 --unset swap_space -o diff

exit codes: 0 fine, 2 bad input, or no container that could be read"""


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(words)
    question = _question(options)
    files = read_manifests(options.filename)
    if options.set or options.unset:
        return _edit(files, question, options)
    if options.output == "diff":
        raise BadInputError("-o diff shows what --set and --unset change; give one of them")
    found = examined(files, question)
    _print(found, options.output)
    check(found, files, question)
    return 0


def _edit(files: Sequence[ManifestFile], question: Question, options: argparse.Namespace) -> int:
    found = examined(files, question)
    check(found, files, question)
    wanted = Wanted(options.set, options.unset, options.engine_version)
    file, text = edited_file(files, found, wanted)
    if text == file.text:
        note("config", f"{file.name}: nothing changes")
    after = examined([parsed(file.name, text, named=True) if each is file else each for each in files], question)
    for error in _errors(after) - _errors(found):
        note("config", f"{file.name}: with this change the server does not start: {error}")
    match options.output:
        case "json":
            _print(after, "json")
        case "diff":
            write(unified(file.name, file.text, text))
        case _:
            write(text)
    return 0


def _errors(found: Report) -> set[str]:
    """What keeps the containers' servers from starting."""
    return {
        remark.reason
        for container in found.containers
        for remark in container.remarks
        if remark.severity is Severity.ERROR
    }


def examined(files: Sequence[ManifestFile], question: Question) -> Report:
    """What the files' containers run, and what could not be read of the files themselves."""
    found = report([document.source for file in files for document in file.documents], question)
    problems = tuple(problem for file in files for problem in file.problems)
    return Report(found.containers, (*problems, *found.unreadable), found.asked_for)


def check(found: Report, files: Sequence[ManifestFile], question: Question) -> None:
    """Ends the command where nothing was read, or nothing of a file that was given by name and has problems.

    Parts of a file that are no YAML do not keep the rest of it from being read: they are told.

    Raises:
        BadInputError: One line for each reason.
    """
    if question.container is not None and not _is_there(question.container, found):
        known = ", ".join(found.asked_for) or "none"
        raise BadInputError(f"--container {question.container}: there is no such container; there are: {known}")
    if not found.containers:
        raise BadInputError(*map(_line, found.unreadable))
    read = {id(container.source) for container in found.containers}
    useful = [any(id(document.source) in read for document in file.documents) for file in files]
    broken = [
        problem for file, use in zip(files, useful, strict=True) if file.named and not use for problem in file.problems
    ]
    if broken:
        raise BadInputError(*map(_line, broken))
    for file, use in zip(files, useful, strict=True):
        for problem in file.problems if file.named and use else ():
            note("config", _line(problem))


def _is_there(wanted: str, found: Report) -> bool:
    return any(wanted in {name, name.rpartition("/")[2]} for name in found.asked_for)


def _line(entry: Unreadable) -> str:
    return one_line(f"{entry.where}: {entry.reason}")


def _question(options: argparse.Namespace) -> Question:
    if options.engine_version is not None and version_number(options.engine_version) is None:
        raise BadInputError(f'--engine-version: "{options.engine_version}" is no version such as 0.33.0')
    return Question(
        options.engine_version,
        options.gpu,
        options.container,
        unnamed=Engine(options.engine) if options.engine is not None else None,
        every_default=options.all,
    )


def _print(found: Report, output: str) -> None:
    match output:
        case "json":
            write(json.dumps(report_document(found), indent=2, ensure_ascii=False) + "\n")
        case "yaml":
            write(yaml.safe_dump(report_document(found), sort_keys=False, allow_unicode=True, width=110))
        case _ if found.containers:
            write(config_table(found))
        case _:
            sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("config", _DESCRIPTION, _EXAMPLE)
    parser.add_argument(
        "-f",
        "--filename",
        metavar="FILE",
        action="append",
        required=True,
        help="manifests, or a folder with *.yaml, *.yml and *.json; - is standard input",
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting")
    parser.add_argument("--unset", metavar="KEY", action="append", default=[], help="take a setting out")
    parser.add_argument("--container", metavar="NAME", help="only this one: NAME or KIND/NAME/CONTAINER")
    parser.add_argument(
        "--engine-version", metavar="VERSION", help="version of the engine, where the image's tag does not say it"
    )
    parser.add_argument(
        "--engine",
        choices=tuple(Engine),
        help="engine of a container that has nothing but arguments, where its image's name does not say it",
    )
    parser.add_argument("--gpu", metavar="PRODUCT", help="GPU, where the pod's node selector does not say it")
    parser.add_argument("--all", action="store_true", help="defaults of all other flags of that release too")
    parser.add_argument(
        "-o", "--output", choices=("table", "yaml", "json", "diff"), default="table", help="default: %(default)s"
    )
    return parser
