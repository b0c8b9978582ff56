"""Reads the ConfigMaps that an engine's variables and files come from. Secrets are never read."""

import asyncio
from collections.abc import Mapping

from inferplan.kube.errors import ForbiddenError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import CONFIG_MAPS
from inferplan.observe.target import ConfigMaps

CONFIG_MAPS_READ = 16
"""ConfigMaps of one workload that are read; a pod template names a few."""


async def read_config_maps(
    cluster: Cluster, namespace: str, wanted: Mapping[str, bool]
) -> tuple[ConfigMaps, tuple[str, ...]]:
    """Data of ConfigMaps, and a sentence for each that could not be read.

    Args:
        cluster: The API server.
        namespace: Where they are.
        wanted: Their names, and whether pods start without each: such a one that is not there holds nothing.

    Raises:
        KubeError: The API server gave no proper answer.
    """
    names = list(wanted)[:CONFIG_MAPS_READ]
    answers = await asyncio.gather(*(_data(cluster, namespace, name) for name in names))
    found: dict[str, Mapping[str, str]] = {}
    notes = [f"{len(wanted)} ConfigMaps are named, {CONFIG_MAPS_READ} are read"] if len(names) < len(wanted) else []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, NotFoundError) and wanted[name]:
            found[name] = {}
        elif isinstance(answer, NotFoundError):
            notes.append(f'ConfigMap "{name}" does not exist')
        elif isinstance(answer, ForbiddenError):
            notes.append(f'ConfigMap "{name}" may not be read by the operator')
        else:
            found[name] = answer
    return found, tuple(notes)


async def _data(cluster: Cluster, namespace: str, name: str) -> Mapping[str, str] | NotFoundError | ForbiddenError:
    try:
        document = await cluster.get(CONFIG_MAPS, namespace, name)
    except (NotFoundError, ForbiddenError) as error:
        return error
    data: Mapping[str, str] = document.get("data") or {}
    return data
