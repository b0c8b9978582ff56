"""When a speed has no meaning, and what is said beside one that may have none."""

from dataclasses import replace

import pytest
from tests.support import build as a

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.cli.estimate_fit import cache_tokens, doubt, no_speed
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.domain.units import GIB
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval

LOAD = Load(8, None, 1000, 200)
UNKNOWN = Missing(Reason.ACCELERATOR_UNKNOWN, "no GPU is known")
WHY = "one request of 131,072 tokens needs 16 GiB"
SHARE = Setting(0.9, Origin.SPEC)


def config(max_model_len: int, origin: Origin = Origin.SPEC, **settings: Setting) -> ServingConfig:
    keys = {"gpu_memory_utilization": SHARE, "max_model_len": Setting(max_model_len, origin), **settings}
    return ServingConfig(Engine.VLLM, "0.33.0", None, keys)


def refused(of: ServingConfig, found: MemoryEstimate | Missing) -> Missing | None:
    gpu = Accelerator(product="some GPU", count=1, memory_mib=24 * 1024)
    return no_speed(EstimateInput(of, gpu, a.LLAMA), found, LOAD)


def memory(fits: str, tokens: float = 5000, requests: float = 2, high: float = GIB) -> MemoryEstimate:
    """A memory estimate that `surely` fits, does as `expected`, or does `not`; its cache's high end."""
    return MemoryEstimate(
        terms=(),
        outside=(),
        total_bytes=20 * GIB,
        kv_cache_bytes=Interval(0, 0, high),
        kv_cache_tokens=Interval(0, tokens if fits != "not" else 0, tokens),
        max_concurrency=Interval(0, 0, requests),
        num_blocks=None,
        block_size=None,
        fits=fits != "not",
        surely_fits=fits == "surely",
        why_not=WHY if fits == "not" else None,
        source=Source.ROOFLINE,
    )


@pytest.mark.parametrize("found", [memory("surely"), memory("expected"), UNKNOWN])
def test_a_server_that_starts_or_of_which_nothing_is_known_is_asked(found: MemoryEstimate | Missing) -> None:
    assert refused(config(1200), found) is None  # 1,000 + 200


def test_requests_longer_than_a_stated_limit_are_refused_by_the_engine() -> None:
    assert refused(config(1199), memory("surely")) == Missing(
        Reason.DOES_NOT_FIT,
        "a request of 1,000 + 200 tokens is longer than max_model_len 1,199, so the engine refuses it",
    )


def test_a_limit_that_nobody_stated_refuses_nothing() -> None:
    assert refused(config(1199, Origin.VERSION_DEFAULT), memory("surely")) is None


@pytest.mark.parametrize(
    ("origin", "tokens", "requests", "asked"),
    [
        (Origin.SPEC, 5000, 1.0, True),  # at the high end one request fits
        (Origin.SPEC, 5000, 0.9, False),
        (Origin.VERSION_DEFAULT, 1200, 0.0, True),  # the load's 1,000 + 200 tokens fit
        (Origin.VERSION_DEFAULT, 1199, 0.0, False),
    ],
)
def test_what_does_not_fit_at_the_high_end_either_has_no_speed(
    origin: Origin, tokens: float, requests: float, asked: bool
) -> None:
    found = refused(config(131_072, origin), memory("not", tokens, requests))
    assert found == (None if asked else Missing(Reason.DOES_NOT_FIT, WHY))


@pytest.mark.parametrize(
    ("share", "total", "asked"),
    [
        (SHARE, 20 * GIB, False),  # 90 % of the GPU was what somebody wanted
        (Setting(0.9, Origin.VERSION_DEFAULT), 20 * GIB, True),  # 20 GiB of weights and more go into 24
        (Setting(0.9, Origin.VERSION_DEFAULT), 24 * GIB, False),
    ],
)
def test_a_share_of_the_gpu_that_nobody_stated_may_be_larger(share: Setting, total: int, asked: bool) -> None:
    found = replace(memory("not", 0, 0, high=0), total_bytes=total)
    assert (refused(config(8192, gpu_memory_utilization=share), found) is None) == asked


@pytest.mark.parametrize(
    ("found", "ranks", "tokens"),
    [
        (memory("surely", 5000), 1, Interval(1200, 5000, 5000)),  # at least one request, since it serves
        (memory("surely", 5000), 4, Interval(4800, 20_000, 20_000)),  # each data-parallel rank has a cache of its own
        (memory("surely", 1199), 1, None),  # not one request of 1,000 + 200
        (memory("not", 5000), 1, None),
        (UNKNOWN, 1, None),
    ],
)
def test_a_cache_that_holds_no_request_is_not_that_of_the_server(
    found: MemoryEstimate | Missing, ranks: int, tokens: Interval | None
) -> None:
    several = config(8192, data_parallel_size=Setting(ranks, Origin.SPEC))
    assert cache_tokens(several, found, LOAD) == tokens


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (memory("surely"), None),
        (UNKNOWN, None),
        (memory("expected"), "memory is tight"),
        (memory("not"), f"may not start ({WHY})"),
    ],
)
def test_doubts_are_told(found: MemoryEstimate | Missing, told: str | None) -> None:
    notes = doubt(found)
    assert (told is None and notes == ()) or (told is not None and told in notes[0])
