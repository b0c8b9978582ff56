"""Changes that mend what a release refuses, and edits that carry them out."""

import pytest
from tests.support.build import a

from inferplan.dialects.container import Container
from inferplan.dialects.drift import Drift, Finding, Severity, findings
from inferplan.dialects.editing import edit
from inferplan.dialects.reading import Reading, read_engine
from inferplan.domain.serving import SettingValue


def found(container: Container, version: str | None = None) -> tuple[Finding, ...]:
    reading = read_engine(container, version)
    assert isinstance(reading, Reading)
    return findings(reading)


@pytest.mark.parametrize(
    ("args", "fix"),
    [
        (("--swap-space", "4"), {"swap_space": None}),  # nothing took its place
        (("--max-seq-len-to-capture=8192",), {"max_seq_len_to_capture": None}),
        (("--task", "generate"), {}),  # two flags took its place: a person has to choose
        (("--guided-decoding-backend", "outlines"), {}),  # a key of a JSON flag did
        (("--rope-scaling", '{"rope_type":"yarn"}'), {}),  # the new flag holds more than that
        (("--cuda-graph-sizes", "1", "2"), {}),  # a list
        (("--enable-prefix-caching=False",), {"enable_prefix_caching": False}),
        (("--no-enable-prefix-caching=true",), {"enable_prefix_caching": False}),
        (("--enable-prefix-caching", "true"), {"enable_prefix_caching": True}),
    ],
)
def test_what_the_release_refuses_is_mended_where_one_change_says_the_same(
    args: tuple[str, ...], fix: dict[str, SettingValue | None]
) -> None:
    (finding,) = found(a.container("M", *args))
    assert finding.severity is Severity.ERROR
    assert dict(finding.fix) == fix


def test_a_renamed_flag_takes_its_value_along_unless_the_new_one_is_given() -> None:
    old = a.container("M", "--override-pooler-config", '{"normalize":true}')
    (finding,) = found(old, "0.17.1")
    assert dict(finding.fix) == {"override_pooler_config": None, "pooler_config": '{"normalize":true}'}
    both = a.container("M", "--override-pooler-config", "{}", "--pooler-config", '{"normalize":false}')
    assert dict(found(both, "0.17.1")[0].fix) == {"override_pooler_config": None}


def test_between_a_release_that_has_a_flag_and_one_that_has_not_it_is_a_warning() -> None:
    container = a.container("M", "--swap-space", "4")
    (between,) = found(container, "0.18.0")  # 0.17.1 has it, 0.18.1 has not
    assert (between.code, between.severity, dict(between.fix)) == (Drift.REFUSED, Severity.WARNING, {})
    assert "whether 0.18.0 has it is not known" in between.reason
    assert found(container, "0.34.0")[0].severity is Severity.ERROR  # newer than all


@pytest.mark.parametrize(
    ("args", "after"),
    [
        (("M", "--enable-prefix-caching", "False", "-tp=2"), ("M", "--no-enable-prefix-caching", "-tp=2")),
        (("M", "--enable-prefix-caching", "True", "-tp=2"), ("M", "--enable-prefix-caching", "-tp=2")),
        (("M", "--enable-prefix-caching=False"), ("M", "--no-enable-prefix-caching")),
        (("M", "--swap-space", "4", "-tp=2"), ("M", "-tp=2")),
        (("M", "--swap-space=4", "--swap-space=8"), ("M",)),
    ],
)
def test_an_edit_carries_the_fix_out_and_nothing_is_left_to_find(args: tuple[str, ...], after: tuple[str, ...]) -> None:
    container = a.container(*args)
    fixes = {key: value for finding in found(container) for key, value in finding.fix.items()}
    edited = edit(container, fixes)
    assert isinstance(edited, Container)
    assert edited.args == after
    assert not [finding for finding in found(edited) if finding.severity is Severity.ERROR]


def test_a_fix_is_carried_out_in_a_script() -> None:
    script = "exec vllm serve M \\\n  --swap-space 4 \\\n  --enable-prefix-caching False \\\n  -tp 2\n"
    container = Container("c", "vllm/vllm-openai:v0.33.0", ("sh", "-c", script))
    edited = edit(container, {"swap_space": None, "enable_prefix_caching": False})
    assert isinstance(edited, Container)
    assert edited.command[2] == "exec vllm serve M \\\n  --no-enable-prefix-caching \\\n  -tp 2\n"


def test_a_word_behind_another_switch_stays() -> None:
    container = a.container("M", "--enforce-eager", "True")
    edited = edit(container, {"enable_prefix_caching": False})
    assert isinstance(edited, Container)
    assert edited.args == ("M", "--enforce-eager", "True", "--no-enable-prefix-caching")
