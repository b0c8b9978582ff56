"""What is read in the manifests of tests/manifests, each a shape seen in the wild, and that they can be edited.

Expected is tests/goldens/config/NAME.yaml: what `inferplan config -o yaml` says, version defaults left out. After a
change that is meant: `pytest tests/scenarios --update-goldens`, then read the diff.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.support import golden

from inferplan.cli.manifest_files import ManifestFile, parsed
from inferplan.dialects.editing import edit
from inferplan.dialects.manifest_edit import edit_manifest
from inferplan.dialects.report import EngineContainer, Question, report
from inferplan.dialects.report_document import report_document
from inferplan.dialects.words import NotEditable

FOLDER = Path(__file__).parents[1] / "manifests"
GOLDENS = Path(__file__).parents[1] / "goldens" / "config"
MANIFESTS = sorted(path for path in FOLDER.iterdir() if path.suffix in {".yaml", ".json"})
CHANGE = {"max_batch_size": 7}


def read(path: Path) -> ManifestFile:
    return parsed(path.name, path.read_bytes().decode("utf-8"), named=True)


def containers(file: ManifestFile) -> tuple[EngineContainer, ...]:
    return report([document.source for document in file.documents], Question()).containers


def said(file: ManifestFile) -> dict[str, Any]:
    found = report_document(report([document.source for document in file.documents], Question()))
    found["unreadable"] += [{"code": str(entry.code), "reason": entry.reason} for entry in file.problems]
    for container in found["containers"]:
        settings = container["settings"].items()
        container["settings"] = {key: entry for key, entry in settings if entry["origin"] != "versionDefault"}
    return found


def edited(file: ManifestFile, container: EngineContainer, *, back: bool = False) -> str | NotEditable:
    before = container.reading.container
    after = edit(before, CHANGE, container.reading.config.version)
    if isinstance(after, NotEditable):
        return after
    index = next(document.index for document in file.documents if document.source is container.source)
    text = edit_manifest(file.text, index, container.site, before, after)
    if isinstance(text, NotEditable) or not back:
        return text
    return edit_manifest(text, index, container.site, after, before)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_says_what_it_runs(path: Path, request: pytest.FixtureRequest) -> None:
    update = bool(request.config.getoption("--update-goldens"))
    golden.check(GOLDENS / f"{path.stem}.yaml", said(read(path)), update=update)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_change_changes_its_lines_only_and_its_opposite_gives_the_same_bytes(path: Path) -> None:
    file = read(path)
    for container in containers(file):
        text = edited(file, container)
        if isinstance(text, NotEditable):
            assert text.reason
            continue
        changed = [line for line in text.splitlines() if line not in set(file.text.splitlines())]
        assert len(changed) <= 3, changed  # a flag, its value, and the line that it now follows
        assert edited(file, container, back=True) == file.text


def test_a_change_is_read_in_the_edited_manifest_and_nothing_else_is() -> None:
    made = 0
    for path in MANIFESTS:
        file = read(path)
        for number, container in enumerate(containers(file)):
            text = edited(file, container)
            if isinstance(text, NotEditable):
                continue
            made += 1
            before, after = said(file), said(parsed(path.name, text, named=True))
            mine = after["containers"][number]["settings"].pop("max_batch_size")
            before["containers"][number]["settings"].pop("max_batch_size", None)
            assert mine["value"] == CHANGE["max_batch_size"]
            for told in (before, after):
                told["containers"][number].pop("findings", None)
                told["unreadable"] = [entry for entry in told["unreadable"] if entry.get("key") not in CHANGE]
            assert after == before, path.name
    assert made > len(MANIFESTS) / 2
