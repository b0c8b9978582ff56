"""What vLLM's API server refuses before it loads anything: flags that need another one. Pure.

vllm/entrypoints/openai/cli_args.py validate_parsed_serve_args (vllm/entrypoints/common/cli_args.py in 0.33.0); each was
asked of the releases from 0.6.6 to 0.33.0 (benchmarks/real_parsers.py).
"""

from inferplan.dialects.rules.case import Case, Rule, Violation, refused

_SOURCE = "vllm/entrypoints/openai/cli_args.py validate_parsed_serve_args"


def _needs(case: Case, key: str, other: str) -> Violation | None:
    """A switch that is on needs another setting that is there, or on."""
    if case.situation.get(key) is not True or case.situation.get(other):
        return None
    flags = [f"--{name.replace('_', '-')}" for name in (key, other)]
    return refused((key, other), f"{flags[0]} needs {flags[1]}: the server does not start without it", _SOURCE)


def tool_choice_without_parser(case: Case) -> Violation | None:
    """Tools that the model chooses are read out of its answer by a parser."""
    return _needs(case, "enable_auto_tool_choice", "tool_call_parser")


def reasoning_without_parser(case: Case) -> Violation | None:
    """Up to 0.8.5 reasoning had a switch of its own."""
    return _needs(case, "enable_reasoning", "reasoning_parser")


def log_outputs_without_requests(case: Case) -> Violation | None:
    """Outputs are logged as part of their request."""
    return _needs(case, "enable_log_outputs", "enable_log_requests")


def external_balancing_of_one(case: Case) -> Violation | None:
    """Several ports make sense for several ranks (0.22.1 and later)."""
    key = "data_parallel_multi_port_external_lb"
    if case.situation.get(key) is not True or case.situation.count("data_parallel_size") > 1:
        return None
    why = "--data-parallel-multi-port-external-lb needs --data-parallel-size above 1: the server does not start"
    return refused((key, "data_parallel_size"), why, _SOURCE)


FRONT_END_RULES: tuple[Rule, ...] = (
    tool_choice_without_parser,
    reasoning_without_parser,
    log_outputs_without_requests,
    external_balancing_of_one,
)
