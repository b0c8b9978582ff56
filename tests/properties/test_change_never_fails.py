"""Any files at all in a repository: the change of a proposal is right, or refused with a reason; nothing else."""

from collections.abc import Mapping

from hypothesis import example, given
from hypothesis import strategies as st
from tests.properties.strategies import quick
from tests.support.repository import ARGS, WANTED, MemoryTree, deployment, proposal

from inferplan.gitops.edit.change import change_of
from inferplan.gitops.edit.tree import Changed
from inferplan.gitops.port import GitOpsError, Proposal

PATCH = (
    "kind: Deployment\nmetadata: {name: llama}\nspec:\n  template:\n    spec:\n      containers:\n      - name: vllm\n"
    f"        args:\n        - {ARGS[0]}\n        - '{ARGS[1]}'\n"
)
KUSTOMIZATION = "namePrefix: a-\nresources:\n- base.yaml\npatches:\n- path: patch.yaml\n  target: {kind: Deployment}\n"
VALUES = (
    "servingEngineSpec:\n  modelSpec:\n  - name: llama\n    vllmConfig:\n      maxNumSeqs: 32\n"
    '      extraArgs: ["--seed", "1"]\n'
)
PIECES = (
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "&a ",
        "*a",
        "<<: ",
        "|",
        ">",
        "'",
        '"',
        "#",
        "---\n",
        "!!",
        "\t",
        "\r\n",
    ),
    *(
        "null",
        "$patch: delete",
        "kind: List\nitems:\n",
        "name: vllm",
        "args:",
        "op: add\npath: /spec",
        "\ufeff",
        "~",
        "é",
    ),
    *(
        "0x1f",
        "namespace: x",
        "path: ../..",
        "components: [.]",
        "..",
        "? ",
        "{{ .Values.x }}",
        "sops: {}",
        "vllm",
        "llama",
    ),
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A text with a few pieces put in, taken out or doubled."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(st.sampled_from(("", text[start:end] * 2, *PIECES))) + text[end:]
    return text


FILES = st.fixed_dictionaries(
    {
        "over/kustomization.yaml": damaged(KUSTOMIZATION),
        "over/patch.yaml": damaged(PATCH),
        "over/base.yaml": damaged(deployment()),
        "plain/llama.yaml": damaged(deployment()),
        "values.yaml": damaged(VALUES),
    }
)
FLAGS = ("vllm", "serve", "m", "--max-num-seqs", "32", "--seed", "1")
CASES: Mapping[str, Proposal] = {
    "over": proposal(name="a-llama"),
    "plain": proposal(),
    "plain/llama.yaml": proposal(ARGS, (*ARGS, "--x: y # z")),
    "values.yaml": proposal(
        (), (), commands=(FLAGS, ("vllm", "serve", "m", "--max-num-seqs", "64")), name="r-llama-deployment-vllm"
    ),
}
WHOLE = {
    "over/kustomization.yaml": KUSTOMIZATION,
    "over/patch.yaml": PATCH,
    "over/base.yaml": deployment(args=WANTED),
    "plain/llama.yaml": deployment(),
    "values.yaml": VALUES,
}


@quick
@given(FILES, st.sampled_from(sorted(CASES)))
@example(WHOLE, "over")
@example(WHOLE, "values.yaml")
def test_a_change_is_right_or_refused(files: dict[str, str], path: str) -> None:
    tree = MemoryTree(files)
    change, told = outcome(tree, path)
    assert "\n" not in told
    if not told:
        assert change_of(Changed(tree, change), path, CASES[path]) == {}
        assert all(name in files or name.startswith("over/inferplan-") for name in change)


def outcome(tree: MemoryTree, path: str) -> tuple[Mapping[str, bytes], str]:
    try:
        return change_of(tree, path, CASES[path]), ""
    except GitOpsError as error:
        return {}, error.message


def test_what_is_whole_is_changed() -> None:
    changed = {path: sorted(change_of(MemoryTree(WHOLE), path, wanted)) for path, wanted in CASES.items()}
    assert changed == {
        "over": ["over/inferplan-a-llama-vllm.yaml", "over/kustomization.yaml"],
        "plain": ["plain/llama.yaml"],
        "plain/llama.yaml": ["plain/llama.yaml"],
        "values.yaml": ["values.yaml"],
    }
