#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault point: the daemon is killed there, or gets an error there, at the first hit and at later ones.

usage: points.py [--seed N] [--keep] [POINT[:N[:ERRNO]]...]

Each trial is a migration of its own, with a load that knows what must be there (load.py). After the point has fired the daemon
is started again if it died; the migration completes by itself, everything is compared, the counters add up, no error is left in
the ledger, and finish leaves no trace. A trial whose point does not fire ends the row of its point.
"""
import argparse
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import load
import place
from place import BUILDDIR, Failure, Place, check

HITS = {"kill": [1, 2, 5, 20, 80], "EIO": [1, 7], "ENOSPC": [1, 7]}
OPERATIONS = 150
ELSEWHERE = ("again-", "renew-", "remains-", "delete-", "rebuild-")  # test/integration: errors-killed.sh, delete.sh, rebuild.sh, test_migrate


def make_source(top, rng):
    os.mkdir(top)
    place.copy_real_files(f"{top}/quiet", 60)
    place.make_odd_things(f"{top}/quiet", rng)
    place.write_file(f"{top}/quiet/large", place.contents(rng, 300_000))
    place.make_links(f"{top}/quiet", [".", "odd", "odd/deep", "usr"], rng, 8)
    mine = f"{top}/load"
    place.copy_real_files(mine, 60, skip_files=60)
    os.makedirs(f"{mine}/a/b")
    for i in range(5):
        place.write_file(f"{mine}/a/large-{i}", place.contents(rng, rng.randrange(100_000, 300_000)))
    place.make_links(mine, ["a", "a/b"], rng, 6)
    place.age(top, rng)


class Countdown:
    """The load's `stop`: after so many looks."""

    def __init__(self, count):
        self.left = count

    @property
    def value(self):
        self.left -= 1
        return self.left < 0


