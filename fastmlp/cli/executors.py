"""The options --executor, --scheduler and --threads: what they name, as an executor of `survey`."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from fastmlp._engine.processors import thread_count
from fastmlp.surveying import PARTS, SurveyInterrupted

HERE = "here"


def check_executor(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.scheduler is not None and options.executor not in ("dask", "ray"):
        raise ValueError("--scheduler is the address for --executor dask or ray: pass both")


def exit_code(interruption: SurveyInterrupted) -> int:
    """As shells have it for a process that a signal has ended."""
    return 128 + interruption.signal


@contextlib.contextmanager
def executor_of(options: argparse.Namespace) -> Iterator[Any]:
    """The executor that the options name, until the survey ends."""
    if options.executor == HERE:
        yield None
    elif options.executor == PARTS:
        yield PARTS
    elif options.executor == "processes":
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(thread_count(options.threads), mp_context=context) as pool:
            yield pool
    elif options.executor == "dask":
        distributed = _imported("distributed", "dask")
        where = options.scheduler
        with distributed.Client(where) if where else distributed.Client(n_workers=options.threads) as client:
            yield client
    else:
        ray = _imported("ray", "ray")
        ray.init(address=options.scheduler, num_cpus=None if options.scheduler else options.threads)
        try:
            yield ray
        finally:
            ray.shutdown()


def _imported(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f"--executor {extra} needs the extra: pip install 'fastmlp[{extra}]'") from error
