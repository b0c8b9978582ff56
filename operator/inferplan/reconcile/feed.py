"""What the watches tell, turned into keys: only changes that matter enter the queue. No kopf here."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from inferplan.api.kinds import GROUP, INFERENCE_INSTANCE
from inferplan.reconcile.instance import Key


class Target(NamedTuple):
    """A workload that instances refer to."""

    namespace: str
    kind: str
    name: str


class Feed:
    """Turns watch events into keys; remembers which instances refer to which workload.

    Args:
        add: Puts a key on the queue.
    """

    def __init__(self, add: Callable[[Key], None]) -> None:
        self._add = add
        self._target_of: dict[Key, Target] = {}
        self._container_of: dict[Key, str | None] = {}
        self._instances_of: dict[Target, set[Key]] = {}
        self._generations: dict[Key, tuple[str, int]] = {}
        self._templates: dict[Target, str] = {}
        self._plans: dict[str, int] = {}

    def refer(self, key: Key, target: Target | None, container: str | None = None) -> None:
        """The instance refers to this workload, and to this container of it where it names one; or to none."""
        self._container_of.pop(key, None)
        before = self._target_of.pop(key, None)
        if before is not None:
            self._instances_of[before].discard(key)
            if not self._instances_of[before]:
                del self._instances_of[before]
                self._templates.pop(before, None)
        if target is not None:
            self._target_of[key] = target
            self._container_of[key] = container
            self._instances_of.setdefault(target, set()).add(key)

    def sharing(self, key: Key) -> tuple[Key, ...]:
        """Other instances that refer to the same workload, unless to another container of it."""
        target, own = self._target_of.get(key), self._container_of.get(key)
        others = sorted(self._instances_of.get(target, set()) - {key}) if target is not None else []
        return tuple(
            other for other in others if None in {own, self._container_of[other]} or own == self._container_of[other]
        )

    def forget(self, key: Key) -> None:
        """The instance is gone."""
        self.refer(key, None)
        self._generations.pop(key, None)

    def instance(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An instance was listed, added, changed or deleted. Its status alone is our own writing: no reason to look."""
        meta = body["metadata"]
        key = Key(meta["namespace"], meta["name"])
        seen = (meta["uid"], int(meta.get("generation") or 0))
        if kind == "DELETED":
            self._generations.pop(key, None)
        elif self._generations.get(key) == seen:
            return
        else:
            self._generations[key] = seen
        self._add(key)

    def workload(self, event: str | None, kind: str, body: Mapping[str, Any]) -> None:
        """A workload was listed, added, changed or deleted; its pod template is what counts."""
        meta = body["metadata"]
        target = Target(meta["namespace"], kind, meta["name"])
        keys = self._instances_of.get(target)
        if not keys:
            return
        digest = "" if event == "DELETED" else _digest((body.get("spec") or {}).get("template"))
        if self._templates.get(target) == digest:
            return
        self._templates[target] = digest
        for key in sorted(keys):
            self._add(key)

    def plan(self, event: str | None, body: Mapping[str, Any]) -> None:
        """A plan was deleted, or its spec changed: a person approved or rejected it. Its status is our own writing."""
        meta = body["metadata"]
        seen = int(meta.get("generation") or 0)
        if event == "DELETED":
            self._plans.pop(meta["uid"], None)
        elif self._plans.setdefault(meta["uid"], 1) == seen:  # as it was created
            return
        else:
            self._plans[meta["uid"]] = seen
        for owner in meta.get("ownerReferences") or ():
            if owner.get("kind") == INFERENCE_INSTANCE.kind and str(owner.get("apiVersion", "")).startswith(
                f"{GROUP}/"
            ):
                self._add(Key(meta["namespace"], owner["name"]))


def _digest(template: object) -> str:
    """SHA-256 of a pod template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True, default=str).encode()).hexdigest()
