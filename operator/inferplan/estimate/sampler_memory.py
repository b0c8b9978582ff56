"""What sampling holds at its peak during vLLM's profile run, bytes per sequence and vocabulary entry. Pure.

The dummy run samples for max_num_seqs sequences with top-k and top-p set, so every sequence costs the widest path
of the sampler. TP changes nothing: every rank gathers the whole vocabulary (vLLM 0.8.5 to 0.33.0; in V0 only the
first rank samples, and the smallest KV cache of any rank counts).
"""

from dataclasses import dataclass, replace

from inferplan.estimate.release import Release

_SORT = 38.0
_SORT_FEW = 50.0
_MASKED = 14.0
_LOGITS = 2.0
_EIGHT = 8


@dataclass(frozen=True)
class SamplerMemory:
    """Bytes per sequence and vocabulary entry.

    Attributes:
        few: Below `many_from` sequences.
        many: From there on.
        many_from: Sequences from which another algorithm runs.
        buffers: Rows of float32 scratch that stay allocated, at most one per multiprocessor.
        basis: What the numbers follow from, a sentence.
        least: Bytes where a package is installed that samples with less; 0.0 where that changes nothing.
    """

    few: float
    many: float
    many_from: int
    buffers: bool
    basis: str
    least: float = 0.0


_SORTED = SamplerMemory(
    few=_SORT_FEW,
    many=_SORT,
    many_from=128,
    buffers=False,
    basis=(
        "torch.sort at its peak: logits 2 + 4, sorted values 4 and indices 8, torch's own indices 8, CUB's second"
        " buffers 12 bytes"
    ),
)
"""vllm/v1/sample/ops/topk_topp_sampler.py 0.11.1 to 0.16.0, vllm/model_executor/layers/sampler.py (V0): logits.sort().

aten/src/ATen/native/cuda/Sort.cpp (torch 2.4 to 2.9): from 128 segments on segmented_sort_pairs, with int64 indices
in (8) and out (8), values (4) and cub::DeviceSegmentedRadixSort's alternate keys and values (4 + 8). Below that
segmented_sort_pairs_by_full_sort: two int2 arrays (16), sorted keys (4) and the same 12. Around it lie the logits in
16 bits (2) and in float32 (4): 2 + 4 + 4 + 8 + 8 + 12 = 38, and 2 + 4 + 4 + 8 + 16 + 4 + 12 = 50.
Qwen3-0.6B on an H100, 1024 x 151,936 x 38 = 5.51 GiB; the log says 5.56 with the run's other tensors
(kv_capacity_cases, kv-llmd-06).
"""

_SORTED_OR_FUSED = replace(
    _SORTED, least=_MASKED, basis=f"{_SORTED.basis}; 14 bytes where FlashInfer is installed and samples"
)
"""V1 from 0.8.0 to 0.11.0 samples with FlashInfer where it is installed, as in vllm/vllm-openai, and sorts elsewhere.

The larger is expected: which it is cannot be seen in the settings, and a cache that is smaller than thought does harm.
Sorted: Qwen3-235B, 0.10.2 (kv-idx-13), gpt-oss-120b in Ray's image, 0.10.1 (kv-ray-05). FlashInfer: Mistral-Small-3.2,
0.11.0: 131,072 x 1024 x 14 = 1.71 GiB and 0.35 of other tensors, 2.12 in the log (kv-llmd-09); Qwen2-7B, 0.10.1.1:
0.51 of 0.56 (engine-facts 3f).
"""

_SORTED_BELOW_EIGHT = SamplerMemory(
    few=_SORT_FEW,
    many=_MASKED,
    many_from=_EIGHT,
    buffers=True,
    basis="logits 2 + 4, probabilities 4 and random numbers 4 bytes; below 8 sequences torch.sort, 50 bytes",
)
"""0.17.1 to 0.20.2: a Triton kernel masks in place (topk_topp_triton.py), then softmax and exponential noise."""

_FUSED = SamplerMemory(
    few=_MASKED,
    many=_MASKED,
    many_from=1,
    buffers=True,
    basis="logits 2 + 4, masked logits or probabilities 4, and probabilities or random numbers 4 bytes",
)
"""0.21.0 and later: FlashInfer's sampler, and the native one as well, to warm it (gpu_model_runner.py)."""

_UNPROCESSED = SamplerMemory(
    few=_LOGITS,
    many=_LOGITS,
    many_from=1,
    buffers=False,
    basis="logits in 16 bits alone, 2 bytes: model runner V2 profiles without top-k and top-p",
)
"""vllm/v1/worker/gpu/model_runner.py, _dummy_sampler_run, 0.22.1 to 0.32.0; 0.33.0 adds a pass with all of them."""

_RUNNER_V2: tuple[tuple[Release, frozenset[str]], ...] = (  # newest first
    ((0, 25, 0), frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"})),
    (
        (0, 24, 0),
        frozenset(
            {
                *("Qwen3ForCausalLM", "DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"),
                *("LlamaForCausalLM", "MistralForCausalLM"),
            }
        ),
    ),
    ((0, 23, 0), frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM"})),
    ((0, 22, 0), frozenset({"Qwen3ForCausalLM"})),
)
"""DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES, vllm/config/vllm.py: 0.22.1, 0.23.0, 0.24.0, 0.25.1 to 0.28.0."""


def sampler_memory(
    release: Release, architecture: str, *, legacy: bool = False, unsupported_by_v2: bool = False
) -> SamplerMemory:
    """The sampler that a release profiles a model with.

    Args:
        release: vLLM's release.
        architecture: Class name in config.json.
        legacy: V0 runs, whose sampler always sorts.
        unsupported_by_v2: A setting keeps model runner V2 from running (a draft model, n-gram speculation).
    """
    if release < (0, 17, 0):
        return _SORTED if legacy or release > (0, 11, 0) else _SORTED_OR_FUSED
    if release < (0, 21, 0):
        return _SORTED_BELOW_EIGHT
    if release < (0, 33, 0) and _runs_v2(release, architecture) and not unsupported_by_v2:
        return _UNPROCESSED
    return _FUSED


def _runs_v2(release: Release, architecture: str) -> bool:
    """Whether model runner V2 is the default: from 0.29.0 on for every model (vllm/config/vllm.py).

    No release before 0.22 has it as a default for any.
    """
    if release >= (0, 29, 0):
        return True
    names = next((names for since, names in _RUNNER_V2 if release >= since), frozenset[str]())
    return architecture in names
