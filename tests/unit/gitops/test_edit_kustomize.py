"""Overlays: what they put together, which of their files change, and what is refused."""

import pytest
import yaml
from tests.support.repository import ARGS, WANTED, changed, deployment, proposal

from inferplan.api.reasons import Reason
from inferplan.gitops.port import GitOpsError, Proposal

OVERLAY, BASE = "apps/llama/overlays/prod", "apps/llama/base"
BASE_FILES = {f"{BASE}/kustomization.yaml": "resources:\n- llama.yaml\n", f"{BASE}/llama.yaml": deployment()}
Files = dict[str, str | bytes]


def overlay(text: str, **files: str) -> Files:
    named = {f"{OVERLAY}/{name.replace('__', '/').replace('_yaml', '.yaml')}": each for name, each in files.items()}
    return {**BASE_FILES, f"{OVERLAY}/kustomization.yaml": text, **named}


def patch(*words: str, name: str = "llama", namespace: str = "", field: str = "args") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}}}" if namespace else f"{{name: {name}}}"
    lines = "".join(f"        - {word}\n" for word in words)
    return (
        f"kind: Deployment\nmetadata: {metadata}\nspec:\n  template:\n    spec:\n      containers:\n"
        f"      - name: vllm   # the engine\n        {field}:\n{lines}"
    )


def refusal(files: Files, path: str = OVERLAY, wanted: Proposal | None = None) -> GitOpsError:
    with pytest.raises(GitOpsError) as caught:
        changed(files, path, wanted)
    assert "\n" not in caught.value.message
    return caught.value


def added_patch(change: dict[str, str] | object) -> dict[str, object]:
    assert isinstance(change, dict)
    text = change[f"{OVERLAY}/inferplan-llama-vllm.yaml"]
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def test_the_base_itself_is_edited_where_the_path_names_it() -> None:
    want = {f"{BASE}/llama.yaml": deployment(args=WANTED)}
    assert changed(dict(BASE_FILES), BASE) == want
    assert changed(dict(BASE_FILES), f"{BASE}/kustomization.yaml") == want


@pytest.mark.parametrize("listed", ["patches:\n- path: args.yaml\n", "patchesStrategicMerge:\n- args.yaml\n"])
def test_a_patch_of_the_overlay_is_edited(listed: str) -> None:
    text = "resources: [../../base]\n" + listed
    files = overlay(text, args_yaml=patch(*ARGS))
    files[f"{BASE}/llama.yaml"] = deployment(args=("--other",))
    assert changed(files, OVERLAY) == {f"{OVERLAY}/args.yaml": patch(*WANTED)}


@pytest.mark.parametrize(
    "entry",
    [
        "patches:\n- target: {kind: Deployment, name: llama}\n  patch: |-\n",
        "patches:\n- patch: |\n",
        "patchesStrategicMerge:\n- |\n",
    ],
)
def test_an_inline_patch_is_edited_where_it_stands(entry: str) -> None:
    inline = "".join(f"    {line}\n" for line in patch(*ARGS).splitlines())
    text = f"# prod\nresources: [../../base]\n{entry}{inline}commonLabels: {{a: b}} # last\n"
    assert changed(overlay(text), OVERLAY) == {f"{OVERLAY}/kustomization.yaml": text.replace("=32", "=64")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("resources:\n- ../../base\n", "resources:\n- ../../base\npatches:\n  - path: NEW\n"),
        ("resources: [../../base]", "resources: [../../base]\npatches:\n  - path: NEW"),
        ("resources: [../../base]\r\n", "resources: [../../base]\r\npatches:\r\n  - path: NEW\r\n"),
        (
            "patches:\n  # replicas\n  - path: r.yaml # three\nresources: [../../base]\n",
            "patches:\n  # replicas\n  - path: r.yaml # three\n  - path: NEW\nresources: [../../base]\n",
        ),
        (
            "resources: [../../base]\npatches:\n- target: {kind: Job}\n  patch: |-\n    - op: test\n",
            "resources: [../../base]\npatches:\n- target: {kind: Job}\n  patch: |-\n    - op: test\n- path: NEW\n",
        ),
        (
            'patches: [{path: r.yaml}]\nresources: ["../../base"]\n',
            'patches: [{path: r.yaml}, {"path": "NEW"}]\nresources: ["../../base"]\n',
        ),
    ],
)
def test_a_patch_is_added_where_only_the_base_says_the_words(before: str, after: str) -> None:
    replicas = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: llama}\nspec: {replicas: 3}\n"
    change = changed(overlay(before, r_yaml=replicas), OVERLAY)
    assert change[f"{OVERLAY}/kustomization.yaml"] == after.replace("NEW", "inferplan-llama-vllm.yaml")
    assert sorted(change) == [f"{OVERLAY}/inferplan-llama-vllm.yaml", f"{OVERLAY}/kustomization.yaml"]
    assert added_patch(change) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama"},
        "spec": {"template": {"spec": {"containers": [{"name": "vllm", "args": list(WANTED)}]}}},
    }


