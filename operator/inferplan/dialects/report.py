"""Documents of manifests → what every engine container in them really runs, and what cannot be read. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from inferplan.api.values import Engine
from inferplan.dialects.container import Container, read_container
from inferplan.dialects.drift import Finding
from inferplan.dialects.effective import effective
from inferplan.dialects.every_default import every_default
from inferplan.dialects.images import why_unknown
from inferplan.dialects.keys import key_of
from inferplan.dialects.manifests import Site, completed_by, not_a_manifest, objects, sites, why_no_container
from inferplan.dialects.masking import Masker
from inferplan.dialects.placement import accelerator_of
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.remarks import remarks
from inferplan.dialects.untyped import mapping, text
from inferplan.dialects.words import Unreadable, UnreadableCode
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Origin, ServingConfig

_IMAGES_NAMED_MAX = 6


@dataclass(frozen=True)
class Source:
    """A document.

    Attributes:
        place: For messages: "file.yaml", or "file.yaml: document 2" where there are several.
        content: What YAML or JSON makes of it.
    """

    place: str
    content: object


@dataclass(frozen=True)
class Question:
    """What is asked of the documents.

    Attributes:
        version: The engine's version, where somebody knows better than the image's tag.
        gpu: The GPU's product, where somebody knows better than the node selector.
        container: Only this container: "NAME" or "KIND/NAME/CONTAINER"; None for all.
        engine: Only containers of this engine; None for all.
        unnamed: The engine of containers whose image does not say it and whose arguments are all there is.
        every_default: Whether the defaults of flags without an engine-neutral key are wanted too.
    """

    version: str | None = None
    gpu: str | None = None
    container: str | None = None
    engine: Engine | None = None
    unnamed: Engine | None = None
    every_default: bool = False


class VersionSource(StrEnum):
    """Where an engine's version is known from."""

    IMAGE_TAG = "imageTag"
    OPTION = "option"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class EngineContainer:
    """A container that runs an engine.

    Attributes:
        source: The document that it stands in.
        site: Where in it.
        reading: What is set.
        accelerator: Its GPUs, as far as the pod says.
        running: What is set and the version's defaults, each with its origin.
        version_source: Where the version is known from.
        version_reason: Why the version is not known; empty where it is.
        remarks: What the version makes of the arguments.
    """

    source: Source
    site: Site
    reading: Reading
    accelerator: Accelerator
    running: ServingConfig
    version_source: VersionSource
    version_reason: str
    remarks: tuple[Finding, ...]

    @property
    def place(self) -> str:
        """For messages: file, document, kind and name."""
        return f"{self.source.place}: {label(self.site)}"


@dataclass(frozen=True)
class Report:
    """What the documents' containers run.

    Attributes:
        containers: Those that run an engine, in order.
        unreadable: What could not be read, each with its file, kind and name; with no container, why there is none.
        asked_for: Every container of the documents, "KIND/NAME/CONTAINER"; only one of these can be asked for.
    """

    containers: tuple[EngineContainer, ...]
    unreadable: tuple[Unreadable, ...]
    asked_for: tuple[str, ...] = ()


def label(site: Site) -> str:
    """An object for messages: "Deployment/llama"."""
    return f"{site.kind}/{site.name}" if site.name else site.kind


def container_of(site: Site, config_maps: Mapping[str, Mapping[str, str]]) -> Container:
    """The container at a site, with what the object around it says."""
    container = read_container(site.container, site.pod_spec, config_maps)
    return replace(
        container,
        name=site.container_name,
        engine_hint=site.engine_hint,
        model_hint=site.model_hint,
        completed_by="" if container.command else completed_by(site.kind),
    )


class ConfigMaps:
    """The ConfigMaps among the documents.

    Args:
        contents: The documents.
    """

    def __init__(self, contents: Iterable[object]) -> None:
        self._found: list[tuple[str, str, Mapping[str, str]]] = []
        for content in contents:
            for _, item in objects(content):
                if item.get("kind") == "ConfigMap":
                    metadata = mapping(item.get("metadata"))
                    data = {name: value for name, value in mapping(item.get("data")).items() if _is_text(name, value)}
                    self._found.append((text(metadata.get("namespace")), text(metadata.get("name")), data))

    def of(self, namespace: str) -> Mapping[str, Mapping[str, str]]:
        """Data by name, of those in a namespace; a document without one goes wherever the other goes."""
        fitting = [entry for entry in self._found if not entry[0] or not namespace or entry[0] == namespace]
        return {name: data for _, name, data in sorted(fitting, key=lambda entry: entry[0] == namespace)}


def _is_text(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, str)


def report(sources: Sequence[Source], question: Question) -> Report:
    """Reads every container of the documents that the question asks for."""
    maps = ConfigMaps(source.content for source in sources)
    containers: list[EngineContainer] = []
    unreadable: list[Unreadable] = []
    names: list[str] = []
    for source in sources:
        refused = not_a_manifest(source.content)
        unreadable += [] if refused is None else [replace(refused, where=source.place)]
        for site in _running_sites(source):
            names.append(f"{site.kind}/{site.name}/{site.container_name}")
            found = _read(source, site, maps, question) if _is_asked(site, question) else None
            if isinstance(found, EngineContainer):
                containers.append(found)
                unreadable += _within(found)
            elif found is not None:
                unreadable.append(found)
    if not containers:
        unreadable += [entry for source in sources for entry in _nothing(source, unreadable, question)]
    return Report(tuple(containers), tuple(unreadable), tuple(names))


