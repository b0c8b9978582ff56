"""Who calls, and what they may do: asked of the API server, so that people have the rights that Kubernetes gives them.

The caller's Bearer token goes into a TokenReview, who that is into a SubjectAccessReview. Answers serve for 10 seconds,
a token is kept as a digest only, and is never logged. Knows no framework.
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from inferplan.kube.port import Cluster
from inferplan.kube.resources import ACCESS_REVIEWS, TOKEN_REVIEWS, Document, Resource

FRESH_SECONDS = 10.0
"""As long as an answer of the API server serves: a right that was taken away works for so long at most."""

KEPT_MOST = 1024
"""Answers that are kept; the oldest goes first."""

REVIEWS_AT_ONCE = 8
"""Tokens that somebody makes up must not become a flood on the API server."""

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/-]{1,16384}=*)")
"""RFC 6750 section 2.1; a projected token has 1 to 2 KiB."""

_Answer = TypeVar("_Answer")


class UnauthenticatedError(Exception):
    """The caller is not known; one line for people."""


class NotPermittedError(Exception):
    """The caller is known and may not do this; one line for people."""


@dataclass(frozen=True)
class Caller:
    """Somebody whom the API server knows.

    Attributes:
        name: User name.
        subject: What a SubjectAccessReview wants of them: user, uid, groups, extra.
    """

    name: str
    subject: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Right:
    """What somebody wants to do.

    Attributes:
        verb: As RBAC names it.
        resource: On which resource.
        namespace: In which namespace; "" is the whole cluster.
        name: On which object; "" is all of them.
    """

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""

    @property
    def told(self) -> str:
        """In words, as `kubectl auth can-i` would have it."""
        place = f'in namespace "{self.namespace}"' if self.namespace else "in the whole cluster"
        return f"{self.verb} {self.resource.plural}.{self.resource.group} {place}"


class Callers:
    """Asks the API server who calls and what they may do.

    Args:
        cluster: The API server.
        monotonic: Gives seconds that only grow.
    """

    def __init__(self, cluster: Cluster, monotonic: Callable[[], float]) -> None:
        self._cluster = cluster
        self._tokens: _Fresh[Caller | None] = _Fresh(monotonic)
        self._rights: _Fresh[bool] = _Fresh(monotonic)
        self._slots = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def caller(self, authorization: str | None) -> Caller:
        """Who sends this Authorization header.

        Raises:
            UnauthenticatedError: There is none, or the API server does not take the token.
            KubeError: The API server does not answer.
        """
        if not authorization:
            raise UnauthenticatedError("the request has no token: send Authorization: Bearer TOKEN")
        found = _BEARER.fullmatch(authorization)
        if found is None:
            raise UnauthenticatedError("the Authorization header is no Bearer token")
        token = found[1]
        known = await self._tokens.get(hashlib.sha256(token.encode()).digest(), lambda: self._reviewed(token))
        if known is None:
            raise UnauthenticatedError(
                "the API server does not take the token: it is wrong, has expired, or is for another audience"
            )
        return known

    async def require(self, caller: Caller, right: Right) -> None:
        """Returns where the caller has the right.

        Raises:
            NotPermittedError: They have not.
            KubeError: The API server does not answer.
        """
        key = (caller.name, repr(sorted(caller.subject.items())), right)
        if not await self._rights.get(key, lambda: self._allowed(caller, right)):
            raise NotPermittedError(f'user "{caller.name}" may not {right.told}')

    async def _reviewed(self, token: str) -> Caller | None:
        status = await self._review(TOKEN_REVIEWS, {"token": token})
        user = status.get("user") or {}
        name = user.get("username")
        if status.get("authenticated") is not True or not isinstance(name, str) or not name:
            return None
        return Caller(name, {"user": name, **{key: user[key] for key in ("uid", "groups", "extra") if key in user}})

    async def _allowed(self, caller: Caller, right: Right) -> bool:
        wanted = {
            "group": right.resource.group,
            "resource": right.resource.plural,
            "verb": right.verb,
            "namespace": right.namespace,
            "name": right.name,
        }
        status = await self._review(ACCESS_REVIEWS, {**caller.subject, "resourceAttributes": wanted})
        return status.get("allowed") is True

    async def _review(self, resource: Resource, spec: Mapping[str, Any]) -> Document:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        async with self._slots:
            answer = await self._cluster.create(resource, None, body)
        status: Document = answer.get("status") or {}
        return status


class _Fresh(Generic[_Answer]):
    """Answers of the last ten seconds, bounded in number. What cannot be asked is not kept."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[Hashable, tuple[float, _Answer]] = OrderedDict()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        kept = self._kept.get(key)
        if kept is not None and self._monotonic() < kept[0]:
            return kept[1]
        answer = await ask()
        self._kept.pop(key, None)
        self._kept[key] = (self._monotonic() + FRESH_SECONDS, answer)
        while len(self._kept) > KEPT_MOST:
            self._kept.popitem(last=False)
        return answer
