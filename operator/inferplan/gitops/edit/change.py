"""A proposal and a repository's files → which files change, and to what; pure."""

import posixpath
from collections.abc import Iterator, Mapping

from inferplan.gitops.edit.helm import helm_change, is_values
from inferplan.gitops.edit.kustomize import kustomize_change
from inferplan.gitops.edit.layers import KUSTOMIZATIONS
from inferplan.gitops.edit.manifest import Found, Target, containers, documents, is_target, with_words
from inferplan.gitops.edit.tree import Changed, Files, Kind, Tree
from inferplan.gitops.edit.words import is_done
from inferplan.gitops.failures import not_editable, not_found
from inferplan.gitops.port import GitOpsError, Proposal

FILES_MAX = 500
"""Files of a folder that are looked through; an application's folder has tens."""
_ENDINGS = (".yaml", ".yml", ".json")
Change = Mapping[str, bytes]
"""Path → new content."""


def change_of(tree: Tree, path: str, proposal: Proposal) -> Change:
    """What a proposal changes in a repository; nothing where it says that already.

    Args:
        tree: The repository's files.
        path: Where the workload's manifest is: a file, a folder of manifests or an overlay's folder.
        proposal: The proposal.

    Raises:
        GitOpsError: There is no such manifest, it says something else than the proposal was made for, or it cannot be
            edited with certainty.
    """
    change = {name: text.encode() for name, text in _change(Files(tree), path, proposal).items()}
    if change:
        _prove(Changed(tree, change), path, proposal)
    return change


def _prove(tree: Tree, path: str, proposal: Proposal) -> None:
    """Reads the result again: it must say what the proposal asks for, so that nothing is left to change."""
    try:
        left = _change(Files(tree), path, proposal)
    except GitOpsError as error:
        left = {error.message: ""}
    if left:
        raise not_editable(f"{path}: the edited files would not say what they should ({', '.join(left)})")


def _change(files: Files, path: str, proposal: Proposal) -> Mapping[str, str]:
    target = Target(proposal.namespace, proposal.kind, proposal.name, proposal.container)
    kind = files.kind(path)
    if kind is Kind.NOTHING:
        raise not_found(f"{path}: the repository has no such file or folder")
    folder = path if kind is Kind.FOLDER else posixpath.dirname(path)
    if kind is Kind.FILE and posixpath.basename(path) not in KUSTOMIZATIONS:
        contents = documents(path, files.text(path))
        if is_values(contents):
            return helm_change(path, files.text(path), contents, proposal)
        return _plain(files, (path,), target, proposal)
    if any(name in KUSTOMIZATIONS for name in files.names(folder)):
        return kustomize_change(files, folder, target, proposal)
    return _plain(files, tuple(_manifests(files, folder)), target, proposal)


def _manifests(files: Files, folder: str) -> Iterator[str]:
    """Files with manifests in a folder and those below it, as Flux takes them without a kustomization.

    Raises:
        GitOpsError: There are too many.
    """
    waiting, count = [folder], 0
    while waiting:
        place = waiting.pop()
        for name in files.names(place):
            whole = f"{place}/{name}" if place else name
            if name.startswith("."):
                continue
            if files.kind(whole) is Kind.FOLDER:
                waiting.append(whole)
            elif name.endswith(_ENDINGS):
                count += 1
                if count > FILES_MAX:
                    raise not_found(f"{folder}: holds more than {FILES_MAX} files; give the manifest's own path")
                yield whole


def _plain(files: Files, paths: tuple[str, ...], target: Target, proposal: Proposal) -> Mapping[str, str]:
    found = [each for path in paths for each in _in_file(files, path, target, alone=len(paths) == 1)]
    if not found:
        raise not_found(f"{_shown(paths)}: holds no {target} for namespace {target.namespace}")
    if len(found) > 1:
        places = ", ".join(f"{each.path} document {each.document + 1}" for each in found)
        raise not_editable(f"{target} stands in the repository {len(found)} times: {places}")
    return _edited(files, found[0], proposal)


def _in_file(files: Files, path: str, target: Target, *, alone: bool) -> list[Found]:
    """The target in a file; what cannot be read is no manifest of it where there are other files."""
    try:
        return [each for each in containers(path, files.text(path), target) if is_target(each, target)]
    except GitOpsError:
        if alone or target.name in _text_of(files, path):
            raise
        return []


def _text_of(files: Files, path: str) -> str:
    """A file's text; the name it could hold where it cannot be read."""
    try:
        return files.text(path)
    except GitOpsError:
        return ""


def _edited(files: Files, found: Found, proposal: Proposal) -> Mapping[str, str]:
    words = (found.words("command"), found.words("args"))
    if is_done(found.path, words, proposal):
        return {}
    return {found.path: with_words(files.text(found.path), found, proposal.before, proposal.after)}


def _shown(paths: tuple[str, ...]) -> str:
    return posixpath.commonpath(paths) if paths else "the folder"
