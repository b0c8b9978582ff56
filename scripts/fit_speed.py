"""Fits the step model's constants to public measurements, and finds by cross-validation how far they are off.

    PYTHONPATH=operator:. .venv/bin/python scripts/fit_speed.py [DATA] [-o FILE]

DATA is the folder with serving_measurements.csv and model_configs/ (default ../shared/data). Every measurement is asked
the way a user asks: as an InferenceInstance document. The logarithms of the constants are fitted by Gauss-Newton with
a soft-L1 loss on the logarithms of measured over estimated, so that a wrong label or a cold start does not pull; each
has a prior, its physical value with a width, so that what the data cannot tell stays where physics puts it. Every
(model, GPU, engine) weighs alike. Marked rows (benchmarks/accuracy/serving.py) are left out of the fit, not of the
spreads.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from inferplan.estimate.calibration import Window, calibrate
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import Question, question
from inferplan.estimate.service import Flow, Limits, Loads, Service
from inferplan.estimate.speed_constants import Elsewhere, Multipliers, SpeedConstants, SpeedFit, Spread
from inferplan.estimate.step_shape import Floats, StepColumns

PRIORS: dict[str, tuple[float, float]] = {
    # Constant → (value that physics or the literature gives, standard deviation of its logarithm).
    # Shares of the datasheet: streaming kernels reach 80 to 92 % of HBM; grouped products less.
    "weights_bandwidth": (0.85, 0.05),
    "experts_bandwidth": (0.75, 0.07),
    "cache_bandwidth": (0.70, 0.07),
    "older_bandwidth": (0.85, 0.07),  # A100, 7B in BF16, one sequence: 84 to 88 tokens/s (engine-facts 3f's source)
    "linear_peak": (0.65, 0.03),  # cuBLAS reaches 0.80 of an H100 in BF16 (stas00/ml-engineering), less on small sizes
    "expert_peak": (0.30, 0.15),
    "widened_peak": (0.85, 0.08),
    "attention_peak": (0.40, 0.15),
    "index_peak": (0.05, 0.40),
    "state_peak": (0.05, 0.40),
    # A kernel in a CUDA graph takes 3 to 5 us however small it is; an all-reduce over NVLink 5 to 10, over PCIe, for
    # each further GPU, 4 to 15 where GPUs reach each other's memory and some 100 in virtual machines.
    "kernel_seconds": (4e-6, 0.08),
    "eager_kernel_seconds": (12e-6, 0.30),  # a PyTorch operation in Python and its launch: 8 to 20 us
    "reduction_seconds": (6e-6, 0.15),
    "slow_reduction_seconds": (14e-6, 0.30),
    "link_share": (0.60, 0.15),
    "slow_link_share": (0.25, 0.20),  # PRO 6000 with P2P 0.3 to 0.18 for 2 to 8 GPUs, L40S 0.06 (aiconfigurator)
    "step_seconds": (0.5e-3, 0.2),
    "sequence_seconds": (18e-6, 0.15),
    # V0 against V1, Llama-3.1-8B on one A100, about 50 sequences: 18.7 against 12.9 ms a step
    # (improvement_pairs.json, accelmark 0.7.3 and 0.20.1).
    "serial_step_seconds": (3e-3, 0.2),
    "serial_sequence_seconds": (60e-6, 0.2),
    "expert_imbalance": (1.1, 0.07),
    # Kernels, counted in vLLM's and SGLang's decode graphs; an expert layer routes, sorts, quantizes, multiplies twice.
    "quantize_kernels": (2.0, 0.15),
    "fused_expert_kernels": (6.0, 0.15),
    "expert_kernels": (11.0, 0.12),
    "attention_kernels": (6.0, 0.05),
    "latent_kernels": (13.0, 0.08),
    "indexed_kernels": (30.0, 0.06),
    "state_kernels": (11.0, 0.10),
    "sglang_share": (0.93, 0.05),
    # All fitted TTFTs are those of a load test's client; where an engine's own clock or a light open load was measured,
    # short prompts take 10 to 15 ms beside the GPU (github.com/IOG-Foundation/llm-inference-benchmarks).
    "request_seconds": (12e-3, 0.05),
    "tester_seconds": (22e-3, 0.30),
    "client_seconds": (0.8e-3, 0.25),
    "wait_steps": (2.0, 0.25),
    "sglang_wait_steps": (12.0, 0.20),
    "burst_share": (0.10, 0.12),  # InferenceMAX: ten requests per client
}
ITL_NOISE, TTFT_NOISE = 0.1, 0.4
QUANTILES = (0.08, 0.92)  # a little more than 80 %, since the next model or GPU is not from the same few
THROUGHPUT_WEIGHT = 0.4  # throughputs of other sources: what "output tokens per second" counts differs between tools
ENOUGH = 12  # rows of a (model, GPU, engine, format) that are worth bundling, and errors that make a spread
WORTH = 6.0  # windows that all rows of a group are worth together: their errors are not independent
CITATION = "NVIDIA aiconfigurator 0.12.0 silicon_sample.csv, Apache-2.0, most of it from SemiAnalysis InferenceMAX"
_STEPS, _DIFFERENCE, _LARGEST_STEP, _SETTLED = 6, 1e-4, 0.5, 5e-3
_NAMES = tuple(entry.name for entry in fields(SpeedConstants))


@dataclass(frozen=True)
class Measurement:
    """One measured operating point.

    Attributes:
        situation: The deployment, as the command reads it.
        load: Its load.
        ttft: Milliseconds, None where it was not measured.
        tpot: Milliseconds, None where it was not measured.
        model: Group for weights and cross-validation; empty: the architecture.
        gpu: The same.
        marked: Whether it is no plain measurement.
        deployment: Rows of one deployment.
        tokens: Output tokens per second, where that is what was measured.
    """

    situation: EstimateInput
    load: Load
    ttft: float | None
    tpot: float | None
    model: str = ""
    gpu: str = ""
    marked: bool = False
    deployment: str = ""
    tokens: float | None = None


class Problem:
    """Measurements as arrays, to be estimated with any constants.

    Args:
        measurements: What was measured; those that the model has no basis for are left out.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        asked = [(found, question(found.situation)) for found in measurements]
        told = [(found, to) for found, to in asked if isinstance(to, Question) and to.unmeasured is None]
        self.kept = [found for found, _ in told]
        questions = [to for _, to in told]
        self.served = [to.served for to in questions]
        self._columns = StepColumns([told.shape for told in questions])
        self._loads = Loads([found.load for found in self.kept])
        cache = [found.situation.cache_tokens for found in self.kept]
        self._limits = Limits(
            np.array([told.running for told in questions]),
            np.array([told.batched_tokens for told in questions]),
            np.array([float("inf") if tokens is None else max(1.0, tokens) for tokens in cache]),
        )
        self.itl = _logs(found.tpot for found in self.kept)
        self.ttft = _logs(found.ttft for found in self.kept)
        self._tokens = _logs(found.tokens for found in self.kept)

    def flow(self, constants: SpeedConstants, times: Multipliers | None = None) -> Flow:
        """The estimates."""
        return Service(self._columns, constants, times).under(self._loads, self._limits)

    def errors(self, constants: SpeedConstants) -> tuple[Floats, Floats]:
        """Logarithms of measured over estimated: ITL, TTFT; NaN where not measured. A throughput counts as its ITL."""
        flow = self.flow(constants)
        slower = np.log(flow.requests_per_second * self._loads.output) - self._tokens
        itl = self.itl - np.log(flow.itl_seconds * 1e3)
        return np.where(np.isnan(itl), slower, itl), self.ttft - np.log(flow.ttft_seconds * 1e3)

    def weights(self) -> Floats:
        """Every (model, GPU, engine) alike, on average 1."""
        groups = [
            (
                found.model or found.situation.model.architecture,
                found.gpu or found.situation.accelerator.product,
                found.situation.config.engine,
            )
            for found in self.kept
        ]
        counts = Counter(groups)
        weights = np.array([1.0 / np.sqrt(counts[group]) for group in groups])
        bare = np.array([found.ttft is None for found in self.kept])
        return np.where(bare, THROUGHPUT_WEIGHT, 1.0) * weights / weights.mean()


