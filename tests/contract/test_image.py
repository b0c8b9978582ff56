"""The Dockerfile and the Deployment, parsed: no root, no unpinned image, nothing copied that is not there."""

import json
import re
import shlex
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml

import inferplan
from inferplan.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, list[str]]]:
    """Instruction and words of every line of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, rest.split() if name == "RUN" else shlex.split(rest)) for name, rest in pairs]


def words(name: str) -> list[list[str]]:
    return [rest for found, rest in instructions() if found == name]


def last_stage() -> list[tuple[str, list[str]]]:
    found = instructions()
    start = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def test_every_stage_starts_from_the_one_base_that_an_argument_names() -> None:
    assert words("ARG") == [["BASE=python:3.13-slim"]]
    assert [rest[0] for rest in words("FROM")] == ["${BASE}"] * 3


def test_no_image_is_named_latest_or_left_without_a_tag() -> None:
    image = words("ARG")[0][0].removeprefix("BASE=")
    assert re.fullmatch(r"[a-z0-9./-]+:[0-9][A-Za-z0-9.-]*", image)


def test_the_image_ends_with_a_user_that_is_a_number_and_not_root() -> None:
    users = [rest for name, rest in last_stage() if name == "USER"]
    assert users == [["65532:65532"]]


def test_it_starts_the_operator_by_module_and_not_by_file() -> None:
    found = dict(last_stage())
    assert "".join(found["ENTRYPOINT"]) == "[python,-m,inferplan]"
    assert "".join(found["CMD"]) == "[operator]"


def test_everything_that_is_copied_exists_and_reaches_the_build() -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for rest in words("COPY"):
        if rest[0].startswith("--from="):
            continue
        for source in rest[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignore, f".dockerignore keeps {source} out of the build"


def test_the_wheel_needs_nothing_that_is_not_copied() -> None:
    copied = {source for rest in words("COPY") for source in rest[:-1]}
    assert {"pyproject.toml", "README.md", "LICENSE", "operator"} <= copied


def test_every_package_is_checked_by_its_hash() -> None:
    installs = [" ".join(rest) for rest in words("RUN") if "pip install" in " ".join(rest)]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-deps /dist/*.whl" in line for line in installs)


def test_the_build_backend_comes_from_the_lock_with_all_that_it_needs() -> None:
    lock = (ROOT / "requirements" / "dev.lock").read_text("utf-8")
    pattern = re.search(r"\^\(([a-z|-]+)\)==", (ROOT / "Dockerfile").read_text("utf-8"))
    assert pattern is not None
    taken = set(pattern[1].split("|"))
    assert {name for name in taken if f"\n{name}==" not in f"\n{lock}"} == set()
    needs = [need for need in requires("hatchling") or () if "python_version < '3.11'" not in need]
    assert {"hatchling", *(re.split(r"[^a-z-]", need)[0] for need in needs)} == taken


@pytest.fixture
def deployment() -> Any:
    return yaml.safe_load((ROOT / "deploy" / "deployment.yaml").read_text("utf-8"))


def test_the_deployment_runs_the_image_of_this_version(deployment: Any) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"inferplan/operator:{inferplan.__version__}"
    assert container["args"] == ["operator"]


def test_of_two_operators_at_once_as_in_each_update_one_stands_by(deployment: Any) -> None:
    """Nothing that is deployed switches the election off."""
    assert deployment["spec"]["replicas"] == 1
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = json.dumps(container.get("env", [])) + (ROOT / "deploy" / "config.env").read_text("utf-8")
    assert "INFERPLAN_LEADER_ELECTION" not in told
    assert Settings().leader_election


def test_the_container_runs_as_the_images_user_on_a_file_system_that_is_read_only(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsUser"] == 65532
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_pod_asks_for_little_and_is_held_to_it(deployment: Any) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "384Mi"}}


def test_the_probes_ask_the_paths_that_the_operator_serves(deployment: Any) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8002}]


def test_every_setting_in_the_config_is_one_that_the_operator_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from inferplan.settings import Settings, load_settings  # noqa: PLC0415  only this test needs the settings

    lines = (ROOT / "deploy" / "config.env").read_text("utf-8").splitlines()
    entries = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name, value in entries.items():
        assert name.removeprefix("INFERPLAN_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    assert set(load_settings().prometheus_sources) == {"default"}
