"""A task, as a worker runs it: it returns its answer or its failure, and raises nothing.

Engines treat exceptions of their tasks in different ways, and a worker must not end with a task that was interrupted.
"""

from __future__ import annotations

import functools
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from fastmlp._simd.cache import sources_hash
from fastmlp._version import version
from fastmlp.distributing.data import Data, MissingDataError, SentData, data_of
from fastmlp.training import TrainingInterrupted

Work = Callable[[Any, Data], Any]


class Answer(NamedTuple):
    """What a task gave."""

    result: Any
    identity: dict[str, str]
    where: str
    seconds: float


class Failure(NamedTuple):
    """Why a task failed."""

    message: str
    details: str
    where: str
    needs_data: bool = False


@functools.cache
def identity() -> dict[str, str]:
    """What must be the same in all processes of a job: the release or commit, and the sources of the kernels.

    A checkout's version without what tells when it was installed.
    """
    return {"fastmlp": version().split("+")[0], "kernels": sources_hash()}


def here() -> str:
    """This process, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def run_here(work: Work, task: Any, sent: SentData) -> Answer:
    """Run a task; raises what it raises."""
    begun = time.perf_counter()
    return Answer(work(task, data_of(sent)), identity(), here(), time.perf_counter() - begun)


def run_in_worker(work: Work, task: Any, sent: SentData) -> Answer | Failure:
    """Run a task in a worker."""
    try:
        return run_here(work, task, sent)
    except (Exception, TrainingInterrupted) as error:
        message = f"{type(error).__name__}: {error}"
        return Failure(message, traceback.format_exc(), here(), isinstance(error, MissingDataError))
