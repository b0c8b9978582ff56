"""Shares that engines tell in different ways: counted, or as a gauge of the share itself. Pure."""

from inferplan.domain.measurement import Measured, Measurement
from inferplan.observe.look import Look
from inferplan.observe.look_values import missing


def prefix_hits(look: Look) -> Measurement:
    """The share of prompt tokens that the prefix cache held; of blocks, where the engine tells only their share."""
    told = look.share_told("prefix_hit_share")
    if told is None or look.is_counted("prefix_hits"):
        return look.quotient("prefix_hits", "prefix_queries")
    return told


def acceptance(look: Look) -> Measurement:
    """The share of speculated tokens that held. A gauge of it stays at 0 where nothing is speculated."""
    told = look.share_told("accepted_share")
    if told is None or look.is_counted("accepted_tokens"):
        return look.quotient("accepted_tokens", "draft_tokens")
    if isinstance(told, Measured) and told.value == 0:
        return missing(f"{told.source} is 0: nothing was speculated")
    return told


def failed_share(look: Look) -> Measurement:
    """Share of requests that failed.

    Where they are a counter of their own, of it and the finished ones together. SGLang's finished ones have some of its
    aborted ones among them, so that its share is a little too low.
    """
    return look.ended_badly() if look.names.failed is None else look.quotient("failed", "failed", "requests")
