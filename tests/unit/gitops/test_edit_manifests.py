"""Manifests in files: what is found, what changes, and what is refused (design/reliability.md 1.4)."""

import pytest
from tests.support.repository import ARGS, WANTED, MemoryTree, changed, deployment, proposal

from inferplan.api.reasons import Reason
from inferplan.gitops.edit.change import FILES_MAX, change_of
from inferplan.gitops.edit.tree import Kind
from inferplan.gitops.port import GitOpsError, Proposal

PLAIN = deployment()
COMMENTED = """# The platform team's Deployment.
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama}   # do not rename
spec:
  template:
    spec:
      containers:
        - name: "vllm"
          image: 'vllm/vllm-openai:v0.10.0'
          args:
            # weights
            - --model=meta-llama/Llama-3.1-8B-Instruct
            - '--max-num-seqs=32'   # see incident 42
          securityContext: {runAsUser: 0755, privileged: no}
"""


def refusal(files: dict[str, str | bytes], path: str = "a.yaml", wanted: Proposal | None = None) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        changed(files, path, wanted)
    assert "\n" not in caught.value.message
    assert not caught.value.passes
    return caught.value


def test_only_the_value_changes() -> None:
    assert changed({"a.yaml": COMMENTED}, "a.yaml") == {
        "a.yaml": COMMENTED.replace("max-num-seqs=32", "max-num-seqs=64")
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('args: ["--model", "m", "--max-num-seqs", "32"]', 'args: ["--model", "m", "--max-num-seqs", "64"]'),
        ('args:\n      - --model\n      - m\n      - --max-num-seqs\n      - "32"',
         'args:\n      - --model\n      - m\n      - --max-num-seqs\n      - "64"'),
    ],
)  # fmt: skip
def test_two_words_of_a_flag(before: str, after: str) -> None:
    text = f"kind: Deployment\nmetadata: {{name: llama}}\nspec:\n  containers:\n  - name: vllm\n    {before}\n"
    wanted = proposal(("--model", "m", "--max-num-seqs", "32"), ("--model", "m", "--max-num-seqs", "64"))
    assert changed({"a.yaml": text}, "a.yaml", wanted) == {"a.yaml": text.replace(before, after)}


@pytest.mark.parametrize(
    "text",
    [
        COMMENTED.replace("\n", "\r\n"),
        "\ufeff" + COMMENTED,
        COMMENTED.rstrip("\n"),
        "\ufeff" + COMMENTED.replace("\n", "\r\n").rstrip(),
        PLAIN + "---\n# nothing\n---\n" + PLAIN.replace("llama", "other"),
    ],
    ids=["CRLF", "BOM", "no newline at the end", "all of them", "several documents"],
)
def test_every_other_byte_stays(text: str) -> None:
    want = text.replace("--max-num-seqs=32", "--max-num-seqs=64", 1)
    assert changed({"a.yaml": text}, "a.yaml") == {"a.yaml": want}


def test_a_new_flag_comes_last_and_a_flag_can_go() -> None:
    longer = (*ARGS, "--enable-prefix-caching")
    added = changed({"a.yaml": COMMENTED}, "a.yaml", proposal(ARGS, longer))["a.yaml"]
    new = "            - --enable-prefix-caching\n"
    assert added == COMMENTED.replace("# see incident 42\n", f"# see incident 42\n{new}")
    back = changed({"a.yaml": added}, "a.yaml", proposal(longer, ARGS))
    assert back == {"a.yaml": COMMENTED}


def test_arguments_where_there_were_none() -> None:
    text = COMMENTED.split("          args:", maxsplit=1)[0]
    got = changed({"a.yaml": text}, "a.yaml", proposal((), ("--max-num-seqs=64",)))["a.yaml"]
    name = '        - name: "vllm"\n'
    assert got == text.replace(name, name + "          args:\n            - --max-num-seqs=64\n")
    back = changed({"a.yaml": got}, "a.yaml", proposal(("--max-num-seqs=64",), ()))
    assert back == {"a.yaml": text}


@pytest.mark.parametrize("end", ["", "\n", "\r\n    image: i\r\n"])
def test_arguments_that_were_added_are_taken_out_again_to_the_last_byte(end: str) -> None:
    text = "\ufeffkind: Deployment\nmetadata: {name: llama}\nspec:\n  containers:\n  - name: vllm # x" + end
    words = ("--a=b", "yes")
    there = changed({"a.yaml": text}, "a.yaml", proposal((), words))
    assert changed({**there}, "a.yaml", proposal(words, ())) == {"a.yaml": text}


@pytest.mark.parametrize(
    "container",
    [
        "{name: vllm, args: [--a=b]}",
        "args: [--a=b]\n    name: vllm",
        "name: vllm\n    args: &a [--a=b]\n  - name: o\n    args: *a",
        "name: vllm\n    args:\n    - |-\n      --a=b",
    ],
    ids=["in one line", "first in its line", "shared", "a script"],
)
def test_arguments_that_cannot_be_taken_out(container: str) -> None:
    text = f"kind: Deployment\nmetadata: {{name: llama}}\nspec:\n  containers:\n  - {container}\n"
    assert refusal({"a.yaml": text}, wanted=proposal(("--a=b",), ())).reason is Reason.MANIFEST_NOT_EDITABLE


