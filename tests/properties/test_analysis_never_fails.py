"""Whatever was measured: an analysis comes out, in its bounds, and the same one twice."""

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.build import an

from inferplan.api.analysis import Analysis
from inferplan.api.instance import SLO
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.diagnose.finding import SEVERITY_RANK
from inferplan.domain.drift import Drift, DriftFinding, Severity
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import METRIC_FIELDS, Metrics, Observation, ReplicaMetrics

NUMBERS = st.one_of(
    st.sampled_from((0.0, -1.0, 0.05, 0.5, 0.95, 1.0, 1.01, 8.0, 30.4, 32.0, 100.0, 8192.0, 1e15, -1e15, 5e-324)),
    st.floats(-1e15, 1e15),
    st.floats(0, 1),
    st.floats(0, 100),
)
MAYBE = st.none() | NUMBERS
MISSING = st.builds(Missing, st.sampled_from(Reason), st.text(max_size=20), MAYBE)
WINDOWS = st.sampled_from((None, 0, 1, 45, 900))
MEASURED = st.builds(Measured, NUMBERS, st.text(max_size=9), st.text(max_size=9), WINDOWS, MAYBE, MAYBE)
SLOS = (
    SLO(metric="ttft", percentile=95, target_milliseconds=500),
    SLO(metric="itl", percentile=99, target_milliseconds=40),
)


@st.composite
def metrics(draw: st.DrawFn) -> Metrics:
    """Any field measured or missing, with any numbers."""
    values: dict[str, Measurement] = {name: draw(MEASURED | MISSING) for name in METRIC_FIELDS}
    targets = tuple((name, draw(MEASURED | MISSING)) for name in ("ttft p95", "itl p99"))
    missed = tuple((name, draw(MEASURED | MISSING)) for name in ("ttft p95", "itl p99"))
    return Metrics(**values, slo_milliseconds=targets, slo_missed_share=missed)  # type: ignore[arg-type]


@st.composite
def plausible(draw: st.DrawFn) -> Metrics:
    """A serving instance of which a few numbers are changed: the deeper branches."""
    changed = draw(
        st.dictionaries(st.sampled_from(METRIC_FIELDS), st.floats(0, 40) | st.floats(0, 1) | st.none(), max_size=8)
    )
    measured = st.builds(Measured, st.floats(0, 900), st.just("ms"), st.just("q"), st.just(900), MAYBE, MAYBE)
    targets = tuple((name, draw(measured)) for name in ("ttft p95", "itl p99"))
    return replace(an.serving(load=changed).metrics, slo_milliseconds=targets)


REPLICAS = st.lists(
    st.builds(
        ReplicaMetrics,
        st.text(max_size=5),
        **{
            **{entry.name: MAYBE for entry in fields(ReplicaMetrics) if entry.name != "name"},
            "uptime_seconds": st.sampled_from((None, None, 1e5, 1.0)),
        },
    ),
    max_size=5,
).map(tuple)
DRIFT = st.builds(
    lambda found: Drift(tuple(found), "0.33.0"),
    st.lists(
        st.builds(DriftFinding, st.just("Refused"), st.sampled_from(Severity), st.text(max_size=9), st.text()),
        max_size=3,
    ),
)
SETTINGS = st.dictionaries(
    st.sampled_from(
        (
            "max_batch_size",
            "max_num_batched_tokens",
            "data_parallel_size",
            "max_model_len",
            "speculative_config",
            "enable_prefix_caching",
            "enable_chunked_prefill",
        )
    ),
    st.integers(-1, 10**6) | st.booleans() | st.text(max_size=9),
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    seen = an.observation(
        settings=draw(SETTINGS), replica_metrics=draw(REPLICAS), metrics=draw(metrics() | plausible())
    )
    version = draw(st.sampled_from((None, "0.33.0", "0.10.0", "latest")))
    return replace(
        seen,
        config=replace(seen.config, version=version),
        drift=draw(DRIFT),
        replicas=draw(st.sampled_from((None, 1, 3))),
    )


def in_bounds(seen: Analysis) -> None:
    """Score and deductions belong together; findings are worst first; what is unknown has a reason."""
    ranks = [SEVERITY_RANK[entry.severity] for entry in seen.bottlenecks]
    assert ranks == sorted(ranks)
    points = sum(entry.points for entry in seen.health.deductions)
    if seen.health.score is None:
        assert seen.health.reason
        assert (seen.health.at_most is None) is (points == 0)
        assert seen.health.at_most is None or abs(seen.health.at_most - max(0.0, 100 - points)) < 0.06
    else:
        assert 0 <= seen.health.score <= 100
        assert abs(seen.health.score - max(0.0, 100 - points)) < 0.06  # the score has one digit
    assert (seen.cause != "Unknown") or seen.unknowns


@given(observations())
def test_any_observation_gives_an_analysis(seen: Observation) -> None:
    first = analyze(seen, SLOS)
    in_bounds(first)
    assert analyze(seen, SLOS) == first
    assert Analysis.from_kube(first.to_kube()).to_kube() == first.to_kube()
