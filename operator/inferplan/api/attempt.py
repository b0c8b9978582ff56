"""What a plan's status keeps of its application: enough to go on, or back, after a restart at any moment."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import Sentence, ShortText, WireModel

Moment = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Word = Annotated[str, Field(max_length=32_768)]
Words = Annotated[tuple[Word, ...], Field(max_length=1024)]


class WindowStatus(WireModel):
    """One window of measurements, means per replica, as before and after are compared."""

    ended_at: Annotated[Moment, Field(description="When the window ended.")]
    seconds: Annotated[int, Field(ge=0, description="Its length.")]
    requests: Annotated[float, Field(ge=0, description="Requests that all replicas finished in it.")]
    values: Annotated[
        dict[str, float],
        Field(max_length=32, description="Metrics by name, in the units of status.traffic of the instance."),
    ] = {}


class PullStatus(WireModel):
    """A pull or merge request."""

    number: Annotated[int, Field(ge=1, description="Its number in the repository.")]
    url: Annotated[str, Field(max_length=1024, description="Its page.")]
    state: Annotated[
        ShortText, Field(description="open, merged, closed (without being merged), or withdrawn (closed by InferPlan).")
    ]


class GitStatus(WireModel):
    """How far a change came in Git; the branch is noted before anything is pushed."""

    branch: Annotated[str, Field(max_length=512, description="Branch that holds the change.")]
    repository: Annotated[str | None, Field(max_length=512, description="URL of the repository that it is in.")] = None
    commit: Annotated[ShortText | None, Field(description="The commit with the change.")] = None
    pull_request: Annotated[PullStatus | None, Field(description="What proposes it.")] = None
    merged_at: Annotated[Moment | None, Field(description="When it was seen on the branch that is deployed.")] = None


class AttemptStatus(WireModel):
    """One try to bring a plan onto its workload, written before anything is touched."""

    number: Annotated[int, Field(ge=1, description="Which try.")]
    started_at: Annotated[Moment, Field(description="When it began.")]
    target_uid: Annotated[ShortText, Field(description="metadata.uid of the workload.")]
    applied_digest: Annotated[
        ShortText, Field(description="SHA-256 of the container's command and args with the plan.")
    ]
    patched_at: Annotated[Moment | None, Field(description="When the workload carried the plan's arguments.")] = None
    template_digest: Annotated[
        ShortText | None,
        Field(
            description="SHA-256 of the rest of its pods' spec then: while it holds, what follows is the plan's doing."
        ),
    ] = None
    ready_pods: Annotated[int, Field(ge=0, description="Most pods that were ready with them at once.")] = 0
    progressed_at: Annotated[Moment | None, Field(description="When one more of them got ready.")] = None
    rolled_out_at: Annotated[Moment | None, Field(description="When all pods ran them.")] = None
    windows: Annotated[int, Field(ge=0, description="Windows afterwards that told nothing.")] = 0
    git: Annotated[
        GitStatus | None, Field(description="Where the change is in Git; absent where it is written directly.")
    ] = None


class FieldOwner(WireModel):
    """One entry of the workload's metadata.managedFields that holds the container's command or args."""

    manager: Annotated[str, Field(max_length=128, description="The field manager.")]
    operation: Annotated[ShortText, Field(description="Apply or Update.")]
    api_version: Annotated[ShortText, Field(description="The version that it wrote.")]
    fields: Annotated[tuple[ShortText, ...], Field(max_length=2, description="Which of args and command it held.")]


class RollbackStatus(WireModel):
    """What has to be restored to undo the plan, and why that is done."""

    command: Annotated[Words, Field(description="Container command before; empty where it had none.")] = ()
    args: Annotated[Words, Field(description="Container args before; empty where it had none.")] = ()
    owners: Annotated[
        tuple[FieldOwner, ...],
        Field(max_length=16, description="Who held them by server-side apply; they get them back with the roll-back."),
    ] = ()
    reason: Annotated[
        ShortText | None, Field(description="Why it is undone, in CamelCase; absent while it is not.")
    ] = None
    message: Annotated[Sentence, Field(description="The same in a sentence.")] = ""
    started_at: Annotated[Moment | None, Field(description="When undoing began.")] = None
    patched_at: Annotated[Moment | None, Field(description="When the workload carried the old arguments again.")] = None
    restored_at: Annotated[Moment | None, Field(description="When all pods ran the old arguments again.")] = None
    git: Annotated[GitStatus | None, Field(description="Where undoing is in Git.")] = None


class ComparedStatus(WireModel):
    """One metric before, as predicted, and after."""

    metric: Annotated[ShortText, Field(description="The metric.")]
    unit: Annotated[ShortText, Field(description="Unit of the values.")]
    before: Annotated[float, Field(description="Measured before.")]
    predicted_low: Annotated[float | None, Field(description="Lower end of the prediction.")] = None
    predicted: Annotated[float | None, Field(description="What was predicted.")] = None
    predicted_high: Annotated[float | None, Field(description="Upper end of the prediction.")] = None
    after: Annotated[float, Field(description="Measured after.")]


class VerificationStatus(WireModel):
    """Predicted against realized."""

    predicted: Annotated[ShortText | None, Field(description="What the plan promised.")] = None
    realized: Annotated[ShortText | None, Field(description="What was measured afterwards.")] = None
    error: Annotated[ShortText | None, Field(description="How far apart they are.")] = None
    verdict: Annotated[ShortText | None, Field(description="Keep, RollBack or Inconclusive.")] = None
    reason: Annotated[Sentence, Field(description="Why, in a sentence.")] = ""
    window: Annotated[WindowStatus | None, Field(description="What was measured afterwards.")] = None
    compared: Annotated[tuple[ComparedStatus, ...], Field(max_length=24, description="Metric by metric.")] = ()


class CanaryStatus(WireModel):
    """One replica with the plan's arguments beside the others."""

    name: Annotated[ShortText, Field(description="Name of its Deployment.")]
    started_at: Annotated[Moment, Field(description="When it was begun.")]
    ready_at: Annotated[Moment | None, Field(description="When its pod was ready.")] = None
    windows: Annotated[int, Field(ge=0, description="Windows that told nothing.")] = 0
    verification: Annotated[
        VerificationStatus | None, Field(description="It against the others, over the same time.")
    ] = None
