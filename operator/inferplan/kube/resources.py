"""The resources that the operator uses, and their paths on the API server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import GROUP, INFERENCE_INSTANCE, OPTIMIZATION_PLAN, VERSION

Document = dict[str, Any]
"""An object as the API server answers it."""


@dataclass(frozen=True)
class Row:
    """One object as `kubectl get -o wide` prints it.

    Attributes:
        metadata: Its metadata.
        cells: Printed columns by name; None where the object has no such field.
    """

    metadata: Mapping[str, Any]
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource of the API: group ("" is core), version and plural name."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for core."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Path of the collection, of an object, or of its subresource."""
        root = f"/apis/{self.group}" if self.group else "/api"
        place = f"/namespaces/{namespace}" if namespace is not None else ""
        parts = (part for part in (self.plural, name, subresource) if part)
        return f"{root}/{self.version}{place}/{'/'.join(parts)}"


INSTANCES = Resource(GROUP, VERSION, INFERENCE_INSTANCE.plural, INFERENCE_INSTANCE.kind)
PLANS = Resource(GROUP, VERSION, OPTIMIZATION_PLAN.plural, OPTIMIZATION_PLAN.kind)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

WORKLOADS = {resource.kind: resource for resource in (DEPLOYMENTS, STATEFUL_SETS)}
"""Workloads that spec.targetRef.kind can name."""
