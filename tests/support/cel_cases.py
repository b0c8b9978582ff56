"""What the API server accepts and refuses: one table for the rules of both CRDs.

A rule is named by where it stands: `<kind>:<path>#<index>`, such as `InferenceInstance:spec.slo#0`. Every rule
needs a case that it accepts and one that it refuses; tests/cluster/test_cel_rules.py counts them. Changes are
written as path → value; the value DELETE takes the field out.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
Changes = Mapping[str, Any]

DELETE = object()
HASH = "3f9c1d20" * 8
OTHER_HASH = "0" * 64

INSTANCE: Document = {
    "apiVersion": "inferplan.dev/v1alpha1",
    "kind": "InferenceInstance",
    "metadata": {"name": "llama"},
    "spec": {"engine": "vllm", "targetRef": {"name": "llama"}},
}
"""The least that an instance needs."""

FULL_SPEC: Document = {
    "engine": "vllm",
    "engineVersion": "0.33.0",
    "targetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama", "container": "vllm"},
    "model": {
        "id": "meta-llama/Llama-3.1-70B-Instruct",
        "configMapRef": {"name": "llama-config", "key": "config.json"},
        "checkpoints": [{"method": "fp8", "id": "RedHatAI/Llama-FP8", "accuracyRecovery": "0.995"}],
    },
    "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 4, "memoryGiB": 80},
    "currentConfig": {"max_batch_size": 64, "gpu_memory_utilization": 0.92, "enforce_eager": True, "dtype": "auto"},
    "metrics": {"prometheusRef": "default", "selector": {"app": "llama"}, "windowSeconds": 900},
    "workload": {
        "inputTokens": 100,
        "inputTokensP95": 200,
        "outputTokens": 100,
        "outputTokensP95": 200,
        "requestsPerSecond": 1.5,
        "concurrency": 8,
        "prefixShare": 0.25,
    },
    "slo": [{"metric": "ttft", "percentile": 95, "targetMilliseconds": 500}],
    "objective": "latency",
    "constraints": {
        "optimizers": ["kvCache", "batching", "version"],
        "forbid": ["quantization"],
        "minMaxModelLen": 8192,
        "minimumGainPercent": 5,
    },
    "apply": {
        "mode": "GitOps",
        "maintenanceWindows": [{"schedule": "0 2 * * *", "timeZone": "Europe/Berlin", "durationSeconds": 14400}],
        "cooldownSeconds": 21600,
        "verify": {
            "warmUpSeconds": 120,
            "windowSeconds": 900,
            "minRequests": 200,
            "maxRegressionPercent": 5,
            "onInconclusive": "RollBack",
        },
        "rolloutTimeoutSeconds": 1800,
        "canary": True,
        "takeOverFrom": ["kubectl-client-side-apply"],
        "allowUnderGitOps": True,
        "git": {
            "repository": "ssh://git@example.org/apps.git",
            "branch": "main",
            "path": "apps/llama/deployment.yaml",
            "strategy": "PullRequest",
            "undo": "Commit",
            "forge": "Gitea",
            "apiUrl": "https://example.org/api/v1",
            "author": {"name": "Ada", "email": "ada@example.org"},
            "secretRef": {"name": "git-key"},
        },
    },
}
"""Every field that a spec can have, but model.config, which excludes model.configMapRef."""

EFFECT: Document = {
    "metric": "output throughput",
    "current": 100.0,
    "low": 1.1,
    "expected": 1.3,
    "high": 1.5,
    "unit": "times",
    "source": "roofline",
    "basis": "the KV cache holds twice the sequences",
}
OPTIMIZATION: Document = {
    "id": "batching_0",
    "type": "batching",
    "title": "Let more sequences run at once",
    "description": "Requests wait while the KV cache is half empty.",
    "configChanges": [
        {
            "parameter": "max_batch_size",
            "flag": "--max-num-seqs",
            "currentValue": 32,
            "recommendedValue": 64,
            "reason": "Requests wait.",
            "evidence": [{"query": "sum(waiting)", "value": "12.5", "unit": "requests", "windowSeconds": 900}],
        },
        {"parameter": "swap_space", "flag": "--swap-space", "currentValue": 4, "removesFlag": True, "reason": "Gone."},
    ],
    "expectedImpact": "medium",
    "estimatedImprovement": "1.1 to 1.5 times the throughput.",
    "effects": [EFFECT],
    "confidence": "medium",
    "source": "roofline",
    "implementationEffort": "low",
    "risks": ["Latency between tokens rises."],
    "prerequisites": ["A restart is possible."],
    "raisesConfidence": ["A measured window."],
    "restartRequired": True,
    "capabilityLoss": "none that is known",
    "accuracyRisk": "none that is known",
}
MEMORY: Document = {
    "terms": [{"name": "weights", "bytes": 141_000_000_000, "source": "roofline", "basis": "70.6e9 x 2"}],
    "totalBytes": 300_000_000_000,
    "kvCacheTokens": 400_000,
}
SMALL_PLAN_SPEC: Document = {
    "instanceRef": {"name": "llama"},
    "engine": {"name": "vllm"},
    "observedAt": "2026-11-24T12:00:00Z",
    "observationDigest": "a" * 64,
    "planHash": HASH,
    "optimizations": [OPTIMIZATION],
    "priorityOrder": ["batching_0"],
    "estimatedTotalImprovement": "1.1 to 1.5 times the throughput.",
    "summary": {
        "changes": "max_batch_size 32 → 64",
        "impact": "medium",
        "gain": "+10 to +50 %",
        "confidence": "medium",
        "restart": True,
        "risk": "latency between tokens",
    },
}
"""The least that a plan needs."""
FULL_PLAN_SPEC: Document = {
    **SMALL_PLAN_SPEC,
    "engine": {"name": "vllm", "version": "0.33.0"},
    "target": {"kind": "Deployment", "name": "llama", "container": "vllm", "generation": 3, "argsDigest": "b" * 64},
    "kvCacheConfig": {"kvCacheDtype": "fp8", "gpuMemoryUtilization": 0.92, "blockSize": 16, "maxModelLen": 8192},
    "quantizationConfig": {
        "method": "fp8",
        "targetBits": 8,
        "quantizeWeights": True,
        "quantizeActivations": True,
    },
    "batchingConfig": {"maxBatchSize": 64, "enableContinuousBatching": True, "enableDynamicBatching": True},
    "effects": [EFFECT],
    "effectsBasis": "The step model, calibrated on one window.",
    "memoryBudget": {"before": MEMORY, "after": MEMORY},
    "alternatives": [{"title": "128 sequences", "description": "more throughput, less speed", "effects": [EFFECT]}],
    "rejected": [{"option": "fp8", "code": "Forbidden", "reason": "The owner forbids it.", "cost": "not known"}],
    "abstentions": [{"optimizer": "kv_cache", "code": "NotKvBound", "reason": "The cache is half empty."}],
    "patch": {"applicable": True, "diff": "-32\n+64\n", "serverSideApply": "{}", "command": "kubectl patch"},
    "approval": {"approved": True, "by": "ada", "planHash": HASH},
}
"""Every part that a plan's spec can have."""
PLAN: Document = {
    "apiVersion": "inferplan.dev/v1alpha1",
    "kind": "OptimizationPlan",
    "metadata": {"name": "llama-3f9c1d20"},
}


