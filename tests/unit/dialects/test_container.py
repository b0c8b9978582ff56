"""A container as the engine sees it."""

from inferplan.dialects.container import Container, read_container, required_config_maps
from inferplan.dialects.environment import Environment, Variable
from inferplan.dialects.words import Piece


def test_a_template_is_read() -> None:
    container = read_container(
        {
            "name": "vllm",
            "image": "vllm/vllm-openai:v0.33.0",
            "command": ["vllm", "serve"],
            "args": ["M", "--port", 8000, "--flag", True, None],
            "env": [{"name": "TP", "value": "4"}, {"name": "EMPTY"}],
            "resources": {"limits": {"nvidia.com/gpu": 4}},
            "ports": [{"containerPort": 8000}, {"name": "http", "containerPort": 9000}],
        }
    )
    assert container == Container(
        name="vllm",
        image="vllm/vllm-openai:v0.33.0",
        command=("vllm", "serve"),
        args=("M", "--port", "8000", "--flag", "true", ""),
        environment=Environment({"TP": Variable((Piece("4"),), "env"), "EMPTY": Variable((), "env")}),
        limits={"nvidia.com/gpu": "4"},
        ports=(("", 8000), ("http", 9000)),
    )
    assert read_container({}) == Container(name="")


def test_a_command_that_is_a_single_string_is_one_word() -> None:
    assert read_container({"command": "vllm", "args": 5}).strings == ("vllm",)
    assert read_container({"command": b"vllm"}).strings == ()


def test_lists_and_mappings_where_text_belongs_are_none_of_it() -> None:
    """YAML aliases to aliases make lists whose text would fill the memory: 10 to the power of 40 items here."""
    endless: object = "x"
    for _ in range(40):
        endless = [endless] * 10
    odd = {
        "name": endless,
        "image": {"a": endless},
        "args": [endless, 10**5000, "--port"],
        "resources": {"limits": {"nvidia.com/gpu": endless, 5: 2}},
        "ports": [{"containerPort": endless, "name": endless}, {"containerPort": "9" * 5000}, {"containerPort": "80"}],
    }
    assert read_container(odd) == Container(
        name="", args=("", "", "--port"), limits={"nvidia.com/gpu": "", "5": "2"}, ports=(("", 80),)
    )


def test_the_config_maps_of_variables_and_mounted_files_are_named_and_whether_they_must_be_there() -> None:
    template = {
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "a"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "b", "optional": True}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "c"}}},
            {"name": "D", "value": "1"},
        ],
        "envFrom": [{"configMapRef": {"name": "all", "optional": True}}, {"secretRef": {"name": "secret"}}],
        "volumeMounts": [{"name": "scripts", "mountPath": "/s"}, {"name": "many", "mountPath": "/m"}],
    }
    pod_spec = {
        "volumes": [
            {"name": "scripts", "configMap": {"name": "start"}},
            {"name": "many", "projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "s"}}]}},
            {"name": "of-a-sidecar", "configMap": {"name": "other"}},
        ]
    }
    assert required_config_maps(template, pod_spec) == {"all": True, "keys": False, "start": False, "part": False}


def test_odd_references_name_no_config_map() -> None:
    odd = {"env": ["x", {"valueFrom": {"configMapKeyRef": {"name": 5}}}], "envFrom": [{"configMapRef": None}]}
    assert required_config_maps(odd, {"volumes": ["x", {"configMap": {"name": "y"}}]}) == {}
