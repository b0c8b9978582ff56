"""Lay a pod's volumes out as folders, and say which mount path stands for which folder."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferplan_lab.node.documents import JsonObject, entries, metadata, spec_of
from inferplan_lab.node.environment import MissingReferenceError, References, field_value, resource_value

# The ConfigMap that kube-controller-manager's root-ca publisher writes into each namespace; the lab doesn't run it.
_ROOT_CA = "kube-root-ca.crt"


@dataclass(frozen=True)
class VolumeSources:
    """Where the contents of volumes come from.

    Attributes:
        references: the ConfigMaps and Secrets of the pod's namespace.
        addresses: the pod's `status.podIP` and `status.hostIP`.
        tokens: service account tokens, by the audience that the volume asks for ("" for the API server).
        ca_pem: the API server's CA, for a namespace without kube-root-ca.crt.
        claims: the folder that holds the persistent volume claims.
    """

    references: References
    addresses: Mapping[str, str]
    tokens: Mapping[str, str]
    ca_pem: str
    claims: Path


def token_audiences(pod: JsonObject) -> tuple[str, ...]:
    """Return the audiences for which the pod's projected volumes want service account tokens."""
    return tuple(
        str(source["serviceAccountToken"].get("audience") or "")
        for volume in entries(spec_of(pod), "volumes")
        for source in entries(volume.get("projected") or {}, "sources")
        if "serviceAccountToken" in source
    )


def materialize(pod: JsonObject, scratch: Path, sources: VolumeSources) -> dict[str, Path]:
    """Create the pod's volumes and return each volume's folder by name.

    Folders of emptyDir and claims keep what they hold; the others are written afresh.

    Raises:
        MissingReferenceError: a volume needs an object or key that doesn't exist, or is of an unknown kind.
    """
    folders: dict[str, Path] = {}
    for volume in entries(spec_of(pod), "volumes"):
        folders[volume["name"]] = _materialize_one(volume, pod, scratch, sources)
    return folders


def container_mounts(container: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folder or file for each mount path of a container.

    Raises:
        MissingReferenceError: a mount names a volume that the pod doesn't have.
    """
    mounts: dict[str, Path] = {}
    for mount in entries(container, "volumeMounts"):
        if mount["name"] not in folders:
            raise MissingReferenceError(f'volumeMounts: no volume "{mount["name"]}"')
        path = str(mount["mountPath"]).rstrip("/") or "/"
        mounts[path] = folders[mount["name"]] / (mount.get("subPath") or "")
    return mounts


def _materialize_one(volume: JsonObject, pod: JsonObject, scratch: Path, sources: VolumeSources) -> Path:
    folder = scratch / "volumes" / str(volume["name"])
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]["claimName"]
        folder = sources.claims / f"{metadata(pod)['namespace']}_{claim}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if "emptyDir" in volume:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    _write_files(folder, _files(volume, pod, sources))
    return folder


def _files(volume: JsonObject, pod: JsonObject, sources: VolumeSources) -> dict[str, bytes]:
    """Return the files of a volume that is made of API objects.

    Raises:
        MissingReferenceError: see `materialize`.
    """
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            return _projected_files({kind: volume[kind]}, pod, sources)
    if "projected" not in volume:
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise MissingReferenceError(f'volume "{volume["name"]}": the node stand-in has no volumes of kind {kinds}')
    files: dict[str, bytes] = {}
    for source in entries(volume["projected"], "sources"):
        files.update(_projected_files(source, pod, sources))
    return files


def _projected_files(source: JsonObject, pod: JsonObject, sources: VolumeSources) -> dict[str, bytes]:
    if "configMap" in source:
        return _object_files("configmap", source["configMap"], sources)
    if "secret" in source:
        return _object_files("secret", source["secret"], sources)
    if "serviceAccountToken" in source:
        token = source["serviceAccountToken"]
        return {token["path"]: sources.tokens[token.get("audience") or ""].encode()}
    if "downwardAPI" in source:
        return {
            item["path"]: _downward(item, pod, sources.addresses).encode()
            for item in entries(source["downwardAPI"], "items")
        }
    raise MissingReferenceError(f"projected volume: unknown source {', '.join(sorted(source))}")


def _downward(item: JsonObject, pod: JsonObject, addresses: Mapping[str, str]) -> str:
    if "fieldRef" in item:
        return field_value(item["fieldRef"]["fieldPath"], pod, addresses)
    reference = item["resourceFieldRef"]
    for container in entries(spec_of(pod), "containers"):
        if container["name"] == reference.get("containerName"):
            return resource_value(reference, container)
    raise MissingReferenceError(f"downwardAPI: no container {reference.get('containerName')!r}")


def _object_files(kind: str, source: JsonObject, sources: VolumeSources) -> dict[str, bytes]:
    name = str(source.get("name") or source.get("secretName"))
    optional = bool(source.get("optional")) or name == _ROOT_CA
    data = sources.references.data(kind, name, optional=optional)
    if data is None:
        data = {"ca.crt": sources.ca_pem.encode()} if name == _ROOT_CA else {}
    items = entries(source, "items")
    if not items:
        return data
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing and not optional:
        raise MissingReferenceError(f"couldn't find key {missing[0]} in {kind} {name}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Secrets and tokens are among them: readable by this user only.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