@dataclass(frozen=True)
class Case:
    """A change of an object, and what the API server says to it.

    Attributes:
        name: What is shown, as a sentence.
        start: The object before: "instance", "full instance", "small plan" or "full plan".
        changes: Path → value.
        refused: Part of the server's message; None: it accepts.
        rules: The rules that this case shows accepting, or the one that refuses.
        update: Whether the object exists already, unchanged.
    """

    name: str
    start: str
    changes: Changes = field(default_factory=dict)
    refused: str | None = None
    rules: tuple[str, ...] = ()
    update: bool = False


STARTS: Mapping[str, Document] = {
    "instance": INSTANCE,
    "full instance": {**INSTANCE, "spec": FULL_SPEC},
    "small plan": {**PLAN, "spec": SMALL_PLAN_SPEC},
    "full plan": {**PLAN, "spec": FULL_PLAN_SPEC},
}


def changed(document: Document, changes: Changes) -> Document:
    """A copy with the changes made; the input stays as it is."""
    copied = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = copied
        for parent in parents:
            place = place[parent] if isinstance(parent, int) else place.setdefault(parent, {})
        if value is DELETE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return copied


def slo(metric: str, percentile: int, milliseconds: int) -> Document:
    """One latency target."""
    return {"metric": metric, "percentile": percentile, "targetMilliseconds": milliseconds}


