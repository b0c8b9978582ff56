"""A container → what its engine is told to do, each setting with its origin, and what cannot be read. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.grammar import Grammar, Meaning, grammar
from inferplan.dialects.images import version_of_image
from inferplan.dialects.launch import Launch, launch_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.registry import FlagSpec
from inferplan.dialects.scan import Argument, Scan, scan
from inferplan.dialects.settings import Settings, unresolved
from inferplan.dialects.values import read_values
from inferplan.dialects.words import Unreadable, UnreadableCode, Word, known_word
from inferplan.domain.serving import Origin, ServingConfig, Setting

_POSITIONAL_MODEL = frozenset({Entry.SERVE, Entry.IMAGE, Entry.OTHER_FRONT})


@dataclass(frozen=True)
class Reading:
    """What an engine's container says.

    Attributes:
        container: The container.
        launch: How the engine is started.
        scanned: Its words, taken apart.
        grammar: The flags by which they were read.
        config: Settings that stand there.
        unreadable: What stands there and cannot be read.
        dropped: Keys of a configuration file that the engine drops without a word.
    """

    container: Container
    launch: Launch
    scanned: Scan
    grammar: Grammar
    config: ServingConfig
    unreadable: tuple[Unreadable, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether a setting that is neither read nor reported is not set, so that its default runs."""
        return all(entry.key is not None for entry in self.unreadable)

    @property
    def unknown(self) -> frozenset[str]:
        """Settings that are set to something that cannot be read: no default holds for them."""
        return frozenset(entry.key for entry in self.unreadable if entry.key is not None)


def read_engine(container: Container, version: str | None = None) -> Reading | Unreadable | None:
    """What a container's engine is told to do.

    Args:
        container: The container.
        version: The engine's version where something better than the image's tag says it.

    Returns:
        The reading; why there is none; None for a container that runs no engine.
    """
    launch = launch_of(container)
    if not isinstance(launch, Launch):
        return launch
    return read_launch(container, launch, version or tagged_version(container, launch.engine))


def tagged_version(container: Container, engine: Engine) -> str | None:
    """The engine's version that the image's tag states, None where it cannot be trusted."""
    tagged = version_of_image(container.image)
    return tagged[1] if tagged is not None and tagged[0] is engine else None


def read_launch(container: Container, launch: Launch, version: str | None) -> Reading:
    """What an engine's start says, by the parser of that version."""
    known = grammar(launch.engine, version)
    scanned = scan(launch.words, known)
    settings = Settings(launch.engine, known, container.name)
    dropped = _config_file(launch, scanned, settings)
    settings.add(launch.words, scanned, Origin.ARGUMENT)
    _from_environment(launch, settings)
    model = _model(container, launch, scanned, settings)
    if container.completed_by:
        why = f"{container.completed_by} adds arguments of its own to these"
        place = f"containers[{container.name}].args"
        settings.problems["controller"] = Unreadable(UnreadableCode.CONTROLLER, place, why)
    keyed = {key: setting for key, setting in settings.keyed().items() if key not in {"model", "config"}}
    config = ServingConfig(launch.engine, version, model, MappingProxyType(keyed))
    return Reading(container, launch, scanned, known, config, settings.unreadable(), dropped)


def _model(container: Container, launch: Launch, scanned: Scan, settings: Settings) -> str | None:
    """The model: `--model`, else the first word that no flag takes, else what the object around it names."""
    dest = {Engine.VLLM: "model", Engine.SGLANG: "model_path", Engine.TGI: "model_id"}[launch.engine]
    named = settings.by_dest.get(dest)
    places = [index for index in scanned.positionals if launch.entry in _POSITIONAL_MODEL]
    if places and not (named is not None and named.origin is Origin.ARGUMENT):
        return _positional(container, launch.words[places[0]], settings)
    _stray(container, launch, scanned, settings)
    if named is not None:
        return str(named.value)
    if scanned.doubtful and dest not in settings.problems and container.model_hint is None:
        word = launch.words[scanned.doubtful[0]]
        why = f'"{word.text}" is the model, or the value of the flag before it, which no known release has'
        place = f"containers[{container.name}] {word.text}"
        settings.problems[dest] = Unreadable(UnreadableCode.VALUE, place, why, "model")
    return container.model_hint


def _positional(container: Container, word: Word, settings: Settings) -> str | None:
    if not word.unknown:
        return word.text
    place = f"containers[{container.name}] {word.text}"
    code, why = unresolved("the model", word.unknown)
    settings.problems["model"] = Unreadable(code, place, why, "model")
    return None


