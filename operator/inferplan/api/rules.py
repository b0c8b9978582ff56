"""The cross-field rules of the CRDs, in CEL, with messages for people.

The API server enforces them at `kubectl apply`; the models repeat none of them silently: what a rule says is
checked again where it matters in code. tests/cluster/test_cel_rules.py shows each one accept and refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue


@dataclass(frozen=True)
class Rule:
    """One x-kubernetes-validations entry."""

    rule: str
    message: str
    field_path: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The entry as the CRD carries it."""
        entry: dict[str, JsonValue] = {"rule": self.rule, "message": self.message}
        if self.field_path is not None:
            entry["fieldPath"] = self.field_path
        return entry


def rules(*entries: Rule) -> dict[str, JsonValue]:
    """Schema extension that carries the rules."""
    return {"x-kubernetes-validations": [entry.as_json() for entry in entries]}


INSTANCE_NAME_FITS = Rule(
    "self.metadata.name.size() <= 54",
    "metadata.name: at most 54 characters, so that the names of its plans (name-1a2b3c4d) fit into 63",
)
CONFIG_OR_REF = Rule(
    "!(has(self.config) && has(self.configMapRef))",
    "model: give the config.json either inline in config or by configMapRef, not both",
)
TARGET_OR_CONFIG = Rule(
    "has(self.targetRef) || has(self.currentConfig)",
    "give targetRef (the workload that runs the engine), or currentConfig for a plan without a workload",
)
SLO_MONOTONE = Rule(
    "self.all(a, self.all(b, a.metric != b.metric || a.percentile >= b.percentile"
    " || a.targetMilliseconds <= b.targetMilliseconds))",
    "slo: for the same metric, a higher percentile cannot have a lower targetMilliseconds",
)
ONLY_ONCE = Rule(
    "!has(self.optimizers) || self.optimizers.all(a, self.optimizers.exists_one(b, a == b))",
    "constraints.optimizers: each optimizer may be named once",
)
GITOPS_NEEDS_GIT = Rule(
    "!has(self.mode) || self.mode != 'GitOps' || has(self.git)",
    "apply.mode GitOps needs apply.git (repository, branch, path)",
)
FORGE_OF_HOST = Rule(
    "(has(self.strategy) && self.strategy == 'Commit') || has(self.forge)"
    " || self.repository.matches('^(https://|ssh://([^@/]*@)?)git(hub|lab)[.]com[:/]')",
    "apply.git.forge: strategy PullRequest needs it (GitHub, GitLab or Gitea) where the repository's host is neither"
    " github.com nor gitlab.com",
)
LENGTHS_CONSISTENT = (
    Rule(
        "!has(self.inputTokensP95) || !has(self.inputTokens) || self.inputTokensP95 >= self.inputTokens",
        "workload.inputTokensP95 cannot be below the mean, inputTokens",
        ".inputTokensP95",
    ),
    Rule(
        "!has(self.outputTokensP95) || !has(self.outputTokens) || self.outputTokensP95 >= self.outputTokens",
        "workload.outputTokensP95 cannot be below the mean, outputTokens",
        ".outputTokensP95",
    ),
)
_IMMUTABLE = "an OptimizationPlan's spec never changes, apart from spec.approval; InferPlan writes a new plan instead"


def immutable_except(*mutable: str) -> Callable[[dict[str, Any]], None]:
    """Schema extension: every property but `mutable` must stay as it was created, present or absent.

    `self == oldSelf` on the whole object would freeze the mutable ones too, and CEL cannot leave a field out.
    """

    def extend(schema: dict[str, Any]) -> None:
        frozen = [name for name in schema["properties"] if name not in mutable]
        for name in frozen:
            schema["properties"][name].update(rules(Rule("self == oldSelf", _IMMUTABLE)))
        optional = [name for name in frozen if name not in schema.get("required", [])]
        presence = " && ".join(f"has(self.{name}) == has(oldSelf.{name})" for name in optional)
        own = [Rule(presence, _IMMUTABLE)] if presence else []
        schema.update(rules(*own, APPROVED_HASH_IS_THIS_PLAN))

    return extend


APPROVAL_NAMES_PLAN = Rule(
    "!has(self.approved) || !self.approved || (has(self.by) && has(self.planHash))",
    "approval: an approved plan names who approved (by) and the hash that was approved (planHash)",
)
APPROVED_HASH_IS_THIS_PLAN = Rule(
    "!has(self.approval) || !has(self.approval.planHash) || self.approval.planHash == self.planHash",
    "approval.planHash is not this plan's planHash: what was approved is another plan",
)
