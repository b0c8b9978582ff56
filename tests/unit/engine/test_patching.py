"""A decision as an edit of the container."""

import json
import shlex

from tests.support.build import a

from inferplan.api.values import ConfigChange
from inferplan.dialects.container import Container
from inferplan.engine.patching import Place, build_patch

PLACE = Place("Deployment", "serving", "llama")


def change(parameter: str, value: str | float | bool | None) -> ConfigChange:
    return ConfigChange(parameter=parameter, recommended_value=value, reason="so")


def test_only_the_changed_list_is_in_the_body() -> None:
    container = a.container("m", "--max-num-seqs", "32", "--dtype=auto")
    patch = build_patch(PLACE, container, None, [change("max_batch_size", 64)])
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
    patch = build_patch(PLACE, container, None, [change("max_batch_size", 64)])
    (edited,) = json.loads(patch.server_side_apply or "")["spec"]["template"]["spec"]["containers"]
    assert edited == {"name": "vllm", "command": ["vllm", "serve", "m", "--max-num-seqs=64"]}


def test_the_diff_shows_the_changed_words() -> None:
    patch = build_patch(PLACE, a.container("m", "--max-num-seqs=32"), None, [change("max_batch_size", 64)])
    lines = (patch.diff or "").splitlines()
    assert lines[:2] == ["--- a/deployment/llama/vllm", "+++ b/deployment/llama/vllm"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ['-- "--max-num-seqs=32"', '+- "--max-num-seqs=64"']


def test_the_command_line_survives_a_shell() -> None:
    container = a.container("m", "--chat-template={{ 'it''s' }} $(HOME) `id`", "--max-num-seqs=32")
    patch = build_patch(PLACE, container, None, [change("max_batch_size", 64)])
    words = shlex.split(patch.command or "")
    assert words[:6] == ["kubectl", "patch", "deployment", "llama", "--namespace", "serving"]
    assert words[-1] == patch.server_side_apply


def test_a_shell_script_is_edited_and_the_diff_shows_its_lines() -> None:
    script = "set -e\nexec vllm serve m \\\n  --max-num-seqs 32 \\\n  --dtype auto\n"
    container = Container("vllm", "vllm/vllm-openai:v0.33.0", ("sh", "-c"), (script,))
    patch = build_patch(PLACE, container, "0.33.0", [change("max_batch_size", 64)])
    assert patch.diff == (
        "--- a/deployment/llama/vllm\n+++ b/deployment/llama/vllm\n@@ -5,5 +5,5 @@\n"
        " - |\n   set -e\n   exec vllm serve m \\\n"
        "-    --max-num-seqs 32 \\\n+    --max-num-seqs 64 \\\n     --dtype auto\n"
    )
    (edited,) = json.loads(patch.server_side_apply or "")["spec"]["template"]["spec"]["containers"]
    assert edited == {"name": "vllm", "args": [script.replace("32", "64")]}


def test_a_script_of_another_file_is_left_to_a_person() -> None:
    container = Container("vllm", "vllm/vllm-openai:v0.33.0", command=("sh", "/start.sh"))
    patch = build_patch(PLACE, container, None, [change("max_batch_size", 64)])
    assert not patch.applicable
    assert "/start.sh, whose content is not known" in (patch.reason or "")
    assert patch.server_side_apply is None


def test_a_flag_is_taken_out() -> None:
    container = a.container("m", "--swap-space", "4", "--dtype=auto")
    removal = ConfigChange(parameter="swap_space", current_value=4, removes_flag=True, reason="gone")
    patch = build_patch(PLACE, container, "0.33.0", [removal])
    (edited,) = json.loads(patch.server_side_apply or "")["spec"]["template"]["spec"]["containers"]
    assert edited == {"name": "vllm", "args": ["m", "--dtype=auto"]}


def test_two_changes_of_one_setting_are_left_to_a_person() -> None:
    changes = [change("max_batch_size", 64), change("max_batch_size", 128)]
    patch = build_patch(PLACE, a.container("m"), "0.33.0", changes)
    assert patch.reason == "max_batch_size would be changed twice, to different values"


def test_letters_that_a_terminal_acts_on_are_not_in_the_diff_of_a_script() -> None:
    container = Container("vllm", "", ("sh", "-c", "echo \x1b[2J\nvllm serve m --max-num-seqs 32\n"))
    patch = build_patch(PLACE, container, "0.33.0", [change("max_batch_size", 64)])
    assert "   echo \ufffd[2J\n" in (patch.diff or "")


def test_a_change_without_a_value_is_left_to_a_person() -> None:
    patch = build_patch(PLACE, a.container("m"), None, [change("max_batch_size", None)])
    assert not patch.applicable


def test_arguments_that_a_plan_cannot_hold_are_left_to_a_person() -> None:
    container = a.container("m", "--chat-template=" + "x" * 40_000)
    patch = build_patch(PLACE, container, None, [change("max_batch_size", 64)])
    assert "longer than 32768" in (patch.reason or "")
