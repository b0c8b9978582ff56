"""When a speed has no meaning, and what is said beside one that may have none."""

import pytest

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.cli.estimate_fit import doubt, no_speed
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.domain.units import GIB
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.result import Interval

LOAD = Load(8, None, 1000, 200)
UNKNOWN = Missing(Reason.ACCELERATOR_UNKNOWN, "no GPU is known")
WHY = "one request of 131,072 tokens needs 16 GiB"


def config(max_model_len: int, origin: Origin = Origin.SPEC) -> ServingConfig:
    return ServingConfig(Engine.VLLM, "0.33.0", None, {"max_model_len": Setting(max_model_len, origin)})


def memory(fits: str, tokens: float = 5000, requests: float = 2) -> MemoryEstimate:
    """A memory estimate that `surely` fits, does as `expected`, or does `not`; its cache's high end."""
    return MemoryEstimate(
        terms=(),
        outside=(),
        total_bytes=GIB,
        kv_cache_bytes=Interval(0, 0, GIB),
        kv_cache_tokens=Interval(0, 0, tokens),
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
    assert no_speed(config(1200), found, LOAD) is None  # 1,000 + 200


def test_requests_longer_than_a_stated_limit_are_refused_by_the_engine() -> None:
    refused = no_speed(config(1199), memory("surely"), LOAD)
    assert refused is not None
    assert refused.reason == (
        "a request of 1,000 + 200 tokens is longer than max_model_len 1,199, so the engine refuses it"
    )


def test_a_limit_that_nobody_stated_refuses_nothing() -> None:
    assert no_speed(config(1199, Origin.VERSION_DEFAULT), memory("surely"), LOAD) is None


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
    refused = no_speed(config(131_072, origin), memory("not", tokens, requests), LOAD)
    assert refused == (None if asked else Missing(Reason.DOES_NOT_FIT, WHY))


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
