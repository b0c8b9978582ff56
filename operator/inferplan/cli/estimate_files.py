"""Files with many instances → each instance with what belongs to it, in order; a bad document loses only itself."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import GROUP, INFERENCE_INSTANCE, OPTIMIZATION_PLAN
from inferplan.cli.documents import Document, read_exact
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import KNOWN_KINDS, Note
from inferplan.cli.manifest_files import contents_of
from inferplan.dialects.words import Unreadable
from inferplan.web.problems import nearest, shown

_VALUES_MAX = 1_000_000  # in one document, aliases followed; a thousand times what any model's config.json holds


@dataclass(frozen=True)
class Refused:
    """A document, or a file, of which nothing can be used; `reason` says where and why."""

    reason: str


@dataclass(frozen=True)
class Files:
    """What the files hold.

    Attributes:
        entries: Instances, and what cannot be used, in order.
        others: Documents of other kinds, by kind and name.
    """

    entries: tuple[Document | Refused, ...]
    others: Mapping[str, Mapping[str, Sequence[Document]]]

    def beside(self, instance: Document) -> list[Document]:
        """Documents that may belong to an instance: its workload, all ConfigMaps and all Nodes."""
        spec = instance.content.get("spec")
        ref = spec.get("targetRef") if isinstance(spec, dict) else None
        name = str(ref.get("name")) if isinstance(ref, dict) else ""
        workloads = [entry for kind in ("Deployment", "StatefulSet") for entry in self._of(kind).get(name, ())]
        rest = [entry for kind in ("ConfigMap", "Node") for named in self._of(kind).values() for entry in named]
        return [*workloads, *rest]

    def _of(self, kind: str) -> Mapping[str, Sequence[Document]]:
        return self.others.get(kind, {})


def read_files(names: Sequence[str], note: Note) -> Files:
    """Reads all files; what is neither an instance nor of use for one is told by `note`.

    Raises:
        BadInputError: No file holds an instance, nor anything that is broken and could have been one.
    """
    entries: list[Document | Refused] = []
    others: dict[str, dict[str, list[Document]]] = defaultdict(lambda: defaultdict(list))
    for found in (entry for name in names for entry in _in_file(name)):
        if isinstance(found, Refused) or found.kind == INFERENCE_INSTANCE.kind:
            entries.append(found)
        elif found.kind in KNOWN_KINDS:
            others[found.kind][found.name].append(found)
        else:
            note(f"{found.place}: {found.kind} is not needed and left out")
    if not entries:
        kinds = ", ".join(sorted(others)) or "nothing of use"
        raise BadInputError(f"no file holds an {INFERENCE_INSTANCE.kind} (found: {kinds})")
    return Files(tuple(entries), others)


def _in_file(name: str) -> Iterator[Document | Refused]:
    try:
        contents = [content for _, content in contents_of(read_exact(name))]
    except BadInputError as error:
        yield Refused(str(error))
        return
    if not contents:
        yield Refused(f"{name}: holds no document")
    for number, content in enumerate(contents, 1):
        place = f"{name}: document {number}" if len(contents) > 1 else name
        yield from _apart(place, content)


def _apart(place: str, content: object) -> Iterator[Document | Refused]:
    """A list as kubectl writes it taken apart, everything else as it is."""
    problem = _problem(content)
    if problem is not None:
        yield Refused(f"{place}: {problem}")
        return
    items = content.get("items") if isinstance(content, dict) and content.get("kind") == "List" else None
    if isinstance(items, list):
        for number, item in enumerate(items, 1):
            yield _usable(f"{place}: item {number}", item)
    else:
        yield _usable(place, content)


def _problem(content: object) -> str | None:
    if isinstance(content, Unreadable):
        return content.reason
    try:
        size = _values(content, {})
    except RecursionError:
        return "is nested without end"
    return f"holds more than {_VALUES_MAX:,} values" if size > _VALUES_MAX else None


def _values(content: object, known: dict[int, int]) -> int:
    """How many values a document holds, aliases followed. One that holds itself never ends: RecursionError."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        inside = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_values(value, known) for value in inside)
    return known[id(content)]


def _usable(place: str, content: Any) -> Document | Refused:  # noqa: ANN401  whatever a file holds
    if not isinstance(content, dict):
        return Refused(f"{place}: holds a {type(content).__name__}, not an object with apiVersion and kind")
    document = Document(place, content)
    if document.kind in KNOWN_KINDS or not _meant(document):
        return document
    hint = nearest(document.kind, (INFERENCE_INSTANCE.kind,))
    return Refused(f"{place}: kind: {shown(content.get('kind'))} is not {INFERENCE_INSTANCE.kind}{hint}")


def _meant(document: Document) -> bool:
    """Whether a document of no known kind was meant as an instance: by its API group, its spelling, or no kind."""
    own = str(document.content.get("apiVersion")).startswith(GROUP) and document.kind != OPTIMIZATION_PLAN.kind
    return own or not document.kind or bool(nearest(document.kind, (INFERENCE_INSTANCE.kind,)))
