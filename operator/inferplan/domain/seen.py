"""What the operator saw of an instance at its last look, for those who ask later."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inferplan.api.analysis import Analysis
from inferplan.api.values import Engine
from inferplan.domain.observation import Observation


@dataclass(frozen=True)
class SeenInstance:
    """The last look at an instance.

    Attributes:
        engine: The instance's engine.
        observed_at: When that was, with a zone.
        analysis: What followed from it, for the targets of its spec.
        observation: The look itself; None where only its outcome is stored, as after a restart of the operator.
    """

    engine: Engine
    observed_at: datetime
    analysis: Analysis
    observation: Observation | None = None


class Seen(Protocol):
    """The operator's memory of its looks."""

    async def analysis(self, namespace: str, name: str) -> SeenInstance | None:
        """The last look at an instance; None where there was none, or the namespace is not watched.

        Raises:
            kube.errors.KubeError: It has to be read from the cluster, which does not answer.
        """
        ...
