"""The node stand-in's pure rules: expansion, paths, images, quantities, fitting, back-off, probes."""

import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inferplan_lab.node.addresses import AddressPool, subnet_order
from inferplan_lab.node.backoff import Backoff
from inferplan_lab.node.expansion import expand
from inferplan_lab.node.fitting import Fit, Unschedulable, choose_node, is_ours_to_bind
from inferplan_lab.node.hardware import AMD, Gpu, node_manifest
from inferplan_lab.node.images import (
    DEFAULT_FILE,
    ImageFileError,
    ImageRule,
    find_rule,
    image_facts,
    load_rules,
)
from inferplan_lab.node.paths import rewrite
from inferplan_lab.node.probes import ExecCheck, HttpCheck, Probe, ProbeState, TcpCheck, Verdict, parse_probe
from inferplan_lab.node.quantities import parse_quantity, pod_requests


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(A)", "1-1"),
        ("$(B)", "$(B)"),  # undefined: stays
        ("$$(A)", "$(A)"),  # escaped
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(C)", "$(A)"),  # what comes in is not expanded again
    ],
)
def test_references_expand_as_kubernetes_says(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "C": "$(A)"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/etc/vllm/config.yaml", "/scratch/conf/config.yaml"),
        ("--config=/etc/vllm", "--config=/scratch/conf"),
        ("cat /etc/vllm/a>/data/b", "cat /scratch/conf/a>/scratch/data/b"),
        ("/etc/vllm2/config.yaml", "/etc/vllm2/config.yaml"),
        ("/opt/etc/vllm", "/opt/etc/vllm"),
        ("http://host/data", "http://host/data"),
        ("/data/deep/x", "/scratch/deep/x"),  # the longest mount path wins
    ],
)
def test_a_mount_path_is_rewritten_only_where_a_path_begins(text: str, expected: str) -> None:
    folders = {"/etc/vllm": "conf", "/data": "data", "/data/deep": "deep"}
    mounts = {path: Path("/scratch") / name for path, name in folders.items()}
    assert rewrite(text, mounts) == expected


@pytest.mark.parametrize(
    ("image", "tag", "version"),
    [
        ("vllm/vllm-openai:v0.24.0", "v0.24.0", "0.24.0"),
        ("host:5000/vllm/vllm-openai:v0.33.0-x86_64@sha256:00", "v0.33.0-x86_64", "0.33.0"),
        ("host:5000/vllm-openai", "latest", ""),
    ],
)
def test_the_tag_gives_the_version(image: str, tag: str, version: str) -> None:
    assert image_facts(image) == {"IMAGE_TAG": tag, "IMAGE_VERSION": version}


@pytest.mark.parametrize(
    ("image", "first"),
    [
        ("vllm/vllm-openai:v0.10.2", "python3"),
        ("vllm/vllm-openai:v0.9.1", "python3"),
        ("vllm/vllm-openai:v0.24.0", "vllm"),
        ("registry.local/mirror/vllm/vllm-openai:latest", "vllm"),
    ],
)
def test_the_packaged_file_gives_vllm_images_their_entrypoint(image: str, first: str) -> None:
    rule = find_rule(load_rules(DEFAULT_FILE), image)
    assert rule is not None
    assert rule.entrypoint[0] == first


def test_both_ways_of_starting_vllm_lead_to_the_simulator() -> None:
    rule = find_rule(load_rules(DEFAULT_FILE), "vllm/vllm-openai:v0.24.0")
    assert rule is not None
    known = rule.expanded({"PYTHON": "/py", "IMAGE_VERSION": ""})
    served = known.substitute(("/usr/local/bin/vllm", "serve", "m"))
    assert served == ("/py", "-m", "inferplan_lab.engine", "serve", "m")
    module = known.substitute(("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"))
    assert module == ("/py", "-m", "inferplan_lab.engine", "--as-api-server", "--model", "m")
    assert known.substitute(("python3", "-c", "pass")) == ("python3", "-c", "pass")
    # The tag has no version: the simulator takes its default instead of an empty one.
    assert "INFERPLAN_SIM_VLLM_VERSION" not in dict(known.env)


