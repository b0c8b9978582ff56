"""Everything that is said of one instance: cause, findings, targets, score. Pure."""

from inferplan.api.analysis import Analysis, HealthScore
from inferplan.api.instance import SLO
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.observation import Observation


def analyze(observation: Observation, slos: tuple[SLO, ...]) -> Analysis:
    """What limits the instance, what else is wrong with it, and whether its targets hold."""
    del slos
    found = diagnose(observation)
    return Analysis(
        cause=found.cause,
        bottlenecks=found.bottlenecks,
        health=HealthScore(reason="not judged yet"),
    )
