"""Thousands of settings of one instance at once: memory, capacity and speed of each (the planner's question). Pure.

What changes shapes or formats (parallel degrees, number formats, block size) is a configuration of its own; what only
moves limits is an array. 4,000 candidates take a few milliseconds: benchmarks/estimate_speed.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.estimate.cache_room import held_at_once
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.load import Load
from inferplan.estimate.memory_calibration import MeasuredOverhead
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits as MemoryLimits
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import question
from inferplan.estimate.service import Flow, Limits, Loads, Service
from inferplan.estimate.speed_constants import MultiplierCases, SpeedFit, shipped
from inferplan.estimate.step_shape import Flags, Floats, StepColumns
from inferplan.estimate.vllm_memory import Sized

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Limits of one configuration: arrays of one length, an entry for each candidate.

    Attributes:
        utilization: gpu_memory_utilization.
        sequences: max_num_seqs.
        batched_tokens: max_num_batched_tokens.
        context: max_model_len.
    """

    utilization: Floats
    sequences: Whole
    batched_tokens: Whole
    context: Whole


@dataclass(frozen=True)
class Learned:
    """What is known of the instance beside its settings.

    Attributes:
        fit: The step model's constants; the shipped ones by default.
        calibration: What its windows taught.
        overhead: What its cache's size taught.
        cases: Multipliers to try in turn, of a single candidate, in the place of the calibration's.
    """

    fit: SpeedFit | None = None
    calibration: Calibration | None = None
    overhead: MeasuredOverhead | None = None
    cases: MultiplierCases | None = None


@dataclass(frozen=True)
class Evaluated:
    """What the candidates give; arrays in their order.

    Attributes:
        cache_tokens: Tokens that the replica's KV cache holds, as the engine prints them.
        starts: Whether the engine starts: weights, activations and one request of max_model_len fit.
        held_at_once: Requests of the load that the cache holds in the middle of their answers.
        flow: Latency and throughput; without meaning where it does not start.
    """

    cache_tokens: Floats
    starts: Flags
    held_at_once: Floats
    flow: Flow


def evaluate(
    situation: EstimateInput, load: Load, candidates: Candidates, learned: Learned | None = None
) -> Evaluated | Missing:
    """Evaluates limits of one configuration under a load; why not where its memory or speed cannot be told.

    Args:
        situation: The configuration, whose own limits do not count.
        load: The load.
        candidates: The limits.
        learned: What is known beside; nothing by default.
    """
    known = learned or Learned()
    sized = memory_model(situation.config, situation.accelerator, situation.model, known.overhead)
    return sized if isinstance(sized, Missing) else evaluate_sized(situation, load, candidates, known, sized)


def evaluate_sized(
    situation: EstimateInput, load: Load, candidates: Candidates, known: Learned, sized: Sized
) -> Evaluated | Missing:
    """The same where the configuration's memory was sized already."""
    asked = question(situation)
    if isinstance(asked, Missing):
        return asked
    calibrated = known.calibration.multipliers if known.calibration is not None else None
    if asked.unmeasured is not None and calibrated is None:
        return asked.unmeasured
    sequences, tokens = candidates.sequences, candidates.batched_tokens
    memory = MemoryLimits(candidates.utilization, sequences, tokens, candidates.context)
    plans, layout = sized.model.plans(memory), sized.model.cache
    if isinstance(plans, Missing) or isinstance(layout, Missing):
        return plans if isinstance(plans, Missing) else Missing(Reason.MODEL_UNSUPPORTED, "the cache is not sized")
    ranks = asked.shape.attention_ranks
    computed = load if asked.prefix_caching is not False else load.without_prefixes()
    held = held_at_once(layout, np.asarray(sized.model.kv_bytes(memory)), computed.held_tokens) * ranks
    limits = Limits(sequences.astype(np.float64) * ranks, tokens.astype(np.float64), held * computed.held_tokens)
    times = known.cases or calibrated
    service = Service(StepColumns([asked.shape]), (known.fit or shipped()).constants, times)
    cache = plans.tokens.astype(np.float64) * ranks
    return Evaluated(cache, plans.holds_request, held, service.under(Loads([computed]), limits))
