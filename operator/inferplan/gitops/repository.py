"""A repository on its server: branches fetched, commits pushed, never over somebody else's. Blocking; runs in a thread.

dulwich's send_pack is a forced push by itself: what the branch is now is compared with what the commit was made on,
in the same conversation whose answer the server compares once more before it moves the branch.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass

from dulwich.client import GitClient
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref

from inferplan.gitops.edit.tree import FILE_MAX_BYTES
from inferplan.gitops.failures import denied, refused, unreachable
from inferplan.gitops.limits import Meter
from inferplan.gitops.snapshot import Objects, Snapshot

_SAID_MAX = 200


class MovedError(Exception):
    """The branch is not any more what the commit was made on."""


@dataclass(frozen=True)
class Repository:
    """One repository.

    Attributes:
        client: Opens conversations with its server.
        path: Its path there.
        host: The server, for messages.
        meter: What a conversation may take.
    """

    client: Callable[[Meter], GitClient]
    path: str
    host: str
    meter: Callable[[], Meter]

    def fetch(self, *branches: str) -> Mapping[str, Snapshot]:
        """The newest commits of those branches that are there, without their history.

        Raises:
            GitOpsError: The server does not answer properly, does not let us in, or sends too much.
        """
        meter = self.meter()
        pack = bytearray()
        heads: dict[str, ObjectID] = {}

        def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            del depth
            heads.update({name: refs[_ref(name)] for name in branches if _ref(name) in refs})
            return list(dict.fromkeys(heads.values()))

        def take(data: bytes) -> int:
            pack.extend(data)
            return len(data)

        walker = ObjectStoreGraphWalker([], lambda _: [], shallow=set())
        with _telling(self.host), closing(self.client(meter)) as client:
            client.fetch_pack(
                self.path,
                wants,
                walker,
                take,
                depth=1,
                ref_prefix=[_ref(name) for name in branches],
                filter_spec=f"blob:limit={FILE_MAX_BYTES + 1}".encode(),
            )
        if not heads:
            return {}
        objects = Objects(bytes(pack), meter.limits.objects, self.host)
        return {name: Snapshot(commit, objects, self.host) for name, commit in heads.items()}

    def push(self, branch: str, base: ObjectID | None, commit: ObjectID, objects: Sequence[ShaFile]) -> None:
        """Moves one branch to a new commit.

        Args:
            branch: Which branch.
            base: The commit that it must be at; None where it must not be there.
            commit: The new commit.
            objects: All objects that are new with it.

        Raises:
            MovedError: It is somewhere else.
            GitOpsError: The server does not take it, or does not answer properly.
        """
        moved = False

        def update(found: Mapping[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            nonlocal moved
            moved = found.get(_ref(branch)) != base
            return {} if moved else {_ref(branch): commit}

        def packed(
            have: AbstractSet[ObjectID], want: AbstractSet[ObjectID], **_options: object
        ) -> tuple[int, Iterator[UnpackedObject]]:
            del have, want
            return pack_objects_to_data(list(objects))

        with _telling(self.host), closing(self.client(self.meter())) as client:
            result = client.send_pack(self.path.encode(), update, packed)
        if moved:
            raise MovedError
        said = (result.ref_status or {}).get(_ref(branch))
        if result.ref_status is None or said is not None:
            self._look(branch, base, commit, said or "it does not say whether it did")

    def _look(self, branch: str, base: ObjectID | None, commit: ObjectID, said: str) -> None:
        """Looks where a branch is that the server did not say it has moved."""
        now = self.fetch(branch).get(branch)
        at = now.commit if now is not None else None
        if at == commit:
            return
        if at != base:
            raise MovedError
        raise refused(f"{self.host}: does not take a push to branch {branch}: {_line(said)}")


def _ref(branch: str) -> Ref:
    return Ref(f"refs/heads/{branch}".encode())


def _line(text: str) -> str:
    """What a server said, on one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_SAID_MAX]


@contextmanager
def _telling(host: str) -> Iterator[None]:
    """Turns what Git's protocol and the network raise into GitOpsError."""
    try:
        yield
    except HangupException as error:
        said = b" ".join(error.stderr_lines or ()).decode("utf-8", "replace")
        if said.strip():
            raise denied(f"{host}: ends the conversation: {_line(said)}") from None
        raise unreachable(f"{host}: ends the conversation") from None
    except NotGitRepository:
        raise denied(f"{host}: has no such repository, or the credentials do not reach it") from None
    except GitProtocolError as error:
        raise refused(f"{host}: {_line(str(error))}") from None
    except (OSError, EOFError) as error:
        raise unreachable(f"{host}: the connection broke ({type(error).__name__})") from None
    except (ValueError, LookupError, AssertionError, TypeError, zlib.error) as error:
        raise refused(f"{host}: what it answers is no Git that can be read ({type(error).__name__})") from None
