"""Another command or other args → edited text."""

from dataclasses import replace

import pytest
import yaml

from inferplan.dialects.manifest_edit import edit_manifest
from inferplan.dialects.manifests import sites
from inferplan.dialects.report import container_of
from inferplan.dialects.words import NotEditable

TEXT = """\
kind: Service
---
kind: Pod
spec:
  containers:
    - name: c
      command: [sh, -c]   # a shell
      args:
        - "vllm serve M
          --dtype half --port 1"
        - 'second'
        # the third
        - third
"""


def _edited(
    text: str, *, command: tuple[str, ...] | None = None, args: tuple[str, ...] | None = None
) -> str | NotEditable:
    (site,) = sites(list(yaml.safe_load_all(text))[1])
    before = container_of(site, {})
    changes = {"command": command, "args": args}
    after = replace(before, **{name: value for name, value in changes.items() if value is not None})
    return edit_manifest(text, 1, site, before, after)


@pytest.mark.parametrize(
    ("args", "old", "new"),
    [
        (("vllm serve M --dtype bfloat16 --port 2 -x", "second", "third"), 'half --port 1"', 'bfloat16 --port 2 -x"'),
        (("vllm serve M --dtype half --port 1", "2nd", "third"), "'second'", "'2nd'"),
        (("vllm serve M --dtype half --port 1", "second"), "        - third\n", ""),
        (("vllm serve M --dtype half --port 1", "second", "third", "5"), "- third\n", "- third\n        - '5'\n"),
    ],
)
def test_only_what_changed_is_written(args: tuple[str, ...], old: str, new: str) -> None:
    result = _edited(TEXT, args=args)
    assert isinstance(result, str)
    assert list(yaml.safe_load_all(result))[1]["spec"]["containers"][0]["args"] == list(args)
    if args[-1] == "second":  # where its comment stays is the list's business
        assert "- third" not in result
    else:
        assert result == TEXT.replace(old, new)


def test_lists_and_strings_are_edited_wherever_they_stand() -> None:
    result = _edited(TEXT, command=("bash", "-ec"))
    assert result == TEXT.replace("[sh, -c]", "[bash, -ec]")
    single = TEXT.replace("[sh, -c]   # a shell", "vllm serve M")
    assert _edited(single, command=("vllm serve N",)) == single.replace("serve M\n      args", "serve N\n      args")


def test_nothing_to_change_gives_the_same_text() -> None:
    assert _edited(TEXT) == TEXT


def test_a_list_that_is_not_there_is_for_a_person() -> None:
    text = TEXT[: TEXT.index("      args")]
    refusal = _edited(text, args=("--a", "--b"))
    assert refusal == NotEditable("the container has no args; add them by hand: --a, --b")