def test_the_added_patch_is_edited_the_next_time_and_undone_by_an_edit() -> None:
    first = {**overlay("resources: [../../base]\n"), **changed(overlay("resources: [../../base]\n"), OVERLAY)}
    more = (*WANTED, "--enable-prefix-caching")
    again = changed(first, OVERLAY, proposal(WANTED, more))
    assert list(again) == [f"{OVERLAY}/inferplan-llama-vllm.yaml"]
    assert changed({**first, **again}, OVERLAY, proposal(WANTED, more)) == {}
    back = changed(first, OVERLAY, proposal(WANTED, ARGS))
    assert list(back) == [f"{OVERLAY}/inferplan-llama-vllm.yaml"]


def test_an_added_patch_of_words_that_stood_nowhere_is_undone() -> None:
    files = overlay("resources: [../../base]\n")
    files[f"{BASE}/llama.yaml"] = deployment(args=None)
    first = {**files, **changed(files, OVERLAY, proposal((), WANTED))}
    back = changed(first, OVERLAY, proposal(WANTED, ()))
    assert yaml.safe_load(back[f"{OVERLAY}/inferplan-llama-vllm.yaml"])["spec"] == {
        "template": {"spec": {"containers": [{"name": "vllm"}]}}
    }


def test_names_and_namespaces_that_layers_change() -> None:
    text = "namespace: serving\nnamePrefix: prod-\nnameSuffix: -v1\nresources: [../../base]\n"
    files = overlay(text)
    files[f"{BASE}/kustomization.yaml"] = "namespace: models\nnamePrefix: eu-\nresources: [llama.yaml]\n"
    change = changed(files, OVERLAY, proposal(name="prod-eu-llama-v1"))
    text = change[f"{OVERLAY}/inferplan-prod-eu-llama-v1-vllm.yaml"]
    assert yaml.safe_load(text)["metadata"] == {"name": "eu-llama", "namespace": "models"}
    assert refusal(files).reason is Reason.MANIFEST_NOT_FOUND
    assert refusal(files, OVERLAY, proposal(name="prod-eu-llama-v1", namespace="x")).reason is Reason.MANIFEST_NOT_FOUND


@pytest.mark.parametrize(
    ("name", "namespace"), [("llama", ""), ("eu-llama", "models"), ("llama", "default"), ("llama", "models")]
)
def test_a_patch_may_name_its_object_as_it_was_or_as_it_is(name: str, namespace: str) -> None:
    files = overlay(
        "resources: [../../base]\npatches: [{path: p.yaml}]\n", p_yaml=patch(*ARGS, name=name, namespace=namespace)
    )
    files[f"{BASE}/kustomization.yaml"] = "namespace: models\nnamePrefix: eu-\nresources: [llama.yaml]\n"
    wanted = proposal(name="eu-llama", namespace="models")
    want = patch(*WANTED, name=name, namespace=namespace)
    assert changed(files, OVERLAY, wanted) == {f"{OVERLAY}/p.yaml": want}


@pytest.mark.parametrize(
    "target",
    [
        "{kind: Deployment}",
        "{kind: Deployment, name: .*}",
        '{name: "lla(ma|va)"}',
        "{labelSelector: app=llama}",
        "{name: '(?P>x)'}",
        "{name: '(l+)+[ma]+z'}",
    ],
)
def test_a_patch_that_may_change_others_stays_and_one_is_added(target: str) -> None:
    text = f"resources: [../../base]\npatches:\n- path: all.yaml\n  target: {target}\n"
    change = changed(overlay(text, all_yaml=patch(*ARGS, name="any")), OVERLAY)
    assert change[f"{OVERLAY}/kustomization.yaml"] == text + "- path: inferplan-llama-vllm.yaml\n"


