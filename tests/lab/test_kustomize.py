"""Overlays that are edited, held against Kustomize itself (`kubectl kustomize`): only the wanted words change."""

import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.repository import MemoryTree, deployment, proposal

from inferplan.api.reasons import Reason
from inferplan.gitops.edit.change import change_of
from inferplan.gitops.port import GitOpsError, Proposal
from inferplan_lab import binaries

OVERLAY = "overlays/prod"
CASES = 40
SEEDS = range(2)


def quiet(_line: str) -> None:
    return


@pytest.fixture(scope="module")
def kubectl() -> Path:
    return binaries.ensure(("kubectl",), quiet)["kubectl"]


class Layers:
    """A base, a component and an overlay as somebody may have written them, with patches of every kind."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.files: dict[str, str] = {}
        self._namespace = chance.choice(["", "models"])
        prefix = chance.choice(["", "", "eu-"])
        self._names = [*dict.fromkeys(("llama", f"{prefix}llama"))]
        manifest = yaml.safe_load(deployment(namespace=self._namespace))
        side = {"name": "side", "image": "s", "args": ["x"]}
        manifest["spec"]["template"]["spec"]["containers"].insert(chance.randrange(2), side)
        self.files["base/llama.yaml"] = yaml.safe_dump(manifest)
        self._write("base", {"resources": ["llama.yaml"], "namePrefix": prefix})
        self._write("component", {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"})
        around = {"namespace": chance.choice(["", "serving"]), "nameSuffix": chance.choice(["", "-v1"])}
        components = chance.choice([[], ["../../component"]])
        self._write(OVERLAY, {"resources": ["../../base"], "components": components, **around})
        self.name = f"{prefix}llama{around['nameSuffix']}"
        self.namespace = around["namespace"] or self._namespace or "default"

    def _write(self, folder: str, content: dict[str, Any]) -> None:
        entries: dict[str, list[Any]] = {"patches": [], "patchesStrategicMerge": []}
        for number in range(self._chance.choice([0, 1, 1, 2, 3])):
            self._add_patch(folder, f"patch-{number}.yaml", entries)
        whole = {key: value for key, value in {**content, **entries}.items() if value}
        self.files[f"{folder}/kustomization.yaml"] = yaml.safe_dump(whole, sort_keys=False)

    def _add_patch(self, folder: str, file: str, entries: dict[str, list[Any]]) -> None:
        merge = self._merge(self._chance.choice(self._names))
        operations = self._chance.choice(
            [
                [{"op": "replace", "path": "/args/1", "value": "--max-num-seqs=12"}],
                [{"op": "add", "path": "/args/-", "value": "--z=1"}],
                [{"op": "replace", "path": "/args", "value": ["--model=j", "--max-num-seqs=4"]}],
            ]
        )
        for each in operations:
            each["path"] = f"/spec/template/spec/containers/0{each['path']}"
        target = self._chance.choice([{"kind": "Deployment"}, {"name": ".*llama"}, {"kind": "StatefulSet"}])
        match self._chance.randrange(5):
            case 0:
                self.files[f"{folder}/{file}"] = yaml.safe_dump(merge)
                entries["patches"].append({"path": file})
            case 1:
                entries["patches"].append({"patch": yaml.safe_dump(merge)})
            case 2:
                entries["patches"].append({"patch": yaml.safe_dump(merge), "target": target})
            case 3:
                entries["patches"].append({"patch": yaml.safe_dump(operations), "target": {"kind": "Deployment"}})
            case _:
                self.files[f"{folder}/{file}"] = yaml.safe_dump(merge)
                entries["patchesStrategicMerge"].append(file)

    def _merge(self, name: str) -> dict[str, Any]:
        container = self._chance.choice(
            [
                {"name": "vllm", "args": ["--model=m", f"--max-num-seqs={self._chance.choice([8, 16, 48])}"]},
                {"name": "vllm", "env": [{"name": "A", "value": "b"}]},
                {"name": "side", "args": ["y"]},
            ]
        )
        meta = {"name": name, **({"namespace": self._namespace} if self._namespace else {})}
        spec = {"template": {"spec": {"containers": [container]}}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def built(kubectl: Path, folder: Path, files: Mapping[str, str]) -> dict[str, Any] | None:
    """The workload as Kustomize makes it, containers by name; None where it cannot."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    made = subprocess.run((kubectl, "kustomize", folder / OVERLAY), capture_output=True, check=False)
    if made.returncode != 0:
        return None
    document: dict[str, Any] = yaml.safe_load(made.stdout)
    pod = document["spec"]["template"]["spec"]
    pod["containers"] = {each["name"]: each for each in pod["containers"]}  # their order has no meaning
    return document


def change_or_refusal(files: Mapping[str, str], asked: Proposal) -> Mapping[str, str] | None:
    """What changes; None where that is refused as not certain, and for no other reason."""
    try:
        return {path: content.decode() for path, content in change_of(MemoryTree(files), OVERLAY, asked).items()}
    except GitOpsError as error:
        if error.reason is not Reason.MANIFEST_NOT_EDITABLE:
            raise AssertionError(f"{error.message}: {files}") from None
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_kustomize_makes_of_an_edited_overlay_what_was_asked_for(kubectl: Path, tmp_path: Path, seed: int) -> None:
    chance, edited = random.Random(seed), 0
    for number in range(CASES):
        layers = Layers(chance)
        want = built(kubectl, tmp_path / f"{number}-before", layers.files)
        if want is None:
            continue
        container = want["spec"]["template"]["spec"]["containers"]["vllm"]
        old = tuple(container["args"])
        new = (*(word for word in old if not word.startswith("--max-num-seqs")), "--max-num-seqs=64")
        asked = proposal(old, new, name=layers.name, namespace=layers.namespace)
        after = change_or_refusal(layers.files, asked)
        if after is None:
            continue
        assert all(path.startswith(f"{OVERLAY}/") for path in after)
        container["args"] = list(new)
        assert built(kubectl, tmp_path / f"{number}-after", {**layers.files, **after}) == want, (layers.files, after)
        edited += 1
    assert edited > CASES // 2
