"""A plan as HTTP shows it: without the secrets that stand in its container's arguments. Pure; knows no framework.

The stored plan holds the arguments whole, as they are what is written and what is restored. Who may read plans with
kubectl sees them there; over HTTP they leave the cluster, into browsers, logs and tickets.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inferplan.api.listing import PlanResource
from inferplan.dialects.masking import MASK, masked, secrets_in
from inferplan.dialects.untyped import mapping, mappings

_LONG = 6
"""Shorter secrets are taken out of arguments only: elsewhere they would hide ordinary words."""


def shown(plan: PlanResource) -> dict[str, Any]:
    """The answer's body."""
    secrets = sorted(dict.fromkeys(_secrets(plan)), key=len, reverse=True)
    body = _hidden(plan.to_http(), [secret for secret in secrets if len(secret) >= _LONG])
    for part, field in (("spec", "patch"), ("status", "rollback")):
        body[part][field] = masked("", _hidden(body[part][field], secrets))
    whole: dict[str, Any] = body
    return whole


def _secrets(plan: PlanResource) -> Iterator[str]:
    for words in _arguments(plan):
        yield from secrets_in(words)


def _arguments(plan: PlanResource) -> Iterator[tuple[str, ...]]:
    """Every list of arguments in it: those that it writes, and those that it restores."""
    rollback, patch = plan.status.rollback, plan.spec.patch
    if rollback is not None:
        yield (*rollback.command, *rollback.args)
    for container in _containers(patch.server_side_apply if patch is not None else None):
        lists = (container.get(name) for name in ("command", "args"))
        yield tuple(str(word) for words in lists if isinstance(words, list) for word in words)


def _containers(text: str | None) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return ()
    pod = mapping(mapping(mapping(mapping(found).get("spec")).get("template")).get("spec"))
    return mappings(pod.get("containers"))


def _hidden(value: Any, secrets: Iterable[str]) -> Any:  # noqa: ANN401  any JSON value
    match value:
        case str():
            for secret in secrets:
                for form in _forms(secret):
                    value = value.replace(form, MASK)
            return value
        case Mapping():
            return {key: _hidden(item, secrets) for key, item in value.items()}
        case list() | tuple():
            return [_hidden(item, secrets) for item in value]
        case _:
            return value


def _forms(secret: str) -> Iterator[str]:
    """As it may stand in a text: plain, in JSON, and in JSON within a shell's quotes."""
    inner = json.dumps(secret)[1:-1]
    yield from dict.fromkeys(
        (secret, inner, json.dumps(secret, ensure_ascii=False)[1:-1], inner.replace("'", "'\"'\"'"))
    )
