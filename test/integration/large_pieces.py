#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that write and read large pieces while the daemon is killed in the moment in which it begins to receive requests.

usage: large_pieces.py KILLS SEED KEEPER LOG MOUNT

A request that the kernel is just copying into the daemon, or an answer out of it, must not be lost when the daemon is killed. Most of
all while it copies into memory that was never used before: so a new daemon is killed within its first milliseconds, again and again.
Prints a line for each program, and fails when one of them got an error, or bytes that are not what they must be.
"""
import mmap
import os
import random
import signal
import sys
import time

from untroubled import Program, Wrong, end_all, must, spawn, takeovers

PIECE, PIECES = 1 << 20, 8
FIRST_S = 0.005
SERVED = 3  # one of so many may begin well: 20 that do not, one after another, and the keeper gives up


class Writer(Program):
    def begin(self):
        self.fd = os.open(self.path(f"{self.rng.random()}"), os.O_CREAT | os.O_RDWR)
        self.pieces = [b""] * PIECES
        self.bytes = [self.rng.randbytes(PIECE - n) for n in range(PIECES)]

    def step(self):
        at, piece = self.rng.randrange(PIECES), self.rng.choice(self.bytes)
        must(os.pwrite(self.fd, piece, at * PIECE) == len(piece), "a short write")
        self.pieces[at] = piece + self.pieces[at][len(piece):]

    def check(self):
        for at, piece in enumerate(self.pieces):
            must(os.pread(self.fd, len(piece), at * PIECE) == piece, f"other bytes in piece {at}")


class Reader(Program):
    """What the kernel has kept is thrown away, so it asks for all of a piece."""

    def begin(self):
        self.fd = os.open(self.path("file"), os.O_CREAT | os.O_RDWR)
        self.pieces = [self.rng.randbytes(PIECE) for _ in range(PIECES)]
        for at, piece in enumerate(self.pieces):
            must(os.pwrite(self.fd, piece, at * PIECE) == PIECE, "a short write")

    def step(self):
        at = self.rng.randrange(PIECES)
        os.posix_fadvise(self.fd, at * PIECE, PIECE, os.POSIX_FADV_DONTNEED)
        must(os.pread(self.fd, PIECE, at * PIECE) == self.pieces[at], f"other bytes in piece {at}")


class Mapper(Program):
    """What is stored in memory, the kernel writes, in large pieces as well; the error comes with msync(2)."""

    def begin(self):
        self.fd = os.open(self.path("file"), os.O_CREAT | os.O_RDWR)
        os.truncate(self.fd, PIECE)
        self.map = mmap.mmap(self.fd, PIECE)

    def step(self):
        self.map[:] = bytes([self.n % 256]) * PIECE
        self.map.flush()


PROGRAMS = [Writer, Writer, Writer, Writer, Reader, Mapper]


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def receives(worker):
    """Has it threads that receive requests?"""
    try:
        for thread in os.listdir(f"/proc/{worker}/task"):
            with open(f"/proc/{worker}/task/{thread}/comm") as file:
                if file.read() == "fuse\n":
                    return True
    except (FileNotFoundError, ProcessLookupError):
        pass
    return False


def await_that(function, what):
    end = time.monotonic() + 60
    while not (found := function()):
        must(time.monotonic() < end, f"waited in vain for {what}")
        time.sleep(0.0002)
    return found


def kill_at_the_beginning(kills, rng, keeper, log):
    worker, served = None, -1
    for n in range(kills):
        if n % SERVED == 0:
            await_that(lambda: len(takeovers(log)) > served, "one that serves")
        found = await_that(lambda: [child for child in children(keeper) if child != worker], "another worker")
        worker = found[0]
        await_that(lambda: receives(worker), "one that receives requests")
        time.sleep(rng.uniform(0, FIRST_S))
        served = len(takeovers(log))
        os.kill(worker, signal.SIGKILL)


def main():
    kills, seed, keeper, log, mount = sys.argv[1:]
    seed, keeper = int(seed), int(keeper)
    rng = random.Random(seed)
    print(f"seed {seed}", flush=True)
    at_work = [spawn(kind, mount, None, seed + n) for n, kind in enumerate(PROGRAMS)]
    failed = False
    try:
        kill_at_the_beginning(int(kills), rng, keeper, log)
    except (Wrong, OSError) as error:
        print(f"FAILED: {error}")
        failed = True
    failed |= end_all(at_work)
    print(f"{len(takeovers(log))} of {kills} served before they were killed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
