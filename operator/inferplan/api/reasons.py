"""Every reason that a condition, an event or an abstention can carry, with its sentence.

A reason is spelled once, here, and goes verbatim into conditions, events, logs and plans.
tests/contract/test_reasons.py: what is used is declared, what is declared is used.
"""

from enum import StrEnum
from typing import Self


class ConditionType(StrEnum):
    """Conditions of an InferenceInstance (contract section 1)."""

    READY = "Ready"
    TARGET_RESOLVED = "TargetResolved"
    METRICS_AVAILABLE = "MetricsAvailable"
    SLOS_MET = "SLOsMet"
    PLAN_CURRENT = "PlanCurrent"
    LOW_CONFIDENCE = "LowConfidence"


class PlanConditionType(StrEnum):
    """Conditions of an OptimizationPlan: how far it came on its way to the workload."""

    APPROVED = "Approved"
    GATES_PASSED = "GatesPassed"
    CANARY_PASSED = "CanaryPassed"
    APPLIED = "Applied"
    ROLLED_OUT = "RolledOut"
    VERIFIED = "Verified"
    ROLLED_BACK = "RolledBack"


class Reason(StrEnum):
    """CamelCase codes; the comment behind each is its meaning."""

    def __new__(cls, code: str, meaning: str = "") -> Self:
        """A member is its code; the meaning rides along for docs and tests."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    meaning: str

    # Ready
    PLANNED = "Planned", "The instance was read and the engine ran."
    SPEC_INVALID = (
        "SpecInvalid",
        "The spec passed the API server but cannot be used; the message names the field.",
    )
    WAITING = "Waiting", "Something the instance needs is not there; the other conditions name it."
    # TargetResolved
    TARGET_FOUND = "TargetFound", "The workload and its engine container were read."
    NO_TARGET = "NoTarget", "The spec names no workload; the plan rests on the spec alone."
    TARGET_NOT_FOUND = "TargetNotFound", "The workload does not exist."
    CONTAINER_NOT_FOUND = (
        "ContainerNotFound",
        "The workload has no container of that name, or none that runs the engine.",
    )
    CONTAINER_AMBIGUOUS = (
        "ContainerAmbiguous",
        "Several containers run the engine; spec.targetRef.container must choose.",
    )
    ENGINE_MISMATCH = "EngineMismatch", "The container runs another engine than spec.engine says."
    ARGUMENTS_UNREADABLE = "ArgumentsUnreadable", "The engine's arguments cannot be read with certainty."
    ACCESS_DENIED = "AccessDenied", "The operator may not read, or not change, the workload."
    # MetricsAvailable
    METRICS_FOUND = "MetricsFound", "Prometheus has fresh series of this instance."
    METRICS_MISSING = "MetricsMissing", "No series, or not enough of them, match the instance."
    METRICS_STALE = "MetricsStale", "The newest sample is too old to act on."
    NOT_EXPOSED_BY_VERSION = "NotExposedByVersion", "The engine's version has no such series."
    NOT_EXPOSED = "NotExposed", "No release of the engine has such a series."
    ABOVE_LAST_BUCKET = "AboveLastBucket", "The percentile lies above the last bound of its histogram."
    METRICS_CONTRADICTORY = "MetricsContradictory", "Series that cannot be true together, or no such numbers exist."
    PROMETHEUS_ERROR = "PrometheusError", "Prometheus could not be asked, or did not answer properly."
    # SLOsMet
    SLOS_MET = "AllMet", "Every target holds over the window."
    SLO_VIOLATED = "Violated", "At least one target does not hold; the message names it."
    SLO_UNKNOWN = "NotMeasured", "A target's metric is not measured."
    NO_SLO = "NoTargets", "The spec sets no target."
    # PlanCurrent
    PLAN_WRITTEN = "PlanWritten", "The named plan follows from what was seen last."
    NOTHING_TO_CHANGE = "NothingToChange", "Every optimizer looked and none has a change to propose."
    PLAN_KEPT = "PlanKept", "The last plan stands although it could not be renewed; the message says why."
    NO_PLAN = "NoPlan", "There is no plan; the message says what is missing."
    # LowConfidence
    CONFIDENCE_LOW = "ConfidenceLow", "The plan rests on rules of thumb or on little data."
    CONFIDENCE_FAIR = "ConfidenceFair", "The plan rests on measurements, or on what the release is known to do."
    # Abstentions and rejections
    IDLE = "Idle", "No requests in the window; nothing to say."
    COLD_START = "ColdStart", "The engine started so recently that what was measured tells of its start."
    CAUSE_UNCLEAR = "CauseUnclear", "Requests wait, and what was measured fits none of the known causes, or several."
    STALLED = "Stalled", "Requests run, and nothing comes out of the engine."
    KV_BOUND = "KvBound", "The KV cache is full; a larger batch would preempt more."
    NOT_KV_BOUND = "NotKvBound", "The KV cache does not limit this instance."
    NOT_LIMITED = "NotLimited", "The limit that this optimizer moves is not reached."
    ENGINE_VERSION_UNKNOWN = (
        "EngineVersionUnknown",
        "Which flags exist is not known without the engine's version.",
    )
    SETTING_UNKNOWN = "SettingUnknown", "The current value of a setting is not known."
    MODEL_CONFIG_MISSING = "ModelConfigMissing", "The model's config.json is needed and was not given."
    MODEL_UNSUPPORTED = "ModelUnsupported", "The model's geometry cannot be sized with confidence."
    ACCELERATOR_UNKNOWN = "AcceleratorUnknown", "The GPU, or how many there are, is not known."
    FORMAT_UNSUPPORTED = "FormatUnsupported", "The GPU or the engine version cannot run the format."
    ALREADY_SET = "AlreadySet", "The setting already has the value that would be proposed."
    ENGINE_END_OF_LIFE = "EngineEndOfLife", "The engine is no longer developed and is not tuned."
    SLO_AT_RISK = "SloAtRisk", "The change could break a latency target."
    OBJECTIVE_LATENCY = (
        "ObjectiveLatency",
        "The change trades latency for throughput; the objective is latency.",
    )
    FORBIDDEN = "Forbidden", "spec.constraints forbids the change."
    GAIN_TOO_SMALL = "GainTooSmall", "The change stays below spec.constraints.minimumGainPercent."
    GAIN_UNCERTAIN = "GainUncertain", "The change could do more harm than its expected gain is worth."
    RISK_NOT_WORTH = (
        "RiskNotWorth",
        "The change could make answers worse, or takes something from clients, and brings too little for that.",
    )
    THROUGHPUT_GIVEN_UP = "ThroughputGivenUp", "Much throughput would be given up, and no target be reached by it."
    FAILED_BEFORE = "FailedBefore", "The same changes were undone before, on the same image, model and GPUs."
    STEP_TOO_LARGE = "StepTooLarge", "The change goes further in one step than a forecast is good for."
    MEMORY_UNPROVEN = "MemoryUnproven", "It could not be shown that the change fits into GPU memory."
    SETTING_TAKEN = "SettingTaken", "Another change of the same plan moves the setting."
    FLAG_UNSUPPORTED = "FlagUnsupported", "The running version is not known to have the flag, or to take the value."
    ENGINE_REFUSES = "EngineRefuses", "The running version would not start with the resulting settings."
    LOAD_UNKNOWN = "LoadUnknown", "Speed is estimated for a load, and none is stated."
    SATURATED = "Saturated", "More requests arrive than are served; latency grows without bound."
    DOES_NOT_FIT = "DoesNotFit", "The model and one request of full length do not fit into GPU memory."
    NO_DRIFT = "NoDrift", "The running version takes every argument as it stands."
    DRIFT_FOUND = "DriftFound", "Arguments do not do what they say; a person has to decide."
    NOT_SELECTED = "NotSelected", "spec.constraints.optimizers leaves this optimizer out."
    # Events and notes
    PLAN_PROPOSED = "PlanProposed", "A new plan was written."
    PLAN_SUPERSEDED = "PlanSuperseded", "A newer plan, or none, takes this one's place."
    PLAN_REVIVED = "PlanRevived", "A superseded plan follows again from what was seen."
    PLAN_WAITS = "PlanWaits", "A plan that may be applied waits; the message says for what."
    PLAN_APPLYING = "PlanApplying", "A plan is being written into the workload."
    PLAN_APPLIED = "PlanApplied", "The workload carries the plan; its pods are replaced."
    PLAN_TRIED = "PlanTried", "One replica runs the plan beside the others."
    PLAN_MEASURED = "PlanMeasured", "All pods run the plan; it is measured."
    PLAN_VERIFIED = "PlanVerified", "The plan was measured and stays."
    PLAN_UNDONE = "PlanUndone", "The plan is undone; the message says why."
    PLAN_RESTORED = "PlanRestored", "The workload runs as before the plan."
    PLAN_REJECTED = "PlanRejected", "A person rejected the plan."
    PLAN_FAILED = "PlanFailed", "The plan was given up; the message says why."
    # Approved
    APPROVED_BY_PERSON = "ApprovedByPerson", "A person approved exactly this plan."
    APPROVED_BY_POLICY = "ApprovedByPolicy", "spec.apply.mode lets plans like this one be applied by themselves."
    AWAITING_APPROVAL = "AwaitingApproval", "A person has to approve the plan."
    REJECTED_BY_PERSON = "RejectedByPerson", "A person rejected the plan."
    # GatesPassed
    ALL_GATES_PASSED = "AllGatesPassed", "Nothing keeps the plan from being applied now."
    NOT_APPLICABLE = "NotApplicable", "The plan cannot be written into the workload's arguments."
    TARGET_CHANGED = "TargetChanged", "The workload is not the one that the plan was made for."
    TARGET_SHARED = "TargetShared", "Another instance names the same workload."
    PAUSED = "Paused", "An owner, or the workload itself, is paused."
    ROLLOUT_IN_PROGRESS = "RolloutInProgress", "The workload is rolling; it is left alone until it stands."
    DOES_NOT_ROLL = "DoesNotRoll", "The workload keeps its pods when its template changes."
    GIT_OPS_MANAGED = "GitOpsManaged", "A GitOps tool would take the change back."
    FIELDS_OWNED = "FieldsOwned", "Somebody else owns the arguments; the message names who, and the way out."
    DISRUPTION_BUDGET = "DisruptionBudget", "A PodDisruptionBudget allows no pod to go now."
    OUTSIDE_WINDOW = "OutsideWindow", "No maintenance window is open."
    COOLING_DOWN = "CoolingDown", "The instance rests after its last change."
    GROUP_BUSY = "GroupBusy", "Another workload of the same model is being changed."
    BASELINE_MISSING = "BaselineMissing", "Nothing was measured that a change could be held against."
    BACKING_OFF = "BackingOff", "A try failed; the next one waits."
    # Canary
    CANARY_STARTING = "CanaryStarting", "One replica with the plan is coming up beside the others."
    CANARY_BETTER = "CanaryBetter", "One replica with the plan did no worse than the others under the same load."
    CANARY_WORSE = "CanaryWorse", "One replica with the plan did worse, or could not run; the workload was not changed."
    CANARY_IMPOSSIBLE = (
        "CanaryImpossible",
        "spec.apply.canary is set, and a workload of this kind can have none.",
    )
    CANARY_UNSCHEDULABLE = "CanaryUnschedulable", "No node took one more replica."
    # Applied
    PATCHED = "Patched", "The workload carries the plan's arguments."
    WRITING = "Writing", "The plan is about to be written into the workload."
    PULL_REQUEST_OPEN = "PullRequestOpen", "The change is proposed in Git; a person merges it."
    COMMITTED = "Committed", "The change is on the branch that is deployed; the workload does not show it yet."
    NOT_DELIVERED = "NotDelivered", "The change is on the branch, and the workload never showed it."
    PULL_REQUEST_CLOSED = "PullRequestClosed", "The pull request was closed without being merged."
    REVERTED_BY_OTHER = "RevertedByOther", "Somebody else took the arguments back; InferPlan does not fight."
    CHANGED_BY_OTHER = "ChangedByOther", "Somebody else changed the arguments meanwhile."
    TARGET_GONE = "TargetGone", "The workload does not exist any more."
    # Applied, through Git
    GIT_UNREACHABLE = "GitUnreachable", "The Git server gave no proper answer; it is asked again."
    GIT_DENIED = "GitDenied", "The Git server, or a missing Secret, does not let the operator in."
    GIT_REFUSED = "GitRefused", "The repository cannot be used as apply.git has it, or the server refuses the change."
    GIT_STALE = "GitStale", "The repository does not say what the plan was made for."
    MANIFEST_NOT_FOUND = "ManifestNotFound", "Nothing at apply.git.path is the workload's manifest."
    MANIFEST_NOT_EDITABLE = "ManifestNotEditable", "The manifest cannot be edited with certainty."
    # RolledOut
    ROLLOUT_COMPLETE = "RolloutComplete", "All pods run the plan's arguments and are available."
    PODS_FAIL = "PodsFail", "A pod cannot run with the plan's arguments."
    ROLLOUT_TIMED_OUT = "RolloutTimedOut", "For too long no further pod got ready with the plan's arguments."
    NO_ROOM = "NoRoom", "No node or quota takes a pod with the plan's arguments: which says nothing against them."
    # Verified
    IMPROVEMENT_KEPT = "ImprovementKept", "What was measured afterwards is no worse than before."
    REGRESSION = "Regression", "What was measured afterwards is worse than before."
    INCONCLUSIVE = "Inconclusive", "What was measured afterwards cannot be held against what was before."
    MEASURING = "Measuring", "The window after the rollout is not over."
    # RolledBack
    RESTORING = "Restoring", "The arguments from before are being written."
    RESTORED = "Restored", "All pods run the arguments from before."
    ROLLBACK_FAILED = "RollbackFailed", "The arguments from before could not be restored; a person has to."
    ROLLBACK_ASKED = "RollbackAsked", "A person asked for the plan to be undone."