@pytest.mark.parametrize(
    "target", ["{kind: StatefulSet}", "{name: other}", "{namespace: other}", "{group: batch}", "{version: v1beta1}"]
)
def test_a_patch_of_something_else_says_nothing(target: str) -> None:
    text = f"resources: [../../base]\npatches:\n- path: all.yaml\n  target: {target}\n"
    change = changed(overlay(text, all_yaml=patch("--other")), OVERLAY)
    assert f"{OVERLAY}/kustomization.yaml" in change


def json_patch(*operations: str) -> str:
    return "".join(f"- {operation}\n" for operation in operations)


AT = "/spec/template/spec/containers/0/args"


@pytest.mark.parametrize(
    ("base", "operations"),
    [
        (("--other",), (f"{{op: replace, path: {AT}, value: {list(ARGS)}}}",)),
        (ARGS[:1], (f'{{op: add, path: {AT}/-, value: "{ARGS[1]}"}}',)),
        (ARGS[1:], (f'{{op: add, path: {AT}/0, value: "{ARGS[0]}"}}',)),
        ((ARGS[0], "--x"), (f'{{op: replace, path: {AT}/1, value: "{ARGS[1]}"}}',)),
        ((*ARGS, "--x"), (f"{{op: remove, path: {AT}/2}}", "{op: test, path: /spec, value: 1}")),
        (("--x",), (f"{{op: remove, path: {AT}}}", f"{{op: add, path: {AT}, value: {list(ARGS)}}}")),
        (ARGS, ("{op: add, path: /spec/template/spec/containers/1/args/-, value: x}",)),
        (ARGS, ("{op: add, path: /spec/template/spec/containers/0/env/-, value: {name: a}}",)),
    ],
)
def test_json_patches_are_followed_and_not_edited(base: tuple[str, ...], operations: tuple[str, ...]) -> None:
    text = "resources: [../../base]\npatches:\n- path: p.yaml\n  target: {kind: Deployment, name: llama}\n"
    files = overlay(text, p_yaml=json_patch(*operations))
    files[f"{BASE}/llama.yaml"] = deployment(args=base)
    change = changed(files, OVERLAY)
    assert change[f"{OVERLAY}/kustomization.yaml"] == text + "- path: inferplan-llama-vllm.yaml\n"


@pytest.mark.parametrize("merges", ["env: [{name: A, value: b}]", "args: [--model=m, --max-num-seqs=8]"])
def test_a_merge_puts_its_containers_first_and_json_patches_count_from_there(merges: str) -> None:
    text = "\n".join(
        (
            "resources: [../../base]",
            "patches:",
            "- patch: |-",
            "    apiVersion: apps/v1",
            "    kind: Deployment",
            "    metadata: {name: llama}",
            f"    spec: {{template: {{spec: {{containers: [{{name: vllm, {merges}}}]}}}}}}",
            "- target: {kind: Deployment}",
            "  patch: |-",
            "    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --z}",
            "",
        )
    )
    files = overlay(text)
    files[f"{BASE}/llama.yaml"] = deployment().replace("      - name: vllm", "      - name: side\n      - name: vllm")
    said = ("--model=m", "--max-num-seqs=8") if "args" in merges else ARGS
    change = changed(files, OVERLAY, proposal((*said, "--z"), (*said, "--y")))
    assert f"{OVERLAY}/inferplan-llama-vllm.yaml" in change
    assert refusal(files, OVERLAY, proposal(said, WANTED)).reason is Reason.GIT_STALE


def test_a_json_patch_that_takes_a_container_away_is_not_followed() -> None:
    text = "resources: [../../base]\npatches:\n- target: {kind: Deployment}\n  patch: |-\n"
    text += "    - {op: remove, path: /spec/template/spec/containers/0}\n"
    assert "cannot be followed" in refusal(overlay(text)).message