class Trial:
    def __init__(self, source, point, hit, mode, seed):
        self.name = f"{point}:{hit}" + ("" if mode == "kill" else f":{mode}")
        self.seed, self.mode = zlib.crc32(f"{seed} {self.name}".encode()), mode
        self.rng = random.Random(self.seed)
        self.fault, self.fired = self.name, False
        by_demand = point.startswith(("fetch-", "write-", "resize-"))  # segment by segment, while applications wait
        self.options = [f"segsize={self.rng.choice(['4K', '16K'])}", f"whole={0 if by_demand else self.rng.choice(['0', '1M'])}",
                        "maxnsproc=3", "resnsproc=1", "maxdfproc=4", "resdfproc=1"]
        self.source, self.migration = source, Place(source, self.options)
        self.background = not by_demand and self.rng.random() < 0.5
        self.lock, self.over = threading.Lock(), False

    # --- the daemon ---

    def start(self):
        """True when it serves, False when there is nothing left to serve."""
        self.migration.options = [*self.options, f"background={'on' if self.background else 'off'}"]
        for _ in range(3):
            if self.migration.start(None if self.fired else self.fault):
                return True
            if self.migration.daemon.returncode >= 0 and "is complete" in self.migration.tail(3):
                return False
            self.note_fired()
        raise Failure(f"the daemon does not start: {self.migration.daemon.returncode}")

    def note_fired(self):
        if self.fired:
            return
        if self.mode == "kill":
            self.fired = self.migration.ended() and self.migration.daemon.returncode == -9
        else:
            with open(self.migration.log, errors="replace") as log:
                self.fired = "fault point" in log.read()

    def watch(self):
        """Starts the daemon again whenever it has died."""
        while not self.over:
            with self.lock:
                if self.migration.ended():
                    check(self.migration.daemon.returncode == -9, f"the daemon exits: {self.migration.daemon.returncode}")
                    self.note_fired()
                    self.start()
            time.sleep(0.005)

    # --- the trial ---

    def await_complete(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            figures = self.migration.stat()
            if figures and figures["state"] == "complete":
                return figures
            time.sleep(0.05)
        raise Failure(f"the migration does not complete: {self.migration.stat()}")

    def use(self):
        self.start()
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        try:
            worker = load.Load(self.source, "load", self.seed, self.migration.mount, self.migration.outside, None,
                               Countdown(OPERATIONS))
            if self.mode != "kill":
                worker.may_fail = load.ERRORS
            worker.run()
            with self.lock:
                self.note_fired()
                if not self.background:
                    self.background = True
                    if not self.migration.ended():
                        self.migration.kill()
                    self.start()
            figures = self.await_complete()
            worker.verify(self.migration.mount)
            place.compare_trees(f"{self.source}/quiet", f"{self.migration.mount}/quiet")
            figures = self.await_complete()
            self.migration.check_totals(figures)
        finally:
            self.over = True
            watcher.join()
        return worker

    def finish(self):
        for _ in range(4):
            if self.migration.ended():
                self.note_fired()
                if not self.start():
                    return
                self.await_complete()
            status, said = self.migration.finish()
            self.note_fired()
            if status == 0:
                self.migration.daemon.wait(30)
                check(self.migration.daemon.returncode == 0, f"after finish the daemon exits with {self.migration.daemon.returncode}")
                return
            try:
                self.migration.daemon.wait(1)
            except subprocess.TimeoutExpired:
                pass
        raise Failure(f"finish: {said}")

    def run(self):
        worker = self.use()
        errors = subprocess.run([place.ADMIN, "errors", "1"], env=self.migration.env, capture_output=True, text=True)
        self.finish()
        self.note_fired()
        self.migration.check_no_trace()
        worker.verify(self.migration.target)
        place.compare_trees(f"{self.source}/quiet", f"{self.migration.target}/quiet")
        check("create" not in errors.stdout, f"errors are left: {errors.stdout}")


def one_trial(source, point, hit, mode, seed, keep):
    """(name, fired, failure)"""
    trial = Trial(source, point, hit, mode, seed)
    failure = None
    try:
        trial.run()
    except (Failure, OSError, subprocess.SubprocessError) as error:
        failure = f"{error}\n{trial.migration.tail()}"
    finally:
        if failure and keep:
            failure += f"\nkept: {trial.migration.top}"
        else:
            trial.migration.remove()
    return trial.name, trial.fired, failure


def one_row(source, point, mode, seed, keep):
    """All hits of a point, as long as it fires."""
    results = []
    for hit in HITS[mode]:
        results.append(one_trial(source, point, hit, mode, seed, keep))
        if not results[-1][1] or results[-1][2]:
            break
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("trials", nargs="*")
    arguments = parser.parse_args()
    place.go_inside()
    top = tempfile.mkdtemp(prefix="dmmfs-points-", dir=os.environ.get("TMPDIR"))
    try:
        source = f"{top}/source"
        make_source(source, random.Random(1))
        names = subprocess.run([BUILDDIR / "test/crash/fault_points"], capture_output=True, text=True, check=True).stdout.split()
        print(f"seed {arguments.seed}, {len(names)} fault points")
        with concurrent.futures.ProcessPoolExecutor(4) as pool:
            if arguments.trials:
                wanted = [(trial.split(":") + ["1", "kill"])[:3] if trial.count(":") < 2 else trial.split(":")
                          for trial in arguments.trials]
                wanted = [(name, int(hit) if hit != "kill" else 1, mode if mode != "1" else "kill") for name, hit, mode in wanted]
                jobs = [pool.submit(one_trial, source, *trial, arguments.seed, arguments.keep) for trial in wanted]
                results = [job.result() for job in jobs]
            else:
                jobs = [pool.submit(one_row, source, name, mode, arguments.seed, arguments.keep)
                        for name in names for mode in HITS]
                results = [result for job in jobs for result in job.result()]
        fired = {name.split(":")[0] for name, has_fired, _ in results if has_fired}
        failures = [(name, failure) for name, _, failure in results if failure]
        for name, failure in failures:
            print(f"FAILED: {name}: {failure}")
        never = [name for name in names if name not in fired and not name.startswith(ELSEWHERE)] if not arguments.trials else []
        for name in never:
            print(f"FAILED: {name} never fired")
        print(f"{len(results)} trials, {sum(1 for result in results if result[1])} fired, {len(failures)} failed")
        return 1 if failures or never else 0
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