def _logs(values: Iterable[float | None]) -> Floats:
    return np.log(np.array([np.nan if value is None else value for value in values], dtype=np.float64))


def fit_constants(measurements: Sequence[Measurement], near: SpeedConstants | None = None) -> SpeedConstants:
    """Constants that the unmarked measurements speak for.

    Args:
        measurements: What was measured.
        near: Constants of nearly the same measurements, to begin from: two steps instead of four.
    """
    problem = Problem([found for found in measurements if not found.marked])
    weights, start = problem.weights(), np.log([PRIORS[name][0] for name in _NAMES])
    widths = np.array([PRIORS[name][1] for name in _NAMES])

    def residuals(logs: Floats) -> Floats:
        itl, ttft = problem.errors(_constants(logs))
        latencies = np.concatenate([weights * itl / ITL_NOISE, weights * ttft / TTFT_NOISE])
        return np.concatenate([np.nan_to_num(latencies), (start - logs) / widths])

    first = start if near is None else np.log([getattr(near, name) for name in _NAMES])
    return _constants(_gauss_newton(residuals, first, robust=2 * len(weights)))


def _constants(logs: Floats) -> SpeedConstants:
    return SpeedConstants(**{name: float(np.exp(value)) for name, value in zip(_NAMES, logs, strict=True)})


