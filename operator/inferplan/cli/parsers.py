"""How every command's argument parser is made."""

import argparse


def command_parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose help says what the command does and ends with an example."""
    return argparse.ArgumentParser(
        prog=f"inferplan {name}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
