"""A Git server without sockets: dulwich's own over WSGI, called in place of HTTPS."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import MemoryRepo
from dulwich.server import DictBackend
from dulwich.web import HTTPGitApplication

from inferplan.gitops.credentials import Credentials
from inferplan.gitops.edit.tree import Kind
from inferplan.gitops.https import Answer, HttpsGit
from inferplan.gitops.limits import Limits, Meter
from inferplan.gitops.remote import Remote
from inferplan.gitops.repository import Repository
from inferplan.observe.endpoint import Endpoint

PATH = "/team/apps.git"
REMOTE = Remote("https", Endpoint("git.example.org", None, 443), ("192.0.2.1",), PATH)
MODES = {Kind.FILE: 0o100644, Kind.LINK: 0o120000, Kind.MODULE: 0o160000}


def ref(branch: str) -> Ref:
    return Ref(f"refs/heads/{branch}".encode())


@dataclass
class GitServer:
    """One repository; `before` is called before each request, and may raise or change the repository."""

    repo: MemoryRepo = field(default_factory=MemoryRepo)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    bodies: list[bytes | None] = field(default_factory=list)
    before: Callable[[str, str], Answer | None] = lambda _method, _target: None
    limits: Limits = field(default_factory=Limits)

    def commit(
        self,
        files: Mapping[str, str | bytes],
        branch: str = "main",
        odd: Mapping[str, Kind | tuple[int, bytes]] | None = None,
    ) -> str:
        """A commit with exactly these files on a branch."""
        new: list[Any] = []
        entries = {path: (0o100644, _blob(content, new)) for path, content in files.items()}
        for path, each in (odd or {}).items():
            entries[path] = (
                (MODES[each], _blob(b"target", new)) if isinstance(each, Kind) else (each[0], ObjectID(each[1]))
            )
        tree = _tree(entries, new)
        commit = Commit()
        commit.tree = tree
        commit.parents = [self.repo.refs[ref(branch)]] if ref(branch) in self.repo.refs else []
        commit.author = commit.committer = b"Ada <ada@example.org>"
        commit.author_time = commit.commit_time = 1_700_000_000
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"files\n"
        self.repo.object_store.add_objects([(each, None) for each in (*new, commit)])
        self.repo.refs[ref(branch)] = commit.id
        return commit.id.decode()

    def head(self, branch: str = "main") -> str:
        return self.repo.refs[ref(branch)].decode()

    def log(self, branch: str = "main") -> list[Commit]:
        """Commits of a branch, the newest first."""
        return [entry.commit for entry in self.repo.get_walker([self.repo.refs[ref(branch)]])]

    def files(self, branch: str = "main") -> dict[str, str]:
        """Texts of all files on a branch."""
        commit = self.repo[self.repo.refs[ref(branch)]]
        assert isinstance(commit, Commit)
        store = self.repo.object_store
        return {
            entry.path.decode(): store[entry.sha].as_raw_string().decode()
            for entry in store.iter_tree_contents(commit.tree)
        }

    def repository(
        self, credentials: Credentials | None = None, monotonic: Callable[[], float] = lambda: 0.0
    ) -> Repository:
        def client(meter: Meter) -> HttpsGit:
            return HttpsGit(REMOTE, credentials or Credentials(), self, meter)

        host = str(REMOTE.endpoint)
        return Repository(client, PATH, host, lambda: Meter(self.limits, monotonic, host))

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        self.asked.append((method, target, headers))
        self.bodies.append(body)
        scripted = self.before(method, target)
        if scripted is not None:
            return scripted
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body or b"")),
            "wsgi.input": io.BytesIO(body or b""),
            "HTTP_GIT_PROTOCOL": headers.get("Git-Protocol", ""),
        }
        sent = io.BytesIO()
        told: dict[str, Any] = {}

        def start(status: str, given: list[tuple[str, str]], *_rest: object) -> Callable[[bytes], int]:
            told.update(status=int(status[:3]), headers=dict(given))
            return sent.write

        for part in HTTPGitApplication(DictBackend({PATH: self.repo}))(environ, start):
            sent.write(part)
        sent.seek(0)
        return Answer(told["status"], told["headers"].get("Content-Type", ""), sent.read, lambda: None)


def answer(status: int, content_type: str = "text/html", body: bytes = b"no") -> Answer:
    return Answer(status, content_type, io.BytesIO(body).read, lambda: None)


def _blob(content: str | bytes, new: list[Any]) -> ObjectID:
    blob = Blob.from_string(content.encode() if isinstance(content, str) else content)
    new.append(blob)
    return blob.id


def _tree(entries: Mapping[str, tuple[int, bytes]], new: list[Any]) -> ObjectID:
    tree = Tree()
    folders: dict[str, dict[str, tuple[int, bytes]]] = {}
    for path, entry in entries.items():
        name, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(name, {})[rest] = entry
        else:
            tree.add(name.encode(), entry[0], ObjectID(entry[1]))
    for name, inside in folders.items():
        tree.add(name.encode(), 0o040000, _tree(inside, new))
    new.append(tree)
    return tree.id
