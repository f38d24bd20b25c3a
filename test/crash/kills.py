#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 at random moments, under load, until nothing is left to move; then everything is compared.

usage: kills.py [--kills N] [--rounds N] [--seed N] [--keep]

Each round is one migration with its own seed and options. Processes change subtrees of their own and know what must be there
(load.py); another subtree is changed by nobody and must come over exactly. The daemon is killed and started again all the time.
At the end of a round the load stops, the migration completes by itself, a restart asks the source for nothing any more, the
counters add up, and after `finish` nothing of ours is left.
"""
import argparse
import multiprocessing
import os
import random
import shutil
import tempfile
import time

import load
import place
from place import PATIENCE_S, Failure, Place, check

PROCESSES = 3


def make_source(top, rng):
    os.mkdir(top)
    place.copy_real_files(f"{top}/quiet", 1500)
    place.make_odd_things(f"{top}/quiet", rng)
    for i in range(6):
        place.write_file(f"{top}/quiet/large-{i}", place.contents(rng, rng.randrange(1_000_000, 5_000_000)))
    place.make_links(f"{top}/quiet", [".", "odd", "odd/deep", "odd/deep/er", "usr"], rng, 30)
    for p in range(PROCESSES):
        mine = f"{top}/load-{p}"
        place.copy_real_files(mine, 400, skip_files=1500 + 400 * p)
        os.makedirs(f"{mine}/a/b/c")
        for i in range(8):
            place.write_file(f"{mine}/a/large-{i}", place.contents(rng, rng.randrange(200_000, 2_500_000)))
        place.make_links(mine, ["a", "a/b", "a/b/c"], rng, 15)
    place.age(top, rng)


def await_complete(migration):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        check(not migration.ended(), "the daemon has ended")
        figures = migration.stat()
        if figures and figures["state"] == "complete":
            return figures
        time.sleep(0.1)
    raise Failure(f"the migration does not complete: {migration.stat()}")


class Round:
    def __init__(self, source, seed, kills):
        self.rng = random.Random(seed)
        self.segsize = self.rng.choice(["4K", "8K", "16K", "64K"])
        whole = self.rng.choice(["0", "16K", "1M"])
        self.options = [f"segsize={self.segsize}", f"whole={whole}", "maxnsproc=3", "resnsproc=1", "maxdfproc=4", "resdfproc=1",
                        *(["nopassthrough"] if self.rng.random() < 0.3 else [])]
        self.source, self.kills = source, kills
        self.migration = Place(source, self.options)
        self.stop = multiprocessing.Value("b", 0)
        self.pipes, self.workers = [], []
        self.down_s, self.slowest_s, self.unfinished = 0, 0, 0

    def start(self, background):
        self.migration.options = [*self.options, f"background={'on' if background else 'off'}"]
        return self.migration.start()

    def begin(self):
        check(self.start(False), f"the daemon does not start: {self.migration.tail()}")
        for p in range(PROCESSES):
            ours, theirs = multiprocessing.Pipe()
            worker = load.Load(self.source, f"load-{p}", self.rng.random(), self.migration.mount, self.migration.outside, None,
                               self.stop)
            process = multiprocessing.Process(target=load.process, args=(theirs, worker), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.workers.append(process)

    def watch(self):
        for pipe in self.pipes:
            if pipe.poll():
                raise Failure(str(pipe.recv()))

    def kill_all_the_time(self):
        for n in range(self.kills):
            time.sleep(self.rng.uniform(0.05, 0.4))
            self.watch()
            check(not self.migration.ended(), f"the daemon died by itself: {self.migration.daemon.returncode}")
            self.migration.kill()
            began = time.monotonic()
            # Mostly demand alone moves things, or all would be over after a few kills.
            check(self.start(n == self.kills - 1 or self.rng.random() < 0.15), "the daemon does not start again")
            took = time.monotonic() - began
            self.down_s += took
            self.slowest_s = max(self.slowest_s, took)
            figures = self.migration.stat()
            self.unfinished += not figures or figures["state"] != "complete"

    def ask(self, command):
        answers = []
        for pipe in self.pipes:
            pipe.send(command)
        for pipe in self.pipes:
            check(pipe.poll(PATIENCE_S), "a load process does not answer")
            answers.append(pipe.recv())
            check(answers[-1][0] == "verified", str(answers[-1]))
        return answers

    def end_load(self):
        self.stop.value = 1
        counts, deaths = {}, 0
        for pipe in self.pipes:
            check(pipe.poll(PATIENCE_S), "a load process does not stop")
            answer = pipe.recv()
            check(answer[0] == "stopped", str(answer))
            deaths += answer[2]
            for name, count in answer[1].items():
                counts[name] = counts.get(name, 0) + count
        return counts, deaths

    def end(self):
        counts, deaths = self.end_load()
        began = time.monotonic()
        figures = await_complete(self.migration)
        took = time.monotonic() - began
        self.migration.check_totals(figures)
        self.ask(self.migration.mount)
        place.compare_trees(f"{self.source}/quiet", f"{self.migration.mount}/quiet")

        self.migration.kill()
        check(self.migration.start(), "the daemon does not start when all is done")
        figures = await_complete(self.migration)
        check(figures["source_requests"] < 20, f"a restart at the end asks the source {figures['source_requests']} times")
        self.migration.check_totals(figures)

        status, said = self.migration.finish()
        check(status == 0, f"finish: {said}")
        self.migration.daemon.wait(PATIENCE_S)
        check(self.migration.daemon.returncode == 0, f"after finish the daemon exits with {self.migration.daemon.returncode}")
        self.migration.check_no_trace()
        self.ask(self.migration.target)
        place.compare_trees(f"{self.source}/quiet", f"{self.migration.target}/quiet")
        for pipe in self.pipes:
            pipe.send(None)
        return counts, deaths, took

    def run(self):
        self.begin()
        self.kill_all_the_time()
        return self.end()

    def clean_up(self):
        for process in self.workers:
            process.kill()
        for process in self.workers:
            process.join()
        self.migration.remove()


def one_round(source, seed, kills, keep):
    began = time.monotonic()
    this = Round(source, seed, kills)
    print(f"seed {seed}: {kills} kills, {' '.join(this.options)}", flush=True)
    try:
        counts, deaths, took = this.run()
    except Failure as failure:
        try:
            this.watch()
        except Failure as first:
            failure = first
        print(this.migration.tail())
        print(f"FAILED: seed {seed}: {failure}")
        if keep:
            print(f"kept: {this.migration.top}")
            os._exit(1)
        return False
    finally:
        if not keep:
            this.clean_up()
    if keep:
        this.clean_up()
    print(f"seed {seed}: ok: {kills} kills, {sum(counts.values())} operations, {deaths} cut off, "
          f"{this.unfinished} times something was still to come, restart {this.down_s / kills * 1000:.0f} ms "
          f"(slowest {this.slowest_s * 1000:.0f}), completed {took:.1f} s later, "
          f"{time.monotonic() - began:.0f} s in all", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    place.go_inside()
    top = tempfile.mkdtemp(prefix="dmmfs-kills-", dir=os.environ.get("TMPDIR"))
    try:
        source = f"{top}/source"
        make_source(source, random.Random(1))
        first = arguments.seed if arguments.seed is not None else int(time.time())
        done = 0
        for n in range(arguments.rounds):
            kills = (arguments.kills - done) // (arguments.rounds - n)
            if not one_round(source, first + n, kills, arguments.keep):
                return 1
            done += kills
        print(f"{done} kills")
        return 0
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
