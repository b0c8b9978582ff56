"""What the operator needs of a cluster; kube/client.py does it over HTTP, the tests in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inferplan.kube.resources import Document, Resource, Row


@dataclass(frozen=True)
class ApplyOptions:
    """How something is applied.

    Attributes:
        manager: The field manager that it is done as.
        force: Whether fields of other managers are taken over.
        dry_run: Whether the API server only says what would happen.
    """

    manager: str
    force: bool = False
    dry_run: bool = False


class Cluster(Protocol):
    """The API server, as far as the operator uses it. Every method raises `kube.errors.KubeError`."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        """One object."""
        ...

    async def list(self, resource: Resource, namespace: str | None, selector: str = "") -> tuple[Document, ...]:
        """All objects of a namespace, or of the cluster, that the label selector picks."""
        ...

    async def list_metadata(self, resource: Resource, namespace: str | None) -> tuple[Document, ...]:
        """As `list`, with `metadata` alone: what a look at thousands of objects can afford."""
        ...

    async def list_table(self, resource: Resource, namespace: str | None) -> tuple[Row, ...]:
        """As `list`, with what `kubectl get -o wide` prints of each object instead of the object."""
        ...

    async def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> Document:
        """Creates an object; ConflictError when the name is taken. A review is answered and not stored."""
        ...

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], version: str
    ) -> Document:
        """Merges into an object while that is its resourceVersion (RFC 7386); ConflictError when it is not."""
        ...

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any], version: str | None = None
    ) -> Document:
        """Merges into the status subresource (RFC 7386: null removes).

        With `version`, only while that is the object's resourceVersion; ConflictError when it is not.
        """
        ...

    async def apply(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], options: ApplyOptions
    ) -> Document:
        """Server-side apply; OwnedError when other managers own what it sets and `force` is not asked for.

        A `metadata.resourceVersion` in the body binds it: ConflictError when the object has another one.
        """
        ...

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        """Puts an object in the place of the one whose resourceVersion it carries; ConflictError for another one."""
        ...

    async def log(self, namespace: str, pod: str, container: str, lines: int, *, previous: bool) -> str:
        """The last lines that a container wrote, or that its run before this one wrote."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Deletes an object; fine when it is gone already."""
        ...
