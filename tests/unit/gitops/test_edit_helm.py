"""Values files of charts that start vLLM."""

import pytest
from tests.support.repository import changed, proposal

from inferplan.api.reasons import Reason
from inferplan.gitops.port import GitOpsError, Proposal

STACK = """# Models of team A.
servingEngineSpec:
  modelSpec:
  - name: "other"
    vllmConfig: {maxModelLen: 12288}
  - name: "granite"
    modelURL: "ibm-granite/granite-3.3-8b-instruct"
    vllmConfig:
      enablePrefixCaching: false   # on after the upgrade
      maxModelLen: 12288
      tensorParallelSize: "2"
      extraArgs: ["--gpu-memory-utilization", "0.87", "--enforce-eager"]
"""
START = ("vllm", "serve", "ibm-granite/granite-3.3-8b-instruct", "--host", "0.0.0.0", "--no-enable-prefix-caching")
WORDS = (*START, "--max-model-len", "12288", "--tensor-parallel-size", "2", "--gpu-memory-utilization", "0.87")
COMMAND = (*WORDS, "--enforce-eager")


def wanted(after: tuple[str, ...], before: tuple[str, ...] = COMMAND, name: str = "prod-granite") -> Proposal:
    return proposal((), (), commands=(before, after), name=f"{name}-deployment-vllm")


def replaced(*pairs: tuple[str, str], words: tuple[str, ...] = COMMAND) -> tuple[str, ...]:
    gone = dict(pairs)
    return tuple(gone.get(word, word) for word in words)


def refusal(text: str, asked: Proposal) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        changed({"values.yaml": text}, "values.yaml", asked)
    assert caught.value.message.startswith("values.yaml: ")
    return caught.value


@pytest.mark.parametrize(
    ("after", "old", "new"),
    [
        (replaced(("12288", "8192")), "      maxModelLen: 12288", "      maxModelLen: 8192"),
        (replaced(("2", "4")), 'tensorParallelSize: "2"', 'tensorParallelSize: "4"'),
        (
            replaced(("--no-enable-prefix-caching", "--enable-prefix-caching")),
            "enablePrefixCaching: false ",
            "enablePrefixCaching: true ",
        ),
        (replaced(("0.87", "0.92")), '"0.87"', '"0.92"'),
        (WORDS, ', "--enforce-eager"', ""),
        ((*COMMAND, "--max-num-seqs=64"), '"--enforce-eager"', '"--enforce-eager", "--max-num-seqs=64"'),
        ((*COMMAND, "--kv-cache-dtype", "fp8"), '"--enforce-eager"', '"--enforce-eager", "--kv-cache-dtype", "fp8"'),
    ],
)
def test_a_flag_changes_where_the_values_have_it(after: tuple[str, ...], old: str, new: str) -> None:
    asked = wanted(after)
    want = STACK.replace(old, new)
    assert changed({"values.yaml": STACK}, "values.yaml", asked) == {"values.yaml": want}
    assert changed({"values.yaml": want}, "values.yaml", asked) == {}


def test_extra_arguments_where_there_were_none() -> None:
    text = STACK[: STACK.index("      extraArgs")]
    before = WORDS[:-2]
    got = changed({"values.yaml": text}, "values.yaml", wanted((*before, "--max-num-seqs", "64"), before))
    extra = '      extraArgs:\n        - --max-num-seqs\n        - "64"\n'
    first = "      enablePrefixCaching: false   # on after the upgrade\n"
    assert got == {"values.yaml": text.replace(first, first + extra)}
    back = changed(got, "values.yaml", wanted(before, (*before, "--max-num-seqs", "64")))
    assert back == {"values.yaml": text}


def test_a_flag_that_comes_back_stands_where_it_was() -> None:
    text = STACK.replace(', "--enforce-eager"]', ', "--enforce-eager", "--seed", "7"]')
    before = (*COMMAND, "--seed", "7")
    after = tuple(word for word in before if word != "--enforce-eager")
    there = changed({"values.yaml": text}, "values.yaml", wanted(after, before))
    assert there == {"values.yaml": text.replace(', "--enforce-eager"', "")}
    assert changed(there, "values.yaml", wanted(before, after)) == {"values.yaml": text}


@pytest.mark.parametrize("extra", [True, False])
def test_flags_that_the_chart_would_put_elsewhere_are_refused(*, extra: bool) -> None:
    text = STACK if extra else STACK[: STACK.index("      extraArgs")]
    text = text.replace("    vllmConfig:\n", "    chatTemplate: a.jinja\n    vllmConfig:\n")
    before = (*(COMMAND if extra else WORDS[:-2]), "--chat-template", "/templates/a.jinja")
    error = refusal(text, wanted((*before, "--max-num-seqs", "64"), before))
    assert (error.reason, "in another order" in error.message) == (Reason.MANIFEST_NOT_EDITABLE, True)
    first = (*before[:-2], "--max-num-seqs", "64", *before[-2:])
    got = changed({"values.yaml": text}, "values.yaml", wanted(first, before))["values.yaml"]
    assert "--max-num-seqs" in got
    changes = {"12288": "8192", **({"0.87": "0.92"} if extra else {})}
    assert changed({"values.yaml": text}, "values.yaml", wanted(replaced(*changes.items(), words=before), before))


