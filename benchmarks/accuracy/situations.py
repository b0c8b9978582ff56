"""Documents read once by the package's own reader, to be asked many times."""

from dataclasses import dataclass

from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.model import Output

from inferplan.api.reasons import Reason
from inferplan.cli.documents import Document as Read
from inferplan.cli.errors import BadInputError
from inferplan.cli.estimate_answer import Asked, Sizer, answer
from inferplan.cli.estimate_document import estimate_document
from inferplan.cli.estimate_load import Flags
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate, estimate_memory
from inferplan.estimate.port import EstimateInput, Estimator
from inferplan.estimate.result import Performance

Instance = tuple[ServingConfig, Accelerator, ModelCard]


@dataclass(frozen=True)
class Situation:
    """What the command would ask about a document; None where it would not ask.

    Attributes:
        instance: What memory is estimated of.
        asked: Instance and load as an estimator of speed gets them.
        output: What the command says without an estimator of speed: memory, reasons.
    """

    instance: Instance | None
    asked: tuple[EstimateInput, Load] | None
    output: Output


class _Recorder:
    """Notes what it is asked; speed it tells none."""

    def __init__(self) -> None:
        self.instance: Instance | None = None
        self.asked: tuple[EstimateInput, Load] | None = None

    def size(self, config: ServingConfig, accelerator: Accelerator, card: ModelCard) -> MemoryEstimate | Missing:
        """The package's memory estimate."""
        self.instance = (config, accelerator, card)
        return estimate_memory(config, accelerator, card)

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        """Notes the question."""
        self.asked = (situation, load)
        return Missing(Reason.LOAD_UNKNOWN, "not asked here")


def answered(document: Document, estimator: Estimator, size: Sizer = estimate_memory) -> Output:
    """What `inferplan estimate -o jsonl` prints for the document."""
    name = document["metadata"]["name"]
    try:
        told = answer(Read(name, document), [], Asked(Flags(), size, estimator))
    except BadInputError as error:
        return {"error": "; ".join(error.lines)}
    return estimate_document(told).model_dump(mode="json", by_alias=True)


def situation(document: Document) -> Situation:
    """The document as the estimators meet it."""
    recorder = _Recorder()
    output = answered(document, recorder, recorder.size)
    return Situation(recorder.instance, recorder.asked, output)
