"""Files and folders with manifests → documents, and what of them is no manifest: what can be read, is.

Other commands want one instance and its objects, so that a bad file ends them (documents.py). Here the files are
whatever lies in a repository: templates beside manifests, values beside charts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from inferplan.cli.documents import read_exact, yaml_problem
from inferplan.cli.errors import BadInputError
from inferplan.dialects.report import Source
from inferplan.dialects.words import Unreadable, UnreadableCode

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_MERGED_MAX = 10_000  # keys of one mapping; only chains of merge keys that multiply have more
_CANNOT_LOAD = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)
"""What PyYAML raises for text that it cannot load: besides its own errors those of int(), of dates and of hashing."""
_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_BASE: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc,valid-type]  # one of two classes with the same methods
    """PyYAML's safe loader, with an end to merge keys that multiply."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MERGED_MAX:
            raise yaml.constructor.ConstructorError(None, None, "merge keys without end", node.start_mark)


@dataclass(frozen=True)
class FileDocument:
    """A document of a file.

    Attributes:
        index: Its number in the file's YAML stream, from 0; -1 where the stream as a whole is no YAML.
        source: Its place and content.
    """

    index: int
    source: Source


@dataclass(frozen=True)
class ManifestFile:
    """A file that was read.

    Attributes:
        name: As given, or as found in a folder.
        text: Its text, line ends included.
        named: Whether it was given by name, and not found in a folder.
        documents: What it holds.
        problems: What of it could not be read.
    """

    name: str
    text: str = field(repr=False)
    named: bool
    documents: tuple[FileDocument, ...] = field(default=(), repr=False)
    problems: tuple[Unreadable, ...] = ()


def read_manifests(names: Sequence[str]) -> tuple[ManifestFile, ...]:
    """The files, and those in the folders (`*.yaml`, `*.yml`, `*.json`, not in folders below).

    A file that cannot be read is there with the reason.
    """
    return tuple(_read(path, named=named) for name in names for path, named in _paths(name))


def _paths(name: str) -> Iterator[tuple[str, bool]]:
    folder = Path(name)
    if name == "-" or not folder.is_dir():
        yield name, True
        return
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as error:
        raise BadInputError(f"{name}: {error.strerror}") from None
    if not found:
        raise BadInputError(f"{name}: a folder without *.yaml, *.yml or *.json")
    yield from ((str(path), False) for path in found)


def _read(name: str, *, named: bool) -> ManifestFile:
    try:
        text = read_exact(name)
    except BadInputError as error:
        problem = Unreadable(UnreadableCode.NOT_YAML, name, str(error).removeprefix(f"{name}: "))
        return ManifestFile(name, "", named, problems=(problem,))
    return parsed(name, text, named=named)


def parsed(name: str, text: str, *, named: bool) -> ManifestFile:
    """A file's text, read.

    Args:
        name: The file's name.
        text: Its text.
        named: Whether it was given by name.
    """
    file = ManifestFile(name, text, named)
    found = list(contents_of(text))
    contents = [(index, content) for index, content in found if not isinstance(content, Unreadable)]
    problems = _distinct(replace(content, where=name) for _, content in found if isinstance(content, Unreadable))
    documents = []
    for number, (index, content) in enumerate(contents, 1):
        place = f"{name}: document {number}" if len(found) > 1 else name
        documents.append(FileDocument(index, Source(place, content)))
    if not found:
        problems = [Unreadable(UnreadableCode.NO_CONTAINERS, name, "holds no document")]
    return replace(file, documents=tuple(documents), problems=tuple(problems))


def _distinct(problems: Iterable[Unreadable]) -> list[Unreadable]:
    """All that is no YAML, and the first sign of a template: every part of a template has one."""
    found: list[Unreadable] = []
    for problem in problems:
        again = problem.code is UnreadableCode.HELM_TEMPLATE and any(each.code is problem.code for each in found)
        found += [] if again else [problem]
    return found


def contents_of(text: str) -> Iterator[tuple[int, Any]]:
    """Number and content of every document; where the text as a whole is no YAML, of those that are.

    What is no YAML comes as Unreadable, so that it counts among the documents.
    """
    try:
        yield from ((index, content) for index, content in enumerate(_loaded(text)) if content is not None)
    except _CANNOT_LOAD:
        yield from _one_by_one(text)


def _loaded(text: str) -> list[Any]:
    if text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:  # JSON may be indented with tabs, which YAML does not take
        try:
            return [json.loads(text.lstrip("\ufeff"))]
        except (ValueError, RecursionError):
            pass
    return list(yaml.load_all(text, Loader=_Loader))


def _one_by_one(text: str) -> Iterator[tuple[int, Any]]:
    """The documents apart: a line `---` begins one wherever it stands, in a block of text too (YAML 1.2, 9.1.4)."""
    starts = [0, *(match.start() for match in _DOCUMENT_START.finditer(text) if match.start())]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        try:
            yield from ((-1, content) for content in _loaded(part) if content is not None)
        except _CANNOT_LOAD as error:
            yield -1, _problem(part, error, text.count("\n", 0, start))


def _problem(part: str, error: Exception, lines_before: int) -> Unreadable:
    what = yaml_problem(error, lines_before)
    if "{{" in part:
        return Unreadable(
            UnreadableCode.HELM_TEMPLATE,
            "",
            f"a template, of Helm or another tool; render it first, or fill it in ({what})",
        )
    return Unreadable(UnreadableCode.NOT_YAML, "", what)
