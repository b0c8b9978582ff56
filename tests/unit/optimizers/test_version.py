"""Arguments that the running release refuses."""

from dataclasses import replace

import pytest
from tests.support.build import a, an

from inferplan.api.reasons import Reason
from inferplan.api.values import CHANGES_MAX, Confidence, ConfigChange, Engine, ImpactLevel, Optimization
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.drift import Drift, DriftFinding, Mend, Severity, VersionSource
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.serving import ServingConfig
from inferplan.optimizers.version import Version

GONE = DriftFinding(
    "Refused",
    Severity.ERROR,
    "--swap-space",
    "vllm 0.33.0 has no --swap-space",
    (Mend("swap_space", "--swap-space", 4, None),),
)
STATED = DriftFinding(
    "ValueRefused",
    Severity.ERROR,
    "--enable-prefix-caching",
    "--enable-prefix-caching takes no value",
    (Mend("enable_prefix_caching", "--enable-prefix-caching", None, False),),
)
UNKNOWN = DriftFinding("Unknown", Severity.ERROR, "--magic", "no known release has --magic")
USELESS = DriftFinding("AtDefault", Severity.NOTICE, "--seed", "--seed says what vllm does anyway")
IGNORED = DriftFinding("Ignored", Severity.WARNING, "--config", "--config=… is not read")


def drift(*findings: DriftFinding, source: VersionSource = VersionSource.IMAGE) -> Drift:
    return Drift(findings, "0.33.0", exact=True, source=source)


def ask(found: Drift | Missing, config: ServingConfig | None = None) -> Proposal | Abstention:
    observation = Observation(config or a.config(), metrics=Metrics(), drift=found)  # nothing was measured
    answer = Version().answer(observation, diagnose(observation), Policy())
    assert answer.levers == answer.advice == ()
    (found,) = (*answer.proposals, *answer.abstentions)
    return found


def proposed(found: Drift) -> Optimization:
    answer = ask(found)
    assert isinstance(answer, Proposal)
    return answer.optimization


def test_what_the_release_refuses_is_taken_out_or_said_as_it_takes_it() -> None:
    optimization = proposed(drift(GONE, STATED))
    assert [
        (change.parameter, change.flag, change.current_value, change.recommended_value, change.removes_flag)
        for change in optimization.config_changes
    ] == [
        ("swap_space", "--swap-space", 4, None, True),
        ("enable_prefix_caching", "--enable-prefix-caching", None, False, False),
    ]
    assert optimization.title == "Arguments that vllm 0.33.0 starts with"
    assert optimization.expected_impact is ImpactLevel.CRITICAL
    assert optimization.effects == ()
    assert optimization.estimated_improvement == "The server starts again after its next restart."
    assert optimization.restart_required
    assert "Nothing has to restart for it today" in optimization.prerequisites[0]


def test_everything_that_was_found_is_described_the_gravest_first() -> None:
    optimization = proposed(drift(USELESS, IGNORED, GONE))
    assert optimization.description.endswith(f"{GONE.reason}; {IGNORED.reason}; {USELESS.reason}")
    assert [change.parameter for change in optimization.config_changes] == ["swap_space"]


def test_what_merely_deceives_is_not_changed() -> None:
    warned = replace(IGNORED, mends=(Mend("config", "--config", None, None),))
    answer = ask(drift(warned))
    assert isinstance(answer, Abstention)
    assert (answer.code, answer.reason) == (Reason.DRIFT_FOUND, "--config=… is not read")


def test_an_error_that_no_change_mends_is_left_to_a_person_before_the_server_starts() -> None:
    optimization = proposed(drift(GONE, UNKNOWN))
    assert optimization.prerequisites[0] == "By hand: no known release has --magic"
    assert optimization.estimated_improvement.startswith("With what is left to a person")


def test_two_findings_of_one_setting_are_one_change() -> None:
    assert len(proposed(drift(GONE, replace(GONE, reason="again"))).config_changes) == 1


def test_more_changes_than_a_plan_holds_are_left_to_a_person() -> None:
    many = [replace(GONE, mends=(Mend(f"flag_{number}", None, None, None),)) for number in range(CHANGES_MAX + 1)]
    assert isinstance(ask(drift(*many[1:])), Proposal)
    answer = ask(drift(*many))
    assert isinstance(answer, Abstention)
    assert answer.code is Reason.DRIFT_FOUND


@pytest.mark.parametrize(
    ("found", "confidence"),
    [
        (drift(GONE), Confidence.HIGH),
        (drift(GONE, source=VersionSource.SPEC), Confidence.MEDIUM),
        (drift(GONE, source=VersionSource.ENGINE), Confidence.MEDIUM),  # a ready pod started with these arguments
        (replace(drift(GONE), exact=False), Confidence.MEDIUM),
    ],
)
def test_only_an_images_own_release_makes_it_certain(found: Drift, confidence: Confidence) -> None:
    optimization = proposed(found)
    assert optimization.confidence is confidence
    assert bool(optimization.raises_confidence) is not found.exact
    ready = any("A ready pod" in risk for risk in optimization.risks)
    assert ready is (found.source is VersionSource.ENGINE)


def test_only_a_flag_that_is_taken_out_is_missed() -> None:
    assert any("taken out" in risk for risk in proposed(drift(GONE)).risks)
    assert proposed(drift(STATED)).risks == ()


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        (drift(), Reason.NO_DRIFT, "vllm 0.33.0 takes every argument as it stands"),
        (drift(UNKNOWN, USELESS), Reason.DRIFT_FOUND, f"{UNKNOWN.reason}; {USELESS.reason}"),
        (Drift(), Reason.ENGINE_VERSION_UNKNOWN, "set spec.engineVersion"),
        (Drift((USELESS,)), Reason.ENGINE_VERSION_UNKNOWN, "set spec.engineVersion"),
        (Drift((UNKNOWN,)), Reason.DRIFT_FOUND, UNKNOWN.reason),
        (Missing(Reason.ARGUMENTS_UNREADABLE, "a script"), Reason.ARGUMENTS_UNREADABLE, "a script"),
        (an.observation().drift, Reason.NO_TARGET, "no workload's arguments were read"),
    ],
)
def test_with_nothing_that_it_could_mend_it_abstains(found: Drift | Missing, code: Reason, told: str) -> None:
    answer = ask(found)
    assert isinstance(answer, Abstention)
    assert answer.code is code
    assert told in answer.reason


def test_an_engine_that_is_no_longer_developed_is_left_alone() -> None:
    answer = ask(drift(GONE), a.config(Engine.TGI, "3.0.1"))
    assert isinstance(answer, Abstention)
    assert answer.code is Reason.ENGINE_END_OF_LIFE


def test_a_change_says_by_what_parser_it_is_refused() -> None:
    change: ConfigChange = proposed(drift(GONE)).config_changes[0]
    (fact,) = change.evidence
    assert (fact.formula, fact.value) == ("--swap-space by the parser of vllm 0.33.0", "refused")