def _stray(container: Container, launch: Launch, scanned: Scan, settings: Settings) -> None:
    """Words that no flag takes where the parser has no place for them: it refuses to start."""
    for index in scanned.positionals:
        text = launch.words[index].text
        place = f"containers[{container.name}] {text[:60]}"
        why = f'"{text[:60]}" belongs to no flag; the parser refuses it'
        settings.problems.setdefault(f"word {index}", Unreadable(UnreadableCode.VALUE, place, why, f"word {index}"))


def _from_environment(launch: Launch, settings: Settings) -> None:
    """Settings of flags that also have a variable, where the flag is not given (TGI; vLLM's attention backend)."""
    for flag in _with_variable(settings.grammar):
        pieces = launch.variables.get(flag.environment)
        if pieces is None or flag.dest in settings.by_dest or flag.dest in settings.problems:
            continue
        text = "".join(piece.text for piece in pieces)
        place = f"containers[{settings.container}] env {flag.environment}"
        if any(piece.unknown for piece in pieces):
            why = f"{flag.environment}: its value is not known"
            settings.problems[flag.dest] = Unreadable(UnreadableCode.VARIABLE, place, why, flag.dest)
            continue
        try:
            value = read_values(flag, (text,), negated=False, takes_value=True)
        except ValueError:
            why = f'{flag.environment} "{text[:60]}" is no value of it'
            settings.problems[flag.dest] = Unreadable(UnreadableCode.VALUE, place, why, flag.dest)
            continue
        if value is not None:
            settings.by_dest[flag.dest] = Setting(value, Origin.ENVIRONMENT, flag.environment)


def _with_variable(known: Grammar) -> tuple[FlagSpec, ...]:
    """Flags with a variable in every release that may run."""
    first, *others = known.releases
    dests = [{flag.dest for flag in entry.flags if flag.environment} for entry in others]
    return tuple(flag for flag in first.flags if flag.environment and all(flag.dest in found for found in dests))


def _config_file(launch: Launch, scanned: Scan, settings: Settings) -> tuple[str, ...]:
    """Takes the flags of a `--config` file in; returns the keys that the engine drops from it."""
    for argument in scanned.arguments:
        if _is_config(argument) and argument.joined is None and len(argument.words) > 1:
            path = launch.words[argument.words[1]]
            content = None if path.unknown else launch.files.get(path.text)
            loaded = _loaded(content)
            if loaded is not None:
                return _take_file(launch, loaded, settings)
            why = f"--config {path.text}: its content is not known, and it sets more flags"
            place = f"containers[{settings.container}] --config"
            settings.problems["config file"] = Unreadable(UnreadableCode.CONFIG_FILE, place, why)
    return ()


def _is_config(argument: Argument) -> bool:
    return isinstance(argument.meaning, Meaning) and argument.meaning.flag.dest == "config"


def _loaded(content: str | None) -> dict[str, Any] | None:
    try:
        loaded = yaml.safe_load(content) if content is not None else None
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return {str(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else None


def _take_file(launch: Launch, loaded: dict[str, Any], settings: Settings) -> tuple[str, ...]:
    dropped = tuple(key for key, value in loaded.items() if value is False)
    words = tuple(known_word(text) for text in _file_words(loaded))
    settings.add(words, scan(words, settings.grammar), Origin.CONFIG_FILE)
    if launch.entry is Entry.SERVE:
        return dropped
    for key in dropped:  # other parsers may look for `--no-KEY`, in releases that are not known for it
        name = key.replace("-", "_")
        place = f"containers[{settings.container}] --config"
        why = f"{key}: false in the configuration file is dropped by some releases and read by others"
        settings.problems[name] = Unreadable(UnreadableCode.CONFIG_FILE, place, why, name)
    return ()


def _file_words(loaded: dict[str, Any]) -> Sequence[str]:
    """The flags that a configuration file stands for (vllm/utils/argparse_utils.py load_config_file, 0.32.0)."""
    words: list[str] = []
    for key, value in loaded.items():
        match value:
            case bool():
                words += [f"--{key}"] if value else []
            case list():
                words += [f"--{key}", *map(str, value)] if value else []
            case dict():
                words += [f"--{key}", _json_text(value)]
            case _:
                words += [f"--{key}", str(value)]
    return words


def _json_text(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str)