def _running_sites(source: Source) -> Iterator[Site]:
    """Containers that keep running; what an init container does ends before any engine starts."""
    return (site for site in sites(source.content) if not site.init or site.sidecar)


def _is_asked(site: Site, question: Question) -> bool:
    wanted = question.container
    return wanted is None or wanted in {site.container_name, f"{label(site)}/{site.container_name}"}


def _read(source: Source, site: Site, maps: ConfigMaps, question: Question) -> EngineContainer | Unreadable | None:
    container = container_of(site, maps.of(site.namespace))
    reading = read_engine(container, question.version)
    if not isinstance(reading, Reading) and _may_be(container, site, question):
        container = replace(container, engine_hint=question.unnamed)
        reading = read_engine(container, question.version)
    if isinstance(reading, Unreadable):
        return replace(reading, where=f"{source.place}: {label(site)}: {reading.where}")
    if reading is None or question.engine not in {None, reading.launch.engine}:
        return None
    gpus = accelerator_of(site.pod_spec, container.limits, question.gpu)
    known = _version_source(reading, question)
    running = _running(reading, gpus, question)
    return EngineContainer(
        source=source,
        site=site,
        reading=reading,
        accelerator=gpus,
        running=running,
        version_source=known,
        version_reason=_why(container, reading) if known is VersionSource.UNKNOWN else "",
        remarks=tuple(map(Masker(reading).remark, remarks(reading, running, gpus, environment_of(reading)))),
    )


def _may_be(container: Container, site: Site, question: Question) -> bool:
    """Whether a container with nothing but arguments may be the engine that somebody names: no sidecar beside it."""
    only_arguments = bool(container.args) and not container.command
    alone = container.asks_for_gpus or len(site.pod_spec.get("containers") or ()) <= 1
    return question.unnamed is not None and only_arguments and (alone or question.container is not None)


def _version_source(reading: Reading, question: Question) -> VersionSource:
    if question.version is not None:
        return VersionSource.OPTION
    return VersionSource.UNKNOWN if reading.config.version is None else VersionSource.IMAGE_TAG


def _why(container: Container, reading: Reading) -> str:
    return why_unknown(container.image) or f"the image's tag is not {reading.launch.engine}'s"


def _running(reading: Reading, gpus: Accelerator, question: Question) -> ServingConfig:
    """Explicit settings and defaults; no defaults where arguments that cannot be seen may set anything."""
    if not reading.complete:
        return reading.config
    config = effective(reading.config, gpus, reading.unknown, environment=environment_of(reading))
    if question.every_default:
        return config.with_defaults(every_default(reading))
    kept = {
        key: setting
        for key, setting in config.settings.items()
        if setting.origin is not Origin.VERSION_DEFAULT or key_of(key) is not None
    }
    return replace(config, settings=kept)


def environment_of(reading: Reading) -> Mapping[str, str | None]:
    """Variables of the engine's process that are set; None where a value is not known."""
    return {
        name: None if any(piece.unknown for piece in pieces) else "".join(piece.text for piece in pieces)
        for name, pieces in reading.launch.variables.items()
    }


def _within(found: EngineContainer) -> list[Unreadable]:
    """What is unreadable in a container that was read."""
    shown = map(Masker(found.reading).unreadable, found.reading.unreadable)
    return [replace(entry, where=f"{found.place}: {entry.where}") for entry in shown]


def _nothing(source: Source, known: Sequence[Unreadable], question: Question) -> Iterator[Unreadable]:
    """Why a document gave no container, where nothing has said so yet."""
    if any(entry.where == source.place or entry.where.startswith(f"{source.place}: ") for entry in known):
        return
    found = list(_running_sites(source))
    if not found:
        item = next((item for _, item in objects(source.content)), {})
        name = text(mapping(item.get("metadata")).get("name"))
        what = "/".join(filter(None, (text(item.get("kind")), name))) or "the document"
        why = why_no_container(text(item.get("kind")))
        told = f"{what} holds no containers{': ' if why else ''}{why}"
        yield Unreadable(UnreadableCode.NO_CONTAINERS, source.place, told)
    elif any(_is_asked(site, question) for site in found):
        yield Unreadable(UnreadableCode.NO_ENGINE, source.place, _no_engine(found, question))


def _no_engine(found: Sequence[Site], question: Question) -> str:
    images = dict.fromkeys(text(site.container.get("image")) or "no image" for site in found)
    named = ", ".join(list(images)[:_IMAGES_NAMED_MAX]) + (", …" if len(images) > _IMAGES_NAMED_MAX else "")
    objects_named = ", ".join(dict.fromkeys(map(label, found)))
    engine = question.engine or "an engine that is known (vllm, sglang, tgi)"
    told = "" if question.unnamed or question.engine else "; --engine says what an image of another name runs"
    return f"{objects_named}: no container runs {engine}; images: {named}{told}"
