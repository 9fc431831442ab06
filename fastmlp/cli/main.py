"""The command `fastmlp`: read the options, run the command, and print errors in one line."""

from __future__ import annotations

import argparse
import codecs
import gc
import sys
from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any, NoReturn

from fastmlp._kernels.formulas.activations import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS
from fastmlp.optimizers import OPTIMIZERS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults other than None; the help text explains None."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _numbers(text: str, least: int, what: str) -> tuple[int, ...]:
    """Parse at least `least` positive whole numbers joined by hyphens."""
    try:
        numbers = tuple(int(part) for part in text.split("-"))
    except ValueError:
        numbers = ()
    if len(numbers) < least or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {what}")
    return numbers


def _layers(text: str) -> tuple[int, ...]:
    return _numbers(text, 2, "layer sizes such as 2-4-1")


def _widths(text: str) -> tuple[int, ...]:
    return _numbers(text, 1, "layer widths such as 64-32")


def _sizes(text: str) -> tuple[int, ...]:
    sizes = _layers(text)
    if sizes[0] != 2 or sizes[-1] != 1:
        raise argparse.ArgumentTypeError(f"{text!r}: XOR has 2 inputs and 1 output, such as 2-4-1 or 2-8-8-1")
    return sizes


def _count(text: str) -> int:
    try:
        exact = Decimal(text.replace("_", "").replace(",", ""))  # 1e9 too
        number = int(exact)
    except (ArithmeticError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number != exact:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: needs at least 1")
    return number


def _part(text: str) -> tuple[int, int]:
    numbers = text.split("/")
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 17/1000")
    part, of = (_count(number) for number in numbers)
    if part > of:
        raise argparse.ArgumentTypeError(f"{text!r}: parts are numbered from 1 to {of}")
    return part, of


_HIDDEN_HELP = f"hidden activation: {', '.join(HIDDEN_ACTIVATIONS)}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastmlp", description="Train a million small neural nets at once, on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", parser_class=_Parser)
    _add_xor(commands)
    _add_survey(commands)
    _add_fit(commands)
    _add_predict(commands)
    _add_why(commands)
    _add_gallery(commands)
    commands.add_parser("info", help="show versions, processor features, vector width, threads and cache folder")
    commands.add_parser("warmup", help="compile every kernel into the cache, so that later runs start at once")
    return parser


def _add_xor(commands: Any) -> None:
    xor = commands.add_parser(
        "xor", help="train many restarts of a small net on XOR and show how many solve it", formatter_class=_Formatter
    )
    xor.add_argument("--restarts", type=_count, default=1_000_000, help="nets, each with its own initial weights")
    xor.add_argument("--sizes", type=_sizes, default=(2, 4, 1), metavar="2-4-1", help="units of each layer")
    xor.add_argument("--hidden", default="relu", help=_HIDDEN_HELP)
    xor.add_argument("--init", default="he_uniform", help="initial weights, such as glorot_uniform or torch")
    xor.add_argument("--optimizer", default="sgd", help=", ".join(OPTIMIZERS))
    xor.add_argument("--learning-rate", type=float, default=0.5, help="the optimizer's learning rate")
    xor.add_argument("--epochs", type=_count, default=2000, help="passes over the four samples at most")
    xor.add_argument("--seed", type=int, default=0, help="fixes every initial weight")
    xor.add_argument("--dtype", default="float32", help="float32 or float64")
    xor.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")
    xor.add_argument("--no-stop", action="store_true", help="train all nets for all epochs, solved or not")
    xor.add_argument(
        "--checkpoint", metavar="FILE", help="a file that keeps the job, so that `fastmlp resume` can continue it"
    )
    _add_executor_options(
        xor,
        "keep a summary in place of the nets, for any number of them, and train them in this process, processes of "
        "this machine, on Dask or on Ray, or leave them to `fastmlp survey run`; draws no picture",
        "parts",
    )
    xor.add_argument(
        "--folder", help="a new folder that keeps this summary, so that the same command goes on after a stop"
    )
    resume = commands.add_parser(
        "resume", help="continue a job of `fastmlp xor --checkpoint`", formatter_class=_Formatter
    )
    resume.add_argument("file", metavar="FILE", help="the checkpoint")
    resume.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")
    for command in (xor, resume):
        command.add_argument(
            "--checkpoint-every",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="least time between two writes of the file",
        )
        command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        command.add_argument(
            "--picture", default="xor.png", metavar="FILE", help="file of the picture, if matplotlib is installed"
        )
        command.add_argument("--no-picture", action="store_true", help="draw no picture")
        command.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _add_executor_options(command: argparse.ArgumentParser, meaning: str, *more: str) -> None:
    command.add_argument("--executor", choices=("here", "processes", "dask", "ray", *more), help=meaning)
    command.add_argument("--scheduler", metavar="ADDRESS", help="address of a Dask or Ray cluster, for --executor")


