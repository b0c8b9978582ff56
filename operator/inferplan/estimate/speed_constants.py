"""The few constants of the step model. Their values are fitted by scripts/fit_speed.py on public measurements.

Everything else in the model is arithmetic on the model's shapes and the GPU's datasheet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any

from inferplan.estimate.step_shape import KERNELS, Floats


@dataclass(frozen=True)
class SpeedConstants:
    """Efficiencies (shares of a datasheet's peak), overheads (seconds) and counts (kernels).

    Attributes:
        weights_bandwidth: Share of the memory bandwidth at which dense weights are read.
        experts_bandwidth: The same for routed experts.
        cache_bandwidth: The same for the KV cache and states.
        older_bandwidth: All three on HBM2e and older, and on AMD's, against those on Hopper and Blackwell.
        linear_peak: Share of the peak that dense matrix products reach.
        expert_peak: The same for routed experts, which are many small products.
        widened_peak: What widening weights first (weight-only formats) leaves of either.
        attention_peak: The same for prompt attention (of the 16-bit peak).
        index_peak: The same for a sparse attention's indexer (of the 16-bit peak).
        state_peak: The same for a linear attention's prompt kernels (of the 16-bit peak).
        kernel_seconds: Launch, ramp and tail of one kernel inside a CUDA graph.
        eager_kernel_seconds: The same without graphs, where the CPU's part is longer than the GPU's.
        reduction_seconds: One all-reduce of nothing over NVLink or xGMI.
        slow_reduction_seconds: The same over PCIe, for each further GPU: it goes around a ring.
        link_share: Share of the link's bandwidth that an all-reduce reaches over NVLink or xGMI.
        slow_link_share: The same over PCIe.
        step_seconds: Scheduling and sampling that every step waits for.
        sequence_seconds: The same per decoding sequence.
        serial_step_seconds: vLLM's first engine (V0, up to 0.7): scheduling that the GPU waits for, per step.
        serial_sequence_seconds: The same per decoding sequence.
        expert_imbalance: Most loaded GPU against the mean, where whole experts lie on a GPU.
        quantize_kernels: Kernels that quantizing activations adds, per group of matrix products.
        fused_expert_kernels: Kernels of a fused FP4 expert layer (Blackwell).
        expert_kernels: Kernels of any other expert layer.
        attention_kernels: Kernels of softmax attention.
        latent_kernels: Kernels of multi-head latent attention.
        indexed_kernels: Kernels of latent attention with an indexer.
        state_kernels: Kernels of a linear attention or a state-space layer.
        sglang_share: SGLang's step against vLLM's.
        request_seconds: HTTP, tokenizing and detokenizing of one request.
        tester_seconds: What a load test's client adds to that.
        client_seconds: What each of its requests in flight adds to that.
        wait_steps: Decode steps that a new request waits for, vLLM.
        sglang_wait_steps: The same, SGLang, whose scheduler may look for new requests only every few steps.
        burst_share: Share of a closed-loop test's requests that start at once, in its first wave.
    """

    weights_bandwidth: float
    experts_bandwidth: float
    cache_bandwidth: float
    older_bandwidth: float
    linear_peak: float
    expert_peak: float
    widened_peak: float
    attention_peak: float
    index_peak: float
    state_peak: float
    kernel_seconds: float
    eager_kernel_seconds: float
    reduction_seconds: float
    slow_reduction_seconds: float
    link_share: float
    slow_link_share: float
    step_seconds: float
    sequence_seconds: float
    serial_step_seconds: float
    serial_sequence_seconds: float
    expert_imbalance: float
    quantize_kernels: float
    fused_expert_kernels: float
    expert_kernels: float
    attention_kernels: float
    latent_kernels: float
    indexed_kernels: float
    state_kernels: float
    sglang_share: float
    request_seconds: float
    tester_seconds: float
    client_seconds: float
    wait_steps: float
    sglang_wait_steps: float
    burst_share: float

    def kernel_counts(self) -> tuple[float, ...]:
        """Kernels of each kind of step_shape.KERNELS."""
        return tuple(1.0 if kind == "plain" else float(getattr(self, f"{kind}_kernels")) for kind in KERNELS)


@dataclass(frozen=True)
class Multipliers:
    """What an instance's own measurements say about the model's parts; 1 is the model as it is.

    Attributes:
        fixed: On the time of a step with one short sequence.
        growing: On what more and longer sequences add to it.
        prompts: On prefill.
        waiting: On what a request waits for beside prefills.
    """

    fixed: float = 1.0
    growing: float = 1.0
    prompts: float = 1.0
    waiting: float = 1.0

    def times(self, factor: float) -> "Multipliers":
        """All of them, multiplied."""
        return Multipliers(self.fixed * factor, self.growing * factor, self.prompts * factor, self.waiting * factor)


@dataclass(frozen=True)
class MultiplierCases:
    """As `Multipliers`, several cases at once: arrays of one length."""

    fixed: Floats
    growing: Floats
    prompts: Floats
    waiting: Floats


@dataclass(frozen=True)
class Spread:
    """How far the model is off: 10th and 90th percentile of measured over estimated, by cross-validation."""

    low: float
    high: float


@dataclass(frozen=True)
class Elsewhere:
    """What public measurements of one model on one GPU say about the model's parts.

    Attributes:
        multipliers: On the step model's parts.
        measurements: How many they rest on.
        itl: How far the ITL is off for a deployment of it that was left out.
        ttft: The same of the TTFT.
        citation: Where they come from.
    """

    multipliers: Multipliers
    measurements: int
    itl: Spread
    ttft: Spread
    citation: str


@dataclass(frozen=True)
class SpeedFit:
    """The fitted constants, and the spreads found where the model or GPU was not in the fit.

    Attributes:
        constants: The constants.
        spreads: "itl" and "ttft" for each engine, never seen ("vllm itl") and after one window ("vllm itl seen").
        elsewhere: By (shape, GPU, engine, format of the weights), see question.Question.served.
    """

    constants: SpeedConstants
    spreads: dict[str, Spread]
    elsewhere: dict[tuple[str, ...], Elsewhere] = field(default_factory=dict)


@cache
def shipped() -> SpeedFit:
    """The fit that is shipped with the package (data/speed_constants.json, written by scripts/fit_speed.py)."""
    text = files("inferplan.estimate").joinpath("data/speed_constants.json").read_text(encoding="utf-8")
    read = json.loads(text)
    constants = SpeedConstants(**{entry.name: float(read["constants"][entry.name]) for entry in fields(SpeedConstants)})
    spreads = {name: Spread(*pair) for name, pair in read["spreads"].items()}
    elsewhere = {tuple(entry["of"]): _elsewhere(entry) for entry in read["elsewhere"]}
    return SpeedFit(constants, spreads, elsewhere)


def _elsewhere(entry: Mapping[str, Any]) -> Elsewhere:
    return Elsewhere(
        multipliers=Multipliers(*entry["multipliers"]),
        measurements=entry["measurements"],
        itl=Spread(*entry["itl"]),
        ttft=Spread(*entry["ttft"]),
        citation=entry["citation"],
    )