def test_a_shell_script_inside_the_image_finds_the_same_commands(tmp_path: Path) -> None:
    words = (("greet", "-m", "big world"), ("/bin/echo", "hello", "it's"))
    rule = ImageRule("x", commands=(words, (("echo2",), ("/bin/echo",))))
    for name, script in rule.wrappers().items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    fallback = tmp_path / "machine"
    fallback.mkdir()
    shutil.copy("/bin/echo", fallback / "greet")
    script = "greet -m 'big world' 'a  b'; greet -m other; echo2 x"
    path = f"{tmp_path}:{fallback}:/bin"
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["hello it's a  b", "-m other", "x"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("image: x", "expected a list of rules"),
        ("- image: x\n  entry: [a]", "rule 1: unknown field entry; allowed are commands, entrypoint, env, image"),
        ("- image: '('", "not a regular expression"),
        ("- entrypoint: [a]", "rule 1: expected a mapping with the field image"),
    ],
)
def test_a_wrong_images_file_is_refused_by_rule(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(content)
    with pytest.raises(ImageFileError, match=re.escape(complaint)):
        load_rules(path)


@pytest.mark.parametrize(
    ("text", "expected"), [("8", 8), ("500m", "0.5"), ("2Gi", 2**31), ("1e3", 1000), ("1k", 1000), (3, 3)]
)
def test_a_quantity_is_read_in_its_base_unit(text: str | int, expected: str | int) -> None:
    assert parse_quantity(text) == Decimal(expected)


def test_what_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="'8 GPUs' is not a quantity"):
        parse_quantity("8 GPUs")


def test_a_pod_requests_the_larger_of_its_init_steps_and_its_run() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [container("1", restartPolicy="Always"), container("6")],
        "containers": [container("2"), {"resources": {"limits": {"nvidia.com/gpu": "4"}}}],
        "overhead": {"cpu": "500m"},
    }
    # init step beside the sidecar: 1 + 6 = 7 > 1 + 2 = 3; plus 0.5 overhead
    assert pod_requests(spec) == {"cpu": Decimal("7.5"), "nvidia.com/gpu": 4, "pods": 1}


def _node(name: str = "one", gpus: str = "8", **spec: Any) -> dict[str, Any]:
    node = node_manifest(name, Gpu())
    return {**node, "spec": spec, "status": {"allocatable": {"nvidia.com/gpu": gpus, "pods": "10"}}}


def _pod(gpus: str = "4", node: str | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"resources": {"limits": {"nvidia.com/gpu": gpus}}}]
    bound = {"nodeName": node} if node else {}
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, **bound, **spec}}


def test_a_pod_goes_to_the_fitting_node_with_the_fewest_pods() -> None:
    nodes = [_node("one"), _node("two"), _node("small", gpus="2")]
    assert choose_node(_pod(), nodes, [_pod("1", "one")]) == Fit("two")


def test_gpus_of_other_pods_are_taken_and_those_of_finished_ones_are_free() -> None:
    full = [_pod("4", "one"), _pod("4", "one")]
    refused = choose_node(_pod(), [_node()], full)
    assert refused == Unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    full[0]["status"] = {"phase": "Failed"}
    assert choose_node(_pod(), [_node()], full) == Fit("one")


def test_a_gpu_of_another_vendor_is_insufficient() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"resources": {"limits": {AMD: "1"}}}]}}
    assert isinstance(choose_node(pod, [_node()], []), Unschedulable)


def _affinity(operator: str, *values: str, key: str = "nvidia.com/gpu.memory") -> dict[str, Any]:
    expression = {"key": key, "operator": operator, "values": list(values)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"nodeSelector": {"nvidia.com/gpu.family": "hopper"}}, True),
        ({"nodeSelector": {"nvidia.com/gpu.family": "ampere"}}, False),
        ({"affinity": _affinity("In", "81559")}, True),
        ({"affinity": _affinity("NotIn", "81559")}, False),
        ({"affinity": _affinity("Gt", "80000")}, True),
        ({"affinity": _affinity("Lt", "80000")}, False),
        ({"affinity": _affinity("Exists", key="none")}, False),
        ({"affinity": _affinity("DoesNotExist", key="none")}, True),
    ],
)
def test_selector_and_required_affinity_choose_by_labels(spec: dict[str, Any], fits: bool) -> None:
    assert isinstance(choose_node(_pod(**spec), [_node()], []), Fit) is fits


def test_a_cordoned_node_and_an_untolerated_taint_keep_pods_away() -> None:
    taint = {"key": "dedicated", "value": "llm", "effect": "NoSchedule"}
    tolerations = [{"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"}]
    assert isinstance(choose_node(_pod(), [_node(unschedulable=True)], []), Unschedulable)
    tainted = choose_node(_pod(), [_node(taints=[taint])], [])
    assert tainted == Unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: llm}.")
    assert choose_node(_pod(tolerations=tolerations), [_node(taints=[taint])], []) == Fit("one")
    wrong = [{**tolerations[0], "value": "web"}]
    assert isinstance(choose_node(_pod(tolerations=wrong), [_node(taints=[taint])], []), Unschedulable)


