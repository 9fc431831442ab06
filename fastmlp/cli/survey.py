"""`fastmlp survey run` and `merge`: surveys in folders, in parts that any scheduler of jobs can run."""

from __future__ import annotations

import argparse
import sys

from fastmlp.cli.executors import HERE, check_executor, executor_of, exit_code
from fastmlp.surveying import Survey, SurveyError, SurveyInterrupted, run_part
from fastmlp.surveying.found import gaps

MOST_SHOWN = 5  # ranges that are missing


def run(options: argparse.Namespace) -> int:
    """Train a part of a survey; returns the exit code."""
    check_executor(options)
    part, of = options.part
    code = 0
    try:
        with executor_of(options) as executor:
            found = run_part(
                options.folder,
                part,
                of,
                executor=executor,
                shard_threads=options.threads if options.executor == HERE else None,
                shard_seconds=options.shard_seconds,
                retries=options.retries,
                on_failure="skip" if options.skip_failed else "raise",
                progress=not options.no_progress,
            )
    except SurveyInterrupted as interruption:
        found, code = interruption.survey, exit_code(interruption)
        print("fastmlp survey run: interrupted; the same command continues it", file=sys.stderr)
    except SurveyError as error:
        found, code = error.survey, 1
        print(f"fastmlp survey run: {error}", file=sys.stderr)
    for first, stop, why in found.failed if not code else ():
        code = 1
        print(f"fastmlp survey run: nets {first} to {stop - 1} failed: {why}", file=sys.stderr)
    print(f"part {part} of {of}: {len(found):,} nets, {found.n_solved:,} of them solved, in {found.seconds:.1f} s")
    return code


def merge(options: argparse.Namespace) -> int:
    """Print what a folder holds; returns 1 if nets are missing."""
    found = Survey.from_folder(options.folder)
    print(found.to_json() if options.json else found)
    first, n_nets = (int(found.about[name]) for name in ("first_net", "n_nets"))
    missing = gaps(first, first + n_nets, found.done)
    if not missing:
        return 0
    ranges = ", ".join(f"{first} to {stop - 1}" for first, stop in missing[:MOST_SHOWN])
    more = f" and {len(missing) - MOST_SHOWN} more ranges" if len(missing) > MOST_SHOWN else ""
    print(
        f"fastmlp survey merge: nets {ranges}{more} are missing: fastmlp survey run {options.folder} trains them",
        file=sys.stderr,
    )
    return 1
