"""What vLLM's API server refuses before it loads anything: flags that need another one. Pure.

vllm/entrypoints/openai/cli_args.py validate_parsed_serve_args (vllm/entrypoints/common/cli_args.py in 0.33.0); each was
asked of the releases from 0.6.6 to 0.33.0 (benchmarks/real_parsers.py).
"""

from inferplan.dialects.rules.case import Case, Rule, Violation, refused

_SOURCE = "vllm/entrypoints/openai/cli_args.py validate_parsed_serve_args"
_SUPERVISOR = "vllm/entrypoints/openai/dp_supervisor.py validate_multi_port_external_lb_args"


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
    """Several ports make sense for several ranks on this node, and every node has as many (0.22.1 and later)."""
    key, situation = "data_parallel_multi_port_external_lb", case.situation
    if situation.get(key) is not True:
        return None
    ranks, here = situation.count("data_parallel_size"), situation.count("data_parallel_size_local")
    if here > 1 and ranks % here == 0:
        return None
    why = (
        f"--data-parallel-multi-port-external-lb needs --data-parallel-size-local of at least 2, which divides "
        f"--data-parallel-size; they are {here} and {ranks}: the server does not start"
    )
    return refused((key, "data_parallel_size_local", "data_parallel_size"), why, f"{_SUPERVISOR}, 0.22.1 to 0.33.0")


def grpc_port_of_the_other_front_end(case: Case) -> Violation | None:
    """Only the front end in Rust listens for gRPC on a port of its own (0.32.0 and later)."""
    situation, switch = case.situation, "VLLM_USE_RUST_FRONTEND"
    if situation.get("grpc_port") is None or (situation.variable(switch) or "0") != "0":
        return None
    why = f"--grpc-port needs the variable {switch}=1: the server does not start without it"
    return refused(("grpc_port",), why, "vllm/entrypoints/common/cli_args.py validate_grpc_port_arg, 0.32.0 to 0.33.0")


FRONT_END_RULES: tuple[Rule, ...] = (
    tool_choice_without_parser,
    reasoning_without_parser,
    log_outputs_without_requests,
    external_balancing_of_one,
    grpc_port_of_the_other_front_end,
)
