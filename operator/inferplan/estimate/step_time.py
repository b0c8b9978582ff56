"""The time of one engine step (performance-model section 2): a roofline per layer kind, and overheads per kernel.

A step of `d` decoding sequences with `c` tokens of context each and `p` prompt tokens takes, summed over layers,

    matrices:  smooth max of bytes / (bandwidth x share) and operations / (peak x share)
    experts:   the same, of the experts that the step's tokens touch: E (1 - (1 - k/E)^tokens) of E
    attention: bytes of the caches read / bandwidth, plus the prompt's operations / peak
    kernels:   number of kernels x seconds per kernel
    exchange:  collectives x (latency + bytes / link)

plus the output head, and scheduling. Shapes and loads may be arrays: many steps are timed at once.

Worked: Llama-3.1-70B in fp8, one H200, 4 sequences of 1,500 tokens. Weights 68.5e9 bytes / (4.8e12 x 0.88) = 16.2 ms,
80 layers x 14 kernels x 4.2 us = 4.7 ms, head 2.1e9 / 4.2e12 = 0.5 ms: about 21.5 ms; measured 21.5.
"""

import numpy as np

from inferplan.estimate.speed_constants import SpeedConstants
from inferplan.estimate.step_shape import Floats, StepColumns


class StepTimer:
    """Times steps.

    Args:
        columns: The deployments: one row, or one for each step that is timed.
        constants: The model's constants.
    """

    def __init__(self, columns: StepColumns, constants: SpeedConstants) -> None:
        self._of, self._constants = columns, constants
        counts = constants.kernel_counts()
        self._kernels = (columns.group("kernels") * np.array(counts)).sum(axis=-1)
        speed = columns.of("bytes_per_second") * np.power(constants.older_bandwidth, columns.of("older"))
        self._speed = speed[:, None]
        self._weights = columns.group("linear_bytes") / (self._speed * constants.weights_bandwidth)
        self._wide = columns.group("wide_bytes") / (self._speed * constants.weights_bandwidth)
        self._head = columns.of("head_bytes") / (speed * constants.weights_bandwidth)

    def seconds(self, decode: Floats, context: Floats, prompt: Floats, prompt_context: Floats) -> Floats:
        """Seconds of each step.

        Args:
            decode: Decoding sequences.
            context: Mean tokens of context that each of them has.
            prompt: Prompt tokens in the step.
            prompt_context: Mean tokens of context that a prompt token sees.
        """
        d, c, p, pc = (value[:, None] for value in (decode, context, prompt, prompt_context))
        layers = self._linear(d + p) + self._experts(d + p) + self._caches(d, c) + self._prompts(p, pc)
        layers = layers + self._launches(p) + self._exchange(d + p)
        total: Floats = (self._of.group("count") * layers).sum(axis=-1) * self._engine_share() + self._per_step(decode)
        return total

    def _engine_share(self) -> Floats:
        return np.where(self._of.of("sglang") > 0, self._constants.sglang_share, 1.0)

    def _launches(self, prompt: Floats) -> Floats:
        """Launches from a CUDA graph, or by the CPU: without graphs, and in V0's steps with prompts."""
        k, of = self._constants, self._of
        eager = (of.beside("eager") > 0) | ((of.beside("serial_cpu") > 0) & (prompt > 0))
        seconds: Floats = self._kernels * np.where(
            eager, k.eager_kernel_seconds, k.kernel_seconds * of.beside("launch")
        )
        return seconds

    def _linear(self, tokens: Floats) -> Floats:
        k, of = self._constants, self._of
        flops = of.group("linear_flops") * tokens / of.beside("attention_ranks")
        share = k.linear_peak * of.beside("gemm_share")
        peak = of.group("linear_flops_per_second") * share * self._widening("linear_widened")
        vector = _larger(self._weights, flops / (of.group("vector_flops_per_second") * share))
        written = self._wide > 0
        product = _larger(np.where(written, self._wide, self._weights), flops / peak)
        products = product + np.where(written, self._weights + self._wide, 0.0)
        chosen: Floats = np.where(tokens <= of.beside("vector_tokens"), vector, products)
        return chosen

    def _widening(self, share: str) -> Floats:
        """What widening weights before each product leaves of the peak."""
        slower: Floats = 1.0 - self._of.group(share) * (1.0 - self._constants.widened_peak)
        return slower

    def _experts(self, tokens: Floats) -> Floats:
        k, of = self._constants, self._of
        missed = np.clip(1.0 - of.group("top_k") / np.maximum(of.group("experts"), 1.0), 0.0, 1.0)
        uneven = np.where(of.beside("expert_parallel") > 0, k.expert_imbalance, 1.0)
        touched = of.group("expert_bytes") * (1.0 - np.power(missed, tokens))
        memory = touched / (self._speed * k.experts_bandwidth)
        peak = of.group("expert_flops_per_second") * k.expert_peak * of.beside("gemm_share")
        peak = peak * self._widening("expert_widened")
        return uneven * _larger(memory, of.group("expert_flops") * tokens / peak)

    def _caches(self, decode: Floats, context: Floats) -> Floats:
        of = self._of
        read = of.group("cache_bytes") * np.minimum(context, of.group("window"))
        read = read + of.group("near_bytes") * np.minimum(context, of.group("near"))
        read = read + of.group("index_bytes") * context + of.group("state_bytes")
        return decode / of.beside("attention_ranks") * read / (self._speed * self._constants.cache_bandwidth)

    def _prompts(self, prompt: Floats, context: Floats) -> Floats:
        k, of = self._constants, self._of
        seen = of.group("attention_flops") * np.minimum(context, of.group("window"))
        seen = seen + of.group("near_flops") * np.minimum(context, of.group("near"))
        flops = (
            seen / k.attention_peak
            + of.group("index_flops") * context / k.index_peak
            + of.group("state_flops") / k.state_peak
        )
        peak = of.beside("attention_flops_per_second") * of.beside("gemm_share")
        return prompt / of.beside("attention_ranks") * flops / peak

    def _exchange(self, tokens: Floats) -> Floats:
        """All-reduces: over NVLink or xGMI at once, over PCIe around a ring of n GPUs, 2 (n - 1) messages.

        A ring carries 2 (n - 1) / n of the data through each GPU's link (Patarasuk and Yuan, 2009).
        """
        k, of = self._constants, self._of
        others = of.beside("ranks") - 1.0
        latency = np.where(
            of.beside("fast_link") > 0, k.reduction_seconds, k.slow_reduction_seconds * others * of.beside("hops")
        )
        carried = tokens / of.beside("attention_ranks") * of.beside("hidden_bytes") * 2.0 * others / (others + 1.0)
        share = np.where(of.beside("fast_link") > 0, k.link_share, k.slow_link_share)
        return of.group("reductions") * (latency + carried / (of.beside("link_bytes_per_second") * share))

    def _per_step(self, decode: Floats) -> Floats:
        k = self._constants
        serial = (k.serial_step_seconds + k.serial_sequence_seconds * decode) * self._of.of("serial_cpu")
        return self._head + k.step_seconds + k.sequence_seconds * decode + serial


def _larger(first: Floats, second: Floats) -> Floats:
    """A maximum with a rounded corner, the norm with exponent 3: (3, 4) gives 4.5.

    Exponent 1 would add memory and compute time, infinity would let them overlap perfectly.
    """
    larger: Floats = np.cbrt(first * first * first + second * second * second)
    return larger
