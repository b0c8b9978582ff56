"""What is read in every manifest of a folder, whether it can be edited and put back, and what that costs.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/manifests.py /work/shared/data/manifests

For each YAML file: its engine containers with engine, version, model and the settings that stand there, and what could
not be read with its reason. For the first container of each file: `max_batch_size` set to 7, the file's text patched,
loaded, and patched back to the very same bytes; and the time that one file takes, best of five: read (YAML, containers,
start commands, arguments, defaults, findings) and patch (edit, splice, proof). The golden copy of the 34 public
manifests in shared/data was reviewed by hand; no line of them is in it. Raw results go to results/manifests.json.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from inferplan.cli.manifest_files import ManifestFile, parsed
from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit_reading
from inferplan.dialects.manifest_edit import edit_manifest
from inferplan.dialects.report import EngineContainer, Question, Report, report
from inferplan.dialects.report_document import report_document
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import Origin

RESULTS = Path(__file__).resolve().parent / "results" / "manifests.json"
REPEATS = 5
CHANGE = {"max_batch_size": 7}


def read(file: ManifestFile) -> Report:
    return report([document.source for document in file.documents], Question())


def best_ms(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(1000 * min(seconds), 2)


def patched(file: ManifestFile, found: EngineContainer) -> tuple[Container, str] | NotEditable:
    """The edited container, and the edited file."""
    container = found.reading.container
    edited = edit_reading(found.reading, CHANGE)
    if isinstance(edited, NotEditable):
        return edited
    text = edit_manifest(file.text, number_of(file, found), found.site, container, edited)
    return text if isinstance(text, NotEditable) else (edited, text)


def number_of(file: ManifestFile, found: EngineContainer) -> int:
    return next(entry.index for entry in file.documents if entry.source is found.source)


def there_and_back(file: ManifestFile, found: EngineContainer) -> str:
    done = patched(file, found)
    if isinstance(done, NotEditable):
        return f"refused: {done.reason}"
    back = edit_manifest(done[1], number_of(file, found), found.site, done[0], found.reading.container)
    return "edited and put back" if back == file.text else "edited, not put back"


def explicit(document: dict[str, Any]) -> dict[str, Any]:
    """A container's document without what the version does by itself, and without paths."""
    settings = {
        key: entry["value"] for key, entry in document["settings"].items() if entry["origin"] != Origin.VERSION_DEFAULT
    }
    names = ("kind", "name", "container", "engine", "version", "model")
    return {name: document[name] for name in names} | {"settings": settings}


def outcome(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    file = parsed(path.name, text, named=True)
    found = read(file)
    document = report_document(found)
    result: dict[str, Any] = {
        "lines": text.count("\n"),
        "containers": [explicit(entry) for entry in document["containers"]],
        "unreadable": [f"{entry['code']}: {entry['reason']}" for entry in document["unreadable"]]
        + [f"{problem.code}: {problem.reason}" for problem in file.problems],
        "read_ms": best_ms(lambda: read(parsed(path.name, text, named=True))),
    }
    if found.containers:
        result["edit"] = there_and_back(file, found.containers[0])
        result["patch_ms"] = best_ms(lambda: patched(file, found.containers[0]))
    return result


def main() -> None:
    found = {path.name: outcome(path) for path in sorted(Path(sys.argv[1]).glob("*.yaml"))}
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=160))


if __name__ == "__main__":
    main()