def _pair(
    rule: str, refused: str, start: str, good: tuple[str, Changes], bad: tuple[str, Changes]
) -> tuple[Case, Case]:
    """The two cases that a rule on creation needs."""
    return (
        Case(good[0], start, good[1], rules=(rule,)),
        Case(bad[0], start, bad[1], refused=refused, rules=(rule,)),
    )


NAME_RULE = "InferenceInstance:#0"
SLO_RULE = "InferenceInstance:spec.slo#0"
CONFIG_RULE = "InferenceInstance:spec.model#0"
TARGET_RULE = "InferenceInstance:spec#0"
ONCE_RULE = "InferenceInstance:spec.constraints#0"
GIT_RULE = "InferenceInstance:spec.apply#0"
FORGE_RULE = "InferenceInstance:spec.apply.git#0"
INPUT_RULE = "InferenceInstance:spec.workload#0"
OUTPUT_RULE = "InferenceInstance:spec.workload#1"
PRESENCE_RULE = "OptimizationPlan:spec#0"
HASH_RULE = "OptimizationPlan:spec#1"
APPROVAL_RULE = "OptimizationPlan:spec.approval#0"

GIT: Document = {"repository": "https://example.org/apps.git", "path": "llama.yaml", "forge": "Gitea"}
_NO_FORGE: Document = {"repository": "https://example.org/apps.git", "path": "llama.yaml"}

INSTANCE_RULE_CASES = (
    *_pair(
        NAME_RULE,
        "metadata.name: at most 54 characters",
        "instance",
        ("a name of 54 characters", {"metadata.name": "x" * 54}),
        ("a name of 55 characters", {"metadata.name": "x" * 55}),
    ),
    *_pair(
        SLO_RULE,
        "slo: for the same metric, a higher percentile cannot have a lower targetMilliseconds",
        "instance",
        ("a higher percentile with a higher target", {"spec.slo": [slo("ttft", 50, 200), slo("ttft", 99, 900)]}),
        ("a higher percentile with a lower target", {"spec.slo": [slo("ttft", 50, 900), slo("ttft", 99, 200)]}),
    ),
    Case("the same, in the other order", "instance", {"spec.slo": [slo("itl", 99, 9), slo("itl", 50, 40)]},
         "slo: for the same metric", (SLO_RULE,)),
    Case("a lower target of another metric", "instance", {"spec.slo": [slo("ttft", 50, 900), slo("itl", 99, 40)]},
         rules=(SLO_RULE,)),
    Case("equal targets of two percentiles", "instance", {"spec.slo": [slo("ttft", 50, 9), slo("ttft", 99, 9)]},
         rules=(SLO_RULE,)),
    *_pair(
        CONFIG_RULE,
        "model: give the config.json either inline in config or by configMapRef, not both",
        "instance",
        ("an inline config alone", {"spec.model.config": {"num_hidden_layers": 80, "rope": {"type": "llama3"}}}),
        ("two configs", {"spec.model": {"config": {"layers": 80}, "configMapRef": {"name": "llama"}}}),
    ),
    Case("a config by reference alone", "instance", {"spec.model.configMapRef": {"name": "llama"}},
         rules=(CONFIG_RULE,)),
    *_pair(
        TARGET_RULE,
        "give targetRef (the workload that runs the engine), or currentConfig",
        "instance",
        ("no workload, but a config", {"spec.targetRef": DELETE, "spec.currentConfig": {"max_batch_size": 32}}),
        ("neither a workload nor a config", {"spec.targetRef": DELETE}),
    ),
    Case("an empty config instead of a workload", "instance", {"spec.targetRef": DELETE, "spec.currentConfig": {}},
         rules=(TARGET_RULE,)),
    *_pair(
        ONCE_RULE,
        "constraints.optimizers: each optimizer may be named once",
        "instance",
        ("all optimizers", {"spec.constraints.optimizers": ["batching", "kvCache", "quantization", "version"]}),
        ("an optimizer twice", {"spec.constraints.optimizers": ["batching", "kvCache", "batching"]}),
    ),
    *_pair(
        GIT_RULE,
        "apply.mode GitOps needs apply.git (repository, branch, path)",
        "instance",
        ("mode GitOps with git", {"spec.apply": {"mode": "GitOps", "git": GIT}}),
        ("mode GitOps without git", {"spec.apply": {"mode": "GitOps"}}),
    ),
    Case("mode Off with git", "instance", {"spec.apply": {"git": GIT}}, rules=(GIT_RULE,)),
    *_pair(
        FORGE_RULE,
        "apply.git.forge: strategy PullRequest needs it (GitHub, GitLab or Gitea)",
        "instance",
        ("a forge of its own", {"spec.apply": {"git": {**GIT, "forge": "GitLab", "strategy": "PullRequest"}}}),
        ("a pull request on a host that is not known", {"spec.apply": {"git": _NO_FORGE}}),
    ),
    *(
        Case(f"no forge for {repository}", "instance",
             {"spec.apply": {"git": {"repository": repository, "path": "a.yaml"}}}, rules=(FORGE_RULE,))
        for repository in ("https://github.com/o/r", "https://gitlab.com/g/s/r.git", "ssh://git@github.com/o/r.git",
                           "ssh://gitlab.com:22/g/r.git")
    ),
    *(
        Case(f"no forge for {repository}", "instance", {"spec.apply": {"git": {"repository": repository, "path": "a"}}},
             "apply.git.forge", (FORGE_RULE,))
        for repository in ("https://github.com.example.org/o/r", "https://notgithub.com/o/r", "https://x/github.com/r")
    ),
    Case("commits to a host that is not known", "instance",
         {"spec.apply": {"git": {**_NO_FORGE, "strategy": "Commit"}}}, rules=(FORGE_RULE,)),
    *_pair(
        INPUT_RULE,
        "workload.inputTokensP95 cannot be below the mean, inputTokens",
        "instance",
        ("an input p95 that is the mean", {"spec.workload": {"inputTokens": 100, "inputTokensP95": 100}}),
        ("an input p95 below the mean", {"spec.workload": {"inputTokens": 100, "inputTokensP95": 99}}),
    ),
    Case("an input p95 without a mean", "instance", {"spec.workload": {"inputTokensP95": 9}}, rules=(INPUT_RULE,)),
    *_pair(
        OUTPUT_RULE,
        "workload.outputTokensP95 cannot be below the mean, outputTokens",
        "instance",
        ("an output p95 above the mean", {"spec.workload": {"outputTokens": 100, "outputTokensP95": 101}}),
        ("an output p95 below the mean", {"spec.workload": {"outputTokens": 100, "outputTokensP95": 99}}),
    ),
)  # fmt: skip