def _gauss_newton(residuals: Callable[[Floats], Floats], start: Floats, robust: int) -> Floats:
    """Least squares, soft-L1 on the first `robust` residuals (as weights), with halved steps where one overshoots."""
    logs = start
    for _ in range(_STEPS):
        now = residuals(logs)
        slopes = np.stack([(residuals(logs + _DIFFERENCE * unit) - now) / _DIFFERENCE for unit in np.eye(len(logs))], 1)
        soft = np.ones(len(now))
        soft[:robust] = (1.0 + now[:robust] ** 2) ** -0.5
        step = -np.linalg.solve(slopes.T @ (slopes * soft[:, None]), slopes.T @ (now * soft))
        step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        while _loss(residuals(logs + step), robust) > _loss(now, robust) and np.abs(step).max() > _DIFFERENCE:
            step = step / 2
        logs = logs + step
        if np.abs(step).max() < _SETTLED:
            break
    return logs


def _loss(residuals: Floats, robust: int) -> float:
    soft = 2.0 * ((1.0 + residuals[:robust] ** 2) ** 0.5 - 1.0)
    return float(soft.sum() + (residuals[robust:] ** 2).sum())


def fit(measurements: Sequence[Measurement]) -> SpeedFit:
    """Constants, and spreads by leaving out each model and each GPU in turn."""
    constants = fit_constants(measurements)
    return SpeedFit(constants, spreads(measurements, constants))


def spreads(measurements: Sequence[Measurement], near: SpeedConstants) -> dict[str, Spread]:
    """Percentiles of measured over estimated where model or GPU was not in the fit."""
    found: dict[str, list[float]] = {}
    for test, constants in _folds(measurements, near):
        problem = Problem(test)
        for name, errors in zip(("itl", "ttft"), problem.errors(constants), strict=True):
            for row, error in zip(problem.kept, errors, strict=True):
                if np.isfinite(error) and row.deployment:
                    found.setdefault(f"{row.situation.config.engine} {name}", []).append(float(error))
        for name, error in _seen(problem, constants):
            found.setdefault(f"{name} seen", []).append(error)
    return {
        name: Spread(*(float(value) for value in np.exp(np.quantile(errors, QUANTILES))))
        for name, errors in found.items()
    }


def _folds(measurements: Sequence[Measurement], near: SpeedConstants) -> list[tuple[list[Measurement], SpeedConstants]]:
    """(rows left out, constants fitted to the others) for each model and each GPU."""
    folds = []
    for name in ("model", "gpu"):
        for value in sorted({_group(found, name) for found in measurements if found.deployment}):
            test = [found for found in measurements if found.deployment and _group(found, name) == value]
            train = [found for found in measurements if _group(found, name) != value]
            if train:
                folds.append((test, fit_constants(train, near)))
    return folds


def _group(found: Measurement, name: str) -> str:
    said = getattr(found, name)
    return str(said or (found.situation.model.architecture if name == "model" else found.situation.accelerator.product))


def _seen(problem: Problem, constants: SpeedConstants) -> list[tuple[str, float]]:
    """Errors at the other operating points of a deployment after seeing each one in turn."""
    parts = [np.broadcast_to(part, problem.itl.shape) for part in problem.flow(constants).parts]
    members: dict[str, list[int]] = {}
    for index, row in enumerate(problem.kept):
        if row.deployment:
            members.setdefault(row.deployment, []).append(index)
    errors = []
    for indices in members.values():
        for at in indices:
            window = _window(problem, parts, at)
            found = calibrate([window])
            others = [index for index in indices if problem.kept[index].load != problem.kept[at].load]
            errors += [pair for index in others if found for pair in _left(problem, parts, index, found.multipliers)]
    return errors


