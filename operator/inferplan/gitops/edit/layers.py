"""Kustomizations and the workloads that they put together, from the base outwards; pure.

Order of one layer, as kustomize API 0.21 has it (internal/target/kusttarget.go, accumulateTarget, and
kusttarget_configplugin.go): resources, components, patchesStrategicMerge, patches, namespace, namePrefix, nameSuffix,
patchesJson6902.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferplan.dialects.untyped import text
from inferplan.gitops.edit.manifest import Found, Target, containers, documents
from inferplan.gitops.edit.tree import Files, Kind, joined
from inferplan.gitops.failures import not_editable, not_found
from inferplan.gitops.port import GitOpsError

KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
DEPTH_MAX = 16
"""Layers on top of each other; two or three are usual."""
LAYERS_MAX = 200


@dataclass(frozen=True)
class Id:
    """How a resource is called at some moment of the build."""

    name: str
    namespace: str


@dataclass(frozen=True)
class Layer:
    """A kustomization.

    Attributes:
        folder: Its folder.
        path: Its file.
        content: What the file holds.
    """

    folder: str
    path: str
    content: Mapping[str, Any]

    def listed(self, *names: str) -> tuple[Any, ...]:
        """Entries of the lists of these names."""
        lists = [self.content.get(name) for name in names]
        return tuple(entry for entries in lists if isinstance(entries, list) for entry in entries)

    def renamed(self, before: Id) -> tuple[Id, Id, Id]:
        """What a resource is called behind the layer's namespace, prefix and suffix: patches know it by any."""
        namespace = text(self.content.get("namespace")) or before.namespace
        names = [before.name, f"{text(self.content.get('namePrefix'))}{before.name}"]
        names.append(f"{names[1]}{text(self.content.get('nameSuffix'))}")
        first, second, third = (Id(name, namespace) for name in names)
        return first, second, third


@dataclass(frozen=True)
class Step:
    """A layer that a workload goes through.

    Attributes:
        layer: The layer.
        ids: What the workload was called so far, and is when the layer's patches come, last.
    """

    layer: Layer
    ids: tuple[Id, ...]


@dataclass(frozen=True)
class Built:
    """A workload's container on its way through the layers.

    Attributes:
        found: Where it stands in the base.
        owner: Folder of the kustomization that lists that file.
        ids: All that the workload was called, last what it is called now.
        steps: Layers that it went through, the innermost first.
    """

    found: Found
    owner: str
    ids: tuple[Id, ...]
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> Id:
        """What the workload is called now."""
        return self.ids[-1]

    def through(self, layer: Layer) -> "Built":
        """It behind one more layer."""
        ids = (*self.ids, *layer.renamed(self.id))
        return replace(self, ids=ids, steps=(*self.steps, Step(layer, self.ids)))


class Builder:
    """Puts together what a kustomization's folder comes to.

    Args:
        files: The repository's files.
        target: The container that is looked for; only objects of its kind are of interest.
    """

    def __init__(self, files: Files, target: Target) -> None:
        self._files = files
        self._target = target
        self._layers = 0
        self.elsewhere: list[str] = []
        """Resources that do not stand in the repository."""

    def build(self, folder: str, inside: tuple[str, ...] = (), around: tuple[Built, ...] = ()) -> tuple[Built, ...]:
        """Containers of the target's name that come out of a folder.

        Args:
            folder: The kustomization's folder.
            inside: Folders of the kustomizations that lead here.
            around: What a component is applied to.

        Raises:
            GitOpsError: A file is missing or cannot be read with certainty, or the layers lead to each other.
        """
        self._layers += 1
        if folder in inside or len(inside) >= DEPTH_MAX or self._layers > LAYERS_MAX:
            raise not_editable(f"{folder}: its kustomizations lead to each other, or are too many")
        layer = self.layer(folder)
        chain = (*inside, folder)
        listed = layer.listed("resources", "bases")
        built = (*around, *(each for path in listed for each in self._one(layer, path, chain)))
        for path in layer.listed("components"):
            if self._is_here(layer, path):
                built = self.build(joined(folder, text(path)), chain, built)
        return tuple(each.through(layer) for each in built)

    def layer(self, folder: str) -> Layer:
        """The kustomization of a folder.

        Raises:
            GitOpsError: There is not one that can be read.
        """
        names = [name for name in self._files.names(folder) if name in KUSTOMIZATIONS]
        if len(names) != 1:
            raise not_found(f"{folder or '.'}: has {len(names)} kustomization files; there must be one")
        path = posixpath.join(folder, names[0])
        contents = documents(path, self._files.text(path))
        if len(contents) != 1 or not isinstance(contents[0], Mapping):
            raise not_editable(f"{path}: is no kustomization (one document with a mapping)")
        return Layer(folder, path, contents[0])

    def _is_here(self, layer: Layer, path: object) -> bool:
        """Whether an entry names something in the repository; kustomize looks here first, too."""
        name = text(path)
        if "://" in name or "?" in name or name.startswith("git@"):
            here = False
        else:
            here = bool(name) and self._files.kind(joined(layer.folder, name)) is not Kind.NOTHING
        if not here:
            self.elsewhere.append(f"{layer.path}: {name[:120]}")
        return here

    def _one(self, layer: Layer, path: object, chain: tuple[str, ...]) -> Iterator[Built]:
        """What one entry of `resources` brings."""
        if not self._is_here(layer, path):
            return
        place = joined(layer.folder, text(path))
        if self._files.kind(place) is Kind.FOLDER:
            yield from self.build(place, chain)
            return
        for found in self._in_file(place):
            yield Built(found, layer.folder, (Id(found.site.name, found.site.namespace),))

    def _in_file(self, path: str) -> tuple[Found, ...]:
        """Containers in a file; what is encrypted or a template is of interest only where nothing else has them."""
        try:
            return tuple(containers(path, self._files.text(path), self._target))
        except GitOpsError as error:
            self.elsewhere.append(error.message)
            return ()


def is_built(built: Built, target: Target) -> bool:
    """Whether a workload is the target; without a namespace it goes to any."""
    return built.id.name == target.name and built.id.namespace in {"", target.namespace}


def overlay(files: Files, folder: str, target: Target) -> Built:
    """The target as a kustomization's folder makes it.

    Raises:
        GitOpsError: It does not come out of it exactly once.
    """
    builder = Builder(files, target)
    found = [built for built in builder.build(folder) if is_built(built, target)]
    if len(found) == 1:
        return found[0]
    if not found:
        missing = f"; not looked into: {'; '.join(builder.elsewhere)[:600]}" if builder.elsewhere else ""
        place = f"{target} for namespace {target.namespace}"
        raise not_found(f"{folder}: its kustomization makes no {place}{missing}")
    raise not_editable(f"{folder}: its kustomization makes {target} {len(found)} times")
