#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault point: the daemon is killed there, or gets an error there, at the first hit and at later ones.

usage: points.py [--quick | --long [--most N] [--part K/N]] [--seed N] [--keep] [SCENARIO/POINT:N[:ERRNO]...]

First each scenario (scenarios.py) runs without a fault, and the hits of every point of the code's table are counted. A point that
no scenario hits is a failure. Then come the trials: a scenario, with one fault at the Nth hit of one point. The daemon is killed
there, or the call gets EIO, ENOSPC, EDQUOT or ENOMEM. Whoever was cut off begins again; in the end everything is compared with
what must be there, the counters add up, and an error was told to somebody.

By default: kills at the first hit of each point in every scenario, and at hits 2 to 5, 20, 80 in the first scenario that has so many;
errors at the first and the seventh, likewise. --quick: fewer. --long: in each scenario, every hit up to --most; that takes hours, and
--part 3/40 is every fortieth trial of it, from the third on.
"""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

import place
import scenarios
from place import Failure

ERRORS = ["EIO", "ENOSPC", "EDQUOT", "ENOMEM"]
KILLS = [2, 3, 4, 5, 20, 80]
FAILURES = [(1, ERRORS), (7, ["EIO", "ENOSPC"])]
QUICK_KILLS, QUICK_FAILURES = [1, 5], [(1, ["EIO", "ENOSPC"])]
BY_NAME = {scenario.__name__: scenario for scenario in scenarios.ALL}


def one_trial(sources, scenario, fault, seed, keep):
    """(name, hits of all points, fired, failure, seconds)"""
    name = f"{scenario}/{fault or ''}"
    began, failure = time.monotonic(), None
    trial = BY_NAME[scenario](sources, fault, zlib.crc32(f"{seed} {name}".encode()))
    try:
        trial.run()
    except (Failure, OSError, subprocess.SubprocessError) as error:
        where = traceback.extract_tb(error.__traceback__)
        failure = f"{error}\n{' < '.join(f'{frame.name}:{frame.lineno}' for frame in reversed(where))}\n{trial.place.tail()}"
    hits, fired = trial.hits(), trial.fired()
    if failure and keep:
        failure += f"\nkept: {trial.place.top}"
    else:
        trial.place.remove()
    return name, hits, fired, failure, time.monotonic() - began


def choose(counts, point, hit):
    """The first scenario that is sure to have so many hits. The count of a load differs from run to run."""
    return next((name for name in BY_NAME if counts[name][point] >= (hit if hit == 1 else hit * 1.3)), None)


def short_form(counts, point, can_fail, kills, failures):
    for hit in kills:
        if scenario := choose(counts, point, hit):
            yield scenario, f"{point}:{hit}"
    for hit, errors in failures if can_fail else []:
        if scenario := choose(counts, point, hit):
            for error in errors:
                yield scenario, f"{point}:{hit}:{error}"


def long_form(counts, point, can_fail, most):
    for scenario in BY_NAME:
        for hit in range(1, min(counts[scenario][point], most) + 1):
            for error in ["", *(ERRORS if can_fail else [])]:
                yield scenario, f"{point}:{hit}" + (f":{error}" if error else "")


def survey(pool, sources, arguments, failures):
    """Hits of each point in each scenario."""
    jobs = {name: pool.submit(one_trial, sources, name, None, arguments.seed, arguments.keep) for name in BY_NAME}
    counts = {}
    for name, job in jobs.items():
        _, counts[name], _, failure, took = job.result()
        print(f"{name}: {sum(counts[name].values())} hits of {sum(1 for n in counts[name].values() if n)} points, {took:.1f} s")
        if failure:
            failures.append((f"{name}/", failure))
    return counts


def plan(counts, arguments):
    for point, can_fail in scenarios.point_table():
        if arguments.long:
            yield from long_form(counts, point, can_fail, arguments.most)
        elif arguments.quick:
            yield from short_form(counts, point, can_fail, QUICK_KILLS, QUICK_FAILURES)
        else:
            yield from ((scenario, f"{point}:1") for scenario in BY_NAME if counts[scenario][point])
            yield from short_form(counts, point, can_fail, KILLS, FAILURES)


def run(pool, sources, arguments):
    failures, wanted = [], [trial.split("/") for trial in arguments.trials]
    if not wanted:
        counts = survey(pool, sources, arguments, failures)
        for point, _ in scenarios.point_table():
            if not any(counts[name][point] for name in BY_NAME):
                failures.append((point, "no scenario hits it: test/crash/scenarios.py needs one that does"))
        wanted = list(plan(counts, arguments))
        if arguments.part:
            part, parts = map(int, arguments.part.split("/"))
            print(f"part {part} of {parts} of {len(wanted)} trials", flush=True)
            wanted = wanted[part - 1::parts]
    jobs = [pool.submit(one_trial, sources, *trial, arguments.seed, arguments.keep) for trial in wanted]
    results = [job.result() for job in concurrent.futures.as_completed(jobs)]
    failures += [(name, failure) for name, _, _, failure, _ in results if failure]
    fired = {name.split("/")[1].split(":")[0] for name, _, has_fired, _, _ in results if has_fired}
    if not arguments.part:  # which may have late hits of a point alone, and loads differ
        failures += [(point, "it never fired") for point in sorted({fault.split(":")[0] for _, fault in wanted if fault} - fired)]
    for name, failure in failures:
        print(f"FAILED: {name}: {failure}")
    slowest = sorted(results, key=lambda result: -result[4])[:3]
    print("slowest: " + ", ".join(f"{name} {took:.1f} s" for name, _, _, _, took in slowest))
    print(f"{len(results)} trials, {sum(1 for result in results if result[2])} fired; "
          f"passed {len(results) - len(failures)} failed {len(failures)}")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--most", type=int, default=40, help="hits of one point in one scenario, in the long form")
    parser.add_argument("--part", help="K/N")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("trials", nargs="*")
    arguments = parser.parse_args()
    place.go_inside()
    top = tempfile.mkdtemp(prefix="dmmfs-points-", dir=os.environ.get("TMPDIR"))
    try:
        scenarios.make_sources(f"{top}/sources")
        print(f"seed {arguments.seed}, {len(scenarios.point_table())} fault points", flush=True)
        with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
            return run(pool, f"{top}/sources", arguments)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
