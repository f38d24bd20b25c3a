#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault point: the daemon is killed there, or gets an error there, at the first hit and at later ones.

usage: points.py [--quick | --long [--journal FILE] [--seconds N]] [--seed N] [--jobs N] [--keep] [SCENARIO/POINT:N[:ERRNO|:kept]...]

First each scenario (scenarios.py) runs without a fault, and the hits of every point of the code's table are counted. A point that
no scenario hits is a failure. Then come the trials: a scenario, with one fault at the Nth hit of one point. The daemon is killed
there, or the call gets EIO, ENOSPC, EDQUOT or ENOMEM. Whoever was cut off begins again; in the end everything is compared with
what must be there, the counters add up, and an error was told to somebody. Or the daemon is killed under a keeper (kept), and
nobody begins anything again: applications go on, and none of them gets an error.

By default: kills at the first hit of each point in every scenario, and at hits 2 to 5 and 20 in the first scenario that has so many;
errors at the first and the seventh, likewise; under a keeper in the middle of the hits of three scenarios. --quick: fewer. --long:
every hit of every point in every scenario, in each of the six ways. Of a scenario whose matter comes late a hit at three quarters
stands for the first, and some after the middle for every. What was tried is noted in a journal: given again, a run that was
ended, or ended itself after --seconds, goes on where it was, and the last one reports on all of them.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import re
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
from scenario import KEPT, point_table

ERRORS = ["EIO", "ENOSPC", "EDQUOT", "ENOMEM"]
KILLS = [2, 3, 4, 5, 20]
FAILURES = [(1, ERRORS), (7, ["EIO", "ENOSPC"])]
QUICK_KILLS, QUICK_FAILURES = [1, 5], [(1, ["EIO", "ENOSPC"])]
BY_NAME = {scenario.__name__: scenario for scenario in scenarios.ALL}
LOADS = ["Demand", "Background"]
KEEPER_SINCE = (6, 9)
DISK_MB = 2048

Result = collections.namedtuple("Result", "name hits fired replaced failure took")


class Journal:
    """One JSON text a line: first the seed and the hits that were counted, then a Result for each trial, without its hits. Without a
    file nothing is noted."""

    def __init__(self, path):
        self.file, self.head, self.results = None, None, []
        if path:
            self.file = open(path, "a+", encoding="ascii")
            self.file.seek(0)
            whole, _, part = self.file.read().rpartition("\n")
            self.file.truncate(self.file.tell() - len(part))  # its writer was killed
            lines = [json.loads(line) for line in whole.splitlines()]
            self.head, self.results = lines[0] if lines else None, [Result(*line) for line in lines[1:]]

    def note(self, what):
        if self.file:
            self.file.write(json.dumps(what) + "\n")
            self.file.flush()

    def begin(self, seed, counts):
        self.head = {"seed": seed, "counts": counts}
        self.note(self.head)

    def add(self, result):
        self.results.append(result._replace(hits=None))
        self.note(self.results[-1])


def one_trial(sources, scenario, fault, seed, keep):
    """`seed`: what the trial does is a matter of it and of nothing else."""
    name = f"{scenario}/{fault or ''}"
    began, failure = time.monotonic(), None
    trial = BY_NAME[scenario](sources, fault, seed)
    try:
        trial.run()
    except (Failure, OSError, subprocess.SubprocessError) as error:
        where = traceback.extract_tb(error.__traceback__)
        failure = f"{error}\n{' < '.join(f'{frame.name}:{frame.lineno}' for frame in reversed(where))}\n{trial.place.tail()}"
    hits, fired, replaced = trial.hits(), trial.fired(), trial.replaced()
    if failure and keep:
        failure += f"\nkept: {trial.place.top}"
    else:
        trial.place.remove()
    return Result(name, hits, fired, replaced, failure, time.monotonic() - began)


def has_keeper():
    """Whether the kernel lets a daemon be replaced below its mount."""
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2]) >= KEEPER_SINCE


def choose(counts, point, hit):
    """The first scenario that is sure to have so many hits. The count of a load differs from run to run."""
    return next((name for name in BY_NAME if counts[name][point] >= (hit * 1.3 if hit > 1 and name in LOADS else hit)), None)


def short_form(counts, point, can_fail, kills, failures):
    for hit in kills:
        if scenario := choose(counts, point, hit):
            yield scenario, f"{point}:{hit}"
    for hit, errors in failures if can_fail else []:
        if scenario := choose(counts, point, hit):
            for error in errors:
                yield scenario, f"{point}:{hit}:{error}"


def kept_form(counts, point, loads):
    """In the middle: what comes first comes before there is a mount."""
    with_daemon = [name for name in BY_NAME if BY_NAME[name].has_daemon and counts[name][point]]
    for scenario in dict.fromkeys([*with_daemon[:1], *(name for name in with_daemon if name in loads)]):
        yield scenario, f"{point}:{counts[scenario][point] // 2 + 1}:{KEPT}"


