"""A repository's files at one commit, and what of them may be read; pure."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from typing_extensions import override

from inferplan.gitops.failures import not_editable, not_found

FILE_MAX_BYTES = 1024 * 1024
"""A larger file is no manifest that people write; the API server takes objects of 1.5 MiB (etcd's limit)."""

TEXTS_MAX_BYTES = 16 * 1024 * 1024
"""All files together that are read to find one manifest: a minute's parsing is nobody's to have."""

_LFS = b"version https://git-lfs.github.com/spec/"
"""How a pointer of Git LFS begins (git-lfs docs/spec.md)."""


class Kind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    MODULE = "submodule"
    NOTHING = "nothing"


class Tree(Protocol):
    """A repository's files at one commit. Paths have "/" between names; the root is ""."""

    def kind(self, path: str) -> Kind:
        """What stands at a path."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Names in a folder, sorted."""
        ...

    def content(self, path: str) -> bytes | None:
        """A file's content; None where it is larger than FILE_MAX_BYTES."""
        ...


@dataclass(frozen=True)
class Changed:
    """A tree with other contents for some files.

    Attributes:
        tree: The tree.
        files: Path → new content; a new path is a new file in a folder that is there.
    """

    tree: Tree
    files: Mapping[str, bytes]

    def kind(self, path: str) -> Kind:
        """What stands at a path."""
        return Kind.FILE if path in self.files else self.tree.kind(path)

    def names(self, folder: str) -> tuple[str, ...]:
        """Names in a folder, sorted."""
        new = {posixpath.basename(path) for path in self.files if posixpath.dirname(path) == folder}
        return tuple(sorted({*self.tree.names(folder), *new}))

    def content(self, path: str) -> bytes | None:
        """A file's content."""
        return self.files[path] if path in self.files else self.tree.content(path)


class Files:
    """The texts of a tree, as far as they can be edited.

    Args:
        tree: The tree.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._texts: dict[str, str] = {}
        self._bytes = 0

    @override
    def __repr__(self) -> str:
        return f"Files({len(self._texts)} read)"

    def kind(self, path: str) -> Kind:
        """What stands at a path.

        Raises:
            GitOpsError: The path, or a folder on the way to it, is a link or a submodule.
        """
        names = path.split("/") if path else []
        for length in range(1, len(names) + 1):
            part = "/".join(names[:length])
            found = self._tree.kind(part)
            if found in {Kind.LINK, Kind.MODULE}:
                raise not_editable(f"{part}: is a {found}; give the path of the file itself")
        return self._tree.kind(path)

    def names(self, folder: str) -> tuple[str, ...]:
        """Names in a folder, sorted."""
        return self._tree.names(folder)

    def text(self, path: str) -> str:
        """A file's text, every byte of it kept.

        Raises:
            GitOpsError: There is none, or none that may be edited.
        """
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str:
        if self.kind(path) is not Kind.FILE:
            raise not_found(f"{path}: the repository has no such file")
        content = self._tree.content(path)
        if content is None or len(content) > FILE_MAX_BYTES:
            raise not_editable(f"{path}: is larger than {FILE_MAX_BYTES // 1024} KiB")
        if content.startswith(_LFS):
            raise not_editable(f"{path}: is kept in Git LFS; only its pointer stands in the repository")
        self._bytes += len(content)
        if self._bytes > TEXTS_MAX_BYTES:
            raise not_found(
                f"{path}: more than {TEXTS_MAX_BYTES // 1024**2} MiB of files; give the manifest's own path"
            )
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise not_editable(f"{path}: is no UTF-8 text") from None


def joined(folder: str, path: str) -> str:
    """A path that a file in a folder names, from the repository's root.

    Raises:
        GitOpsError: It leads out of the repository.
    """
    whole = posixpath.normpath(posixpath.join(folder, path))
    if path.startswith("/") or whole == ".." or whole.startswith("../"):
        raise not_editable(f"{folder or '.'}: {path[:256]!r} leads out of the repository")
    return "" if whole == "." else whole
