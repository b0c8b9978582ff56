"""What kernels reach of a GPU's datasheet: shares of its peak and bandwidth, against an H100's. Pure.

The constants of speed_constants.py hold for GPUs of NVIDIA's Hopper and Blackwell; these say how others differ.
"""

import re
from collections.abc import Mapping

from inferplan.domain.gpu import GPU, Precision, Vendor
from inferplan.domain.quantization import NumberFormat

_TERA, _GIGA = 1e12, 1e9
_HOPPER = 90
_GB10 = "NVIDIA-GB10"
_PEAK: Mapping[NumberFormat, Precision] = {
    NumberFormat.BF16: Precision.BF16,
    NumberFormat.FP8: Precision.FP8,
    NumberFormat.MXFP8: Precision.FP8,
    NumberFormat.INT8: Precision.INT8,
    NumberFormat.NVFP4: Precision.FP4,
    NumberFormat.MXFP4: Precision.FP4,
}
_HALVES = (Precision.BF16, Precision.FP16)
_FP32_SHARE = 0.5  # TF32 runs at half the rate of BF16 on every tensor core (NVIDIA A100, H100 datasheets)

_GEMM_SHARE = {Vendor.NVIDIA: 1.0, Vendor.AMD: 0.64}
"""Share of the peak that large matrix products reach, against NVIDIA's: MI300X 668 of 1,307 TFLOP/s, H100 794 of 989
in BF16 (stas00/ml-engineering, compute/accelerator): 0.511 / 0.803 = 0.64."""

_CDNA3 = re.compile("MI3(?:00[AX]|08X|25X)")
_CDNA3_BANDWIDTH = 0.7
"""Share of the bandwidth that kernels reach on MI300X and MI325X, against other GPUs before Hopper: STREAM 3.9 to 4.3
of 5.3 TB/s (samuel-bohman/AI-benchmarking-guide), Llama-3.1 70B and 405B in FP8 on 8 of them with 1 to 128 sequences
ask for 0.65 to 0.75 (ROCm/vllm docs/dev-docker, 0.10.0; blogs.oracle.com, serving-llama-31-405b). MI355X needs none."""

_GB10_BANDWIDTH = 0.92
"""The same of GB10's memory, which its CPU shares: TPOT of dense models from one sequence on with vLLM 0.26
(github.com/djangodevreng/dgx-spark-benchmarks)."""

_HBM2E = re.compile(r"H[18]00-PCIe")
_GDDR = frozenset({86, 87, 89})
_GDDR_OLDER = 0.5
"""GPUs before Hopper reach less of their bandwidth (SpeedConstants.older_bandwidth): HBM2e all of it, the PCIe H100 too
(TPOT of 7B to 70B there, github.com/IOG-Foundation/llm-inference-benchmarks; an A100's kernels 0.84 of an H100's share,
aiconfigurator systems/data), GDDR cards half of it in logarithms: L40S' kernels reach what an H100's do, TPOT on A6000,
L40 and RTX 4090 asks for 0.95."""

_LAUNCH = {120: 0.76}
"""Time of a small kernel in a graph against an H100's: RTX 5090 and PRO 6000, 2.4 against 3.0 us (aiconfigurator
systems/data), and TPOT of small batches on them (github.com/cloudrift-ai/server-benchmark)."""

_CDNA3_BLOCK_KERNELS = 25
"""Kernels' worth of time, about 0.1 ms, that block-scaled FP8 takes there per group of products however few tokens
there are: DeepSeek-R1, MiniMax-M2.7 and GLM-5.1 on MI300X and MI325X (InferenceX, sgl-project/sglang pull requests
31044 and 30812); tuning one product's shape won that much back (ROCm/aiter pull request 1930)."""

_HALF_RATE = re.compile(r"GeForce-RTX-[345]\d|NVIDIA-(?:L40|L20|A10G)$")
_HALF_RATE_SHARE = 1.2
"""Cards whose tensor cores accumulate in 32 bit at half rate (domain/data/gpus.csv) come closer to that rate: an A10G
reaches 67.1 of 70 TFLOP/s (baseten.co, as quoted there), 0.96 / 0.803 of what an H100 does. INT8 has the full rate."""

