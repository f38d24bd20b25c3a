#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that work on a mount while its daemon is killed, and must not notice anything.

usage: untroubled.py KILLS SEED KEEPER LOG MOUNT SOURCE PLAIN

Each program runs the same few operations over and over and knows every answer: no error, no byte that is not what it must be, whenever
the process that serves dies. How long each operation took is noted; the same programs on a plain directory (PLAIN) say what the
machine itself is worth meanwhile. LOG is the daemon's: it tells when a new one serves. KEEPER is a process, whose worker is killed; or
a file that has its number, and then it is killed as well, since somebody starts another one.

Prints a line for each program, and fails when one of them failed, or when half of all kills made programs wait for a second more than twice
what the slowest step on the plain directory took.
"""
import contextlib
import ctypes
import ctypes.util
import mmap
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time

LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
EXCHANGE, NOREPLACE, AT_FDCWD = 2, 1, -100
PAUSE_S = 1.0


class Wrong(Exception):
    pass


def must(good, what):
    if not good:
        raise Wrong(what)


def rename2(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"renameat2 {flags}: {os.strerror(number)}", old)


def refused(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return
    raise Wrong(f"{function.__name__}{arguments} was not refused with {error.__name__}")


class Program:
    """`step` is run again and again in a process of its own; `check` sees at the end what must be there."""

    def __init__(self, top, source, seed):
        self.top, self.source, self.rng, self.n = top, source, random.Random(seed), 0

    def begin(self):
        pass

    def check(self):
        pass

    def path(self, name):
        return f"{self.top}/{type(self).__name__.lower()}-{name}"


class Names(Program):
    """What must not be done twice, nor be refused because it was done."""

    def step(self):
        a, b, c = self.path("a"), self.path("b"), self.path("c")
        os.mkdir(a)
        refused(FileExistsError, os.mkdir, a)
        rename2(a, b, NOREPLACE)
        os.rmdir(b)
        refused(FileNotFoundError, os.rmdir, b)
        os.close(os.open(a, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400))
        os.link(a, b)
        must(os.stat(a).st_nlink == 2, "two names")
        os.symlink("nowhere", c)
        rename2(b, c, EXCHANGE)
        must(os.readlink(b) == "nowhere" and os.stat(c).st_nlink == 2, "exchanged")
        refused(FileExistsError, rename2, a, c, NOREPLACE)
        os.unlink(b)
        os.mkfifo(b)
        os.unlink(c)
        must(os.stat(a).st_nlink == 1, "one name")
        os.rename(a, b)
        refused(FileNotFoundError, os.unlink, a)
        os.unlink(b)

    def check(self):
        must(not [name for name in os.listdir(self.top) if name.startswith("names-")], "names are left")


class Attributes(Program):
    def begin(self):
        self.file = self.path("file")
        open(self.file, "xb").close()

    def step(self):
        value = b"%d" % self.n
        os.setxattr(self.file, "user.one", value, os.XATTR_CREATE)
        refused(FileExistsError, os.setxattr, self.file, "user.one", b"other", os.XATTR_CREATE)
        must(os.getxattr(self.file, "user.one") == value, "the attribute")
        os.removexattr(self.file, "user.one")
        os.chmod(self.file, 0o600 + self.n % 0o100)
        must(os.stat(self.file).st_mode & 0o777 == 0o600 + self.n % 0o100, "the mode")


class Held(Program):
    """One descriptor, open all the time, written and read at random places; sometimes cut."""
    SIZE = 1 << 20

    def begin(self):
        self.fd = os.open(self.path("file"), os.O_CREAT | os.O_RDWR)
        self.bytes = bytearray(self.SIZE)
        os.truncate(self.fd, self.SIZE)

    def step(self):
        at, size = self.rng.randrange(self.SIZE), self.rng.randrange(1, 5000)
        piece = self.rng.randbytes(min(size, self.SIZE - at))
        must(os.pwrite(self.fd, piece, at) == len(piece), "a short write")
        self.bytes[at:at + len(piece)] = piece
        at = self.rng.randrange(self.SIZE)
        must(os.pread(self.fd, 9000, at) == self.bytes[at:at + 9000], f"bytes at {at}")
        if self.n % 16 == 0:
            os.fsync(self.fd)
        if self.n % 32 == 0:
            os.ftruncate(self.fd, self.SIZE // 2)
            os.ftruncate(self.fd, self.SIZE)
            self.bytes[self.SIZE // 2:] = bytes(self.SIZE - self.SIZE // 2)

    def check(self):
        must(os.pread(self.fd, self.SIZE, 0) == self.bytes, "the bytes at the end")


class Removed(Held):
    """The same with a file that has no name any more."""

    def begin(self):
        super().begin()
        os.unlink(self.path("file"))

    def step(self):
        super().step()
        must(os.fstat(self.fd).st_nlink == 0, "it has a name")


class Nameless(Held):
    """With one that never had a name; at the end it gets one."""

    def begin(self):
        super().begin()
        os.unlink(self.path("file"))
        os.close(self.fd)
        self.fd = os.open(self.top, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.truncate(self.fd, self.SIZE)


class Coming(Held):
    """A file of the source that comes over while it is read and written."""

    def begin(self):
        with open(f"{self.source}/coming", "rb") as source:
            self.bytes = bytearray(source.read())
        self.fd = os.open(f"{self.top}/coming", os.O_RDWR)

    def step(self):
        at = self.rng.randrange(self.SIZE * 8)
        must(os.pread(self.fd, 9000, at) == self.bytes[at:at + 9000], f"bytes at {at}")
        if self.n % 4 == 0:
            piece = self.rng.randbytes(100)
            os.pwrite(self.fd, piece, at)
            self.bytes[at:at + 100] = piece

    def check(self):
        must(os.pread(self.fd, len(self.bytes), 0) == self.bytes, "the bytes at the end")


class Mapped(Program):
    def begin(self):
        with open(self.path("file"), "wb") as file:
            file.write(bytes(1 << 20))
        self.fd = os.open(self.path("file"), os.O_RDWR)
        self.map = mmap.mmap(self.fd, 1 << 20)

    def step(self):
        at, piece = self.rng.randrange((1 << 20) - 100), self.rng.randbytes(100)
        self.map[at:at + 100] = piece
        if self.n % 8 == 0:
            self.map.flush()
        must(os.pread(self.fd, 100, at) == piece, "what is mapped is not what is read")


class Opener(Program):
    """Opens, reads, lists and looks at what comes from the source, a piece more with every step."""

    def begin(self):
        self.names = sorted(os.listdir(f"{self.source}/many"))

    def step(self):
        name = self.names[self.n % len(self.names)]
        with open(f"{self.source}/many/{name}/file", "rb") as file:
            wanted = file.read()
        with open(f"{self.top}/many/{name}/file", "rb") as file:
            must(file.read() == wanted, f"{name}: other bytes")
        must(os.stat(f"{self.top}/many/{name}/file").st_size == len(wanted), f"{name}: another size")
        must(os.listdir(f"{self.top}/many/{name}") == ["file"], f"{name}: other names")
        with open(self.path(f"{self.n % 8}"), "wb") as file:  # O_TRUNC
            file.write(wanted)
        with open(self.path(f"{self.n % 8}"), "rb") as file:
            must(file.read() == wanted, f"{name}: the copy has other bytes")


PROGRAMS = [Names, Attributes, Held, Removed, Nameless, Coming, Mapped, Opener]


def run(program, result):
    """In the child: until the pipe `result` has nobody at the other end but SIGTERM has come."""
    stop, slowest, slow = [], 0.0, []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    try:
        program.begin()
        while not stop:
            start = time.monotonic()
            program.step()
            took = time.monotonic() - start
            program.n += 1
            slowest = max(slowest, took)
            if took > PAUSE_S:
                slow.append(took)
        program.check()
        message = f"ok {program.n} {slowest:.3f} " + ",".join(f"{took:.3f}" for took in slow)
    except (Wrong, OSError) as error:
        message = f"{type(error).__name__} in step {program.n}: {error}"
    os.write(result, message.encode())
    os._exit(0)


def spawn(kind, top, source, seed):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        run(kind(top, source, seed), write_end)
    os.close(write_end)
    return kind.__name__, child, read_end


def end_all(at_work):
    """Ends what spawn() has begun and says how each got on. True: one has failed."""
    failed = False
    for _, child, _ in at_work:
        os.kill(child, signal.SIGTERM)
    for name, child, result in at_work:
        said = os.read(result, 1 << 16).decode()
        match = re.fullmatch(r"ok (\d+) ([\d.]+) .*", said)
        print(f"{name}: {match[1]} steps, the slowest took {match[2]} s" if match else f"FAILED: {name}: {said or 'it died'}")
        failed |= not match
        os.waitpid(child, 0)
    return failed


def takeovers(log):
    with open(log, errors="replace") as lines:
        return [int(ms) for ms in re.findall(r"event=takeover pause_ms=(\d+)", lines.read())]


def worker_of(keeper):
    """It may just be between two of them."""
    end = time.monotonic() + 60
    while not (found := subprocess.run(["pgrep", "-P", str(keeper)], capture_output=True, text=True).stdout.split()):
        must(time.monotonic() < end, f"process {keeper} has no worker")
        time.sleep(0.01)
    return int(found[0])


def victims(rng, keeper):
    if keeper.isdigit():
        return [worker_of(keeper)]
    with open(keeper) as file:
        number = int(file.read())
    return rng.choice([[number], [worker_of(number), number], [number, worker_of(number)]])


def kill_all_the_time(kills, rng, keeper, log):
    before = len(takeovers(log))
    for n in range(kills):
        time.sleep(rng.uniform(0.02, 0.4))
        first, *second = victims(rng, keeper)
        os.kill(first, signal.SIGKILL)
        for victim in second:
            with contextlib.suppress(ProcessLookupError):  # a worker dies with its keeper, at once
                os.kill(victim, signal.SIGKILL)
        end = time.monotonic() + 60
        while len(takeovers(log)) <= before + n:
            must(time.monotonic() < end, f"nobody serves after kill {n + 1}")
            time.sleep(0.01)


def main():
    kills, seed, keeper, log, mount, source, plain = sys.argv[1:]
    kills, seed = int(kills), int(seed)
    rng = random.Random(seed)
    print(f"seed {seed}", flush=True)
    at_work = [spawn(kind, mount, source, seed) for kind in PROGRAMS]
    beside = [spawn(Names, plain, source, seed), spawn(Held, plain, source, seed)]
    failed = False
    try:
        kill_all_the_time(kills, rng, keeper, log)
    except (Wrong, TypeError, ProcessLookupError) as error:
        print(f"FAILED: {error}")
        failed = True
    slow, pause_s = 0, PAUSE_S
    for name, child, result in at_work + beside:
        os.kill(child, signal.SIGTERM)
    for name, child, result in beside + at_work:  # what the machine makes of it, and then what we do
        said = os.read(result, 1 << 16).decode()
        where = "on the mount" if (name, child, result) in at_work else "on the disk"
        match = re.fullmatch(r"ok (\d+) ([\d.]+) ([\d.,]*)", said)
        if match:
            if where == "on the disk":
                pause_s = max(pause_s, PAUSE_S + 2 * float(match[2]))
            pauses = sum(float(took) > pause_s for took in match[3].split(",") if took)
            print(f"{name} {where}: {match[1]} steps, the slowest took {match[2]} s, {pauses} more than {pause_s:.1f} s")
            slow = max(slow, pauses) if where == "on the mount" else slow
        else:
            print(f"FAILED: {name} {where}: {said or 'it died'}")
            failed = True
        os.waitpid(child, 0)
    pauses = sorted(takeovers(log))
    print(f"{len(pauses)} takeovers: median {statistics.median(pauses)} ms, longest {pauses[-1]} ms")
    if slow * 2 > kills:
        print(f"FAILED: {slow} pauses of more than {pause_s:.1f} s")
        failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