def late_hits(count):
    """Some between the middle and three quarters; all of a few."""
    return range(count // 2 + 1, count * 3 // 4 + 2, max(1, count // 80))


def long_form(counts, point, can_fail, has_kept):
    for scenario in BY_NAME:
        ways = ["", *(f":{error}" for error in ERRORS if can_fail), *([f":{KEPT}"] if has_kept and BY_NAME[scenario].has_daemon else [])]
        hits = range(1, counts[scenario][point] + 1)
        for hit in late_hits(counts[scenario][point]) if BY_NAME[scenario].late else hits:
            for way in ways:
                yield scenario, f"{point}:{hit}{way}"


def plan(counts, arguments, has_kept):
    for point, can_fail in point_table():
        if arguments.long:
            yield from long_form(counts, point, can_fail, has_kept)
            continue
        if has_kept:
            yield from kept_form(counts, point, [] if arguments.quick else LOADS)
        if arguments.quick:
            yield from short_form(counts, point, can_fail, QUICK_KILLS, QUICK_FAILURES)
        else:
            yield from ((scenario, f"{point}:{1 if not BY_NAME[scenario].late else late_hits(counts[scenario][point])[-1]}")
                        for scenario in BY_NAME if counts[scenario][point])
            yield from short_form(counts, point, can_fail, KILLS, FAILURES)


class Runner:
    def __init__(self, pool, sources, arguments, journal):
        self.pool, self.sources, self.arguments, self.journal = pool, sources, arguments, journal
        self.failures = []

    def submit(self, scenario, fault):
        """In the long form all trials of a scenario do the same, so that a hit that was counted comes; otherwise none does what
        another one does."""
        name = scenario if self.arguments.long else f"{scenario}/{fault or ''}"
        seed = zlib.crc32(f"{self.arguments.seed} {name}".encode())
        return self.pool.submit(one_trial, self.sources, scenario, fault, seed, self.arguments.keep)

    def survey(self):
        """Hits of each point in each scenario."""
        jobs = {name: self.submit(name, None) for name in BY_NAME}
        counts = {}
        for name, job in jobs.items():
            result = job.result()
            counts[name] = result.hits
            print(f"{name}: {sum(result.hits.values())} hits of {sum(map(bool, result.hits.values()))} points, {result.took:.1f} s")
            if result.failure:
                self.failures.append((f"{name}/", result.failure))
        self.failures += [(point, "no scenario hits it: test/crash/scenarios.py needs one that does")
                          for point, _ in point_table() if not any(counts[name][point] for name in BY_NAME)]
        return counts

    def choose_trials(self):
        if self.arguments.trials:
            return [tuple(trial.split("/")) for trial in self.arguments.trials]
        if not has_keeper():
            print(f"no trials under a keeper: it needs Linux {'.'.join(map(str, KEEPER_SINCE))}")
        if not self.journal.head:
            self.journal.begin(self.arguments.seed, self.survey())
        return list(dict.fromkeys(plan(self.journal.head["counts"], self.arguments, has_keeper())))

    def run(self):
        wanted = self.choose_trials()
        done = {result.name for result in self.journal.results}
        jobs = {self.submit(*trial) for trial in wanted if "/".join(trial) not in done}
        deadline = time.monotonic() + self.arguments.seconds
        for job in concurrent.futures.as_completed(jobs):
            if job.cancelled():
                continue
            self.journal.add(job.result())
            if job.result().failure:
                print(f"FAILED: {job.result().name}", flush=True)
            if time.monotonic() > deadline:
                for other in jobs:
                    other.cancel()
        return self.report(wanted)

    def report(self, wanted):
        results = self.journal.results
        left = len(wanted) - len(results)
        self.failures += [(result.name, result.failure) for result in results if result.failure]
        fired = {result.name.split("/")[1].split(":")[0] for result in results if result.fired}
        if not left:
            never = sorted({fault.split(":")[0] for _, fault in wanted if fault} - fired)
            self.failures += [(point, "it never fired") for point in never]
        for name, failure in self.failures:
            print(f"FAILED: {name}: {failure}")
        slowest = sorted(results, key=lambda result: -result.took)[:3]
        print("slowest: " + ", ".join(f"{result.name} {result.took:.1f} s" for result in slowest))
        kept = [result for result in results if result.name.endswith(f":{KEPT}")]
        print(f"{len(results)} trials, {sum(result.fired for result in results)} fired; "
              f"{len(kept)} of them under a keeper, which replaced the daemon in {sum(result.replaced for result in kept)}; "
              f"passed {len(results) - len(self.failures)} failed {len(self.failures)}" + (f"; {left} are left" if left else ""))
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--journal", help="of the long form: a file")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no trial begins later")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=5 * (os.cpu_count() or 1), help="most of them wait")
    parser.add_argument("trials", nargs="*")
    arguments = parser.parse_args()
    place.go_inside()
    journal = Journal(arguments.journal)
    if journal.head:
        arguments.seed = journal.head["seed"]
    top = tempfile.mkdtemp(prefix="dmmfs-points-", dir=os.environ.get("TMPDIR"))
    try:
        place.work_in_memory(top, DISK_MB)
        os.environ["TMPDIR"] = top
        scenarios.make_sources(f"{top}/sources")
        print(f"seed {arguments.seed}, {len(point_table())} fault points", flush=True)
        with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
            return Runner(pool, f"{top}/sources", arguments, journal).run()
    finally:
        place.detach(top)
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
