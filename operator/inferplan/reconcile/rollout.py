"""Reads a workload's pods, and what an engine that ended wrote last. No decisions."""

from dataclasses import replace

from inferplan.apply.live import Live
from inferplan.apply.pods import PodState, pod_states
from inferplan.kube.errors import KubeError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import PODS
from inferplan.observe.target import selector_text

LOG_LINES = 20
LOG_LETTERS = 300


async def read_pods(cluster: Cluster, namespace: str, live: Live, container: str) -> tuple[PodState, ...]:
    """The pods of a workload.

    Args:
        cluster: The API server.
        namespace: Where they are.
        live: The workload.
        container: Name of the engine's container.

    Raises:
        KubeError: The API server gave no proper answer.
    """
    documents = await cluster.list(PODS, namespace, selector_text(live.selector))
    return tuple(
        [await _with_last_words(cluster, namespace, state, container) for state in pod_states(documents, container)]
    )


async def _with_last_words(cluster: Cluster, namespace: str, state: PodState, container: str) -> PodState:
    """What an engine that ended wrote last: a refused flag stands there."""
    if not state.trouble:
        return state
    try:
        text = await cluster.log(namespace, state.name, container, LOG_LINES, previous=state.restarts > 0)
    except KubeError:  # a courtesy: without it the pod's state says enough
        return state
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
    return replace(state, last_words=told[:LOG_LETTERS])
