"""How many requests came: what finished, and what became more of those in flight. Pure."""

import math
from dataclasses import replace
from statistics import fmean

from inferplan.domain.measurement import MEASURED_MAX, Measurement, Missing
from inferplan.domain.readings import ReplicaReadings
from inferplan.observe.look import Look
from inferplan.observe.look_values import contradictory

_ALONE = "finished requests alone: by how much those in flight became more is not known"


def arrivals(look: Look, unit: str) -> Measurement:
    """Requests that came and were admitted, per second and replica.

    What came has finished by the end of the window, or makes those in flight more than at its start: where 200 finished
    in 100 s while a queue grew by 50, 2.5 came per second. Finished ones alone, with a source that says so, where a
    replica does not tell how many were in flight, or its process started anew and lost them.
    """
    finished = look.rate("requests", unit)
    if isinstance(finished, Missing):
        return finished
    growth = [_growth_rate(replica) for replica in look.replicas if replica.seconds is not None]
    if not growth or any(map(math.isnan, growth)):
        return replace(finished, source=f"{finished.source} ({_ALONE})")
    source = f"{finished.source} + growth of {look.names.running} and {look.names.waiting}"
    value = finished.value + fmean(growth)
    if not 0 <= value <= MEASURED_MAX:  # some left without being counted, or were never there
        return contradictory(f"{source} is {value:g}, which is no measured value")
    return replace(finished, value=value, source=source)


def _growth_rate(replica: ReplicaReadings) -> float:
    """Requests per second by which those in flight became more; NaN where that is not known."""
    wrong = {"running", "waiting"} & replica.impossible.keys()
    if replica.growth is None or not replica.seconds or replica.restarts or wrong:
        return math.nan
    return replica.growth / replica.seconds
