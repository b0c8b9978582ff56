"""Files with YAML or JSON documents → documents that know where they stand."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferplan.cli.errors import BadInputError

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BYTES_MAX = 16 * 1024**2  # a manifest is a few KiB; a larger file is a mistake


@dataclass(frozen=True)
class Document:
    """One object in a file.

    Attributes:
        place: For messages: "file.yaml", or "file.yaml: document 2" where there are several.
        content: The object.
    """

    place: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its kind, empty where it has none."""
        return str(self.content.get("kind") or "")

    @property
    def name(self) -> str:
        """metadata.name, empty where it has none."""
        return str(self.metadata.get("name") or "")

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata, empty where it has none."""
        metadata = self.content.get("metadata")
        return metadata if isinstance(metadata, dict) else {}


def read_text(name: str) -> str:
    """A file's text with line ends as Python has them; `-` is standard input.

    Raises:
        BadInputError: It cannot be read, is no UTF-8, or is far too large.
    """
    return read_exact(name).replace("\r\n", "\n").replace("\r", "\n")


def read_exact(name: str) -> str:
    """A file's text, line ends as they stand there; `-` is standard input.

    Raises:
        BadInputError: It cannot be read, is no UTF-8, or is far too large.
    """
    try:
        content = _bytes(name)
        if len(content) > _BYTES_MAX:
            raise BadInputError(f"{name}: larger than {_BYTES_MAX // 1024**2} MiB")
        return content.decode("utf-8")
    except OSError as error:
        raise BadInputError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInputError(f"{name}: no UTF-8 text") from None
    except ValueError as error:  # a name with a zero byte
        raise BadInputError(f"{name!r}: {error}") from None


def _bytes(name: str) -> bytes:
    """What a file holds, up to one byte more than is allowed: a device would never end."""
    if name == "-":
        binary = getattr(sys.stdin, "buffer", None)
        return sys.stdin.read().encode() if binary is None else binary.read(_BYTES_MAX + 1)
    with Path(name).open("rb") as file:
        return file.read(_BYTES_MAX + 1)


def read_documents(names: Sequence[str]) -> tuple[Document, ...]:
    """All objects in the files, lists (`kubectl get -o yaml`) taken apart.

    Raises:
        BadInputError: A file cannot be read, or holds something else.
    """
    return tuple(document for name in names for document in _documents(name))


def _documents(name: str) -> Iterator[Document]:
    contents = [content for content in _loaded(name) if content is not None]
    if not contents:
        raise BadInputError(f"{name}: holds no document")
    for number, content in enumerate(contents, 1):
        place = f"{name}: document {number}" if len(contents) > 1 else name
        yield from _apart(place, content)


def _loaded(name: str) -> list[Any]:
    try:
        return list(yaml.load_all(read_text(name), Loader=_LOADER))
    except yaml.YAMLError as error:
        raise BadInputError(f"{name}: {yaml_problem(error)}") from None
    except (RecursionError, ValueError) as error:  # nested without end; a date such as 2026-99-99
        raise BadInputError(f"{name}: cannot be read as YAML: {error}") from None


def _apart(place: str, content: object) -> Iterator[Document]:
    if not isinstance(content, dict):
        raise BadInputError(f"{place}: holds a {type(content).__name__}, not an object with apiVersion and kind")
    items = content.get("items")
    if content.get("kind") == "List" and isinstance(items, list):
        for number, item in enumerate(items, 1):
            yield from _apart(f"{place}: item {number}", item)
    else:
        yield Document(place, content)


def yaml_problem(error: Exception, lines_before: int = 0) -> str:
    """What PyYAML says of text that it cannot load, in one line.

    Args:
        error: What it raised.
        lines_before: Lines of the file before the text that it was given.
    """
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"line {mark.line + 1 + lines_before}: no YAML: {what}" if mark is not None else f"no YAML: {what}"
