"""What a container's arguments say of the release that runs."""

import pytest
from tests.support.build import H100, LLAMA, a

from inferplan.api.reasons import Reason
from inferplan.dialects.container import Container
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.words import Unreadable, UnreadableCode
from inferplan.domain.drift import Drift, Mend, Severity, VersionSource
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG
from inferplan.observe.drift import drift_of, notes_on


def reading_of(container: Container, version: str | None = None) -> Reading:
    reading = read_engine(container, version)
    assert isinstance(reading, Reading)
    return reading


def drift(container: Container, version: str | None = None) -> Drift:
    found = drift_of(reading_of(container, version), H100, LLAMA, VersionSource.IMAGE)
    assert isinstance(found, Drift)
    return found


def test_refused_flags_come_with_the_change_that_mends_them() -> None:
    found = drift(a.container("M", "--swap-space", "4", "--enable-prefix-caching=False"))
    assert (found.release, found.exact, found.source) == ("0.33.0", True, VersionSource.IMAGE)
    assert [entry.mends for entry in found.findings] == [
        (Mend("swap_space", "--swap-space", 4.0, None),),
        (Mend("enable_prefix_caching", "--enable-prefix-caching", None, False),),
    ]
    assert {entry.severity for entry in found.findings} == {Severity.ERROR}


def test_settings_that_contradict_each_other_are_found_too() -> None:
    (found,) = drift(a.container("M", "--max-num-seqs=1024", "--max-num-batched-tokens=512")).findings
    assert (found.code, found.severity, found.mends) == ("NotSupported", Severity.ERROR, ())


def test_what_depends_on_the_models_length_is_found() -> None:
    (found,) = drift(a.container("M", "--no-enable-chunked-prefill", "--max-num-batched-tokens=8192")).findings[-1:]
    assert "must be at least max_model_len 131072" in found.reason


def test_where_flags_may_hide_nothing_is_said_of_their_combination() -> None:
    args = ("M", "--max-num-seqs=1024", "--max-num-batched-tokens=512", "$(MORE)")
    assert drift(a.container(*args)).findings == ()


def test_secrets_are_not_repeated() -> None:
    (found,) = drift(a.container("M", "--hf-tokn", "hf_0123456789")).findings
    assert "hf_0123456789" not in str(found)


def test_a_near_release_and_a_condition_are_told() -> None:
    assert drift(a.container("M"), "0.34.0").exact is False
    assert notes_on(reading_of(a.container("M"), "0.34.0")) == (
        "flags of vllm 0.33.0, the nearest known release to 0.34.0",
    )
    assert notes_on(reading_of(a.container("M"))) == ()
    script = 'if [ -n "$(nvidia-smi)" ]; then\n  vllm serve M\nfi\n'
    (note,) = notes_on(reading_of(Container("c", command=("sh", "-c", script)), "0.33.0"))
    assert note.startswith("the engine is started only under a condition: ")


def test_an_unknown_version_finds_only_what_no_release_has() -> None:
    found = drift(a.container("M", "--swap-space=4", "--magic=1", image="mirror/vllm:latest"))
    assert (found.release, found.exact) == (None, False)
    assert [entry.code for entry in found.findings] == ["Unknown"]


def test_arguments_that_were_not_read_say_nothing() -> None:
    why = Unreadable(UnreadableCode.UNKNOWN_START, "containers[c].command", "a script")
    assert drift_of(why, H100, NO_MODEL_CONFIG, None) == Missing(Reason.ARGUMENTS_UNREADABLE, "a script")


@pytest.mark.parametrize("version", ["0.33.0", "0.34.0"])
def test_the_version_is_what_was_compared_with(version: str) -> None:
    assert drift(a.container("M"), version).release == "0.33.0"
