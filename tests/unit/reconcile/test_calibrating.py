"""What looks teach, as the status keeps it: learned, kept without noise, dropped when it no longer holds."""

import copy

from tests.support.prometheus import vllm_series
from tests.support.world import ARGS, KEY, NAMESPACE, World, container, deployment, pod

from inferplan.api.instance_status import CalibrationStatus
from inferplan.kube.resources import INSTANCES

PODS = ("llama-abc-1",)


def load(world: World, **values: float) -> None:
    """Another load on the engine; nothing waits, unless said."""
    world.prometheus.series = vllm_series(PODS, **({"waiting": 0.0} | values))


def learned(world: World) -> CalibrationStatus:
    return CalibrationStatus.model_validate(world.status["calibration"])


async def test_a_look_under_load_teaches_the_model() -> None:
    world = World()
    load(world, running=32.0, itl=0.02)
    await world.look()
    found = learned(world)
    assert found.samples == 1
    assert [(point.running, point.itl_milliseconds) for point in found.points] == [(32.0, 20.0)]
    # 20 ms are more than Llama-3.1-8B on an H100 needs for 32 sequences: the step takes longer than modelled.
    assert found.coefficients.fixed > 1.0
    assert found.itl_spread.low < 1.0 < found.itl_spread.high


async def test_a_queue_teaches_no_ttft() -> None:
    world = World()  # 12 requests wait
    await world.look()
    assert learned(world).points[0].ttft_milliseconds is None


async def test_noise_is_no_write() -> None:
    world = World()
    load(world, itl=0.02)
    await world.look()
    load(world, itl=0.0203, running=33.0)
    await world.look()
    assert all("calibration" not in patch for patch in world.cluster.patches)


async def test_other_loads_are_collected() -> None:
    world = World()
    for running, itl in ((1.0, 0.009), (8.0, 0.010), (32.0, 0.016)):
        load(world, running=running, itl=itl)
        await world.look()
    assert learned(world).samples == 3


async def test_other_arguments_drop_what_was_learned() -> None:
    world = World()
    load(world)
    await world.look()
    before = learned(world).digest
    changed = deployment(container(*ARGS[:1], "--max-num-seqs=64"))
    world.cluster.put(changed, pod(PODS[0], changed))
    load(world, running=5.0)
    await world.look()
    after = learned(world)
    assert after.digest != before
    assert [point.running for point in after.points] == [5.0]


async def test_another_image_drops_what_was_learned() -> None:
    world = World()
    load(world)
    await world.look()
    before = learned(world).digest
    changed = deployment(container(image="vllm/vllm-openai:v0.33.0@sha256:0"))
    world.cluster.put(changed, pod(PODS[0], changed))
    await world.look()
    assert learned(world).digest != before


async def test_without_metrics_what_was_learned_stays() -> None:
    world = World()
    load(world)
    await world.look()
    before = learned(world)
    world.prometheus.fails = "connection refused"
    await world.look()
    assert learned(world) == before


async def test_a_model_that_is_not_known_teaches_nothing() -> None:
    world = World()
    document = copy.deepcopy(world.cluster.one(INSTANCES, NAMESPACE, KEY.name))
    document["spec"]["model"] = {"config": {"architectures": ["NoSuchModel"]}}
    world.cluster.put(document)
    load(world)
    await world.look()
    assert "calibration" not in world.status
