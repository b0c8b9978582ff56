"""Speed over the interval of the KV cache's size."""

from dataclasses import dataclass

from tests.support.build import a

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.estimate.between import performance_between
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval, Performance

LATE = Missing(Reason.SATURATED, "the queue has no bound")


@dataclass
class ByCache:
    """An estimator whose latency goes with one over the cache: 8,000 ms at one token. It saturates below `least`."""

    least: float = 0.0

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        del load
        tokens = situation.cache_tokens
        if tokens is None:
            return Missing(Reason.SETTING_UNKNOWN, "no cache")
        value = Interval(7200 / tokens, 8000 / tokens, 8800 / tokens)
        late = tokens < self.least
        latency = LATE if late else value
        return Performance(latency, latency, value, value, Source.ROOFLINE, saturated=late)


def between(load: Load, tokens: float = 8.0, least: float = 0.0) -> Performance:
    situation = EstimateInput(a.config(), from_catalogue("NVIDIA-L4", 1), a.model(), tokens)
    found = performance_between(ByCache(least), situation, load, (4.0, 16.0))
    assert isinstance(found, Performance)
    return found


def test_both_ends_of_the_cache_widen_the_interval() -> None:
    assert between(Load(32.0, None, 100.0, 100.0)).ttft_milliseconds == Interval(450, 1000, 2200)


def test_a_cache_that_holds_all_requests_at_its_low_end_changes_nothing() -> None:
    assert between(Load(1.0, None, 1.0, 1.0)).ttft_milliseconds == Interval(900, 1000, 1100)


def test_a_rate_may_need_any_number_of_requests() -> None:
    assert between(Load(None, 0.1, 1.0, 1.0)).itl_milliseconds == Interval(450, 1000, 2200)


def test_that_a_small_cache_would_not_serve_the_load_is_said() -> None:
    found = between(Load(32.0, None, 100.0, 100.0), least=5.0)
    assert found.ttft_milliseconds == Interval(450, 1000, 1100)
    assert found.notes == ("with the smallest KV cache of its interval more requests arrive than are served",)
    late = between(Load(32.0, None, 100.0, 100.0), least=10.0)
    assert (late.ttft_milliseconds, late.notes) == (LATE, ())


def test_what_has_no_answer_has_none() -> None:
    situation = EstimateInput(a.config(), from_catalogue("NVIDIA-L4", 1), a.model(), None)
    assert isinstance(performance_between(ByCache(), situation, Load(1.0, None, 1.0, 1.0), (4.0, 16.0)), Missing)
