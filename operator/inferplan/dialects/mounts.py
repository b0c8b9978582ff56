"""Files that a pod sees because a ConfigMap is mounted: what `--config /etc/engine/config.yaml` may name. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from inferplan.dialects.untyped import mapping, mappings, text

ConfigMaps = Mapping[str, Mapping[str, str]]


def mounted_files(
    pod_spec: Mapping[str, Any], container: Mapping[str, Any], config_maps: ConfigMaps
) -> Mapping[str, str | None]:
    """Content of the files that come out of ConfigMaps, by absolute path; Secrets are never read.

    None stands for a file whose ConfigMap is not given, or has no such key. Where not even the files' names are known,
    the directory that they are mounted at stands for them.
    """
    volumes = {text(volume.get("name")): volume for volume in mappings(pod_spec.get("volumes"))}
    files: dict[str, str | None] = {}
    for mount in mappings(container.get("volumeMounts")):
        volume, place = volumes.get(text(mount.get("name"))), text(mount.get("mountPath"))
        if volume is not None and place:
            files.update(_mounted(PurePosixPath("/", place), mount, dict(_contents(volume, config_maps))))
    return files


def _mounted(
    place: PurePosixPath, mount: Mapping[str, Any], contents: Mapping[str, str | None]
) -> Iterator[tuple[str, str | None]]:
    """The files of a volume as one mount shows them: all, one (subPath), or those below a folder (subPath)."""
    if contents and mount.get("subPathExpr"):
        yield str(place), None
        return
    part = PurePosixPath(text(mount.get("subPath")))
    for name, content in contents.items():
        path = PurePosixPath(name)
        if path.is_relative_to(part):
            yield str(place / path.relative_to(part)), content
        elif not name:
            yield str(place), content


def _contents(volume: Mapping[str, Any], config_maps: ConfigMaps) -> Iterator[tuple[str, str | None]]:
    """A volume's files by path inside it; "" for files whose names are not known."""
    sources = [volume, *mappings(mapping(volume.get("projected")).get("sources"))]
    for source in sources:
        config_map = source.get("configMap")
        if isinstance(config_map, Mapping):
            yield from _files(config_map, config_maps)


def _files(config_map: Mapping[str, Any], config_maps: ConfigMaps) -> Iterator[tuple[str, str | None]]:
    data = config_maps.get(text(config_map.get("name")))
    items = tuple(mappings(config_map.get("items")))
    if items:
        yield from ((text(item.get("path")), (data or {}).get(text(item.get("key")))) for item in items)
    elif data is None:
        yield "", None
    else:
        yield from data.items()