def test_arguments_in_one_line_are_taken_out_with_their_comment() -> None:
    text = COMMENTED.split("          args:", maxsplit=1)[0]
    there = text + "          args: [--a=b, # one\n            --c] # two\n          # three\n          tty: true\n"
    got = changed({"a.yaml": there}, "a.yaml", proposal(("--a=b", "--c"), ()))
    assert got == {"a.yaml": text + "          # three\n          tty: true\n"}


def test_a_command_in_a_shell_script() -> None:
    script = "exec vllm serve m \\\n  --max-num-seqs 32 \\\n  --port 8000\n"
    text = deployment(args=None, command=["sh", "-c", script]).replace("name: llama", "name:  llama")
    wanted = proposal((), (), commands=(("sh", "-c", script), ("sh", "-c", script.replace("32", "64"))))
    got = changed({"a.yaml": text}, "a.yaml", wanted)["a.yaml"]
    assert got == text.replace("--max-num-seqs 32", "--max-num-seqs 64")


def test_nothing_changes_where_it_says_that_already() -> None:
    assert changed({"a.yaml": deployment(args=WANTED)}, "a.yaml") == {}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((ARGS[0], "--max-num-seqs=48"), "word 2 is --max-num-seqs=… in the repository, and --max-num-seqs=… in"),
        (ARGS[:1], "the repository has 1 words, the workload 2"),
        ((*ARGS, "--api-key", "hunter2"), "the repository has 4 words"),
    ],
)
def test_other_words_than_planned_for_are_stale(said: tuple[str, ...], told: str) -> None:
    error = refusal({"a.yaml": deployment(args=said)})
    assert error.reason is Reason.GIT_STALE
    assert f'a.yaml: args of container "vllm": {told}' in error.message


def test_a_stale_value_is_not_told_because_it_may_be_secret() -> None:
    planned = proposal(("--api-key", "hunter2"), ("--api-key", "hunter2", "--max-num-seqs=64"))
    error = refusal({"a.yaml": deployment(args=("--api-key", "hunter3"))}, wanted=planned)
    assert "hunter" not in error.message
    assert "another value behind --api-key" in error.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: [", "no YAML that can be read"),
        (PLAIN.replace("name: llama", "name: {{ .Release.Name }}"), "a template, of Helm or another tool"),
        (PLAIN + "sops:\n  mac: x\n", "is encrypted by SOPS"),
        (PLAIN + "kind: Deployment\n", "line 2: the key 'kind' stands there twice"),
        (PLAIN.replace("        args:", "        args: []\n        args:"), "the key 'args' stands there twice"),
        (b"\xff\xfe" + PLAIN.encode(), "is no UTF-8 text"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "is kept in Git LFS"),
        ("# " + "x" * 1024 * 1024 + "\n" + PLAIN, "is larger than 1024 KiB"),
        ("\t" + PLAIN, "no YAML that can be read"),
    ],
)
def test_what_cannot_be_edited_with_certainty_is_refused(text: str | bytes, told: str) -> None:
    error = refusal({"a.yaml": text})
    assert error.reason is Reason.MANIFEST_NOT_EDITABLE
    assert error.message.startswith("a.yaml: ")
    assert told in error.message


def test_words_that_an_alias_uses_elsewhere_are_refused() -> None:
    words = "\n        - ".join(("        args: &words", *ARGS))
    text = (
        PLAIN[: PLAIN.index("        args:")]
        + words
        + "\n      - name: other\n        image: o\n        args: *words\n"
    )
    error = refusal({"a.yaml": text})
    assert error.reason is Reason.MANIFEST_NOT_EDITABLE
    assert "shared by an anchor and its aliases" in error.message


def test_an_anchor_that_nothing_uses_is_fine() -> None:
    text = PLAIN.replace("        args:", "        args: &words")
    assert changed({"a.yaml": text}, "a.yaml") == {"a.yaml": text.replace("=32", "=64")}


def test_aliases_of_aliases_take_no_time() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert changed({"a.yaml": bomb + PLAIN}, "a.yaml") == {"a.yaml": (bomb + PLAIN).replace("=32", "=64")}


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"apps": Kind.LINK}, "apps: is a symbolic link"),
        ({"apps/a.yaml": Kind.LINK}, "apps/a.yaml: is a symbolic link"),
        ({"apps": Kind.MODULE}, "apps: is a submodule"),
    ],
)
def test_links_and_submodules_are_not_followed(odd: dict[str, Kind], told: str) -> None:
    tree = MemoryTree({"apps/a.yaml": PLAIN}, odd)
    with pytest.raises(GitOpsError) as caught:
        change_of(tree, "apps/a.yaml", proposal())
    assert caught.value.reason is Reason.MANIFEST_NOT_EDITABLE
    assert caught.value.message.startswith(told)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("name: llama", "name: lama"),
        PLAIN.replace("Deployment", "StatefulSet"),
        PLAIN.replace("name: vllm", "name: engine"),
        deployment(namespace="other"),
        "# nothing\n",
    ],
)
def test_another_workload_is_not_the_one(text: str) -> None:
    error = refusal({"a.yaml": text})
    assert error.reason is Reason.MANIFEST_NOT_FOUND
    assert error.message == 'a.yaml: holds no Deployment "llama" with a container "vllm" for namespace serving'


