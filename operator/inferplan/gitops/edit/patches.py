"""Patches of a kustomization, and what they make of a container's words; pure.

Strategic merge: `args` and `command` are atomic lists, so that a patch that has them replaces them (Kubernetes API,
Container). JSON patches: RFC 6902. Selectors: kustomize API 0.21, types/selector.go (anchored regular expressions).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.dialects.manifests import Path, sites
from inferplan.dialects.untyped import mapping, scalar, text
from inferplan.gitops.edit.layers import Id, Layer, Step
from inferplan.gitops.edit.manifest import FIELDS, Field, Found, Target, documents
from inferplan.gitops.edit.tree import Files, joined
from inferplan.gitops.failures import not_editable

_CONTAINERS = "/spec/template/spec/containers"
_A_CONTAINER = re.compile(rf"{_CONTAINERS}/[0-9]+")
_SIMPLE = re.compile(r"[A-Za-z0-9.^$|-]*(?:\.\*[A-Za-z0-9.^$|-]*){0,2}")
_LITERAL = re.compile(r"[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Patch:
    """One patch of a layer.

    Attributes:
        path: The file that it stands in.
        inline: Where its text stands in the kustomization; None where it has a file of its own.
        document: Number of the document in its text.
        content: What it holds: a part of an object, or a list of JSON patch operations.
        selector: `target`; None where it names its object itself.
        late: Whether it comes after all patches of the list `patches`.
    """

    path: str
    inline: Path | None
    document: int
    content: Any
    selector: Mapping[str, Any] | None
    late: bool = False

    def hits(self, target: Target, step: Step) -> bool:
        """Whether it changes the target, as far as names tell; labels and annotations are not looked at."""
        if self.selector is not None:
            return _selects(self.selector, target, _selectable(step, late=self.late))
        document = mapping(self.content)
        metadata = mapping(document.get("metadata"))
        own = Id(text(metadata.get("name")), text(metadata.get("namespace")) or "default")
        ids = {Id(each.name, each.namespace or "default") for each in step.ids}
        return document.get("kind") == target.kind and own in ids

    def is_pinned(self, step: Step) -> bool:
        """Whether it can change this one object only."""
        if self.selector is None:
            return True
        name = text(self.selector.get("name"))
        return _LITERAL.fullmatch(name) is not None and any(
            each.name == name for each in _selectable(step, late=self.late)
        )


def patches(files: Files, layer: Layer) -> Iterator[Patch]:
    """A layer's patches in the order in which they are applied.

    Raises:
        GitOpsError: One cannot be read.
    """
    for index, entry in enumerate(layer.listed("patchesStrategicMerge")):
        yield from _of_text(files, layer, text(entry), ("patchesStrategicMerge", index))
    for key in ("patches", "patchesJson6902"):
        for index, entry in enumerate(layer.listed(key)):
            yield from _of_entry(files, layer, mapping(entry), (key, index))


def _of_text(files: Files, layer: Layer, entry: str, place: Path) -> Iterator[Patch]:
    """An entry that is a patch, or the path of one: only a patch has several lines."""
    if "\n" in entry.strip():
        yield from _parts(layer.path, place, entry, None)
    else:
        path = joined(layer.folder, entry)
        yield from _parts(path, None, files.text(path), None)


def _of_entry(files: Files, layer: Layer, entry: Mapping[str, Any], place: Path) -> Iterator[Patch]:
    selector = entry.get("target")
    chosen = selector if isinstance(selector, Mapping) else None
    if text(entry.get("patch")).strip():
        parts = _parts(layer.path, (*place, "patch"), entry["patch"], chosen)
    else:
        path = joined(layer.folder, text(entry.get("path")))
        parts = _parts(path, None, files.text(path), chosen)
    for each in parts:
        yield Patch(each.path, each.inline, each.document, each.content, chosen, late=place[0] == "patchesJson6902")


def _parts(path: str, inline: Path | None, content: str, selector: Mapping[str, Any] | None) -> Iterator[Patch]:
    for number, document in enumerate(documents(path, content)):
        if document is not None:
            yield Patch(path, inline, number, document, selector)


def _selectable(step: Step, *, late: bool) -> tuple[Id, Id]:
    """What selectors look at: how the object was called first, and how it is now (resmap/reswrangler.go, Select).

    Late patches come behind the layer's own names.
    """
    current = step.ids[-1]
    return step.ids[0], step.layer.renamed(current)[-1] if late else current


def _selects(selector: Mapping[str, Any], target: Target, ids: Sequence[Id]) -> bool:
    names, namespaces = {each.name for each in ids}, {each.namespace or "default" for each in ids}
    wanted = {"kind": {target.kind}, "name": names, "namespace": namespaces, "group": {"apps"}, "version": {"v1"}}
    return all(_matches(text(selector.get(key)), values) for key, values in wanted.items())


def _matches(pattern: str, values: set[str]) -> bool:
    """Whether a selector's pattern fits; one that is not simple may fit: better one patch looked at too many.

    Python's regular expressions are not Go's, and one of a repository's choosing could take for ever.
    """
    if not pattern or _SIMPLE.fullmatch(pattern) is None:
        return True
    return any(re.fullmatch(pattern, value) for value in values)


def merged(patch: Patch, target: Target) -> Iterator[Found]:
    """Containers of the target's name in a strategic merge patch.

    Raises:
        GitOpsError: It has directives for the container, which say more than its words.
    """
    for site in sites(patch.content):
        if site.container_name != target.container or site.init:
            continue
        if any(str(key).startswith("$") for key in site.container):
            raise not_editable(f"{patch.path}: a patch has a directive ($patch …) for container {target.container!r}")
        yield Found(patch.path, patch.document, site)


def reordered(patch: Patch, order: tuple[str, ...]) -> tuple[str, ...]:
    """The containers' order behind a patch: those of a strategic merge come first (kyaml merge2, ListPrepend).

    Args:
        patch: The patch.
        order: Names of the containers before it.
    """
    if isinstance(patch.content, list):
        return order
    first = tuple(dict.fromkeys(site.container_name for site in sites(patch.content) if not site.init))
    return (*first, *(name for name in order if name not in first))


def operated(patch: Patch, index: int, words: Mapping[Field, tuple[str, ...]]) -> dict[Field, tuple[str, ...]]:
    """What a JSON patch makes of the words of a container: only of those that it touches.

    Args:
        patch: The patch.
        index: Which of the containers it is.
        words: Its words so far.

    Raises:
        GitOpsError: It does more to the container than to set words.
    """
    result: dict[Field, tuple[str, ...]] = {}
    for operation in patch.content:
        entry = mapping(operation)
        path, name = text(entry.get("path")), text(entry.get("op"))
        if name != "test" and _A_CONTAINER.fullmatch(path):
            raise not_editable(f"{patch.path}: its JSON patch {name!r} at {path} cannot be followed")
        for field in FIELDS:
            own = f"{_CONTAINERS}/{index}/{field}"
            if name == "test" or not _touches(path, own):
                continue
            changed = _after(name, path.removeprefix(own), entry.get("value"), result.get(field, words[field]))
            if changed is None:
                raise not_editable(f"{patch.path}: its JSON patch {name!r} at {path} cannot be followed")
            result[field] = changed
    return result


def _touches(path: str, field: str) -> bool:
    """Whether something at or inside a field, or around it, changes."""
    return path == field or path.startswith(f"{field}/") or field.startswith(f"{path}/")


def _after(name: str, rest: str, value: object, words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Words behind one operation; None where it is not followed. `rest` is its path inside the list."""
    if rest == "" and name in {"add", "replace"} and isinstance(value, list):
        return tuple(map(scalar, value))
    if rest == "" and name == "remove":
        return ()
    if rest == "/-" and name == "add" and isinstance(value, str):
        return (*words, value)
    number = re.fullmatch(r"/([0-9]{1,5})", rest)
    if number is None or int(number[1]) > len(words) or not (name == "remove" or isinstance(value, str)):
        return None
    place = int(number[1])
    behind = {"add": place, "replace": place + 1, "remove": place + 1}.get(name)
    new = () if name == "remove" else (str(value),)
    return None if behind is None else (*words[:place], *new, *words[behind:])