def _add_survey(commands: Any) -> None:
    survey = commands.add_parser("survey", help="train a survey that is in a folder, in parts, and merge it")
    actions = survey.add_subparsers(dest="action", required=True, metavar="action", parser_class=_Parser)
    run = actions.add_parser(
        "run", help="train what is missing of a survey, or of a part of it", formatter_class=_Formatter
    )
    merge = actions.add_parser("merge", help="print what a folder holds; the exit code is 1 while nets are missing")
    for command in (run, merge):
        command.add_argument(
            "folder", metavar="FOLDER", help="made by fastmlp.survey(…, folder=…) or fastmlp xor --folder"
        )
    run.add_argument("--part", type=_part, default=(1, 1), metavar="17/1000", help="only this part (default: all)")
    _add_executor_options(run, "train in this process, processes of this machine, on Dask or on Ray")
    run.set_defaults(executor="here")
    run.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")
    run.add_argument("--shard-seconds", type=float, default=10.0, metavar="SECONDS", help="time that a file stands for")
    run.add_argument("--retries", type=_count, default=3, help="times that a shard is tried")
    run.add_argument("--skip-failed", action="store_true", help="go on without shards that fail each time")
    run.add_argument("--no-progress", action="store_true", help="show no progress bar")
    merge.add_argument("--json", action="store_true", help="print the survey as canonical JSON")


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="train an ensemble on a CSV or Parquet file, report how good it is, and save it",
        formatter_class=_Formatter,
    )
    fit.add_argument("data", metavar="DATA", help="a .csv or .parquet file with one row a sample")
    fit.add_argument("--target", required=True, help="the column to predict")
    _add_table_options(fit)
    fit.add_argument("--out", metavar="FILE", help="file of the model; by default next to DATA")
    fit.add_argument("--force", action="store_true", help="replace an existing file")
    fit.add_argument("--members", type=_count, default=32, help="nets of the ensemble")
    fit.add_argument("--hidden", type=_widths, default="32", metavar="64-32", help="units of each hidden layer")
    fit.add_argument("--activation", default="relu", help=_HIDDEN_HELP)
    fit.add_argument("--learning-rate", type=float, default=0.01, help="Adam's learning rate")
    fit.add_argument("--epochs", type=_count, default=500, help="passes over the training rows at most")
    fit.add_argument(
        "--patience", type=_count, default=20, help="stop after this many epochs without a better validation loss"
    )
    fit.add_argument("--batch-size", type=_count, default=64, help="rows of a minibatch")
    fit.add_argument("--l2", type=float, default=0.0, help="factor of half the sum of squared weights")
    fit.add_argument("--dropout", type=float, default=0.0, help="probability of leaving out a hidden unit")
    fit.add_argument("--bootstrap", action="store_true", help="each net draws its training rows with replacement")
    fit.add_argument("--test", type=float, default=0.2, help="share of rows for testing")
    fit.add_argument("--validation", type=float, default=0.2, help="share of the other rows for early stopping")
    fit.add_argument("--seed", type=int, default=0, help="fixes the split and the nets")
    fit.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")
    fit.add_argument("--json", action="store_true", help="print the report as one JSON object")
    fit.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predict the rows of a file with a model of `fastmlp fit`")
    predict.add_argument("model", metavar="MODEL", help="the .safetensors file")
    predict.add_argument("data", metavar="DATA", help="a .csv or .parquet file with the same columns")
    _add_reading_options(predict)
    predict.add_argument("--out", metavar="FILE", help="a CSV file for the predictions (default: standard output)")
    predict.add_argument("--force", action="store_true", help="replace a file even if it does not hold predictions")
    predict.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")


def _add_gallery(commands: Any) -> None:
    gallery = commands.add_parser(
        "gallery",
        help="train published programs that do not learn XOR, as they are and with changes",
        formatter_class=_Formatter,
    )
    gallery.add_argument("--restarts", type=_count, default=10_000, help="nets, each with its own initial weights")
    gallery.add_argument("--only", action="append", default=[], metavar="NAME", help="run only this recipe; repeatable")
    gallery.add_argument(
        "--out", metavar="FOLDER", help="also write the page gallery.md and its pictures to this folder"
    )
    gallery.add_argument("--json", action="store_true", help="print one JSON object a row and nothing else")
    gallery.add_argument("--seed", type=int, default=0, help="fixes every initial weight")
    gallery.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")


def _add_reading_options(command: argparse.ArgumentParser) -> None:
    """Options about the format of a table."""
    command.add_argument("--sep", metavar="CHARACTER", help="separator of the columns of a CSV file (default: a comma)")
    command.add_argument("--encoding", default="utf-8", help="encoding of a CSV file, such as latin-1 or utf-16")
    command.add_argument(
        "--decimal", default=".", choices=(".", ","), help="the decimal point of numbers in a CSV file"
    )
    command.add_argument(
        "--na",
        action="append",
        default=[],
        metavar="TEXT",
        help="a spelling of missing values, in addition to empty fields; repeatable",
    )


