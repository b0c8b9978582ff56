"""`inferplan config --set`: a file with other settings in one of its containers."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from inferplan.cli.errors import BadInputError
from inferplan.cli.manifest_files import FileDocument, ManifestFile
from inferplan.dialects.editing import edit_reading
from inferplan.dialects.keys import flag_name, neutral_key
from inferplan.dialects.manifest_edit import edit_manifest
from inferplan.dialects.proof import Changes
from inferplan.dialects.report import EngineContainer, Report
from inferplan.dialects.setting_values import flag_of, read_change
from inferplan.dialects.values import load_json
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import SettingValue

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Wanted:
    """What shall change.

    Attributes:
        settings: Of `--set`: "key=value".
        removed: Of `--unset`: "key".
        version: The engine's version, where somebody states it.
    """

    settings: Sequence[str]
    removed: Sequence[str]
    version: str | None


def edited_file(files: Sequence[ManifestFile], found: Report, wanted: Wanted) -> tuple[ManifestFile, str]:
    """The file that holds the container, and its text with the changes.

    Raises:
        BadInputError: There is not one container to change, a change is none, or it cannot be made with certainty.
    """
    target = _target(found)
    file, document = _document(files, target)
    changes = dict(_changes(target, wanted))
    container = target.reading.container
    after = edit_reading(target.reading, changes)
    if not isinstance(after, NotEditable):
        if document.index < 0:
            after = NotEditable("the file as a whole is no YAML")
        else:
            result = edit_manifest(file.text, document.index, target.site, container, after)
            if isinstance(result, str):
                return file, result
            after = result
    raise BadInputError(f"{target.place}: {after.reason}", *(f"by hand: {line}" for line in _by_hand(target, changes)))


def _target(found: Report) -> EngineContainer:
    if len(found.containers) == 1:
        return found.containers[0]
    names = [f"{entry.site.kind}/{entry.site.name}/{entry.site.container_name}" for entry in found.containers]
    several = "; some have the same name: give their file alone" if len(set(names)) < len(names) else ""
    raise BadInputError(f"--set and --unset change one container; choose with --container: {', '.join(names)}{several}")


def _document(files: Sequence[ManifestFile], target: EngineContainer) -> tuple[ManifestFile, FileDocument]:
    found = ((file, document) for file in files for document in file.documents)
    return next((file, document) for file, document in found if document.source is target.source)


def _changes(target: EngineContainer, wanted: Wanted) -> Iterator[tuple[str, SettingValue | None]]:
    reading = target.reading
    given: set[str] = set()
    for text in wanted.settings:
        name, equals, value = text.partition("=") if not text.startswith("=") else ("", "", "")
        if not equals:
            raise BadInputError(f"--set {text}: is not KEY=VALUE, such as max_batch_size=64")
        try:
            key, read = read_change(reading, name, value)
        except ValueError as error:
            raise BadInputError(f"--set {text}: {error}") from None
        given.add(key)
        yield key, read
    for name in wanted.removed:
        try:
            key = neutral_key(reading.launch.engine, name, negations=True)
        except ValueError as error:
            raise BadInputError(f"--unset {name}: {error}") from None
        if key in given:
            raise BadInputError(f"--unset {name}: {key} is set by --set as well")
        yield key, None


def _by_hand(target: EngineContainer, changes: Changes) -> Iterator[str]:
    """What somebody would write, or take out."""
    for key, value in changes.items():
        flag = flag_name(target.reading.launch.engine, key)
        if value is None:
            yield f"take out {flag or key}"
        elif isinstance(value, bool):
            yield f"{flag or key}: {str(value).lower()}"
        else:
            found = flag_of(target.reading, key)
            items = load_json(str(value)) if found is not None and found.nargs in {"+", "*"} else [value]
            yield " ".join([flag or key, *(shlex.quote(str(item)) for item in items)])


def unified(name: str, before: str, after: str) -> str:
    """The change as `git apply` and `patch -p1` take it; empty where nothing changes."""
    plain = name.removeprefix("./")
    names = (name, name) if Path(plain).is_absolute() else (f"a/{plain}", f"b/{plain}")
    lines = unified_diff(_LINE.findall(before), _LINE.findall(after), *names)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
