"""Command line of the load generator: python -m inferplan_lab.load URL[,URL…] --concurrency N, or --rate R."""

import argparse
import asyncio
import contextlib
import ipaddress
import signal
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from inferplan_lab.load import DEFAULT_DURATION_SECONDS, Plan, run_load
from inferplan_lab.load.summary import Summary

REFUSED = 2


def is_loopback(url: str) -> bool:
    """Whether a URL stays on this machine.

    Args:
        url: with scheme and host.

    Returns:
        True for localhost and loopback addresses.
    """
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="inferplan_lab.load", description="Send a bounded load of completions.")
    parser.add_argument("urls", help="base URLs, separated by commas")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--concurrency", type=int, help="clients that each wait for their answer")
    kind.add_argument("--rate", type=float, help="requests a second, at random times")
    parser.add_argument("--duration", type=float, default=DEFAULT_DURATION_SECONDS, help="seconds (default 60)")
    parser.add_argument("--requests", type=int, help="stop after so many")
    parser.add_argument("--input-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--shared-prefix", type=float, default=0.5, help="share of the prompt that all have in common")
    parser.add_argument("--spread", type=float, default=0.0, help="lengths vary by this share of them (default 0)")
    parser.add_argument("--model", help="the name to ask for (default: the server's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--allow-any", action="store_true", help="allow targets that are not on this machine")
    return parser


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Check the command line.

    Args:
        arguments: as parsed.

    Returns:
        The plan.

    Raises:
        ValueError: a target is not on this machine, or a number makes no sense.
    """
    targets = tuple(url for url in arguments.urls.split(",") if url)
    far = [url for url in targets if not is_loopback(url)]
    if not targets or (far and not arguments.allow_any):
        raise ValueError(f"target {', '.join(far) or 'missing'}: only loopback addresses, unless --allow-any is given")
    counts = (arguments.concurrency, arguments.requests, arguments.input_tokens, arguments.output_tokens)
    amounts = (arguments.rate, arguments.duration)
    if any(count is not None and count < 1 for count in counts) or any(
        amount is not None and amount <= 0 for amount in amounts
    ):
        raise ValueError("concurrency, rate, duration, requests, input-tokens and output-tokens must be above 0")
    if not 0 <= arguments.shared_prefix <= 1:
        raise ValueError(f"shared-prefix: {arguments.shared_prefix} is not within 0 and 1")
    if not 0 <= arguments.spread < 1:
        raise ValueError(f"spread: {arguments.spread} is not 0 or more and below 1")
    return Plan(
        targets=targets,
        concurrency=arguments.concurrency,
        rate_per_second=arguments.rate,
        duration_seconds=arguments.duration,
        requests=arguments.requests,
        input_tokens=arguments.input_tokens,
        output_tokens=arguments.output_tokens,
        shared_prefix=arguments.shared_prefix,
        model=arguments.model,
        seed=arguments.seed,
        spread=arguments.spread,
    )


async def _run_until_signal(plan: Plan) -> Summary:
    """Run a plan, ending early at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await run_load(plan, stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load generator.

    Args:
        argv: the command line, None for the process's own.

    Returns:
        0 when anything was answered, 1 when nothing was, 2 when the plan was refused.
    """
    try:
        plan = plan_of(_parser().parse_args(argv))
    except ValueError as error:
        print(f"inferplan_lab.load: {error}", file=sys.stderr)
        return REFUSED
    summary = asyncio.run(_run_until_signal(plan))
    print("\n".join(summary.lines()))
    return 0 if summary.ok else 1


if __name__ == "__main__":
    sys.exit(main())
