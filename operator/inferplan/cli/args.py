"""`inferplan args lint`: what an engine release makes of its arguments, before it is started with them."""

import argparse
from collections.abc import Iterator, Sequence

from inferplan.api.values import Engine
from inferplan.cli.config import check, examined
from inferplan.cli.errors import BadInputError
from inferplan.cli.lint_output import Located, printed
from inferplan.cli.manifest_files import ManifestFile, read_manifests
from inferplan.cli.output import note, one_line, write
from inferplan.cli.parsers import command_parser
from inferplan.dialects.drift import Finding, Severity
from inferplan.dialects.effective import effective
from inferplan.dialects.manifests import Path
from inferplan.dialects.masking import Masker
from inferplan.dialects.placement import accelerator_of
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import basis, releases
from inferplan.dialects.remarks import remarks
from inferplan.dialects.report import EngineContainer, Question, VersionSource
from inferplan.dialects.version_order import version_number
from inferplan.dialects.word_list import read_words
from inferplan.dialects.words import Unreadable, UnreadableCode
from inferplan.dialects.yaml_edit.lines import Lines

_DESCRIPTION = """\
Says which arguments an engine release refuses, ignores, has renamed or will remove, and which it only repeats.
Either the arguments themselves, behind `--`, with or without the start command before them;
or manifests (-f), of which every engine container is checked."""
_EXAMPLE = """\
inferplan args lint --engine vllm --version 0.33.0 -- --swap-space 16 --max-num-seqs 64
  inferplan args lint -f deployment.yaml --format github

exit codes: 0 fine, 1 findings (--fail-on), 2 bad input"""
_NOT_CHECKED = frozenset({UnreadableCode.VARIABLE, UnreadableCode.TEMPLATE, UnreadableCode.CONFIG_FILE})
_RANKS = {Severity.NOTICE: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def run(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    own, arguments = _split(words)
    options = _parser().parse_args(own)
    engine = Engine(options.engine) if options.engine is not None else None
    if arguments is not None and options.filename:
        raise BadInputError("give either arguments behind -- or files with -f, not both")
    _check_version(engine, options.version)
    if arguments is not None:
        found = _of_words(engine, options, arguments)
    elif options.filename:
        found = _of_files(engine, options)
    else:
        raise BadInputError("give the engine's arguments behind --, or files with -f")
    write(printed(found, options.format))
    limit = _RANKS[Severity(options.fail_on)]
    return 1 if any(_RANKS[entry.remark.severity] >= limit for entry in found) else 0


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """The command's own words, and what stands behind the first `--`."""
    if "--" not in words:
        return words, None
    place = list(words).index("--")
    return words[:place], words[place + 1 :]


def _check_version(engine: Engine | None, version: str | None) -> None:
    """A version that no known release can speak for is a mistake, or too old to say anything of it."""
    if version is None:
        return
    if version_number(version) is None:
        raise BadInputError(f'--version: "{version}" is no version; {_known(engine)}')
    if engine is not None and basis(engine, version) is None:
        raise BadInputError(f"--version: {engine} {version} is older than all that are known; {_known(engine)}")


def _known(engine: Engine | None) -> str:
    engines = tuple(Engine) if engine is None else (engine,)
    return "; ".join(f"{name}: {', '.join(releases(name))}" for name in engines)


def _of_words(engine: Engine | None, options: argparse.Namespace, words: Sequence[str]) -> list[Located]:
    if engine is None:
        raise BadInputError(f"--engine is needed to check arguments; allowed: {', '.join(Engine)}")
    reading = read_words(engine, words, options.version)
    if isinstance(reading, Unreadable):
        raise BadInputError(reading.reason)
    if reading.launch.engine is not engine:
        raise BadInputError(f"--engine {engine}: the command starts {reading.launch.engine}")
    _note_of_version(reading, "", "give --version")
    _note_of_unreadable(reading, "")
    gpus = accelerator_of({}, {}, options.gpu)
    running = effective(reading.config, gpus, reading.unknown) if reading.complete else reading.config
    found = map(Masker(reading).remark, remarks(reading, running, gpus, {}))
    return [Located(remark, reading=reading) for remark in found]


def _of_files(engine: Engine | None, options: argparse.Namespace) -> list[Located]:
    files = read_manifests(options.filename)
    question = Question(options.version, options.gpu, options.container, engine)
    report = examined(files, question)
    if not report.containers:
        check(report, files, question)
    places = {id(document.source): (file, document.index) for file in files for document in file.documents}
    lines = {file.name: Lines(file.text) for file in files}
    found: list[Located] = []
    for container in report.containers:
        file, index = places[id(container.source)]
        _note_of_container(container)
        found += [_located(container, remark, file.name, (lines[file.name], index)) for remark in container.remarks]
    _note_of_others(report.unreadable, report.containers)
    _fail_for_named_files(files, found, options)
    return found


def _fail_for_named_files(files: Sequence[ManifestFile], found: Sequence[Located], options: argparse.Namespace) -> None:
    """A file that was given by name and is no YAML is bad input, behind the findings of the others."""
    problems = [problem for file in files if file.named for problem in file.problems]
    if problems:
        write(printed(found, options.format))
        raise BadInputError(*(one_line(f"{entry.where}: {entry.reason}") for entry in problems))


def _located(container: EngineContainer, remark: Finding, name: str, document: tuple[Lines, int]) -> Located:
    """A remark with its line: that of the word, else that of the container."""
    lines, index = document
    paths = (*_paths(container, remark), (container.site.path, 0))
    numbers = (lines.line(index, path, position) for path, position in paths)
    return Located(remark, name, next((number for number in numbers if number is not None), None), container)


def _paths(container: EngineContainer, remark: Finding) -> Iterator[tuple[Path, int]]:
    """Where in the document the word of a remark stands, and at which character of that string."""
    site, reading = container.site, container.reading
    border = len(reading.container.command)
    for piece in reading.launch.words[remark.word].pieces if remark.word is not None else ():
        if piece.source >= 0:
            name, index = ("command", piece.source) if piece.source < border else ("args", piece.source - border)
            item = () if isinstance(site.container.get(name), str) else (index,)
            yield (*site.path, name, *item), piece.start


def _note_of_container(container: EngineContainer) -> None:
    option = "give --version" if container.version_source is VersionSource.UNKNOWN else ""
    _note_of_version(container.reading, f"{container.place}: ", option, container.version_reason)
    _note_of_unreadable(container.reading, f"{container.place}: ")


def _note_of_version(reading: Reading, place: str, option: str, reason: str = "") -> None:
    version, known = reading.config.version, reading.grammar.basis
    engine = reading.launch.engine
    if version is None:
        why = f" ({reason})" if reason else ""
        note("args", f"{place}the version is not known{why}: only flags that no release has are found; {option}")
    elif known is None:
        note(
            "args", f"{place}{engine} {version} is older than all releases that are known: read as all of them together"
        )
    elif not known.exact:
        note("args", f"{place}{engine} {version} is not known exactly: checked as {known.release.version}, the nearest")


def _note_of_unreadable(reading: Reading, place: str) -> None:
    """Values that cannot be read are not checked; those that the parser refuses are findings."""
    unknown = [entry for entry in map(Masker(reading).unreadable, reading.unreadable) if entry.code in _NOT_CHECKED]
    named = [
        entry.where.rpartition(" ")[2] if entry.key is not None else "words that may be flags" for entry in unknown
    ]
    if named:
        note("args", f"{place}not checked, as the values are not known: {', '.join(dict.fromkeys(named))}")


def _note_of_others(unreadable: Sequence[Unreadable], containers: Sequence[EngineContainer]) -> None:
    """What was not checked because it could not be read at all."""
    inside = tuple(f"{container.place}: containers[{container.site.container_name}] " for container in containers)
    for entry in unreadable:
        if not entry.where.startswith(inside):
            note("args", f"{entry.where}: not checked: {entry.reason}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("args", _DESCRIPTION, _EXAMPLE)
    parser.usage = (
        "inferplan args lint --engine ENGINE [--version VERSION] [options] -- ARGUMENT …\n"
        "       inferplan args lint -f FILE [--version VERSION] [options]"
    )
    parser.add_argument("action", choices=("lint",), metavar="lint", help="the one thing that is done with arguments")
    parser.add_argument("--engine", choices=tuple(map(str, Engine)), help="the engine; with -f only containers of it")
    parser.add_argument(
        "--version", metavar="VERSION", help="its version; with -f instead of what the image's tag says"
    )
    parser.add_argument(
        "-f",
        "--filename",
        metavar="FILE",
        action="append",
        default=[],
        help="manifests, or a folder with *.yaml, *.yml and *.json; - is standard input",
    )
    parser.add_argument("--container", metavar="NAME", help="only this one: NAME or KIND/NAME/CONTAINER")
    parser.add_argument("--gpu", metavar="PRODUCT", help="GPU, where the pod's node selector does not say it")
    parser.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github: annotations of a pull request (default: %(default)s)",
    )
    parser.add_argument(
        "--fail-on",
        choices=tuple(map(str, Severity)),
        default=str(Severity.ERROR),
        help="exit code 1 for findings of this severity or a worse one (default: %(default)s)",
    )
    return parser