def test_no_such_path() -> None:
    assert refusal({"a.yaml": PLAIN}, "b.yaml").message == "b.yaml: the repository has no such file or folder"


def test_a_document_is_found_by_name_and_namespace_not_by_place() -> None:
    text = "---\n".join((deployment(namespace="other"), deployment(namespace="serving"), deployment("x")))
    first, second, third = text.split("---\n")
    want = "---\n".join((first, second.replace("=32", "=64"), third))
    assert changed({"a.yaml": text}, "a.yaml") == {"a.yaml": want}


def test_an_item_of_a_list() -> None:
    listed = "kind: List\nitems:\n" + "".join(
        ("- " if n == 0 else "  ") + line + "\n" for n, line in enumerate(PLAIN.splitlines())
    )
    assert changed({"a.yaml": listed}, "a.yaml") == {"a.yaml": listed.replace("=32", "=64")}


def test_the_same_deployment_twice_is_refused() -> None:
    error = refusal({"apps/a.yaml": PLAIN, "apps/b/c.yml": PLAIN}, "apps")
    assert error.reason is Reason.MANIFEST_NOT_EDITABLE
    assert "stands in the repository 2 times: apps/" in error.message
    assert refusal({"a.yaml": PLAIN + "---\n" + PLAIN}).reason is Reason.MANIFEST_NOT_EDITABLE


def test_a_folder_is_looked_through() -> None:
    files: dict[str, str | bytes] = {
        "apps/a/llama.yaml": PLAIN,
        "apps/broken.yaml": "a: [",
        "apps/README.md": "name: llama",
        "apps/.hidden/llama.yaml": PLAIN,
        "other/llama.yaml": PLAIN,
    }
    assert list(changed(files, "apps")) == ["apps/a/llama.yaml"]


def test_a_broken_file_that_may_be_it_is_not_passed_over() -> None:
    error = refusal({"apps/a.yaml": PLAIN, "apps/llama.yaml": "name: llama\nb: ["}, "apps")
    assert error.reason is Reason.MANIFEST_NOT_EDITABLE
    assert error.message.startswith("apps/llama.yaml: no YAML")


def test_a_folder_of_too_many_files() -> None:
    files: dict[str, str | bytes] = {f"apps/{n}.yaml": "a: 1\n" for n in range(FILES_MAX + 1)}
    error = refusal(files, "apps")
    assert error.message == "apps: holds more than 500 files; give the manifest's own path"


def test_json_stays_json() -> None:
    text = (
        '{\n\t"kind": "Deployment", "metadata": {"name": "llama"},\n\t"spec": {"containers": [{"name": "vllm",'
        f' "image": "v",\n\t\t"args": ["{ARGS[0]}", "{ARGS[1]}"]}}]}}\n}}\n'
    )
    assert changed({"a.json": text}, "a.json") == {"a.json": text.replace("=32", "=64")}


@pytest.mark.parametrize(
    ("container", "told"),
    [
        ("{name: vllm, image: v}", "the container is not written line by line"),
        ("&c\n    name: vllm\n    image: v\n  - *c", "is shared by an anchor and its aliases"),
    ],
)
def test_arguments_that_cannot_be_added(container: str, told: str) -> None:
    text = f"kind: Deployment\nmetadata: {{name: llama}}\nspec:\n  containers:\n  - {container}\n"
    wanted = proposal((), ("--max-num-seqs=64",), container="vllm")
    if "*c" in container:
        text = text.replace("  - *c\n", "  initContainers: [*c]\n")
    error = refusal({"a.yaml": text}, wanted=wanted)
    assert (error.reason, told in error.message) == (Reason.MANIFEST_NOT_EDITABLE, True), error.message


def test_arguments_are_added_below_the_first_line_of_its_own() -> None:
    text = (
        "kind: Deployment\nmetadata: {name: llama}\nspec:\n  containers:\n  - env:\n    - name: A\n    name: vllm # x"
    )
    got = changed({"a.yaml": "\ufeff" + text}, "a.yaml", proposal((), ("yes", "--a=b")))
    assert got == {"a.yaml": f'\ufeff{text}\n    args:\n      - "yes"\n      - --a=b'}


def test_too_much_to_read() -> None:
    large = "# " + "x" * (1024 * 1024 - 100) + "\n"
    files: dict[str, str | bytes] = {f"apps/{n:02}.yaml": large for n in range(17)}
    error = refusal({**files, "apps/llama.yaml": PLAIN}, "apps")
    assert error.reason is Reason.MANIFEST_NOT_FOUND