@pytest.mark.parametrize(
    ("spec", "ours"),
    [
        ({}, True),
        ({"nodeName": "one"}, False),
        ({"schedulerName": "mine"}, False),
        ({"schedulingGates": [{"name": "wait"}]}, False),
    ],
)
def test_only_pods_that_wait_for_the_default_scheduler_are_bound(spec: dict[str, Any], ours: bool) -> None:
    assert is_ours_to_bind(_pod(**spec)) is ours


def test_the_first_restart_is_at_once_and_the_waits_double_up_to_five_minutes() -> None:
    backoff, waits = Backoff(), []
    for _ in range(8):
        delay, backoff = backoff.after_exit(ran_seconds=1)
        waits.append(delay)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_of_running_reset_the_backoff_and_the_scale_shrinks_it() -> None:
    late = Backoff(next_seconds=160)
    assert late.after_exit(ran_seconds=600)[0] == 0
    assert Backoff(scale=0.01, next_seconds=160).after_exit(ran_seconds=1)[0] == pytest.approx(1.6)


def _probe(**fields: Any) -> Probe:
    parsed = parse_probe(
        {"name": "c", "readinessProbe": {"tcpSocket": {"port": 1}, **fields}}, "readinessProbe", "127.64.1.1"
    )
    assert parsed is not None
    return parsed


def test_a_verdict_needs_as_many_equal_results_as_its_threshold_says() -> None:
    probe = _probe(successThreshold=2, failureThreshold=3)
    state, verdicts = ProbeState(), []
    for success in (True, False, True, True, False, False, True, False, False, False):
        state = state.observe(probe, success=success)
        verdicts.append(state.verdict)
    unknown, good, bad = Verdict.UNKNOWN, Verdict.SUCCESS, Verdict.FAILURE
    assert verdicts == [unknown, unknown, unknown, good, good, good, good, good, good, bad]


def test_a_probe_has_kubernetes_defaults_and_its_period_scales() -> None:
    probe = _probe()
    found = (probe.initial_delay_seconds, probe.period_seconds, probe.timeout_seconds)
    assert found == (0, 10, 1)
    assert (probe.success_threshold, probe.failure_threshold) == (1, 3)
    container = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 4}}
    scaled = parse_probe(container, "readinessProbe", "127.64.1.1", scale=0.5)
    assert scaled is not None
    assert (scaled.check, scaled.period_seconds, scaled.timeout_seconds) == (ExecCheck(("true",)), 2, 1)


def test_named_ports_are_resolved_and_unknown_ones_refused() -> None:
    container: dict[str, Any] = {"name": "c", "ports": [{"name": "http", "containerPort": 8000}]}
    http = parse_probe({**container, "p": {"httpGet": {"port": "http"}}}, "p", "127.64.1.1")
    assert http is not None
    assert http.check == HttpCheck("127.64.1.1", 8000, "/", "http", ())
    tcp = parse_probe({**container, "p": {"tcpSocket": {"port": 9}}}, "p", "127.64.1.1")
    assert tcp is not None
    assert tcp.check == TcpCheck("127.64.1.1", 9)
    with pytest.raises(ValueError, match="container c: port 'metrics' is not among its ports"):
        parse_probe({**container, "p": {"httpGet": {"port": "metrics"}}}, "p", "127.64.1.1")
    with pytest.raises(ValueError, match="only httpGet, tcpSocket and exec"):
        parse_probe({**container, "p": {"grpc": {"port": 1}}}, "p", "127.64.1.1")


def test_the_labels_are_those_of_the_vendors_labellers() -> None:
    labels = Gpu(product="NVIDIA-L4", count=2, memory_mib=23034, compute="8.9").labels()
    assert labels["nvidia.com/gpu.family"] == "ada-lovelace"
    assert (labels["nvidia.com/gpu.compute.major"], labels["nvidia.com/gpu.compute.minor"]) == ("8", "9")
    amd = Gpu(product="AMD_Instinct_MI300X", memory_mib=196608, resource=AMD).labels()
    assert amd["amd.com/gpu.vram"] == "192G"
    assert Gpu(count=0).labels() == {}


def test_two_labs_never_share_a_range_and_a_pod_keeps_its_address(tmp_path: Path) -> None:
    state, locks = tmp_path / "state", tmp_path / "locks"
    first = AddressPool.claim(state, locks)
    second = AddressPool.claim(state, locks)
    preferred = list(subnet_order(state))
    assert [first.subnet, second.subnet] == preferred[:2]
    assert len(set(preferred)) == 64
    one, other = first.take("a"), first.take("b")
    assert one != other
    assert first.take("a", one) == one
    assert first.take("c", one) not in {one, other}  # taken by a
    assert first.take("d", second.take("x")).startswith(f"127.{first.subnet}.")
    first.close()
    again = AddressPool.claim(state, locks)
    assert again.subnet == preferred[0]
    again.close()
    second.close()