def _add_table_options(command: argparse.ArgumentParser) -> None:
    """Options about the format of a table and the meaning of its columns."""
    _add_reading_options(command)
    command.add_argument("--drop-missing", action="store_true", help="leave out rows that lack the target")
    command.add_argument(
        "--task", choices=("classification", "regression"), help="default: decided by the target's values"
    )
    for option, meaning in (
        ("--ignore", "leave this column out"),
        ("--text", "read this column as text, even if it holds numbers"),
        ("--keep", "use this column even if it looks like row numbers"),
    ):
        command.add_argument(option, action="append", default=[], metavar="COLUMN", help=f"{meaning}; repeatable")


def _add_why(commands: Any) -> None:
    why = commands.add_parser(
        "why",
        help="why is my net stuck? train many restarts of one setting, name the causes, try changes",
        formatter_class=_Formatter,
    )
    why.add_argument("--data", metavar="FILE", help="a .csv or .parquet file with one row a sample (default: XOR)")
    why.add_argument("--target", metavar="COLUMN", help="its column to learn")
    _add_table_options(why)
    why.add_argument("--sizes", type=_layers, metavar="2-4-1", help="units of each layer (default for XOR: 2-4-1)")
    why.add_argument("--hidden", default="relu", help=_HIDDEN_HELP)
    why.add_argument("--leaky-slope", type=float, default=0.01, help="of leaky_relu")
    why.add_argument(
        "--output", help=f"output activation: {', '.join(OUTPUT_ACTIVATIONS)} (default: what the data ask for)"
    )
    why.add_argument("--loss", help="bce, cross_entropy or mse (default: the one that goes with the output)")
    why.add_argument("--no-bias", action="store_true", help="units without biases")
    why.add_argument("--init", default="he_uniform", help="a scheme, or uniform:LOW:HIGH, or normal:STD")
    why.add_argument("--optimizer", default="sgd", help=", ".join(OPTIMIZERS))
    why.add_argument("--lr", "--learning-rate", type=float, default=0.5, help="the learning rate, of the mean loss")
    why.add_argument("--batch-size", type=_count, help="samples of a minibatch (default: all)")
    why.add_argument("--epochs", type=_count, default=2000, help="passes over the samples")
    why.add_argument(
        "--restarts",
        type=_count,
        help="nets, each with its own initial weights (default: 10,000, or fewer for large data)",
    )
    why.add_argument("--seed", type=int, default=0, help="fixes every initial weight")
    why.add_argument(
        "--mistake",
        action="append",
        default=[],
        metavar="NAME[:LAYER]",
        help="train with this mistake of the audit's catalogue, in one layer (1 is the first) or in all; "
        "repeatable; --mistake list lists them",
    )
    why.add_argument("--no-fixes", action="store_true", help="do not train the same seeds again with changes")
    why.add_argument(
        "--picture", default="why.png", metavar="FILE", help="file of the picture, if matplotlib is installed"
    )
    why.add_argument("--no-picture", action="store_true", help="draw no picture")
    why.add_argument("--html", metavar="FILE", help="also write a self-contained HTML page")
    why.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    why.add_argument("--no-progress", action="store_true", help="show no progress bar")
    why.add_argument("--threads", type=_count, default=None, help="threads (default: the processors it may use)")


# The module and the function of each command; modules are imported only when they are needed
_HANDLERS = {
    "xor": ("xor", "run"),
    "resume": ("xor", "resume"),
    "survey run": ("survey", "run"),
    "survey merge": ("survey", "merge"),
    "fit": ("fit", "fit"),
    "predict": ("fit", "predict"),
    "why": ("why", "run"),
    "gallery": ("gallery", "run"),
    "info": ("info", "show"),
    "warmup": ("info", "warm_up"),
}


def _run(options: argparse.Namespace) -> int:
    if options.command == "xor" and (options.executor or options.folder):
        from fastmlp.cli import xor_survey

        return xor_survey.run(options)
    module, function = _HANDLERS[options.command]
    return getattr(import_module(f"fastmlp.cli.{module}"), function)(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "survey":
        options.command = f"survey {options.action}"
    try:
        return _run(options)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (ValueError, TypeError, MemoryError, OSError, ImportError) as error:
        print(f"fastmlp {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        print(f"fastmlp {options.command}: interrupted {interruption}".rstrip(), file=sys.stderr)
        return 130


def _write_anything(stream: Any) -> None:
    """Let a stream replace characters that its encoding lacks, such as ²."""
    codecs.register_error("fastmlp", _in_plain_letters)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="fastmlp")


_PLAIN = str.maketrans({"²": "2", "−": "-", "·": "*", "×": "x", "…": "...", "–": "-", "✓": "yes", "’": "'"})


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode(), error.end


def command() -> NoReturn:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        _write_anything(stream)
    code = main()
    gc.freeze()  # saves a third of a second: the last garbage collection would go through all of Numba's objects
    sys.exit(code)
