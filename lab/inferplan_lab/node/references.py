"""Read what a pod's spec refers to: ConfigMaps, Secrets, service account tokens."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inferplan_lab.node.api import Api, ApiError
from inferplan_lab.node.documents import JsonObject, entries, metadata, spec_of, uid_of
from inferplan_lab.node.environment import MissingReferenceError, References
from inferplan_lab.node.volumes import VolumeSources, token_audiences

_TOKEN_SECONDS = 3607  # what the service account admission asks for; a token isn't renewed while its pod runs


class ReferenceReader:
    """Reads the objects of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def for_container(self, container: Mapping[str, Any]) -> References:
        """Return the ConfigMaps and Secrets that a container's environment names.

        Raises:
            ApiError: the server refused.
        """
        return await self._read(set(_environment_names(container)))

    async def volume_sources(self, pod: JsonObject, addresses: Mapping[str, str], claims: Path) -> VolumeSources:
        """Return what the pod's volumes are made of.

        Raises:
            MissingReferenceError: there is no service account to make a token for.
            ApiError: the server refused.
        """
        tokens = {audience: await self._token(pod, audience) for audience in set(token_audiences(pod))}
        return VolumeSources(
            references=await self._read(set(_volume_names(pod))),
            addresses=addresses,
            tokens=tokens,
            ca_pem=self._api.ca_pem,
            claims=claims,
        )

    async def _read(self, names: set[tuple[str, str]]) -> References:
        found = {(kind, name): await self._find(kind, name) for kind, name in sorted(names)}
        return References(
            config_map=lambda name: found.get(("configmaps", name)),
            secret=lambda name: found.get(("secrets", name)),
        )

    async def _find(self, kind: str, name: str) -> JsonObject | None:
        return await self._api.find(f"/api/v1/namespaces/{self._namespace}/{kind}/{name}")

    async def _token(self, pod: JsonObject, audience: str) -> str:
        account = spec_of(pod).get("serviceAccountName") or "default"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata(pod)["name"], "uid": uid_of(pod)}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": _TOKEN_SECONDS,
                "boundObjectRef": bound,
            },
        }
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        try:
            answer = await self._api.create(path, request)
        except ApiError as error:
            raise MissingReferenceError(f"token of service account {account}: {error}") from error
        return str(answer["status"]["token"])


def _environment_names(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source in entries(container, "envFrom"):
        if "configMapRef" in source:
            yield "configmaps", source["configMapRef"]["name"]
        if "secretRef" in source:
            yield "secrets", source["secretRef"]["name"]
    for entry in entries(container, "env"):
        origin = entry.get("valueFrom") or {}
        if "configMapKeyRef" in origin:
            yield "configmaps", origin["configMapKeyRef"]["name"]
        if "secretKeyRef" in origin:
            yield "secrets", origin["secretKeyRef"]["name"]


def _volume_names(pod: JsonObject) -> Iterator[tuple[str, str]]:
    for volume in entries(spec_of(pod), "volumes"):
        for source in (volume, *entries(volume.get("projected") or {}, "sources")):
            if "configMap" in source:
                yield "configmaps", source["configMap"]["name"]
            if "secret" in source:
                secret = source["secret"]
                yield "secrets", secret.get("secretName") or secret["name"]
