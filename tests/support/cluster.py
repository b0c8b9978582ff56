"""A cluster in memory: implements `kube.port.Cluster`, keeps resource versions, records every write."""

import copy
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inferplan.api.kinds import KINDS
from inferplan.kube.errors import ConflictError, ForbiddenError, KubeError, NotFoundError, OwnedError
from inferplan.kube.port import ApplyOptions
from inferplan.kube.resources import (
    ACCESS_REVIEWS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    INSTANCES,
    LEASES,
    NODES,
    PLANS,
    PODS,
    STATEFUL_SETS,
    TOKEN_REVIEWS,
    Document,
    Resource,
    Row,
)

Place = tuple[str, str, str]
_BY_KIND = {
    resource.kind: resource
    for resource in (INSTANCES, PLANS, DEPLOYMENTS, STATEFUL_SETS, PODS, NODES, CONFIG_MAPS, EVENTS)
} | {resource.kind: resource for resource in (LEASES, DISRUPTION_BUDGETS)}


@dataclass
class FakeCluster:
    """Objects by resource, namespace and name.

    Attributes:
        writes: Every write that changed something, as (verb, resource, name).
        patches: The body of every status patch.
        calls: Every call, as (verb, resource).
        denied: Calls (verb, resource) that are forbidden.
        broken: Calls (verb, resource) that raise this error.
        owners: Field managers of a workload's arguments, by its name.
        logs: What a pod's engine wrote, by the pod's name.
        reviewer: Gives the status of a review.
    """

    writes: list[tuple[str, str, str]] = field(default_factory=list)
    patches: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    denied: set[tuple[str, str]] = field(default_factory=set)
    broken: dict[tuple[str, str], KubeError] = field(default_factory=dict)
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    reviewer: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {}
    _objects: dict[Place, Document] = field(default_factory=dict)
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    def put(self, *documents: Mapping[str, Any]) -> None:
        """Puts objects there as a user would; a changed spec is a new generation."""
        for document in documents:
            resource = _BY_KIND[document["kind"]]
            meta = document["metadata"]
            place = (resource.plural, meta.get("namespace", ""), meta["name"])
            before = self._objects.get(place, {})
            kept = {key: before[key] for key in ("status",) if key in before}
            fresh = copy.deepcopy({**kept, **document})
            self._stamp(fresh, before)
            self._objects[place] = fresh

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Deletes as a user would: what it owns is collected."""
        gone = self._objects.pop((resource.plural, namespace, name))
        uid = gone["metadata"]["uid"]
        owned = [place for place, document in self._objects.items() if _is_owned(document, uid)]
        for place in owned:
            del self._objects[place]

    def all(self, resource: Resource) -> list[Document]:
        """Every object of a resource, by name."""
        places = sorted(place for place in self._objects if place[0] == resource.plural)
        return [self._objects[place] for place in places]

    def one(self, resource: Resource, namespace: str, name: str) -> Document:
        """One object."""
        return self._objects[(resource.plural, namespace, name)]

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        self._called("get", resource.plural)
        return copy.deepcopy(self._found(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str | None, selector: str = "") -> tuple[Document, ...]:
        self._called("list", resource.plural)
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        return tuple(
            copy.deepcopy(document)
            for document in self.all(resource)
            if namespace in {None, document["metadata"].get("namespace")}
            and wanted.items() <= document["metadata"].get("labels", {}).items()
        )

    async def list_metadata(self, resource: Resource, namespace: str | None) -> tuple[Document, ...]:
        return tuple({"metadata": document["metadata"]} for document in await self.list(resource, namespace))

    async def list_table(self, resource: Resource, namespace: str | None) -> tuple[Row, ...]:
        columns = next(kind.columns for kind in KINDS if kind.plural == resource.plural)
        return tuple(
            Row(document["metadata"], {column.name: _printed(document, column.json_path) for column in columns})
            for document in await self.list(resource, namespace)
        )

    async def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> Document:
        self._called("create", resource.plural)
        if resource in {TOKEN_REVIEWS, ACCESS_REVIEWS}:
            return {**body, "status": self.reviewer(body)}
        name = body["metadata"]["name"]
        if (resource.plural, namespace, name) in self._objects:
            raise ConflictError(f"{resource.plural} {name} already exists")
        self.put(body)
        self.writes.append(("create", resource.plural, name))
        return copy.deepcopy(self.one(resource, namespace or "", name))

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], version: str
    ) -> Document:
        self._called("patch", resource.plural)
        old = self._found(resource, namespace, name)
        if old["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"409: {resource.plural} {name} was changed meanwhile")
        self.put(_merged(old, body))
        self.writes.append(("patch", resource.plural, name))
        return copy.deepcopy(self.one(resource, namespace, name))

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any], version: str | None = None
    ) -> Document:
        self._called("patch", f"{resource.plural}/status")
        document = self._found(resource, namespace, name)
        if version is not None and document["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"409: {resource.plural} {name} was changed meanwhile")
        document["status"] = _merged(document.get("status", {}), status)
        document["metadata"]["resourceVersion"] = str(next(self._versions))
        self.writes.append(("patch", f"{resource.plural}/status", name))
        self.patches.append(dict(status))
        return copy.deepcopy(document)

    async def apply(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], options: ApplyOptions
    ) -> Document:
        """Of containers only command and args; `owners` names who else owns them."""
        self._called("patch", resource.plural)
        name, meta = body["metadata"]["name"], body["metadata"]
        old = self._found(resource, namespace, name)
        if meta.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise ConflictError(f"409: {resource.plural} {name} was changed meanwhile")
        others = tuple(manager for manager in self.owners.get(name, ()) if manager != options.manager)
        if others and not options.force:
            raise OwnedError("409: conflicts", others)
        new = copy.deepcopy(old)
        new["metadata"]["annotations"] = {**new["metadata"].get("annotations", {}), **meta.get("annotations", {})}
        for container in body["spec"]["template"]["spec"]["containers"]:
            containers = new["spec"]["template"]["spec"]["containers"]
            own = next(entry for entry in containers if entry["name"] == container["name"])
            own.update(copy.deepcopy(container))
        if options.dry_run:
            return new
        self.owners[name] = (options.manager,)
        self.put(new)
        self.writes.append(("apply", resource.plural, name))
        return copy.deepcopy(self.one(resource, namespace, name))

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        self._called("update", resource.plural)
        name = body["metadata"]["name"]
        old = self._found(resource, namespace, name)
        if body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise ConflictError(f"409: {resource.plural} {name} was changed meanwhile")
        self.put(body)
        self.writes.append(("update", resource.plural, name))
        return copy.deepcopy(self.one(resource, namespace, name))

    async def log(self, namespace: str, pod: str, container: str, lines: int, *, previous: bool) -> str:
        del container, previous
        self._called("get", "pods/log")
        self._found(PODS, namespace, pod)
        return "\n".join(self.logs.get(pod, "").splitlines()[-lines:])

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self._called("delete", resource.plural)
        if self._objects.pop((resource.plural, namespace, name), None) is not None:
            self.writes.append(("delete", resource.plural, name))

    def _called(self, verb: str, resource: str) -> None:
        self.calls.append((verb, resource))
        if (verb, resource) in self.broken:
            raise self.broken[(verb, resource)]
        if (verb, resource) in self.denied:
            raise ForbiddenError(f"403: {verb} {resource}")

    def _found(self, resource: Resource, namespace: str | None, name: str) -> Document:
        try:
            return self._objects[(resource.plural, namespace or "", name)]
        except KeyError:
            raise NotFoundError(f"404: {resource.plural} {name}") from None

    def _stamp(self, fresh: Document, before: Mapping[str, Any]) -> None:
        old = before.get("metadata", {})
        version = next(self._versions)
        changed = fresh.get("spec") != before.get("spec")
        defaults = {
            "uid": old.get("uid", f"uid-{version}"),
            "creationTimestamp": old.get("creationTimestamp", f"2026-01-01T00:{version // 60:02}:{version % 60:02}Z"),
        }
        generation = old.get("generation", 0) + changed
        fresh["metadata"] = {**defaults, **fresh["metadata"], "generation": generation, "resourceVersion": str(version)}


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386, as the API server does it."""
    result = {key: value for key, value in old.items() if key not in patch}
    for key, value in patch.items():
        before = old.get(key)
        if isinstance(value, Mapping):
            result[key] = _merged(before if isinstance(before, Mapping) else {}, value)
        elif value is not None:
            result[key] = value
    return result


def _is_owned(document: Mapping[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in document["metadata"].get("ownerReferences", ()))


def _printed(document: Document, json_path: str) -> Any:
    """What a printer column shows, for the few forms of JSONPath that ours have."""
    found: Any = document
    for part in re.findall(r'\.(\w+)(?:\[(\d+|\?\(@\.type=="\w+"\))\])?', json_path):
        name, index = part
        found = found.get(name) if isinstance(found, Mapping) else None
        if index.isdigit():
            found = found[int(index)] if found else None
        elif index:
            wanted = index.split('"')[1]
            found = next((entry for entry in found or () if entry["type"] == wanted), None)
    return found