def _git(**fields: str) -> Changes:
    return {"spec.apply": {"git": {**GIT, **fields}}}


INSTANCE_SCHEMA_CASES = (
    Case("every field at once", "full instance"),
    Case("an engine that is not known", "instance", {"spec.engine": "ollama"},
         'spec.engine: Unsupported value: "ollama": supported values: "vllm", "sglang", "tgi"'),
    Case("no engine", "instance", {"spec.engine": DELETE}, "spec.engine: Required value"),
    Case("no spec", "instance", {"spec": DELETE}, "spec: Required value"),
    Case("a field that does not exist", "instance", {"spec.engin": "vllm"}, 'unknown field "spec.engin"'),
    Case("a field written as a Python name", "instance", {"spec.target_ref": {}}, 'unknown field "spec.target_ref"'),
    Case("a latency that is not known", "instance", {"spec.slo": [slo("tps", 95, 1)]}, "spec.slo[0].metric: Unsupp"),
    Case("the 100th percentile", "instance", {"spec.slo": [slo("ttft", 100, 1)]}, "spec.slo[0].percentile"),
    Case("the 0th percentile", "instance", {"spec.slo": [slo("ttft", 0, 1)]}, "spec.slo[0].percentile"),
    Case("a negative target", "instance", {"spec.slo": [slo("ttft", 9, -1)]}, "spec.slo[0].targetMilliseconds"),
    Case("a target that is text", "instance", {"spec.slo": [{**slo("ttft", 9, 1), "targetMilliseconds": "1"}]},
         "spec.slo[0].targetMilliseconds"),
    Case("the same target twice", "instance", {"spec.slo": [slo("ttft", 95, 1), slo("ttft", 95, 1)]},
         "spec.slo[1]: Duplicate value"),
    Case("a pod as the target", "instance", {"spec.targetRef.kind": "Pod"}, "spec.targetRef.kind: Unsupported value"),
    Case("a target in another namespace", "instance", {"spec.targetRef.namespace": "kube-system"},
         'unknown field "spec.targetRef.namespace"'),
    Case("an optimizer that is not known", "instance", {"spec.constraints.optimizers": ["magic"]},
         "spec.constraints.optimizers[0]: Unsupported value"),
    Case("no optimizer at all", "instance", {"spec.constraints.optimizers": []}, "spec.constraints.optimizers"),
    Case("a mode that is not known", "instance", {"spec.apply.mode": "off"}, "spec.apply.mode: Unsupported value"),
    Case("a cron expression of six fields", "instance",
         {"spec.apply.maintenanceWindows": [{"schedule": "0 0 2 * * *", "durationSeconds": 60}]}, "schedule"),
    Case("a duration that is text", "instance",
         {"spec.apply.maintenanceWindows": [{"schedule": "0 2 * * *", "durationSeconds": "1h"}]}, "durationSeconds"),
    Case("an SSH repository", "instance", _git(repository="ssh://git@example.org:22/apps.git")),
    Case("a repository with a password", "instance", _git(repository="https://ada:secret@example.org/a"), "repository"),
    Case("a repository that is a file", "instance", _git(repository="file:///etc/passwd"), "repository"),
    Case("a repository that is a command", "instance", _git(repository="ext::sh -c id"), "repository"),
    Case("a host that is an option", "instance", _git(repository="ssh://-oProxyCommand=id"), "repository"),
    Case("a path out of the repository", "instance", _git(path="a/../../b.yaml"), "path"),
    Case("a path to a workflow", "instance", _git(path=".github/workflows/x.yaml"), "path"),
    Case("an absolute path", "instance", _git(path="/etc/passwd"), "path"),
    Case("a branch that is an option", "instance", _git(branch="-f"), "branch"),
    Case("a branch with folders", "instance", _git(branch="release/1.2")),
    Case("a forge that is not known", "instance", _git(forge="Bitbucket"), "spec.apply.git.forge: Unsupported value"),
    Case("an API without TLS", "instance", _git(apiUrl="http://example.org/api/v1"), "apiUrl"),
    Case("an API with a password", "instance", _git(apiUrl="https://a:b@example.org/api/v1"), "apiUrl"),
    Case("an author with a line break", "instance", {"spec.apply": {"git": {**GIT, "author": {"name": "a\nb"}}}},
         "author.name"),
    Case("an author's address that is none", "instance", {"spec.apply": {"git": {**GIT, "author": {"email": "ada"}}}},
         "author.email"),
    Case("a share above one", "instance", {"spec.workload": {"prefixShare": 1.1}}, "spec.workload.prefixShare"),
    Case("settings of every scalar type", "instance",
         {"spec.currentConfig": {"a": 1, "b": 0.9, "c": "text", "d": True, "e": None}}),
)  # fmt: skip