@pytest.mark.parametrize(("name", "hits"), [("llama", True), ("b-a-llama", True), ("a-llama", False)])
def test_selectors_know_an_objects_first_and_last_name(name: str, *, hits: bool) -> None:
    text = f"resources: [../../base]\ncomponents: [../../fast]\npatches: [{{path: p.yaml, target: {{name: {name}}}}}]\n"
    files = overlay(text, p_yaml=patch(*ARGS, name="any"))
    files[f"{BASE}/kustomization.yaml"] = "namePrefix: a-\nresources: [llama.yaml]\n"
    files["apps/llama/fast/kustomization.yaml"] = "kind: Component\nnamePrefix: b-\n"
    files[f"{BASE}/llama.yaml"] = deployment(args=ARGS if not hits else ("--other",))
    change = changed(files, OVERLAY, proposal(name="b-a-llama"))
    assert (f"{OVERLAY}/p.yaml" in change) is hits


@pytest.mark.parametrize(("name", "hits"), [("llama", True), ("b-llama", True), ("a-b-llama", False)])
def test_patches_that_come_last_see_their_layers_own_names(name: str, *, hits: bool) -> None:
    text = "resources: [../../base]\n"
    files = overlay(text)
    files[f"{BASE}/kustomization.yaml"] = (
        f"namePrefix: b-\nresources: [llama.yaml]\npatchesJson6902:\n- target: {{name: {name}}}\n  patch: |-\n"
        f"    - {{op: replace, path: {AT}, value: {list(ARGS)}}}\n"
    )
    files[f"{BASE}/llama.yaml"] = deployment(args=("--other",) if hits else ARGS)
    assert f"{OVERLAY}/kustomization.yaml" in changed(files, OVERLAY, proposal(name="b-llama"))


def test_a_json_patch_that_says_the_same_again_is_not_passed_over() -> None:
    text = "resources: [../../base]\npatches:\n- path: p.yaml\n- target: {kind: Deployment, name: llama}\n  patch: |-\n"
    text += f"    - {{op: replace, path: {AT}, value: {list(ARGS)}}}\n"
    change = changed(overlay(text, p_yaml=patch(*ARGS)), OVERLAY)
    assert sorted(change) == [f"{OVERLAY}/inferplan-llama-vllm.yaml", f"{OVERLAY}/kustomization.yaml"]


@pytest.mark.parametrize(
    "operation",
    [
        f"{{op: move, from: /a, path: {AT}}}",
        f"{{op: add, path: {AT}/9, value: x}}",
        f"{{op: add, path: {AT}/x, value: x}}",
        f"{{op: replace, path: {AT}/0, value: 5}}",
        f"{{op: move, from: /a, path: {AT}/0, value: x}}",
        "{op: replace, path: /spec/template/spec/containers/0, value: {}}",
        "{op: replace, path: /spec/template, value: {}}",
    ],
)
def test_json_patches_that_cannot_be_followed(operation: str) -> None:
    text = "resources: [../../base]\npatches:\n- path: p.yaml\n  target: {kind: Deployment, name: llama}\n"
    error = refusal(overlay(text, p_yaml=json_patch(operation)))
    assert error.reason is Reason.MANIFEST_NOT_EDITABLE
    assert error.message.startswith(f"{OVERLAY}/p.yaml: its JSON patch ")


def test_patches_that_come_after_all_others_are_not_written_over() -> None:
    text = "resources: [../../base]\npatchesJson6902:\n- target: {version: v1, kind: Deployment, name: llama}\n"
    text += f'  patch: |-\n    - {{op: replace, path: {AT}/1, value: "{ARGS[1]}"}}\n'
    error = refusal(overlay(text))
    assert error.message.endswith("patchesJson6902 sets the container's words; move it into patches")


def test_components_come_between_resources_and_patches() -> None:
    text = "resources: [../../base]\ncomponents: [../../fast]\n"
    files = overlay(text)
    files["apps/llama/fast/kustomization.yaml"] = "kind: Component\npatches: [{path: fast.yaml}]\n"
    files["apps/llama/fast/fast.yaml"] = patch(*ARGS)
    files[f"{BASE}/llama.yaml"] = deployment(args=("--slow",))
    assert list(changed(files, OVERLAY)) == [f"{OVERLAY}/inferplan-llama-vllm.yaml", f"{OVERLAY}/kustomization.yaml"]


