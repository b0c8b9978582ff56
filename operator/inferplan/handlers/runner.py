"""The operator's process: log in, list, then watch and work until a signal or a dead watch ends it."""

import asyncio
import logging
import signal

import kopf

from inferplan.handlers.credentials import NoCredentialsError, connection_of, log_in
from inferplan.handlers.service import service
from inferplan.handlers.watches import kopf_settings, registry_of
from inferplan.kube.connection import Connection
from inferplan.kube.election import LostError
from inferplan.kube.errors import KubeError, NotFoundError
from inferplan.observe.allow_list import AllowList, AllowListError, allow_list
from inferplan.settings import Settings, SettingsError
from inferplan.telemetry import configure_logging
from inferplan.web.server import CannotListenError
from inferplan.wiring import Context, operator_context

logger = logging.getLogger(__name__)


class StartError(RuntimeError):
    """The operator cannot start; one line for people."""


def run(settings: Settings) -> int:
    """Runs the operator until SIGTERM or SIGINT. Returns the exit code: 0, or 1 when it could not go on."""
    configure_logging(settings.log_level, settings.log_format)
    try:
        asyncio.run(operate(settings))
    except (StartError, NoCredentialsError, SettingsError, LostError) as error:
        logger.error("%s", error)  # noqa: TRY400  a line for people; there is nothing in the traceback
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        logger.info("stopped before it ran")
        return 0
    except Exception:
        logger.exception("the operator ends; its pod is started again")
        return 1
    logger.info("stopped")
    return 0


async def operate(settings: Settings) -> None:
    """The operator as a coroutine; returns after a signal.

    Raises:
        StartError: The API server cannot be used, or the address is taken.
        NoCredentialsError: There is no way to log in.
        SettingsError: A file of a Prometheus source cannot be used.
        LostError: Another operator may act by now.
    """
    allowed = _allowed(settings)
    _stop_at_signals()
    watching = kopf_settings()
    connection = connection_of(log_in(watching))
    async with operator_context(_guarded(settings, connection), connection) as context:
        try:
            async with service(context, allowed):
                await _act(context, watching)
        except CannotListenError as error:
            raise StartError(f"INFERPLAN_LISTEN_ADDRESS/PORT: {error}") from None


def _stop_at_signals() -> None:
    """Until kopf takes the signals over. The first process of a container would not even see SIGTERM otherwise."""
    operating = asyncio.current_task()
    if operating is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, operating.cancel)


def _allowed(settings: Settings) -> AllowList:
    try:
        return allow_list(settings.scrape_allow)
    except AllowListError as error:
        raise StartError(f"INFERPLAN_SCRAPE_ALLOW: {error}") from None


def _guarded(settings: Settings, connection: Connection) -> Settings:
    """In a pod anybody in the cluster reaches the service, so by default they are asked who they are."""
    if settings.authentication is not None:
        return settings
    return settings.model_copy(update={"authentication": connection.token_file is not None})


async def _act(context: Context, watching: kopf.OperatorSettings) -> None:
    """Waits until this operator is the one that acts, and acts until a signal, or until it is not any more."""
    elector = context.elector
    if elector is None:
        await _prime(context)
        await _watch_and_work(context, watching, ())
        return
    await elector.acquire()
    renewing = asyncio.create_task(elector.renew())
    try:
        await _prime(context)
        await _watch_and_work(context, watching, (renewing,))
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await elector.release()


async def _prime(context: Context) -> None:
    try:
        await context.controller.prime()
    except NotFoundError:
        raise StartError("the InferPlan CRDs are not installed: kubectl apply -k crds/") from None
    except KubeError as error:
        raise StartError(f"the instances cannot be listed: {error}") from None


async def _watch_and_work(
    context: Context, settings: kopf.OperatorSettings, conditions: tuple[asyncio.Task[None], ...]
) -> None:
    """Workers and watches side by side; when either ends, or what they depend on does, all do, the workers first."""
    workers = asyncio.create_task(context.controller.run(context.settings.concurrency))
    registry = registry_of(context.feed, settings)
    stop = asyncio.Event()

    def end(_: asyncio.Task[None]) -> None:
        workers.cancel()
        stop.set()

    for task in (workers, *conditions):
        task.add_done_callback(end)

    @kopf.on.cleanup(registry=registry)
    async def stop_workers(**_: object) -> None:
        workers.cancel()
        await asyncio.wait([workers])

    namespaces = context.settings.namespaces
    try:
        await kopf.operator(
            registry=registry, settings=settings, clusterwide=not namespaces, namespaces=namespaces, stop_flag=stop
        )
    finally:
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)
    for task in (*conditions, workers):
        if task.done() and not task.cancelled():
            task.result()
