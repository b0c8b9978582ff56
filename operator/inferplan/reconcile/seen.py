"""What was seen of each instance at its last look, for those who ask over HTTP: from memory, else from the status."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from inferplan.api.analysis import Analysis, HealthScore
from inferplan.api.instance_status import InstanceStatus
from inferplan.api.values import Engine
from inferplan.domain.seen import SeenInstance
from inferplan.kube.errors import NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import INSTANCES
from inferplan.reconcile.instance import Key
from inferplan.reconcile.look import Look


class LastLooks:
    """The last look at each instance. Implements `domain.seen.Seen`.

    Args:
        cluster: Where statuses are, for instances that were not looked at since the operator started.
        namespaces: Those that the operator watches; none means all.
    """

    def __init__(self, cluster: Cluster, namespaces: tuple[str, ...]) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._seen: dict[Key, SeenInstance] = {}

    def remember(self, look: Look, now: datetime) -> None:
        """Keeps what a look found; a look that found nothing leaves what was found before."""
        if look.spec is None or look.gathered is None or look.analysis is None:
            return
        observation = look.gathered.assembled.observation
        self._seen[look.instance.key] = SeenInstance(look.spec.engine, now, look.analysis, observation)

    def forget(self, key: Key) -> None:
        """The instance is gone."""
        self._seen.pop(key, None)

    async def analysis(self, namespace: str, name: str) -> SeenInstance | None:
        """The last look at an instance; None where there was none, or the namespace is not watched.

        Raises:
            KubeError: The status is needed, and the API server does not answer.
        """
        found = self._seen.get(Key(namespace, name))
        if found is not None:
            return found
        if self._namespaces and namespace not in self._namespaces:
            return None
        try:
            document = await self._cluster.get(INSTANCES, namespace, name)
        except NotFoundError:
            return None
        return stored_look(document)


def stored_look(document: Mapping[str, Any]) -> SeenInstance | None:
    """What the status says of the last look; None where it says nothing that this version can read."""
    try:
        engine = Engine(str((document.get("spec") or {}).get("engine")))
        status = InstanceStatus.from_kube(document.get("status") or {})
        observed_at = datetime.fromisoformat(status.observed_at or "")
    except (ValidationError, ValueError):
        return None
    if status.cause is None or observed_at.tzinfo is None:
        return None
    analysis = Analysis(
        cause=status.cause,
        bottlenecks=status.bottlenecks,
        slo_statuses=status.slo_statuses,
        health=status.health or HealthScore(),
        recommendations=status.recommendations,
        unknowns=status.unknowns,
    )
    return SeenInstance(engine, observed_at, analysis)
