"""Flux's kustomize-controller on the lab's API server: it applies a branch of Gitea's, and takes drift back."""

from collections.abc import Iterator

import pytest
import yaml
from tests.support.lab import Cluster, random_namespace
from tests.support.serving_objects import workload

from inferplan_lab.flux import Flux
from inferplan_lab.gitea import Gitea
from inferplan_lab.gitea_api import Repository
from inferplan_lab.processes import wait_until

PATIENCE_SECONDS = 30
PATH = "apps/llama/deployment.yaml"
ARGS = "{.spec.template.spec.containers[0].args}"


@pytest.fixture(scope="module")
def place(control_plane: Cluster) -> Iterator[str]:
    with random_namespace(control_plane) as name:
        yield name


@pytest.fixture(scope="module")
def flux(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    folder = tmp_path_factory.mktemp("flux")
    with Flux(folder, control_plane.kubeconfig, control_plane.kubectl, lambda _line: None) as running:
        yield running


@pytest.fixture(scope="module")
def repository(gitea: Gitea, flux: Flux, place: str) -> Repository:
    """What Flux keeps, each second, in the folder `apps`."""
    made = gitea.people.add_repository("flux", {PATH: manifest("--max-num-seqs=16")})
    flux.keep(place, gitea.branch(made.path), "./apps", interval_seconds=1)
    flux.until_applied(place, made.head())
    return made


def manifest(*args: str) -> str:
    return yaml.safe_dump(workload("llama", *args))


def test_what_the_branch_holds_is_applied_and_owned_by_flux(
    control_plane: Cluster, place: str, repository: Repository
) -> None:
    del repository
    found = control_plane.get("deployment", "llama", place)
    assert found["spec"]["template"]["spec"]["containers"][0]["args"] == ["--max-num-seqs=16"]
    assert found["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "lab"
    listed = control_plane.kubectl(
        "get", "deployment", "llama", f"--namespace={place}", "--show-managed-fields", "--output=json"
    )
    assert '"manager": "kustomize-controller"' in listed


def test_a_new_commit_is_applied(control_plane: Cluster, place: str, repository: Repository, flux: Flux) -> None:
    flux.until_applied(place, repository.commit({PATH: manifest("--max-num-seqs=32")}, "More at once"))
    assert args_of(control_plane, place) == '["--max-num-seqs=32"]'


def test_a_live_patch_is_taken_back_within_the_interval(
    control_plane: Cluster, place: str, repository: Repository, flux: Flux
) -> None:
    flux.until_applied(place, repository.commit({PATH: manifest("--max-num-seqs=48")}, "Still more"))
    before = generation(control_plane, place)
    patch = '[{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["--max-num-seqs=64"]}]'
    where = (f"--namespace={place}", "--type=json", f"--patch={patch}")
    control_plane.kubectl("patch", "deployment", "llama", *where)
    wait_until(lambda: generation(control_plane, place) == before + 2, PATIENCE_SECONDS, "Flux to undo it")
    assert args_of(control_plane, place) == '["--max-num-seqs=48"]'


def test_what_cannot_be_applied_is_told(place: str, repository: Repository, flux: Flux) -> None:
    before = repository.read(PATH)
    broken = repository.commit({PATH: "kind: Nothing\n"}, "Broken")
    wait_until(lambda: "Failed" in flux.says(place), PATIENCE_SECONDS, "an error")
    with pytest.raises(TimeoutError, match=r"it says: .*Failed"):
        flux.until_applied(place, broken, seconds=0)
    flux.until_applied(place, repository.commit({PATH: before}, "Mended"))


def args_of(cluster: Cluster, namespace: str) -> str:
    return cluster.kubectl("get", "deployment", "llama", f"--namespace={namespace}", f"--output=jsonpath={ARGS}")


def generation(cluster: Cluster, namespace: str) -> int:
    number: int = cluster.get("deployment", "llama", namespace)["metadata"]["generation"]
    return number