_CAPPED_SHARE = {"Tesla-T4": 0.46, "NVIDIA-L4": 0.61, "NVIDIA-L40S": 0.80, "NVIDIA-GB10": 0.83}
"""The same of cards that their power limit keeps below the datasheet's clock. T4 (70 W): 24 of 65 TFLOP/s in FP16
(forums.developer.nvidia.com, topic 264462, where NVIDIA confirms the cause): 0.37 / 0.803. L4 (72 W): its 121 TFLOP/s
would be 1.68 per watt, where L40S, the same architecture, has 362 / 350 W = 1.03: 0.61. L40S: 0.65 of its peak in BF16
against an H100's 0.82 (aiconfigurator systems/data). GB10: long prompts in BF16 at 58 to 66 TFLOP/s."""


_VECTOR: Mapping[int, tuple[int, float]] = {
    # Compute capability → FP16 operations per clock and multiprocessor without tensor cores (CUDA C++ Programming
    # Guide, arithmetic throughput: results per clock, times 2 for multiply-add), and the usual boost clock, Hz.
    70: (256, 1.53e9),
    75: (256, 1.59e9),
    80: (512, 1.41e9),
    86: (256, 1.70e9),
    89: (256, 2.50e9),
    90: (512, 1.83e9),
    100: (512, 1.85e9),
    120: (256, 2.40e9),
}
_UNKNOWN_VECTOR = (256, 1.70e9)  # the usual of them
PLAIN_KERNELS: Mapping[str, tuple[float, int]] = {"gptq": (0.66, 50), "awq": (0.18, 255)}
"""GPTQ's (ExLlama) and AWQ's own kernels. They do without tensor cores, and reach this share of the above in units of
SpeedConstants.linear_peak (AWQ: 9 of 91 TFLOP/s on an L40, improvement_pairs.json, nebius). From so many tokens on, the
weights are written out in 16 bit and multiplied as such (vllm/csrc/quantization/gptq/q_gemm.cu, MAX_Q_GEMM_ROWS;
vllm/model_executor/layers/quantization/awq.py, FP16_MATMUL_HEURISTIC_CONDITION)."""


def is_fp4(number_format: NumberFormat) -> bool:
    """Whether products in the format run on a GPU's FP4 units."""
    return _PEAK.get(number_format) is Precision.FP4


def gemm_share(gpu: GPU) -> float:
    """Share of the peak that large matrix products reach, against an H100's."""
    vendor = 1.0 if gpu.vendor is None else _GEMM_SHARE[gpu.vendor]
    return _CAPPED_SHARE.get(gpu.name, vendor)


def bytes_per_second(gpu: GPU) -> float | None:
    """The memory bandwidth, less what is known to be out of reach."""
    if gpu.bandwidth_gb_per_second is None:
        return None
    share = _CDNA3_BANDWIDTH if _CDNA3.search(gpu.name) else _GB10_BANDWIDTH if gpu.name == _GB10 else 1.0
    return gpu.bandwidth_gb_per_second * _GIGA * share


def older(gpu: GPU) -> float:
    """How far the GPU's memory is behind Hopper's: the power of SpeedConstants.older_bandwidth; 0 is not at all."""
    if gpu.compute_capability in _GDDR:
        return _GDDR_OLDER
    behind = gpu.compute_capability is None or gpu.compute_capability < _HOPPER or _HBM2E.search(gpu.name)
    return 1.0 if behind else 0.0


def launch_share(gpu: GPU) -> float:
    """Time of a small kernel in a CUDA graph, against an H100's."""
    return _LAUNCH.get(gpu.compute_capability or 0, 1.0)


def block_kernels(gpu: GPU) -> int:
    """Kernels' worth of time that block-scaled products take beside their own."""
    return _CDNA3_BLOCK_KERNELS if _CDNA3.search(gpu.name) else 0


def peak(gpu: GPU, number_format: NumberFormat) -> float | None:
    """Operations per second in a format; of 16 bits where the GPU has none for it."""
    half = next((gpu.tflops[name] for name in _HALVES if name in gpu.tflops), None)
    if number_format is NumberFormat.FP32:
        return None if half is None else half * _TERA * _FP32_SHARE
    precision = _PEAK.get(number_format)
    found = half if precision is None else gpu.tflops.get(precision, half)
    share = _HALF_RATE_SHARE if _HALF_RATE.search(gpu.name) and precision is not Precision.INT8 else 1.0
    return None if found is None else found * _TERA * share


def vector_flops(gpu: GPU, method: str) -> float:
    """Operations per second of a method's own kernels, which do without tensor cores; infinite without a method."""
    if not method or gpu.multiprocessors is None:
        return float("inf")
    per_clock, clock = _VECTOR.get(gpu.compute_capability or 0, _UNKNOWN_VECTOR)
    return gpu.multiprocessors * per_clock * clock * PLAIN_KERNELS[method][0]