def _left(problem: Problem, parts: list[Floats], index: int, times: Multipliers) -> list[tuple[str, float]]:
    fixed, growing, prompts, prefill, waiting = (float(part[index]) for part in parts)
    itl = fixed * times.fixed + growing * times.growing + prompts * times.prompts
    ttft = prefill * times.prompts + waiting * times.waiting
    engine = problem.kept[index].situation.config.engine
    return [
        (f"{engine} itl", float(problem.itl[index] - np.log(itl * 1e3))),
        (f"{engine} ttft", float(problem.ttft[index] - np.log(ttft * 1e3))),
    ]


def elsewhere(measurements: Sequence[Measurement], fitted: SpeedFit) -> dict[tuple[str, ...], Elsewhere]:
    """What the measurements of each (model, GPU, engine, format) say about the model's parts, where there are enough.

    The spread is that of deployments of it that were left out; of loads, where there is one deployment only.
    """
    problem = Problem([found for found in measurements if found.deployment and not found.marked])
    parts = [np.broadcast_to(part, problem.itl.shape) for part in problem.flow(fitted.constants).parts]
    members: dict[tuple[str, ...], list[int]] = {}
    for index, served in enumerate(problem.served):
        members.setdefault(served, []).append(index)
    return {
        served: told
        for served, indices in sorted(members.items())
        if len(indices) >= ENOUGH and (told := _of_group(problem, parts, indices, fitted)) is not None
    }


def _of_group(problem: Problem, parts: list[Floats], indices: list[int], fitted: SpeedFit) -> Elsewhere | None:
    own = calibrate([_window(problem, parts, index, WORTH / len(indices)) for index in indices])
    if own is None:
        return None
    errors: dict[str, list[float]] = {"itl": [], "ttft": []}
    for deployment in sorted({problem.kept[index].deployment for index in indices}):
        rest = [index for index in indices if problem.kept[index].deployment != deployment]
        times = calibrate([_window(problem, parts, index, WORTH / len(rest)) for index in rest])
        for index in indices:
            if times is not None and problem.kept[index].deployment == deployment:
                for name, error in _left(problem, parts, index, times.multipliers):
                    errors[name.rpartition(" ")[2]].append(error)
    engine = problem.kept[indices[0]].situation.config.engine
    spread = {name: _spread(found) or fitted.spreads[f"{engine} {name} seen"] for name, found in errors.items()}
    return Elsewhere(own.multipliers, len(indices), spread["itl"], spread["ttft"], CITATION)


def _spread(errors: Sequence[float]) -> Spread | None:
    return (
        Spread(*(float(value) for value in np.exp(np.quantile(errors, QUANTILES)))) if len(errors) >= ENOUGH else None
    )


def _window(problem: Problem, parts: list[Floats], index: int, weight: float = 1.0) -> Window:
    fixed, growing, prompts, prefill, waiting = (float(part[index]) for part in parts)
    seconds = (float(np.exp(values[index])) / 1e3 for values in (problem.itl, problem.ttft))
    return Window(*seconds, (fixed, growing, prompts, prefill, waiting), weight)


def _plain(served: tuple[str, ...], told: Elsewhere) -> dict[str, object]:
    """An entry as JSON, rounded."""
    return {
        "of": list(served),
        "multipliers": [round(value, 3) for value in asdict(told.multipliers).values()],
        "measurements": told.measurements,
        "itl": [round(told.itl.low, 3), round(told.itl.high, 3)],
        "ttft": [round(told.ttft.low, 3), round(told.ttft.high, 3)],
        "citation": told.citation,
    }


def main(words: Sequence[str]) -> int:
    """Fits, prints what came out and writes the constants."""
    from benchmarks.accuracy.measurements import measurements  # noqa: PLC0415  a benchmark, which needs the data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", type=Path, default=Path("operator/inferplan/estimate/data/speed_constants.json"))
    options = parser.parse_args(words)
    rows = measurements(options.data)
    found = fit(rows)
    bundled = elsewhere(rows, found)
    text = {
        "constants": {name: float(f"{value:.4g}") for name, value in asdict(found.constants).items()},
        "spreads": {
            name: [round(spread.low, 3), round(spread.high, 3)] for name, spread in sorted(found.spreads.items())
        },
        "elsewhere": [_plain(served, told) for served, told in bundled.items()],
        "source": f"scripts/fit_speed.py on {len(rows)} measurements of serving_measurements.csv",
    }
    options.o.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(options.o.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
