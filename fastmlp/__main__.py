"""The command `fastmlp`: reads the options, calls what they ask for, and says errors in one line."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of layer sizes such as 2-4-1") from None
    if len(sizes) < 2 or sizes[0] != 2 or sizes[-1] != 1 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: XOR has 2 inputs and 1 output, such as 2-4-1 or 2-8-8-1")
    return sizes


def _count(text: str) -> int:
    try:
        number = int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: needs at least 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastmlp", description="Train a million small neural nets at once, on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", parser_class=_Parser)

    xor = commands.add_parser(
        "xor",
        help="train many restarts of a small net on XOR and show how many solve it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    xor.add_argument("--restarts", type=_count, default=1_000_000, help="nets, each with its own initial weights")
    xor.add_argument("--sizes", type=_sizes, default=(2, 4, 1), metavar="2-4-1", help="units of each layer")
    xor.add_argument("--hidden", default="relu", help="hidden activation: relu, leaky_relu, tanh, sigmoid, identity")
    xor.add_argument("--init", default="he_uniform", help="initial weights, such as glorot_uniform or torch")
    xor.add_argument("--optimizer", default="sgd", help="sgd, adam, rmsprop or rprop")
    xor.add_argument("--learning-rate", type=float, default=0.5, help="the optimizer's learning rate")
    xor.add_argument("--epochs", type=_count, default=2000, help="passes over the four samples, at most")
    xor.add_argument("--seed", type=int, default=0, help="fixes every initial weight")
    xor.add_argument("--dtype", default="float32", help="float32 or float64")
    xor.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")
    xor.add_argument("--no-stop", action="store_true", help="train all nets for all epochs, solved or not")
    xor.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    xor.add_argument(
        "--picture", default="xor.png", metavar="FILE", help="where the picture goes, if matplotlib is here"
    )
    xor.add_argument("--no-picture", action="store_true", help="draw no picture")
    xor.add_argument("--no-progress", action="store_true", help="show no progress bar")

    commands.add_parser("info", help="show versions, processor features, vector width, threads and cache folder")
    commands.add_parser("warmup", help="compile every kernel into the cache, so that later runs start at once")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "xor":
        from fastmlp._xor import run

        return run(options)
    from fastmlp import _information

    return _information.show() if options.command == "info" else _information.warm_up()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (ValueError, TypeError, MemoryError) as error:
        print(f"fastmlp {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fastmlp {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def command() -> NoReturn:
    """The process `fastmlp`."""
    code = main()
    gc.freeze()  # else Python looks through all that Numba made once more before it exits: a third of a second
    sys.exit(code)


if __name__ == "__main__":
    command()
