"""The kinds of the API group: their names in every spelling, short names and printer columns.

The contract fixes these names (contract.md sections 1 and 2); CRDs, RBAC and client all read them here.
"""

from dataclasses import dataclass

GROUP = "inferplan.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`. Priority 0 is always shown, 1 with `-o wide`."""

    name: str
    json_path: str
    description: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True)
class Kind:
    """One custom resource as the API server registers it."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition: `<plural>.<group>`."""
        return f"{self.plural}.{GROUP}"


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was created.", type="date")

INFERENCE_INSTANCE = Kind(
    kind="InferenceInstance",
    plural="inferenceinstances",
    singular="inferenceinstance",
    short_names=("ii", "infinst"),
    description=(
        "One LLM serving deployment as its owner sees it. InferPlan reads what runs, finds what limits it"
        " and writes an OptimizationPlan."
    ),
    columns=(
        Column("Model", ".status.model", "Model that the engine serves."),
        Column("Engine", ".spec.engine", "Serving engine."),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the instance could be read."),
        Column("Bottleneck", ".status.cause", "What limits the instance; None, Idle and Unknown are told too."),
        Column("Plan", ".status.plan.name", "The plan that holds now."),
        Column("Gain", ".status.plan.gain", "What the plan is expected to bring."),
        Column("Mode", ".spec.apply.mode", "Whether plans are applied, and how."),
        Column("Version", ".status.engineVersion", "Engine version.", priority=1),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is (not) ready.", priority=1),
        _AGE,
    ),
)

OPTIMIZATION_PLAN = Kind(
    kind="OptimizationPlan",
    plural="optimizationplans",
    singular="optimizationplan",
    short_names=("oplan",),
    description=(
        "Ranked changes to one InferenceInstance with reason, evidence and expected effect. The spec is what"
        " was decided and never changes, apart from approval; the status is what became of it."
    ),
    columns=(
        Column("Instance", ".spec.instanceRef.name", "The instance that the plan is for."),
        Column("Phase", ".status.phase", "What became of the plan."),
        Column("Changes", ".spec.summary.changes", "Settings that change."),
        Column("Impact", ".spec.summary.impact", "Expected impact: low, medium, high or critical."),
        Column("Gain", ".spec.summary.gain", "Expected gain."),
        Column("Confidence", ".spec.summary.confidence", "How sure the plan is."),
        Column("Restart", ".spec.summary.restart", "Whether pods restart.", type="boolean", priority=1),
        Column("Risk", ".spec.summary.risk", "The gravest risk.", priority=1),
        Column("Realized", ".status.verification.realized", "What the change brought.", priority=1),
        _AGE,
    ),
)

KINDS = (INFERENCE_INSTANCE, OPTIMIZATION_PLAN)
