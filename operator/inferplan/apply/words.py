"""The engine's command line with a plan, exactly as the plan says it. Pure."""

import json
from dataclasses import replace

from inferplan.api.plan import PlanSpec
from inferplan.dialects.container import Container
from inferplan.dialects.untyped import mapping, mappings

Words = tuple[tuple[str, ...] | None, tuple[str, ...] | None]
"""Command and args; None for the one that the plan leaves as it is."""


def applied_words(plan: PlanSpec) -> Words | None:
    """What the plan's server-side-apply body writes; None where it has none that can be read.

    The body is what a person approved (spec is immutable and hashed), so nothing is worked out anew.
    """
    patch, target = plan.patch, plan.target
    if patch is None or target is None or not patch.applicable or patch.server_side_apply is None:
        return None
    try:
        body = json.loads(patch.server_side_apply)
    except ValueError:
        return None
    pod = mapping(mapping(mapping(mapping(body).get("spec")).get("template")).get("spec"))
    own = next((entry for entry in mappings(pod.get("containers")) if entry.get("name") == target.container), None)
    if own is None or not {"command", "args"} & own.keys():
        return None
    return _list(own.get("command")), _list(own.get("args"))


def with_words(container: Container, words: Words) -> Container:
    """The container with them."""
    command, args = words
    return replace(
        container,
        command=container.command if command is None else command,
        args=container.args if args is None else args,
    )


def _list(value: object) -> tuple[str, ...] | None:
    return tuple(str(entry) for entry in value) if isinstance(value, list) else None