def test_words_that_the_workload_does_not_have_are_stale() -> None:
    error = refusal(STACK, wanted((*WORDS[:-2], "--seed", "7"), WORDS[:-2]))
    assert error.reason is Reason.GIT_STALE


def test_extra_arguments_that_cannot_be_taken_out() -> None:
    text = STACK[: STACK.rindex("    vllmConfig")] + '    vllmConfig: {extraArgs: ["--enforce-eager"]}\n'
    assert "take it out by hand" in refusal(text, wanted(WORDS)).message


def test_marks_and_line_breaks_stay() -> None:
    text = "\ufeff" + STACK.replace("\n", "\r\n")
    got = changed({"values.yaml": text}, "values.yaml", wanted(replaced(("12288", "8192"))))
    assert got == {"values.yaml": text.replace("      maxModelLen: 12288", "      maxModelLen: 8192")}


@pytest.mark.parametrize(
    ("text", "after", "reason", "told"),
    [
        (STACK.replace("12288", "4096"), replaced(("12288", "8192")), Reason.GIT_STALE, "maxModelLen is not what"),
        (STACK.replace("0.87", "0.8"), replaced(("0.87", "0.9")), Reason.GIT_STALE, "-utilization in another"),
        (STACK, replaced(("0.0.0.0", "::")), Reason.MANIFEST_NOT_EDITABLE, "--host does not come from vllmConfig"),
        (STACK, (*START, *COMMAND[8:]), Reason.MANIFEST_NOT_EDITABLE, "take maxModelLen out by hand"),
        (STACK, ("sh", *COMMAND[1:]), Reason.MANIFEST_NOT_EDITABLE, "before the flags changes"),
        (STACK, replaced(("12288", "8192 # x")), Reason.MANIFEST_NOT_EDITABLE, "cannot be set with certainty"),
        (STACK.replace("maxModelLen: 12288\n      ", "maxModelLen: &a 12288\n      x: *a\n      "),
         replaced(("12288", "1")),
         Reason.MANIFEST_NOT_EDITABLE, "shared by an anchor"),
        (STACK.replace('"granite"', '"granit"'), WORDS, Reason.MANIFEST_NOT_FOUND, "(there are: other, granit)"),
        (STACK.replace('"0.87"', "0.87"), replaced(("0.87", "0.9")), Reason.MANIFEST_NOT_EDITABLE, "is no string"),
        ("decode: {}\n", WORDS, Reason.MANIFEST_NOT_EDITABLE, "is no manifest; of values files, those for"),
        ("image: {tag: v1}\n", WORDS, Reason.MANIFEST_NOT_EDITABLE, "is no manifest; of values files, those for"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_is_refused(text: str, after: tuple[str, ...], reason: Reason, told: str) -> None:
    error = refusal(text, wanted(after))
    assert (error.reason, told in error.message) == (reason, True), error.message


def test_flags_that_are_gone_already_are_left_alone() -> None:
    text = STACK.replace(', "--enforce-eager"', "")
    assert changed({"values.yaml": text}, "values.yaml", wanted(WORDS)) == {}


CHART = (
    'image:\n  repository: "vllm/vllm-openai"\n  command: ["vllm", "serve", "/data/", "--max-num-seqs", "32"]  # x\n'
)
CHART_COMMAND = ("vllm", "serve", "/data/", "--max-num-seqs", "32")


def test_the_chart_of_vllm_itself() -> None:
    asked = wanted(replaced(("32", "64"), words=CHART_COMMAND), CHART_COMMAND, "my")
    want = CHART.replace('"32"', '"64"')
    assert changed({"values.yaml": CHART}, "values.yaml", asked) == {"values.yaml": want}
    assert changed({"values.yaml": want}, "values.yaml", asked) == {}


def test_the_chart_of_vllm_itself_has_no_arguments() -> None:
    asked = proposal((), ("--x",), commands=(CHART_COMMAND, CHART_COMMAND), name="my-deployment-vllm")
    assert refusal(CHART, asked).message.endswith("args come from elsewhere")
    anchored = CHART.replace("command: [", "command: &c [") + "other: *c\n"
    asked = wanted(replaced(("32", "64"), words=CHART_COMMAND), CHART_COMMAND, "my")
    assert "shared by an anchor" in refusal(anchored, asked).message
