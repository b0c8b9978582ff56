"""What the operator needs of a cluster; kube/client.py does it over HTTP, the tests in memory."""

from collections.abc import Mapping
from typing import Any, Protocol

from inferplan.kube.resources import Document, Resource, Row


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

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        """Creates an object; ConflictError when the name is taken."""
        ...

    async def patch_status(self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any]) -> Document:
        """Merges into the status subresource (RFC 7386: null removes)."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Deletes an object; fine when it is gone already."""
        ...
