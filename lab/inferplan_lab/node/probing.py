"""Carry out the checks of probes and the hooks of containers."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import aiohttp

from inferplan_lab.node.launch import Launch, plan_command
from inferplan_lab.node.probes import Check, ExecCheck, HttpCheck, Probe, ProbeState, TcpCheck, Verdict


async def passes(check: Check, timeout_seconds: float, launch: Launch) -> bool:
    """Say whether the check succeeds in time.

    Args:
        check: what to do.
        timeout_seconds: when to give up.
        launch: the container beside which an exec check runs.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            match check:
                case HttpCheck():
                    return await _http_passes(check)
                case TcpCheck():
                    return await _tcp_passes(check)
                case ExecCheck():
                    return await run_beside(check.command, launch) == 0
    except (TimeoutError, OSError, aiohttp.ClientError, ValueError):
        return False


async def follow(
    probe: Probe, launch: Launch, age_seconds: float, report: Callable[[Verdict], Awaitable[None]]
) -> None:
    """Probe for ever and report each change of the verdict.

    Args:
        probe: the probe.
        launch: the container.
        age_seconds: how long the container has been running; the initial delay counts from its start.
        report: is awaited with the new verdict.
    """
    await asyncio.sleep(max(0.0, probe.initial_delay_seconds - age_seconds))
    state = ProbeState()
    while True:
        success = await passes(probe.check, probe.timeout_seconds, launch)
        before, state = state, state.observe(probe, success=success)
        if state.verdict is not before.verdict:
            await report(state.verdict)
        await asyncio.sleep(probe.period_seconds)


async def run_beside(command: tuple[str, ...], launch: Launch) -> int:
    """Run a command with the environment and folder of a container and return its exit status.

    Raises:
        OSError: there is no such program.
    """
    process = await asyncio.create_subprocess_exec(
        *plan_command(command, launch),
        env=dict(launch.env),
        cwd=launch.cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _http_passes(check: HttpCheck) -> bool:
    url = f"{check.scheme}://{check.host}:{check.port}/{check.path.lstrip('/')}"
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)  # the kubelet doesn't verify either
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=dict(check.headers), allow_redirects=False) as response,
    ):
        return HTTPStatus.OK <= response.status < HTTPStatus.BAD_REQUEST


async def _tcp_passes(check: TcpCheck) -> bool:
    _, writer = await asyncio.open_connection(check.host, check.port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
