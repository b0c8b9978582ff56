"""A decision as an edit of the container."""

import json
import shlex

from tests.support.build import a

from inferplan.api.values import ConfigChange, Engine
from inferplan.dialects.container import Container
from inferplan.engine.patching import Place, build_patch

PLACE = Place("Deployment", "serving", "llama")


def change(parameter: str, value: str | float | bool | None) -> ConfigChange:
    return ConfigChange(parameter=parameter, recommended_value=value, reason="so")


def test_only_the_changed_list_is_in_the_body() -> None:
    container = a.container("m", "--max-num-seqs", "32", "--dtype=auto")
    patch = build_patch(Engine.VLLM, PLACE, container, [change("max_batch_size", 64)])
    assert patch.applicable
    assert json.loads(patch.server_side_apply or "") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": "serving"},
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "vllm", "args": ["m", "--max-num-seqs", "64", "--dtype=auto"]}]}
            }
        },
    }


def test_flags_in_the_command_are_changed_there() -> None:
    container = Container("vllm", command=("vllm", "serve", "m", "--max-num-seqs=32"))
    patch = build_patch(Engine.VLLM, PLACE, container, [change("max_batch_size", 64)])
    (edited,) = json.loads(patch.server_side_apply or "")["spec"]["template"]["spec"]["containers"]
    assert edited == {"name": "vllm", "command": ["vllm", "serve", "m", "--max-num-seqs=64"]}


def test_the_diff_shows_the_changed_words() -> None:
    patch = build_patch(Engine.VLLM, PLACE, a.container("m", "--max-num-seqs=32"), [change("max_batch_size", 64)])
    lines = (patch.diff or "").splitlines()
    assert lines[:2] == ["--- a/deployment/llama/vllm", "+++ b/deployment/llama/vllm"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ['-- "--max-num-seqs=32"', '+- "--max-num-seqs=64"']


def test_the_command_line_survives_a_shell() -> None:
    container = a.container("m", "--chat-template={{ 'it''s' }} $(HOME) `id`", "--max-num-seqs=32")
    patch = build_patch(Engine.VLLM, PLACE, container, [change("max_batch_size", 64)])
    words = shlex.split(patch.command or "")
    assert words[:6] == ["kubectl", "patch", "deployment", "llama", "--namespace", "serving"]
    assert words[-1] == patch.server_side_apply


def test_a_shell_script_is_left_to_a_person() -> None:
    container = Container("vllm", command=("sh", "-c"), args=("vllm serve m",))
    patch = build_patch(Engine.VLLM, PLACE, container, [change("max_batch_size", 64)])
    assert not patch.applicable
    assert "by hand" in (patch.reason or "")
    assert patch.server_side_apply is None


def test_a_change_without_a_value_is_left_to_a_person() -> None:
    patch = build_patch(Engine.VLLM, PLACE, a.container("m"), [change("max_batch_size", None)])
    assert not patch.applicable


def test_arguments_that_a_plan_cannot_hold_are_left_to_a_person() -> None:
    container = a.container("m", "--chat-template=" + "x" * 40_000)
    patch = build_patch(Engine.VLLM, PLACE, container, [change("max_batch_size", 64)])
    assert "longer than 32768" in (patch.reason or "")
