"""What the operator learned of an instance, where its document still has the status of the cluster."""

from dataclasses import dataclass

from inferplan.cli.documents import Document
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.engine.identity import args_digest, deployment_digest
from inferplan.engine.windows import stored_points
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.learning import learn
from inferplan.estimate.port import EstimateInput
from inferplan.observe.assemble import Assembled

_OTHER = "status.calibration is not used: it was learned with another image, other arguments, model or hardware"


@dataclass(frozen=True)
class Learned:
    """What a document's status teaches.

    Attributes:
        calibration: The calibration; None where there is none that holds.
        notes: Why one that is there does not hold.
    """

    calibration: Calibration | None
    notes: tuple[str, ...] = ()


def learned(instance: Document, inputs: Inputs, assembled: Assembled) -> Learned:
    """What the windows in `status.calibration` teach, if what they were measured on is what is asked about.

    Args:
        instance: The document.
        inputs: What belongs to it.
        assembled: What they say together.
    """
    seen = assembled.observation
    status = instance.content.get("status")
    stored = status.get("calibration") if isinstance(status, dict) else None
    if not stored or isinstance(seen.model, Missing):
        return Learned(None)
    points = stored_points(stored, _digest(inputs, assembled))
    if not points:
        return Learned(None, (_OTHER,))
    found = learn(EstimateInput(seen.config, seen.accelerator, seen.model), points)
    if isinstance(found, Missing):
        return Learned(None, (f"status.calibration is not used: {found.reason}",))
    return Learned(found)


def _digest(inputs: Inputs, assembled: Assembled) -> str:
    """As the operator makes it (reconcile/calibrating.py): arguments count where some of them could not be read."""
    if inputs.workload is None:
        return deployment_digest(assembled.observation, "", "")
    container = inputs.workload.container
    args = args_digest(container.command, container.args) if assembled.unreadable else ""
    return deployment_digest(assembled.observation, container.image, args)
