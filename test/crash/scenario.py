# SPDX-License-Identifier: GPL-3.0-or-later
"""What every scenario has: a fault that is armed, steps that are taken again, an end.

A scenario is a row of steps towards an end that is known. A step that is cut off, because the daemon or a command died or got the
injected error, is simply taken again, as an administrator or an application would. The fault happens once; so in the end everything
must be as if it had not happened.

Under a keeper (a fault POINT:N:kept) nobody takes anything again but the administrator: the daemon that dies is replaced by its
keeper, applications go on and see no error at all, and a daemon that nobody replaced is a failure. A bystander works beside the steps
with what it has held open since the mount was there.
"""
import errno
import functools
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import load
from place import ADMIN, BUILDDIR, DMMFS, PATIENCE_S, Failure, Place, check, detach, read_all

KILLED = -signal.SIGKILL
KEPT = "kept"
TRIES = 8


@functools.cache
def point_table():
    """[(name, whether something can fail there)], as the code has them."""
    lines = subprocess.run([BUILDDIR / "test/crash/fault_points"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [(name, how == "fails") for name, how in (line.split() for line in lines)]


def growing():
    """How long to wait before looking again, time after time: short waits are found soon, long ones cost little."""
    pause = 0.004
    while True:
        yield pause
        pause = min(pause * 1.5, 0.25)


class Bystander(threading.Thread):
    """An application that opened its files before the daemon died: one without a name, and one of the source, which nobody changes."""
    SIZE = 1 << 16

    def __init__(self, mount, steady, source):
        super().__init__()
        self.over, self.failure = threading.Event(), None
        self.rng = random.Random(1)
        self.bytes = bytearray(self.SIZE)
        self.steady, self.steady_bytes = steady, read_all(f"{source}/{steady}") if steady else b""
        self.root = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
        self.nameless = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=self.root)
        os.truncate(self.nameless, self.SIZE)
        self.held = os.open(steady, os.O_RDONLY, dir_fd=self.root) if steady else None

    def run(self):
        try:
            while not self.over.wait(0.003):
                self.step()
            found = os.pread(self.nameless, self.SIZE, 0)
            check(found == self.bytes, "the file without a name has other bytes")
        except (OSError, Failure) as failure:
            self.failure = failure
        for fd in (self.root, self.nameless, self.held):
            if fd is not None:
                os.close(fd)

    def step(self):
        at, piece = self.rng.randrange(self.SIZE), self.rng.randbytes(300)[:self.rng.randrange(1, 300)]
        piece = piece[:self.SIZE - at]
        check(os.pwrite(self.nameless, piece, at) == len(piece), "a short write")
        self.bytes[at:at + len(piece)] = piece
        check(os.pread(self.nameless, len(piece), at) == piece, "what was written is not what is read")
        check(os.fstat(self.nameless).st_nlink == 0, "it has a name")
        if self.steady:
            at = self.rng.randrange(len(self.steady_bytes))
            check(os.pread(self.held, 5000, at) == self.steady_bytes[at:at + 5000], f"{self.steady}: other bytes at {at}")
            st = os.stat(self.steady, dir_fd=self.root)
            check(st.st_size == len(self.steady_bytes), f"{self.steady}: size {st.st_size}")


class Scenario:
    """One migration. `fault`: POINT:N, POINT:N:ERRNO, POINT:N:kept, or None."""
    options = []
    plugin = None  # "slow": a source whose requests fail on demand
    source_is_changed = False
    has_daemon = True  # while the fault is armed
    late = False  # what it is for comes late: the hits that count are not the first
    steady = None  # a file that is in the source, with these bytes, all the time

    def __init__(self, sources, fault, seed):
        self.fault = fault
        how = fault.split(":")[2] if fault and fault.count(":") == 2 else None
        self.kept = how == KEPT
        self.error = None if self.kept else how
        self.dead = set() if self.kept else load.DEAD
        self.rng, self.seed = random.Random(seed), seed
        self.points = [name for name, _ in point_table()]
        self.path = f"{sources}/{type(self).__name__}"
        self.place = Place(self.path, self.options)
        if self.source_is_changed:
            self.path = shutil.copytree(self.path, f"{self.place.top}/source", symlinks=True)
        self.place.env["DMMFS_DAEMON"] = str(DMMFS)
        if self.plugin:
            self.place.env.update(DMMFS_PLUGINDIR=str(BUILDDIR / "test/plugins"), DMMFS_SLOW=f"{self.place.top}/slow")
        self.place.source = f"{self.plugin}://{self.path}" if self.plugin else self.path
        self.said = []  # what commands and system calls told of errors
        self.served, self.bystander = False, None

    # --- the fault ---

    def arm(self):
        self.place.env["DMMFS_FAULT_HITS"] = f"{self.place.top}/hits"
        if self.fault:
            self.place.env["DMMFS_FAULT"] = self.fault.removesuffix(f":{KEPT}")
        if self.kept:
            self.place.keeper = "on"

    def hits(self):
        try:
            with open(f"{self.place.top}/hits", "rb") as file:
                return dict(zip(self.points, struct.unpack(f"={len(self.points)}Q", file.read())))
        except (FileNotFoundError, struct.error):
            return dict.fromkeys(self.points, 0)

    def fired(self):
        if not self.fault:
            return False
        name, hit = self.fault.split(":")[:2]
        return self.hits()[name] >= int(hit)

    def replaced(self):
        """A keeper has put another daemon in the place of the one that died."""
        try:
            with open(self.place.log, errors="replace") as log:
                return any("event=takeover" in line for line in log)
        except FileNotFoundError:
            return False

    def logged(self):
        """The lines of the log that the daemon has in memory."""
        lines = subprocess.run([ADMIN, "log", "1"], env=self.place.env, capture_output=True, text=True, timeout=PATIENCE_S).stdout
        return [line for line in lines.splitlines() if "fault point " not in line]

    def check_reported(self):
        """Whoever looks for the error finds it: in an answer, in the log, in the ledger."""
        with open(self.place.log, errors="replace") as log:
            lines = [line for line in log if "fault point " not in line and not line.startswith("--- start")]
        words = [self.error, os.strerror(getattr(errno, self.error))]
        if self.error in ("ENOSPC", "EDQUOT"):
            words.append("event=target-full")
        found = any(word in text for text in [*lines, *self.said] for word in words)
        check(found, f"{self.fault}: nobody was told of {self.error}")

    # --- steps ---

    def may_end(self, status):
        """A keeper ends with its daemon only while there is no mount that it could keep."""
        return self.fired() and (status == KILLED or (self.error and status > 0)) and not (self.kept and self.served)

    def has_finished(self):
        """A keeper has brought to its end what was begun."""
        figures = self.place.stat() if self.kept and self.served and self.place.daemon.returncode == 0 else None
        return figures and figures["state"] == "complete"

    def up(self):
        """A daemon serves. False: the migration is complete, and there is nothing to serve."""
        for _ in range(TRIES):
            if self.place.daemon and not self.place.ended():
                return True
            if self.place.daemon and self.has_finished():
                return False
            check(not self.place.daemon or self.may_end(self.place.daemon.returncode),
                  f"the daemon exits: {self.place.daemon and self.place.daemon.returncode}, {self.said[-1:]}")
            if self.place.start():
                self.served = True
                if self.kept:
                    self.bystander = Bystander(self.place.mount, self.steady, self.path)
                    self.bystander.start()
                return True
            status = self.place.daemon.returncode
            if status >= 0 and "is complete" in self.place.tail(3):
                return False
            check(self.may_end(status), f"the daemon does not start: {status}: {self.place.tail(5)}")
        raise Failure(f"the daemon does not start, time and again: {self.place.tail(5)}")

    def dismiss(self):
        """The bystander goes home: from now on the mount may go."""
        if self.bystander:
            self.bystander.over.set()
            self.bystander.join()
            check(not self.bystander.failure, f"a bystander: {self.bystander.failure}")
        self.bystander = None

    def revive(self):
        """If the daemon has died it is started again."""
        if self.place.daemon and self.place.ended():
            self.up()

    def until(self, what, look):
        deadline, pauses = time.monotonic() + PATIENCE_S, growing()
        while not look():
            check(time.monotonic() < deadline, f"it does not come to this: {what}: {self.place.stat()}")
            self.revive()
            self.place.pause(next(pauses))

    def admin(self, *words, missing_is_done=None, needs_daemon=True):
        """A command, until it succeeds; `missing_is_done`: this in its message says that it had come through before."""
        for _ in range(TRIES):
            if needs_daemon:
                self.up()
            if words[-1] == "1":  # a beginning that failed has used up a number
                words = (*words[:-1], str((self.place.stat() or {"migid": 1})["migid"]))
            result = subprocess.run([ADMIN, *words], env=self.place.env, capture_output=True, text=True, timeout=PATIENCE_S)
            text = result.stdout + result.stderr
            self.said += [line for line in text.splitlines(True) if "fault point " not in line]
            if result.returncode == 0:
                return result.stdout
            check(self.fired(), f"{' '.join(words)}: {result.returncode}: {text}")
            if missing_is_done and re.search(missing_is_done, text):
                return text
            time.sleep(0.1)
        raise Failure(f"{' '.join(words)} fails time and again: {self.said[-1]}")

    def use(self, function):
        """What an application does below the mount, until it succeeds; under a keeper at once."""
        deadline, pauses = time.monotonic() + PATIENCE_S, growing()
        while True:
            try:
                if os.stat(self.place.mount).st_dev != self.place.outside:
                    return function(self.place.mount)
            except OSError as error:
                self.said.append(errno.errorcode.get(error.errno, ""))
                check(not self.kept and self.fired() or error.errno in self.dead, f"an application gets {error}")
            check(time.monotonic() < deadline, f"an application is never served: {self.said[-1:]}")
            self.revive()
            self.place.pause(next(pauses))

    def slow(self, *rules):
        with open(f"{self.place.top}/slow.new", "w") as file:
            file.write("".join(f"{rule}\n" for rule in rules))
        os.rename(f"{self.place.top}/slow.new", f"{self.place.top}/slow")

    def errors(self, state):
        result = subprocess.run([ADMIN, "errors", "--json", "--state", state, "1"], env=self.place.env, capture_output=True,
                                text=True, timeout=PATIENCE_S)
        try:
            return json.loads(result.stdout)
        except ValueError:
            return []

    def is_complete(self):
        figures = self.place.stat()
        return figures and figures["state"] == "complete"

    def halt(self):
        """The daemon ends in order; if the fault comes in between, that is an end, too, unless a keeper goes on."""
        self.dismiss()
        deadline = time.monotonic() + PATIENCE_S
        while not self.place.ended():
            check(time.monotonic() < deadline, "the daemon does not halt")
            subprocess.run([ADMIN, "halt", "1"], env=self.place.env, capture_output=True, timeout=PATIENCE_S)
            self.place.pause(1)
        detach(self.place.mount)
        self.place.forget()
        self.served = False

    def finish(self):
        for _ in range(TRIES):
            if not self.up():
                return
            self.until("complete", self.is_complete)
            self.dismiss()
            status, said = self.place.finish()
            if status == 0:
                self.place.daemon.wait(PATIENCE_S)
                check(self.place.daemon.returncode == 0, f"after finish the daemon exits with {self.place.daemon.returncode}")
                return
            self.said.append(said)
            check(self.fired(), f"finish: {said}")
            self.place.pause(1)
        raise Failure(f"finish: {self.said[-1]}")

    # --- the whole ---

    def run(self):
        self.prepare()
        self.arm()
        try:
            self.act()
            self.dismiss()
        finally:
            if self.bystander:
                self.bystander.over.set()
        self.verify()
        if self.error and self.fired():
            self.check_reported()

    def prepare(self):
        """Before the fault is armed."""

    def act(self):
        raise NotImplementedError

    def verify(self):
        raise NotImplementedError

    def verify_finished(self):
        self.place.check_no_trace()
        listed = json.loads(subprocess.run([ADMIN, "list", "--json"], env=self.place.env, capture_output=True, text=True,
                                           timeout=PATIENCE_S).stdout)
        check([one["state"] for one in listed] == ["complete"], f"one migration, complete: {listed}")
