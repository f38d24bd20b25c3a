#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hours of everything at once: load with an oracle, kills, source outages, full targets; migration after migration.

usage: soak.py [--hours N | --seconds N] [--round SECONDS] [--seed N] [--only kill,outage,full]

Each round is one migration on a file system of its own, as in test/crash/kills.py, with trouble of all kinds until its time is over;
then it completes by itself, everything is compared, it is finished, and everything is compared again. The seed of each round is printed.
The last line is `passed N failed M`; a failed round is told of and does not end the soak.
"""
import argparse
import errno
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))

import kills  # noqa: E402
import place  # noqa: E402
from place import BUILDDIR, Failure, check  # noqa: E402

TARGET_BYTES = 1 << 30


class Load(kills.load.Load):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.may_fail = {errno.ENOSPC}  # to an application a full target is what a full file system is


kills.load.Load = Load


class Soak(kills.Round):
    def __init__(self, source, seed, seconds, troubles):
        super().__init__(source, seed, 0)
        self.seconds, self.troubles = seconds, troubles
        self.told = dict.fromkeys(troubles, 0)
        migration = self.migration
        self.control, self.filler = f"{migration.top}/slow", f"{migration.target}/filler"
        migration.source = f"slow://{source}"
        migration.env |= {"DMMFS_PLUGINDIR": str(BUILDDIR / "test/plugins"), "DMMFS_SLOW": self.control}
        with open(f"{migration.top}/disk", "wb") as disk:
            disk.truncate(TARGET_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", f"{migration.top}/disk"], check=True)
        if subprocess.run(["mount", "-o", "loop", f"{migration.top}/disk", migration.target]).returncode:
            place.skip("needs loop devices")
        os.rmdir(f"{migration.target}/lost+found")

    def rule(self, *lines):
        with open(f"{self.control}.new", "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.rename(f"{self.control}.new", self.control)

    def kill(self):
        self.migration.kill()
        check(self.start(self.rng.random() < 0.3), "the daemon does not start again")

    def outage(self):
        self.rule(self.rng.choice(["any error ECONNREFUSED", "any hang -", "any delay 100"]))
        time.sleep(self.rng.uniform(0.2, 2))
        self.rule()

    def full(self):
        """All room is taken past the mount, and given back."""
        room = os.statvfs(self.migration.target)
        with open(self.filler, "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_bsize - 8192, 4096))
            except OSError as error:
                check(error.errno == errno.ENOSPC, str(error))
        time.sleep(self.rng.uniform(0.2, 2))
        os.unlink(self.filler)

    def trouble(self):
        end = time.monotonic() + self.seconds
        due = self.rng.sample(self.troubles, len(self.troubles))  # each at least once, however short the round is
        while due or time.monotonic() < end:
            time.sleep(self.rng.uniform(0.05, 0.5))
            self.watch()
            check(not self.migration.ended(), f"the daemon died by itself: {self.migration.daemon.returncode}")
            which = due.pop() if due else self.rng.choice(self.troubles)
            getattr(self, which)()
            self.told[which] += 1
        self.migration.kill()
        check(self.start(True), "the daemon does not start again")

    def run(self):
        self.begin()
        self.trouble()
        return self.end()

    def clean_up(self):
        self.rule()
        migration = self.migration
        for process in self.workers:
            process.kill()
        for process in self.workers:
            process.join()
        if migration.daemon and not migration.ended():
            migration.kill()
        subprocess.run(["umount", "-l", migration.mount], stderr=subprocess.DEVNULL)
        subprocess.run(["umount", "-l", migration.target], stderr=subprocess.DEVNULL)
        migration.remove()


def one_round(source, seed, seconds, troubles):
    this = Soak(source, seed, seconds, troubles)
    try:
        counts, deaths, took = this.run()
    except Failure as failure:
        try:
            this.watch()
        except (Failure, EOFError) as first:
            failure = first if isinstance(first, Failure) else failure
        print(this.migration.tail())
        print(f"FAILED: seed {seed}: {failure}", flush=True)
        return False
    finally:
        this.clean_up()
    print(f"seed {seed}: ok: {this.told}, {sum(counts.values())} operations, {deaths} cut off, completed {took:.1f} s later", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--round", type=float, default=60)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", default="kill,outage,full")
    arguments = parser.parse_args()
    place.go_inside()
    seconds = arguments.hours * 3600 if arguments.hours else arguments.seconds
    seed = arguments.seed if arguments.seed is not None else int(time.time())
    top = tempfile.mkdtemp(prefix="dmmfs-soak-", dir=os.environ.get("TMPDIR"))
    passed = failed = 0
    try:
        kills.make_source(f"{top}/source", random.Random(1))
        end = time.monotonic() + seconds
        while passed + failed == 0 or time.monotonic() < end:
            length = min(arguments.round, max(end - time.monotonic(), 5))
            if one_round(f"{top}/source", seed + passed + failed, length, arguments.only.split(",")):
                passed += 1
            else:
                failed += 1
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f"passed {passed} failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
