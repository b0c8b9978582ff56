"""Which engine a container starts, seen through wrappers, interpreters and image entrypoints."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.container import Container, read_container
from inferplan.dialects.launch import Launch, launch_of
from inferplan.dialects.programs import Entry
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.words import Unreadable, UnreadableCode


def container(*command: str, image: str = "registry.example.com/x:1", args: tuple[str, ...] = ()) -> Container:
    return Container("c", image, command, args)


def started(*command: str, image: str = "registry.example.com/x:1", args: tuple[str, ...] = ()) -> Launch:
    launch = launch_of(container(*command, image=image, args=args))
    assert isinstance(launch, Launch), launch
    return launch


@pytest.mark.parametrize(
    ("line", "engine", "entry"),
    [
        ("vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("/opt/venv/bin/vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("python3 -m vllm.entrypoints.openai.api_server --port 1", Engine.VLLM, Entry.API_SERVER),
        ("/usr/bin/python3.12 -u -m vllm.entrypoints.openai.api_server --port 1", Engine.VLLM, Entry.API_SERVER),
        ("python -W ignore -X dev -m vllm.entrypoints.openai.api_server --port 1", Engine.VLLM, Entry.API_SERVER),
        ("python3 /app/vllm/entrypoints/openai/api_server.py --port 1", Engine.VLLM, Entry.API_SERVER),
        ("python3 -m vllm.entrypoints.api_server --port 1", Engine.VLLM, Entry.LEGACY),
        ("python3 -m vllm.entrypoints.cli.main serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("python3 -m dynamo.vllm --port 1", Engine.VLLM, Entry.OTHER_FRONT),
        ("python3 -m sglang.launch_server --port 1", Engine.SGLANG, Entry.SGLANG),
        ("sglang serve --port 1", Engine.SGLANG, Entry.SGLANG),
        ("text-generation-launcher --port 1", Engine.TGI, Entry.TGI),
        ("exec vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("env A=b -u C vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("numactl -N 0 -m 0 vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("nohup nice -n 10 timeout 3600 vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("tini -s -- vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("uv run --no-sync vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("conda run -n vllm vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
        ("nsys profile -o vllm python3 -m vllm.entrypoints.openai.api_server --port 1", Engine.VLLM, Entry.API_SERVER),
        ("opentelemetry-instrument vllm serve m --port 1", Engine.VLLM, Entry.SERVE),
    ],
)
def test_a_start_command_is_known(line: str, engine: Engine, entry: Entry) -> None:
    launch = started(*line.split())
    assert (launch.engine, launch.entry) == (engine, entry)
    assert [word.text for word in launch.words][-2:] == ["--port", "1"]


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m vllm_router.app --static-models m",
        "python3 -m sglang_router.launch_router --policy random",
        "vllm bench serve --model m",
        "vllm-router --port 8000",
        "python3 download.py --model m",
        "ray start --head",
        "sleep infinity",
        "trtllm-serve m",
    ],
)
def test_what_only_looks_like_a_start_is_none(line: str) -> None:
    assert launch_of(container(*line.split())) is None


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v0.11.0", "harbor.example.com/ml/vllm-openai:v0.11.0"])
def test_args_alone_are_the_images_engines(image: str) -> None:
    launch = started(image=image, args=("--model", "m"))
    assert (launch.engine, launch.entry) == (Engine.VLLM, Entry.IMAGE)
    assert [word.text for word in launch.words] == ["--model", "m"]


def test_args_that_begin_with_a_start_command_are_a_command_line() -> None:
    launch = started(image="lmsysorg/sglang:v0.5.9", args=("python3", "-m", "sglang.launch_server", "--port", "1"))
    assert launch.engine is Engine.SGLANG
    assert [word.text for word in launch.words] == ["--port", "1"]


@pytest.mark.parametrize(
    ("command", "image", "args", "code", "says"),
    [
        (("/app/start.sh",), "vllm/vllm-openai:v0.11.0", (), UnreadableCode.UNKNOWN_START, "/app/start.sh"),
        ((), "vllm/vllm-openai:v0.11.0", ("/start.sh",), UnreadableCode.UNKNOWN_START, "/start.sh"),
        ((), "lmsysorg/sglang:v0.5.9", ("--port", "1"), UnreadableCode.UNKNOWN_START, "starts nothing by itself"),
        (("bash", "/opt/run.sh"), "vllm/vllm-openai:v0.11.0", (), UnreadableCode.UNKNOWN_START, "/opt/run.sh"),
        ((), "", ("--model", "m"), UnreadableCode.PATCH_ONLY, "patch of another manifest"),
    ],
)
def test_a_start_that_is_not_known_is_told_with_its_reason(
    command: tuple[str, ...], image: str, args: tuple[str, ...], code: UnreadableCode, says: str
) -> None:
    problem = launch_of(container(*command, image=image, args=args))
    assert isinstance(problem, Unreadable)
    assert problem.code is code
    assert says in problem.reason


@pytest.mark.parametrize("line", ["ray start --address=x --block", "bash /vllm-workspace/multi-node-serving.sh worker"])
def test_a_ray_worker_with_the_engines_image_starts_no_engine(line: str) -> None:
    assert launch_of(container(*line.split(), image="vllm/vllm-openai:v0.11.0")) is None


def test_variables_before_the_command_reach_the_engine() -> None:
    launch = started("env", "VLLM_ATTENTION_BACKEND=FLASHINFER", "vllm", "serve", "m")
    assert "".join(piece.text for piece in launch.variables["VLLM_ATTENTION_BACKEND"]) == "FLASHINFER"


def test_a_container_is_read_whatever_its_yaml_holds() -> None:
    read = read_container(
        {
            "name": "c",
            "args": ["--port", 8000, True, None],
            "command": "vllm",
            "resources": {"limits": {"nvidia.com/gpu ": 1}},
            "ports": [{"containerPort": "x"}, {"name": "http", "containerPort": 8000}, 3],
        }
    )
    assert read.args == ("--port", "8000", "true", "")
    assert read.command == ("vllm",)
    assert read.limits == {"nvidia.com/gpu": "1"}
    assert read.ports == (("http", 8000),)
    assert read.asks_for_gpus


def test_a_placeholder_in_a_list_is_filled_in_by_somebody_else() -> None:
    reading = read_engine(Container("c", "x:1", ("vllm", "serve"), ("${MODEL}", "--port=${PORT}", "-tp", "2")))
    assert isinstance(reading, Reading)
    assert reading.config.model is None
    assert {key: setting.value for key, setting in reading.config.items()} == {"tensor_parallel_size": 2}
    assert [(entry.code, entry.key) for entry in reading.unreadable] == [
        (UnreadableCode.TEMPLATE, "port"),
        (UnreadableCode.TEMPLATE, "model"),
    ]


def test_arguments_that_a_controller_completes_leave_no_default_certain() -> None:
    reading = read_engine(Container("c", "vllm/vllm-openai:v0.19.0", args=("-tp=2",), completed_by="KServe"))
    assert isinstance(reading, Reading)
    assert not reading.complete
    assert reading.unreadable[0].code is UnreadableCode.CONTROLLER


def test_a_ray_head_of_an_image_with_vllm_starts_no_engine_by_itself() -> None:
    assert launch_of(Container("ray-head", "corp/ray-2.41.0-vllm0.7.0:latest")) is None
