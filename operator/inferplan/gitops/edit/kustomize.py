"""A container that Kustomize puts together → which files of the overlay change; pure.

Only files of the overlay that `git.path` names change: its own manifest, its own patch, or a patch that is added. A
base may be that of other overlays too, and stays as it is.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from inferplan.dialects.manifests import Path, sites
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_edit.writing import written
from inferplan.dialects.yaml_text import StringEdit, edit_text
from inferplan.gitops.edit.adding import add_entry, at
from inferplan.gitops.edit.layers import Built, Step, overlay
from inferplan.gitops.edit.manifest import FIELDS, Field, Found, Target, documents, with_field
from inferplan.gitops.edit.patches import Patch, merged, operated, patches, reordered
from inferplan.gitops.edit.tree import Files, Kind
from inferplan.gitops.edit.words import Words, is_done
from inferplan.gitops.failures import not_editable
from inferplan.gitops.port import Proposal


@dataclass(frozen=True)
class _Place:
    """Where the overlay itself says a field.

    Attributes:
        found: The container in a file, or in an inline patch's text.
        inline: Where that text stands in the kustomization; None in a file.
    """

    found: Found
    inline: Path | None = None


@dataclass(frozen=True)
class _Said:
    """A field's words, and where they can be edited; None where that is nowhere in the overlay."""

    words: Words
    place: _Place | None


_Fields = dict[Field, _Said]


def kustomize_change(files: Files, folder: str, target: Target, proposal: Proposal) -> Mapping[str, str]:
    """What a proposal changes of an overlay; nothing where it says that already.

    Args:
        files: The repository's files.
        folder: The overlay's folder.
        target: The container.
        proposal: The proposal.

    Raises:
        GitOpsError: It has no such container, it says something else, or cannot be edited with certainty.
    """
    built = overlay(files, folder, target)
    said = _said(files, built, target)
    outer = built.steps[-1]
    if is_done(outer.layer.path, (said["command"].words, said["args"].words), proposal):
        return {}
    texts: dict[str, str] = {}
    missing: dict[Field, Words] = {}
    for field in FIELDS:
        old, new = said[field].words, getattr(proposal.after, field)
        place = said[field].place
        if old != new and place is None:
            missing[field] = new
        elif old != new and place is not None:
            path = place.found.path
            texts[path] = _edited(texts.get(path) or files.text(path), place, field, (old, new))
    return {**texts, **_added(files, outer, target, missing, texts)} if missing else texts


def _said(files: Files, built: Built, target: Target) -> _Fields:
    """The container's fields as they come out of all layers."""
    outermost = built.steps[-1].layer
    own = _Place(built.found) if built.owner == outermost.folder else None
    said: _Fields = {field: _Said(built.found.words(field), own) for field in FIELDS}
    order = _base_order(files, built.found)
    for step in built.steps:
        for patch in patches(files, step.layer):
            if patch.hits(target, step):
                editable = step.layer is outermost and patch.is_pinned(step)
                said = _patched(said, patch, order.index(target.container), target, editable=editable)
                order = reordered(patch, order)
                _check_late(patch, said, step, last=step.layer is outermost)
    return said


def _base_order(files: Files, found: Found) -> tuple[str, ...]:
    """Names of the containers beside one, as its manifest has them."""
    content = documents(found.path, files.text(found.path))[found.document]
    return tuple(site.container_name for site in sites(content) if site.path[:-1] == found.site.path[:-1])


def _patched(said: _Fields, patch: Patch, index: int, target: Target, *, editable: bool) -> _Fields:
    if isinstance(patch.content, list):
        words = operated(patch, index, {key: each.words for key, each in said.items()})
        return {key: _Said(words[key], None) if key in words else each for key, each in said.items()}
    for found in merged(patch, target):
        place = _Place(found, patch.inline) if editable else None
        said = {key: _Said(found.words(key), place) if found.says(key) else each for key, each in said.items()}
    return said


def _check_late(patch: Patch, said: _Fields, step: Step, *, last: bool) -> None:
    """Refuses words that an added patch could not change, because patchesJson6902 come after it.

    Raises:
        GitOpsError: These are such words.
    """
    sets = patch.late and last and any("/containers/" in str(entry) for entry in patch.content)
    if sets and any(each.place is None for each in said.values()):
        raise not_editable(f"{step.layer.path}: patchesJson6902 sets the container's words; move it into patches")


def _edited(text: str, place: _Place, field: Field, words: tuple[Words, Words]) -> str:
    if place.inline is None:
        return with_field(text, place.found, field, words)
    inner = at(documents(place.found.path, text)[0], place.inline)
    new = with_field(inner, place.found, field, words)
    start = len(posixpath.commonprefix((inner, new)))
    end = len(posixpath.commonprefix((inner[start:][::-1], new[start:][::-1])))
    edit = StringEdit(0, place.inline, start, len(inner) - end, new[start : len(new) - end])
    result = edit_text(text, [edit])
    if isinstance(result, NotEditable):
        raise not_editable(f"{place.found.path}: {result.reason}")
    return result


def _added(
    files: Files, outer: Step, target: Target, fields: Mapping[Field, Words], texts: Mapping[str, str]
) -> Mapping[str, str]:
    """A new patch in the overlay, and its line in the kustomization."""
    layer, name = outer.layer, f"inferplan-{target.name}-{target.container}.yaml"
    path = posixpath.join(layer.folder, name)
    if files.kind(path) is not Kind.NOTHING:
        raise not_editable(f"{path}: is there already, and does not set the container's words in {layer.path}")
    result = add_entry(texts.get(layer.path) or files.text(layer.path), "patches", "path", name)
    if isinstance(result, NotEditable):
        raise not_editable(f"{layer.path}: {result.reason}")
    return {path: _patch_text(outer, target, fields), layer.path: result}


def _patch_text(outer: Step, target: Target, fields: Mapping[Field, Words]) -> str:
    current = outer.ids[-1]
    lines = [
        f"# Arguments that InferPlan proposed for container {target.container}; a patch like any other.",
        "apiVersion: apps/v1",
        f"kind: {target.kind}",
        "metadata:",
        f"  name: {_plain(current.name)}",
        *([f"  namespace: {_plain(current.namespace)}"] if current.namespace else []),
        "spec:",
        "  template:",
        "    spec:",
        "      containers:",
        f"        - name: {_plain(target.container)}",
    ]
    for field, words in fields.items():
        lines += [f"          {field}:", *(f"            - {_plain(word)}" for word in words)]
    return "\n".join((*lines, ""))


def _plain(word: str) -> str:
    return written(word, "", in_flow=False)