def test_a_manifest_of_the_overlays_own_is_edited() -> None:
    text = "resources: [../../base, mine.yaml]\n"
    files = overlay(text, mine_yaml=deployment("mine"))
    want = {f"{OVERLAY}/mine.yaml": deployment("mine", args=WANTED)}
    assert changed(files, OVERLAY, proposal(name="mine")) == want


def test_a_command_in_the_base_and_args_in_a_patch() -> None:
    files = overlay("resources: [../../base]\npatches: [{path: p.yaml}]\n", p_yaml=patch(*ARGS))
    files[f"{BASE}/llama.yaml"] = deployment(args=None, command=["vllm", "serve"])
    commands = (("vllm", "serve"), ("vllm", "serve", "--enable-prefix-caching"))
    change = changed(files, OVERLAY, proposal(commands=commands))
    assert change[f"{OVERLAY}/p.yaml"] == patch(*WANTED)
    container = yaml.safe_load(change[f"{OVERLAY}/inferplan-llama-vllm.yaml"])["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container == {"name": "vllm", "command": list(commands[1])}


def test_nothing_changes_where_the_overlay_says_that_already() -> None:
    files = overlay("resources: [../../base]\npatches: [{path: p.yaml}]\n", p_yaml=patch(*WANTED))
    assert changed(files, OVERLAY) == {}


def test_other_words_than_planned_for_are_stale() -> None:
    error = refusal(overlay("resources: [../../base]\npatches: [{path: p.yaml}]\n", p_yaml=patch("--x")))
    assert error.reason is Reason.GIT_STALE


DIRECTIVE = patch(*ARGS).replace("name: vllm", "$patch: replace\n        name: vllm")


@pytest.mark.parametrize(
    ("text", "files", "reason", "told"),
    [
        ("resources: [../../../../../x]\n", {}, Reason.MANIFEST_NOT_EDITABLE, "leads out of the repository"),
        ("resources: [/etc/passwd]\n", {}, Reason.MANIFEST_NOT_EDITABLE, "leads out of the repository"),
        ("resources: [.]\n", {}, Reason.MANIFEST_NOT_EDITABLE, "lead to each other"),
        ("resources: [../../base, ../../base]\n", {}, Reason.MANIFEST_NOT_EDITABLE, 'makes Deployment "llama"'),
        ("resources: [https://example.org/base?ref=v1, gone.yaml]\n", {}, Reason.MANIFEST_NOT_FOUND,
         "not looked into: apps/llama/overlays/prod/kustomization.yaml: https://example.org/base?ref=v1; "),
        ("resources: [s.yaml]\n", {"s_yaml": "sops: {mac: x}\n"}, Reason.MANIFEST_NOT_FOUND, "encrypted by SOPS"),
        ("- a list\n", {}, Reason.MANIFEST_NOT_EDITABLE, "is no kustomization"),
        ("resources: [../../base]\n", {"kustomization.yml": ""}, Reason.MANIFEST_NOT_FOUND, "has 2 kustomization"),
        ("resources: [../../base/empty]\n", {}, Reason.MANIFEST_NOT_FOUND, "makes no Deployment"),
        ("resources: [../../base]\n", {"inferplan-llama-vllm_yaml": "a: 1"},
         Reason.MANIFEST_NOT_EDITABLE, "is there already"),
        ("resources: [../../base]\npatches: []\n", {}, Reason.MANIFEST_NOT_EDITABLE, "patches: cannot be added to"),
        ("resources: [../../base]\npatches: [{path: p.yaml}]\n", {}, Reason.MANIFEST_NOT_FOUND, "no such file"),
        ("resources: [../../base]\npatches: {a: b}\n", {}, Reason.MANIFEST_NOT_EDITABLE, "patches: cannot be added to"),
        ("# inferplan-places-it-here\nresources: [../../base]\npatches: [{path: r.yaml}]\n",
         {"r_yaml": "kind: Deployment\nmetadata: {name: other}\n"}, Reason.MANIFEST_NOT_EDITABLE, "cannot be added to"),
        ("resources: [../../base]\npatches: [{path: p.yaml}]\n", {"p_yaml": DIRECTIVE},
         Reason.MANIFEST_NOT_EDITABLE, "a patch has a directive"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(text: str, files: dict[str, str], reason: Reason, told: str) -> None:
    error = refusal(overlay(text, **files))
    assert (error.reason, told in error.message) == (reason, True), error.message