_IMMUTABLE = "an OptimizationPlan's spec never changes, apart from spec.approval"
_DEEP_CHANGES: Mapping[str, tuple[str, Any]] = {
    "instanceRef": ("name", "other"),
    "engine": ("version", "0.34.0"),
    "observedAt": ("", "2026-11-24T13:00:00Z"),
    "observationDigest": ("", OTHER_HASH),
    "optimizations": ("0.configChanges.0.recommendedValue", 65),
    "priorityOrder": ("0", "batching_1"),
    "estimatedTotalImprovement": ("", "twice the throughput"),
    "summary": ("risk", "none"),
    "target": ("generation", 4),
    "kvCacheConfig": ("maxModelLen", 4096),
    "quantizationConfig": ("targetBits", 4),
    "batchingConfig": ("enableDynamicBatching", False),
    "effects": ("0.low", 1.2),
    "effectsBasis": ("", "another model"),
    "memoryBudget": ("after.terms.0.bytes", 1),
    "alternatives": ("0.effects.0.high", 2.5),
    "rejected": ("0.cost", "nothing"),
    "abstentions": ("0.code", "Idle"),
    "patch": ("serverSideApply", '{"spec": {}}'),
}
"""Field of a plan's spec → a change deep inside. planHash has a case of its own: its approval names the old one."""
OPTIONAL_PLAN_FIELDS = tuple(name for name in FULL_PLAN_SPEC if name not in SMALL_PLAN_SPEC and name != "approval")


def _immutable_rule(name: str) -> str:
    return f"OptimizationPlan:spec.{name}#0"


