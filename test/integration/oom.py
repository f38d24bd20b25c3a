#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that work on a mount (untroubled.py, large_pieces.py) while the kernel ends its daemon for want of memory, again and again.

usage: oom.py KILLS FULL_S SEED KEEPER LOG MOUNT WANTED GROUP LIMIT TOLD

WANTED has what the files of the source are like on the mount. GROUP is the control group that keeper and worker are in, LIMIT and TOLD the
names of its files that have the limit of its memory and count whom the kernel has ended in it. What fills the group is a file in memory: it
belongs to no process that could be ended instead, and is charged to whoever makes it larger, a process that is smaller than any worker. As
soon as somebody was ended the file goes; if FULL_S is not 0 the group is kept full for so long, so that new workers die as well, at whatever
they begin with.

Prints a line for each program, and fails when one of them got an error or wrong bytes, or when the keeper is gone.
"""
import contextlib
import os
import random
import re
import subprocess
import sys
import time

import large_pieces
import untroubled
from untroubled import Wrong, end_all, must, spawn, takeovers

MARGIN, PIECE = 4 << 20, 1 << 20
PROGRAMS = [untroubled.Names, untroubled.Held, untroubled.Removed, untroubled.Coming, untroubled.Opener, large_pieces.Writer,
            large_pieces.Reader, large_pieces.Mapper]


class Group:
    def __init__(self, path, limit, told):
        self.path, self.told = path, told
        self.limit = int(self.read(limit))
        self.used = "memory.current" if limit == "memory.max" else "memory.usage_in_bytes"

    def read(self, name):
        with open(f"{self.path}/{name}") as file:
            return file.read()

    def ended(self):
        return int(re.search(r"^oom_kill (\d+)$", self.read(self.told), re.MULTILINE)[1])

    def charge(self, file, at, size):
        """Makes the file larger at the cost of the group, as far as there is room."""
        subprocess.run(["/bin/sh", "-c", f'echo 0 >"{self.path}/cgroup.procs" && exec fallocate -o {at} -l {size} /proc/self/fd/{file}'],
                       pass_fds=[file], stderr=subprocess.DEVNULL, check=False)


def fill(group, full_s):
    file, before, at = os.memfd_create("filler"), group.ended(), 0
    try:
        room = group.limit - int(group.read(group.used)) - MARGIN
        if room > 0:
            group.charge(file, at, room)
            at = room
        end = time.monotonic() + 120
        while group.ended() == before:
            must(time.monotonic() < end, "nobody was ended, though the group is full")
            group.charge(file, at, PIECE)
            at += PIECE
        end = time.monotonic() + full_s
        while time.monotonic() < end:
            group.charge(file, at, PIECE)
            at += PIECE
    finally:
        os.close(file)


def is_there(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def run_out(kills, full_s, rng, group, keeper, log):
    for n in range(kills):
        time.sleep(rng.uniform(0.02, 0.4))
        served = len(takeovers(log))
        fill(group, full_s)
        end = time.monotonic() + 120
        while len(takeovers(log)) <= served:
            must(is_there(keeper), f"the keeper is gone after {n + 1}")
            must(time.monotonic() < end, f"nobody serves after {n + 1}")
            time.sleep(0.01)


def main():
    kills, full_s, seed, keeper, log, mount, wanted, *group = sys.argv[1:]
    kills, seed = int(kills), int(seed)
    group = Group(*group)
    print(f"seed {seed}", flush=True)
    at_work = [spawn(kind, mount, wanted, seed + n) for n, kind in enumerate(PROGRAMS)]
    failed = False
    try:
        run_out(kills, float(full_s), random.Random(seed), group, keeper, log)
    except (Wrong, OSError) as error:
        print(f"FAILED: {error}")
        failed = True
    failed |= end_all(at_work)
    print(f"{group.ended()} were ended, {len(takeovers(log))} served after one that was")
    return failed


if __name__ == "__main__":
    sys.exit(main())
