"""A branch's newest commit as files, out of the pack that a server sent; nothing is unpacked that nobody asks for."""

import io
import stat
import weakref
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dulwich.errors import ApplyDeltaError
from dulwich.object_format import SHA1
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import MemoryPackIndex, Pack, PackData, UnresolvedDeltas, read_pack_header_at

from inferplan.gitops.edit.tree import FILE_MAX_BYTES, Kind
from inferplan.gitops.failures import not_editable, refused

_FILE_MODE = 0o100644
_FOLDER_MODE = 0o040000
_DAMAGED = (AssertionError, ValueError, LookupError, OSError, EOFError, zlib.error, ApplyDeltaError, UnresolvedDeltas)
"""What dulwich raises for a pack that is none."""
Entry = tuple[int, ObjectID]
"""Mode and object of a name in a folder."""


@dataclass(frozen=True)
class Author:
    """Who a commit is by, and when.

    Attributes:
        name: Name.
        email: E-mail address.
        seconds: Seconds since 1970.
    """

    name: str
    email: str
    seconds: int

    @property
    def identity(self) -> bytes:
        """As commits have it."""
        return f"{self.name} <{self.email}>".encode()


class Objects:
    """Objects of a pack.

    Args:
        pack: What the server sent.
        objects_max: How many objects it may hold.
        host: Who sent it, for messages.

    Raises:
        GitOpsError: It holds more, or is damaged.
    """

    def __init__(self, pack: bytes, objects_max: int, host: str) -> None:
        try:
            count = read_pack_header_at(pack)[1]
            if count > objects_max:
                raise refused(f"{host}: the commit has {count} objects, more than {objects_max}")
            data = PackData.from_file(io.BytesIO(pack), SHA1, len(pack))
            weakref.finalize(self, data.close)
            self._pack = Pack.from_objects(data, MemoryPackIndex.for_pack(data))
            weakref.finalize(self, self._pack.close)
        except _DAMAGED as error:
            raise refused(f"{host}: sent a pack that cannot be read ({type(error).__name__})") from None

    def get(self, name: ObjectID) -> ShaFile | None:
        """An object; None where the pack does not have it."""
        try:
            return self._pack[name]
        except KeyError:
            return None


class Snapshot:
    """A commit's files. Implements `edit.tree.Tree`.

    Args:
        commit: The commit's name.
        objects: Its objects.
        host: The server, for messages.

    Raises:
        GitOpsError: The commit is not among the objects.
    """

    def __init__(self, commit: ObjectID, objects: Objects, host: str) -> None:
        found = objects.get(commit)
        if not isinstance(found, Commit):
            raise refused(f"{host}: did not send commit {commit.decode()}")
        self.commit = commit
        self._root: ObjectID = found.tree
        self._objects = objects
        self._folders: dict[str, Mapping[bytes, Entry]] = {}

    def kind(self, path: str) -> Kind:
        """What stands at a path."""
        if not path:
            return Kind.FOLDER
        entry = self._entry(path)
        if entry is None:
            return Kind.NOTHING
        for test, kind in ((stat.S_ISDIR, Kind.FOLDER), (stat.S_ISLNK, Kind.LINK), (stat.S_ISREG, Kind.FILE)):
            if test(entry[0]):
                return kind
        return Kind.MODULE

    def names(self, folder: str) -> tuple[str, ...]:
        """Names in a folder, sorted; those that are no UTF-8 are left out."""
        return tuple(
            sorted(name for raw in self._folder(folder) if (name := raw.decode("utf-8", "ignore")).encode() == raw)
        )

    def content(self, path: str) -> bytes | None:
        """A file's content; None where it is too large, and so was not sent either."""
        entry = self._entry(path)
        blob = self._objects.get(entry[1]) if entry is not None else None
        return blob.data if isinstance(blob, Blob) and len(blob.data) <= FILE_MAX_BYTES else None

    def committed(
        self, change: Mapping[str, bytes], author: Author, message: str
    ) -> tuple[ObjectID, Sequence[ShaFile]]:
        """A commit on top of this one, and all objects that are new with it.

        Args:
            change: Path → new content; a file keeps its mode.
            author: Who commits.
            message: The commit's message.
        """
        new: list[ShaFile] = []
        tree = self._rebuilt("", {tuple(path.split("/")): content for path, content in change.items()}, new)
        commit = Commit()
        commit.tree = tree
        commit.parents = [self.commit]
        commit.author = commit.committer = author.identity
        commit.author_time = commit.commit_time = author.seconds
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = message.encode()
        new.append(commit)
        return commit.id, new

    def _rebuilt(self, folder: str, change: Mapping[tuple[str, ...], bytes], new: list[ShaFile]) -> ObjectID:
        """The folder's tree with changed files; names stay as the server has them."""
        tree = Tree()
        entries = dict(self._folder(folder))
        for name in dict.fromkeys(path[0] for path in change):
            inside = {path[1:]: content for path, content in change.items() if path[0] == name}
            mode, _ = entries.get(name.encode(), (_FILE_MODE, b""))
            if () in inside:
                blob = Blob.from_string(inside[()])
                new.append(blob)
                entries[name.encode()] = (mode, blob.id)
            else:
                below = self._rebuilt(f"{folder}/{name}" if folder else name, inside, new)
                entries[name.encode()] = (_FOLDER_MODE, below)
        for raw, (mode, name_of_object) in entries.items():
            tree.add(raw, mode, name_of_object)
        new.append(tree)
        return tree.id

    def _entry(self, path: str) -> Entry | None:
        folder, _, name = path.rpartition("/")
        if folder and self.kind(folder) is not Kind.FOLDER:
            return None
        return self._folder(folder).get(name.encode())

    def _folder(self, folder: str) -> Mapping[bytes, Entry]:
        if folder not in self._folders:
            entry = (_FOLDER_MODE, self._root) if not folder else self._entry(folder)
            tree = self._objects.get(entry[1]) if entry is not None else None
            if not isinstance(tree, Tree):
                raise not_editable(f"{folder or '.'}: the repository did not send this folder")
            self._folders[folder] = {item.path: (item.mode, item.sha) for item in tree.iteritems()}
        return self._folders[folder]