def _plan_update_cases() -> tuple[Case, ...]:
    frozen = (*_DEEP_CHANGES, "planHash")
    every_rule = (PRESENCE_RULE, HASH_RULE, APPROVAL_RULE, *(_immutable_rule(name) for name in frozen))
    approved = {"approved": True, "by": "ada", "planHash": HASH}
    yes = (
        Case("a plan is approved", "small plan", {"spec.approval": approved}, rules=every_rule, update=True),
        Case(
            "an approval is replaced",
            "full plan",
            {"spec.approval": {"approved": False}},
            rules=every_rule,
            update=True,
        ),
        Case("an approval is taken back", "full plan", {"spec.approval": DELETE}, rules=every_rule, update=True),
        Case("a label changes", "full plan", {"metadata.labels": {"a": "b"}}, rules=every_rule, update=True),
    )
    changes = tuple(
        Case(
            f"{name} changes", "full plan", {f"spec.{name}.{deep}".rstrip("."): value}, _IMMUTABLE,
            (_immutable_rule(name),), update=True,
        )
        for name, (deep, value) in _DEEP_CHANGES.items()
    )  # fmt: skip
    removed = tuple(
        Case(f"{name} is removed", "full plan", {f"spec.{name}": DELETE}, _IMMUTABLE, (PRESENCE_RULE,), update=True)
        for name in OPTIONAL_PLAN_FIELDS
    )
    added = tuple(
        Case(
            f"{name} is added", "small plan", {f"spec.{name}": FULL_PLAN_SPEC[name]}, _IMMUTABLE,
            (PRESENCE_RULE,), update=True,
        )
        for name in OPTIONAL_PLAN_FIELDS
    )  # fmt: skip
    renamed = Case(
        "planHash changes", "small plan", {"spec.planHash": OTHER_HASH}, _IMMUTABLE, (_immutable_rule("planHash"),),
        update=True,
    )  # fmt: skip
    return (*yes, *changes, renamed, *removed, *added)


def _deep(path: str, value: Any) -> Changes:
    return {f"spec.optimizations.0.{path}": value}


PLAN_CASES = (
    *_plan_update_cases(),
    Case("a fraction in a change's reason is added", "full plan", _deep("configChanges.0.currentValue", DELETE),
         _IMMUTABLE, (_immutable_rule("optimizations"),), update=True),
    Case("evidence changes", "full plan", _deep("configChanges.0.evidence.0.value", "13"), _IMMUTABLE,
         (_immutable_rule("optimizations"),), update=True),
    Case("an optimization is dropped", "full plan", {"spec.optimizations": []}, _IMMUTABLE,
         (_immutable_rule("optimizations"),), update=True),
    Case("an approval without a name", "small plan", {"spec.approval": {"approved": True, "planHash": HASH}},
         "approval: an approved plan names who approved (by) and the hash that was approved (planHash)",
         (APPROVAL_RULE,)),
    Case("an approval without a hash", "small plan", {"spec.approval": {"approved": True, "by": "ada"}},
         "approval: an approved plan names who approved", (APPROVAL_RULE,)),
    Case("a rejection without a name", "small plan", {"spec.approval": {"approved": False}}, rules=(APPROVAL_RULE,)),
    Case("an approval of another plan", "small plan",
         {"spec.approval": {"approved": True, "by": "ada", "planHash": OTHER_HASH}},
         "approval.planHash is not this plan's planHash: what was approved is another plan", (HASH_RULE,)),
    Case("an approval with a note", "small plan",
         {"spec.approval": {"approved": True, "by": "system:serviceaccount:a:b", "planHash": HASH, "note": "seen"}},
         rules=(APPROVAL_RULE, HASH_RULE)),
    Case("a note without words", "small plan", {"spec.approval": {"approved": False, "note": ""}},
         "spec.approval.note in body should be at least 1 chars long"),
    Case("a hash that is no hash", "small plan", {"spec.planHash": "abc"}, "spec.planHash"),
    Case("a value that is a list", "small plan", _deep("configChanges.0.recommendedValue", [1]), "recommendedValue"),
    Case("a value that is a fraction", "small plan", _deep("configChanges.0.recommendedValue", 0.9),
         "recommendedValue"),
    Case("a value that is a fraction as text", "small plan", _deep("configChanges.0.recommendedValue", "0.9")),
    Case("a confidence that is not known", "small plan", {"spec.summary.confidence": "certain"},
         "spec.summary.confidence: Unsupported value"),
)  # fmt: skip

CASES = (*INSTANCE_RULE_CASES, *INSTANCE_SCHEMA_CASES, *PLAN_CASES)
