"""What a release makes of the arguments it is given."""

import pytest

from inferplan.dialects.container import Container
from inferplan.dialects.drift import Drift, Finding, Severity, findings
from inferplan.dialects.reading import Reading, read_engine


def found(*words: str, version: str | None = "0.33.0", command: tuple[str, ...] = ("vllm", "serve")) -> list[Finding]:
    reading = read_engine(Container("c", "x:1", command, words), version)
    assert isinstance(reading, Reading)
    return list(findings(reading))


def only(*words: str, version: str | None = "0.33.0", command: tuple[str, ...] = ("vllm", "serve")) -> Finding:
    (finding,) = found(*words, version=version, command=command)
    return finding


def test_arguments_that_the_release_takes_and_that_change_something_are_fine() -> None:
    assert found("m", "--max-num-seqs", "64", "--kv-cache-dtype=fp8") == []


@pytest.mark.parametrize(
    ("words", "version", "code", "severity", "says"),
    [
        (("--swap-space", "4"), "0.18.1", Drift.REFUSED, Severity.ERROR, "known in 0.6.6 to 0.17.1"),
        (("--swap-space", "8"), "0.17.1", Drift.REMOVED_LATER, Severity.NOTICE, "gone in vllm 0.18.1"),
        (("--kv-cache-memory-bytes", "8G"), "0.10.0", Drift.REFUSED, Severity.ERROR, "known in 0.10.2"),
        (("--max-num", "3"), "0.33.0", Drift.AMBIGUOUS, Severity.ERROR, "is short for"),
        (("--max-num-sequences", "3"), "0.33.0", Drift.UNKNOWN, Severity.ERROR, "did you mean --max-num-seqs?"),
        (("--enable-chunked-prefill=False",), "0.33.0", Drift.VALUE_REFUSED, Severity.ERROR, "takes no value"),
        (("--max-num-seqs", "1k"), "0.33.0", Drift.VALUE_REFUSED, Severity.ERROR, "1k"),
        (("--max-num-seqs",), "0.33.0", Drift.VALUE_REFUSED, Severity.ERROR, "needs a value"),
        (("--max-model-len", "32k"), "0.7.3", Drift.VALUE_REFUSED, Severity.ERROR, "32k"),
        (("--block-size", "24"), "0.11.0", Drift.VALUE_REFUSED, Severity.ERROR, "must be one of"),
        (("--config=x.yaml",), "0.33.0", Drift.IGNORED, Severity.WARNING, "two words"),
        (("--gpu-memory-utilization", "0.92"), "0.33.0", Drift.AT_DEFAULT, Severity.NOTICE, "does anyway"),
        (("--gpu-memory-utilization", "0.9"), "0.19.1", Drift.AT_DEFAULT, Severity.NOTICE, "does anyway"),
        (("n",), "0.33.0", Drift.VALUE_REFUSED, Severity.ERROR, "belongs to no flag"),
    ],
)
def test_what_is_wrong_is_found(
    words: tuple[str, ...], version: str, code: Drift, severity: Severity, says: str
) -> None:
    finding = only("m", *words, version=version)
    assert (finding.code, finding.severity) == (code, severity)
    assert says in finding.reason


def test_a_flag_of_the_sub_command_alone_is_refused_by_the_api_server_module() -> None:
    """vLLM 0.9.2, entrypoints/cli/serve.py: only ServeSubcommand adds --headless."""
    assert found("m", "--headless", version="0.9.2") == []
    module = ("python3", "-m", "vllm.entrypoints.openai.api_server")
    finding = only("--model=m", "--headless", version="0.9.2", command=module)
    assert (finding.code, finding.severity) == (Drift.REFUSED, Severity.ERROR)
    assert finding.reason == "only `vllm serve` has --headless in vllm 0.9.2: the server does not start"
    assert dict(finding.fix) == {"headless": None}
    assert found("--model=m", "--headless", version="0.10.0", command=module) == []


def test_a_default_of_another_release_is_none() -> None:
    assert found("m", "--gpu-memory-utilization", "0.9") == []


def test_the_earlier_of_two_is_overridden_and_points_at_its_word() -> None:
    finding = only("m", "--max-num-seqs", "32", "--max-num-seqs=64")
    assert (finding.code, finding.word) == (Drift.OVERRIDDEN, 1)


def test_the_word_false_behind_a_switch_is_refused_and_mended() -> None:
    finding = only("m", "--enable-chunked-prefill", "False")
    assert finding.code is Drift.VALUE_REFUSED
    assert dict(finding.fix) == {"enable_chunked_prefill": False}


def test_the_word_true_behind_a_value_belongs_to_no_flag() -> None:
    assert "belongs to no flag" in only("m", "--port", "1", "true").reason


@pytest.mark.parametrize(("version", "code"), [("0.11.0", Drift.REFUSED), ("0.11.1", Drift.DEPRECATED)])
def test_vllm_serve_takes_the_model_as_its_first_word(version: str, code: Drift) -> None:
    assert only("--model", "m", version=version).code is code
    module = ("python3", "-m", "vllm.entrypoints.openai.api_server")
    assert found("--model", "m", version=version, command=module) == []


@pytest.mark.parametrize(("version", "codes"), [("0.16.0", []), ("0.17.1", [Drift.REFUSED])])
def test_a_model_behind_its_served_name_is_refused_from_0_17_on(version: str, codes: list[Drift]) -> None:
    assert [one.code for one in found("--served-model-name", "x", "--port", "1", "m", version=version)] == codes


def test_a_front_end_of_its_own_may_have_flags_of_its_own() -> None:
    assert found("--model", "m", "--is-prefill-worker", command=("python3", "-m", "dynamo.vllm")) == []


def test_without_a_version_only_what_no_release_has_is_found() -> None:
    assert [one.code for one in found("m", "--swap-space", "4", "--of-nobody", version=None)] == [Drift.UNKNOWN]


def test_a_version_that_is_not_known_exactly_is_said_with_the_nearest() -> None:
    assert "0.33.0 (the nearest known to 0.40.0)" in only("m", "--swap-space", "4", version="0.40.0").reason


def test_findings_stand_in_the_order_of_the_words() -> None:
    words = [one.word for one in found("m", "--of-nobody=1", "--swap-space", "4", "--max-num-seqs", "x")]
    assert words == [1, 2, 4]
