#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts: the disk that holds target and state loses, at any instant, any part of what was not flushed.

usage: powercut.py [--cuts N] [--fs ext4|xfs]... [--seconds N] [--seed N] [--keep]

The target lies on a disk that logs every write and every flush (cut_disk). An application works on the mount meanwhile and notes
what it was promised, with the position of the log: before an operation nothing of it can be on the disk, after the promise (fsync,
fdatasync, msync, O_SYNC, O_DSYNC, fsync of a directory) all of it must be. For each cut the disk is made again as it could have been at that position: what was
flushed, and of the rest any 4 KiB blocks. Then the file system is mounted, the daemon started, the migration completed, and

  - what the application was promised is there; what it was not promised is there, or as it was before; a file that was replaced by
    a rename is one or the other whole,
  - everything else is the source's, exactly,
  - nothing of ours is left after finish, and the file system is sound.
"""
import argparse
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import place
from place import BUILDDIR, Failure, Place, check

BLOCK = 4096
DISK_BYTES = 320 << 20
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
        "xfs": ["mkfs.xfs", "-q", "-f", "-K"]}
FSCK = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"]}


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    check(result.returncode == 0, f"{' '.join(map(str, command))}: {result.stdout}{result.stderr}")
    return result.stdout.strip()


# --- what was promised --------------------------------------------------------------------------------------------------------

class History:
    """Values that one thing had, and when each could have been on the disk and had to be."""

    def __init__(self, value):
        self.steps = [[0, 0, value]]  # begun at, promised at (None: never), value

    def begin(self, position, value):
        self.steps.append([position, None, value])

    def promise(self, position):
        for step in reversed(self.steps):
            if step[1] is not None:
                break
            step[1] = position

    def last(self):
        return self.steps[-1][2]

    def possible(self, cut):
        found = []
        for begun, promised, value in reversed(self.steps):
            if begun <= cut:
                found.append(value)
            if promised is not None and promised <= cut:
                break
        return found


class File:
    """A file of the load: its name, its size in blocks, the content of each block. Names are never used twice."""

    def __init__(self, name, blocks):
        self.name = History(name)
        self.size = History(len(blocks))
        self.blocks = [History(block) for block in blocks]

    def block(self, index):
        while len(self.blocks) <= index:
            self.blocks.append(History(None))  # None: zeros
        return self.blocks[index]


class Made:
    """A directory or a symbolic link that is made."""

    def __init__(self, name):
        self.name = History(None)
        self.wanted = name


class Slot:
    """A name whose file is replaced: written beside it, synced, renamed over it."""

    def __init__(self, name, data):
        self.file = name
        self.data = History(data)


class Load:
    """The application. All that it does is whole blocks, so that a cut leaves either of two contents."""

    def __init__(self, rng, mount, position_path, files, slots):
        self.rng, self.mount, self.files, self.slots = rng, mount, files, slots
        self.made = []
        self.position_path = position_path
        self.serial, self.counts = 0, {}

    def position(self):
        with open(self.position_path, "rb", buffering=0) as file:
            return int(file.read(32))

    def path(self, name):
        return os.path.join(self.mount, "load", name)

    def content(self):
        self.serial += 1
        return struct.pack("<Q", self.serial) * (BLOCK // 8)

    def sync_file(self, file, fd):
        self.rng.choice([os.fsync, os.fdatasync])(fd)
        at = self.position()
        for history in [file.size, *file.blocks]:
            history.promise(at)

    def sync_dir(self, *histories):
        fd = os.open(os.path.join(self.mount, "load"), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        at = self.position()
        for history in histories:
            history.promise(at)

    def write_blocks(self, file, fd, sync):
        index = self.rng.randrange(file.size.last() + 2)
        for i in range(index, index + self.rng.choice([1, 1, 1, 3, 8])):
            data, at = self.content(), self.position()
            for gap in range(file.size.last(), i):
                file.block(gap).begin(at, None)
            file.block(i).begin(at, data)
            if i >= file.size.last():
                file.size.begin(at, i + 1)
            os.pwrite(fd, data, i * BLOCK)
            if sync:
                at = self.position()
                for history in [file.size, *file.blocks]:
                    history.promise(at)

    def write(self, file):
        fd = os.open(self.path(file.name.last()), os.O_RDWR)
        self.write_blocks(file, fd, False)
        if self.rng.random() < 0.6:
            self.sync_file(file, fd)
        os.close(fd)

    def write_sync(self, file):
        fd = os.open(self.path(file.name.last()), os.O_RDWR)
        self.sync_file(file, fd)  # what earlier writes left open is none of O_SYNC's promise
        os.close(fd)
        fd = os.open(self.path(file.name.last()), os.O_RDWR | self.rng.choice([os.O_SYNC, os.O_DSYNC]))
        self.write_blocks(file, fd, True)
        os.close(fd)

    def cut(self, file):
        fd = os.open(self.path(file.name.last()), os.O_RDWR)
        size, at = self.rng.randrange(file.size.last() + 1), self.position()
        for i in range(size, file.size.last()):
            file.block(i).begin(at, None)
        file.size.begin(at, size)
        os.ftruncate(fd, size * BLOCK)
        if self.rng.random() < 0.7:
            self.sync_file(file, fd)
        os.close(fd)

    def punch(self, file):
        if not file.size.last():
            return
        fd = os.open(self.path(file.name.last()), os.O_RDWR)
        first, at = self.rng.randrange(file.size.last()), self.position()
        count = min(self.rng.choice([1, 2, 20]), file.size.last() - first)
        for i in range(first, first + count):
            file.block(i).begin(at, None)
        # ext4 brings the size on the disk up to the end of the hole, and only that far, while what was written beyond is in memory
        # alone (Linux 6.18). Without us as well: a size that the file never had.
        size, end = file.size.last(), first + count
        if min(file.size.possible(at)) < end < size:
            file.size.begin(at, end)
            file.size.begin(at, size)
        place.fallocate(fd, place.FALLOC_FL_PUNCH_HOLE | place.FALLOC_FL_KEEP_SIZE, first * BLOCK, count * BLOCK)
        if self.rng.random() < 0.7:
            self.sync_file(file, fd)
        os.close(fd)

    def store(self, file):
        """Through a mapping."""
        if not file.size.last():
            return
        fd = os.open(self.path(file.name.last()), os.O_RDWR)
        with mmap.mmap(fd, file.size.last() * BLOCK) as pages:
            i = self.rng.randrange(file.size.last())
            data, at = self.content(), self.position()
            file.block(i).begin(at, data)
            pages[i * BLOCK:(i + 1) * BLOCK] = data
            if self.rng.random() < 0.7:
                pages.flush()
                file.block(i).promise(self.position())
        os.close(fd)

    def replace(self, _):
        """As editors and package managers do."""
        slot = self.rng.choice(self.slots)
        self.serial += 1
        beside = self.path(f"beside-{self.serial}")
        data = b"".join(self.content() for _ in range(self.rng.choice([1, 3, 30])))
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        slot.data.begin(self.position(), data)
        os.rename(beside, self.path(slot.file))
        if self.rng.random() < 0.6:
            self.sync_dir(slot.data)

    def make(self, _):
        self.serial += 1
        made = Made(f"thing-{self.serial}")
        self.made.append(made)
        made.name.begin(self.position(), made.wanted)
        if self.rng.random() < 0.5:
            os.mkdir(self.path(made.wanted))
        else:
            os.symlink("anywhere", self.path(made.wanted))
        if self.rng.random() < 0.6:
            self.sync_dir(made.name)

    def rename(self, file):
        self.serial += 1
        name = f"renamed-{self.serial}"
        before = file.name.last()
        file.name.begin(self.position(), name)
        os.rename(self.path(before), self.path(name))
        if self.rng.random() < 0.6:
            self.sync_dir(file.name)

    def remove(self, file):
        if self.rng.random() < 0.7:
            return
        before = file.name.last()
        file.name.begin(self.position(), None)
        os.unlink(self.path(before))
        if self.rng.random() < 0.6:
            self.sync_dir(file.name)

    def create(self, _):
        self.serial += 1
        name = f"made-{self.serial}"
        file = File(None, [])
        file.name.begin(self.position(), name)
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self.files.append(file)
        self.write_blocks(file, fd, False)
        self.sync_file(file, fd)
        os.close(fd)
        self.sync_dir(file.name)

    def read(self, file):
        fd = os.open(self.path(file.name.last()), os.O_RDONLY)
        index = self.rng.randrange(file.size.last() + 1)
        found = os.pread(fd, BLOCK, index * BLOCK)
        os.close(fd)
        wanted = file.block(index).last() or bytes(BLOCK) if index < file.size.last() else b""
        check(found == wanted, f"{file.name.last()}: block {index} is not what was written last")

    def step(self):
        living = [file for file in self.files if file.name.last() is not None]
        what = self.rng.choices([self.write, self.write_sync, self.cut, self.punch, self.store, self.rename, self.replace, self.make,
                                 self.remove, self.create, self.read], [8, 3, 2, 2, 2, 2, 2, 1, 1, 1, 6])[0]
        what(self.rng.choice(living))
        self.counts[what.__name__] = self.counts.get(what.__name__, 0) + 1

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
        return self.counts


# --- after a cut ----------------------------------------------------------------------------------------------------------------

def check_file(file, cut, names, directory):
    possible = file.name.possible(cut)
    present = [name for name in possible if name in names]
    check(len(present) <= 1, f"one file under several names: {present}")
    check(present or None in possible, f"lost: none of {possible} is there")
    if not present:
        return None
    where = os.path.join(directory, present[0])
    data = place.read_all(where)
    check(len(data) % BLOCK == 0 and len(data) // BLOCK in file.size.possible(cut),
          f"{present[0]}: {len(data) / BLOCK} blocks, promised one of {sorted(set(file.size.possible(cut)))}")
    for i in range(len(data) // BLOCK):
        found = data[i * BLOCK:(i + 1) * BLOCK]
        possible = [value or bytes(BLOCK) for value in file.block(i).possible(cut)]
        check(found in possible, f"{present[0]}: block {i} is {found[:16].hex()}..., promised one of "
              f"{[value[:16].hex() for value in possible]}; its history: "
              f"{[(b, p, v[:8].hex() if v else None) for b, p, v in file.block(i).steps]}")
    return present[0]


def check_slot(slot, cut, directory):
    data = place.read_all(os.path.join(directory, slot.file))
    check(data in slot.data.possible(cut), f"{slot.file}: {len(data)} bytes, {data[:16].hex()}..., is none of the files that it was")
    return slot.file


def check_made(made, cut, names):
    check(made.wanted in names or None in made.name.possible(cut), f"lost: {made.wanted}")
    check(made.wanted not in names or made.wanted in made.name.possible(cut), f"too early: {made.wanted}")
    return made.wanted


def check_promises(files, slots, mades, cut, directory):
    names = {name for name in os.listdir(directory) if not name.startswith("beside-")}  # of these nothing was promised
    seen = {check_file(file, cut, names, directory) for file in files}
    seen |= {check_slot(slot, cut, directory) for slot in slots}
    seen |= {check_made(made, cut, names) for made in mades}
    check(names <= seen, f"names that nobody gave: {sorted(names - seen)[:5]}")


# --- the disk --------------------------------------------------------------------------------------------------------------------

class Log:
    """The log of cut_disk, read once: what the disk held at each position."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.at, self.flushed, self.pending = 0, 0, []

    def next(self):
        header = self.file.read(24)
        if len(header) < 24:
            return None
        kind, off, length = struct.unpack("=QQQ", header)
        data = self.file.read(length) if chr(kind) == "W" else None
        return chr(kind), off, length, data

    def advance(self, durable_fd, position):
        """Brings the durable image to `position`; what is not flushed there stays in `pending`."""
        while self.at < position:
            entry = self.next()
            check(entry is not None, "the log is shorter than its position")
            self.at += 1
            if entry[0] == "F":
                for _, off, length, data in self.pending:
                    put(durable_fd, off, length, data)
                self.pending = []
            else:
                self.pending.append(entry)


def flushes(path):
    """Positions just before a flush: there most is pending."""
    log, found = Log(path), []
    while entry := log.next():
        if entry[0] == "F":
            found.append(log.at)
        log.at += 1
    return found


def put(fd, off, length, data):
    if data is None:
        place.fallocate(fd, place.FALLOC_FL_PUNCH_HOLE | place.FALLOC_FL_KEEP_SIZE, off, length)
    else:
        os.pwrite(fd, data, off)


def put_part(fd, rng, entries, chance):
    """Any blocks of what was not flushed, each by itself."""
    for _, off, length, data in entries:
        for at in range(0, length, BLOCK):
            if rng.random() < chance:
                size = min(BLOCK, length - at)
                put(fd, off + at, size, None if data is None else data[at:at + size])


# --- a run -----------------------------------------------------------------------------------------------------------------------

def make_source(top, rng):
    os.mkdir(top)
    place.copy_real_files(f"{top}/quiet", 300)
    place.make_odd_things(f"{top}/quiet", rng)
    for i in range(4):
        place.write_file(f"{top}/quiet/large-{i}", place.contents(rng, rng.randrange(500_000, 2_000_000)))
    place.make_links(f"{top}/quiet", [".", "odd", "odd/deep", "usr"], rng, 10)
    os.mkdir(f"{top}/load")
    files = []
    for i in range(24):
        blocks = [rng.randbytes(BLOCK) for _ in range(rng.choice([1, 4, 20, 60, 200]))]
        place.write_file(f"{top}/load/file-{i}", b"".join(blocks))
        files.append(File(f"file-{i}", blocks))
    slots = [Slot(f"slot-{i}", rng.randbytes(BLOCK * rng.choice([1, 20]))) for i in range(6)]
    for slot in slots:
        place.write_file(f"{top}/load/{slot.file}", slot.data.last())
    place.age(top, rng)
    return files, slots


class Run:
    def __init__(self, fs, top, source, things, seed):
        self.fs, self.top, self.source = fs, top, source
        self.files, self.slots = things
        self.made = []
        self.rng = random.Random(seed)
        self.options = [f"segsize={self.rng.choice(['4K', '16K', '64K', '1M'])}", f"whole={self.rng.choice(['0', '64K'])}"]

    def mount_disk(self, image, at):
        loop = run("losetup", "--find", "--show", image)
        try:
            run("mount", "-t", self.fs, *(["-o", "nouuid"] if self.fs == "xfs" else []), loop, at)
        finally:
            run("losetup", "-d", loop)  # it goes with the mount

    def record(self, seconds):
        """The application's work, on a disk that remembers. Returns where it began and ended."""
        where = f"{self.top}/cut_disk"
        os.mkdir(where)
        disk = subprocess.Popen([BUILDDIR / "test/crash/cut_disk", str(DISK_BYTES), f"{self.top}/log", where])
        migration = Place(self.source, self.options)
        try:
            deadline = time.monotonic() + place.PATIENCE_S
            while not os.path.exists(f"{where}/disk"):
                check(disk.poll() is None and time.monotonic() < deadline, "the disk does not come up")
                time.sleep(0.02)
            run(*MKFS[self.fs], f"{where}/disk")
            self.mount_disk(f"{where}/disk", migration.target)
            load = Load(self.rng, migration.mount, f"{where}/position", self.files, self.slots)
            begin = load.position()
            check(migration.start(), f"the daemon does not start: {migration.tail()}")
            counts = load.run(seconds)
            end = load.position()
            self.made = load.made
            print(f"{self.fs}: {self.options}: positions {begin} to {end}: {counts}", flush=True)
            return begin, end
        finally:
            if migration.daemon and not migration.ended():
                migration.kill()
            subprocess.run(["umount", "-l", migration.mount], stderr=subprocess.DEVNULL)
            subprocess.run(["umount", migration.target], stderr=subprocess.DEVNULL)
            migration.remove()
            disk.terminate()
            disk.wait(place.PATIENCE_S)

    def try_cut(self, log, durable, cut, keep):
        """One image, and what the daemon makes of it."""
        image = f"{self.top}/image"
        subprocess.run(["cp", "--sparse=always", durable, image], check=True)
        fd = os.open(image, os.O_RDWR)
        put_part(fd, self.rng, log.pending, self.rng.choice([0, 0.2, 0.5, 0.8, 1]))
        os.close(fd)
        migration = Place(self.source, self.options)
        try:
            self.mount_disk(image, migration.target)
            check(migration.start(), f"the daemon does not start: {migration.tail()}")
            self.complete(migration)
            place.compare_trees(f"{self.source}/quiet", f"{migration.target}/quiet")
            check_promises(self.files, self.slots, self.made, cut, f"{migration.target}/load")
            migration.check_no_trace()
            loop = os.path.basename(run("findmnt", "-no", "SOURCE", migration.target))
            run("umount", migration.target)
            check(not os.path.exists(f"/sys/fs/{self.fs}/{loop}"), "the daemon has finished, and holds the file system")
            result = subprocess.run([*FSCK[self.fs], image], capture_output=True, text=True)
            check(result.returncode == 0, f"the file system is not sound: {result.stdout[-600:]}{result.stderr[-300:]}")
        except Failure:
            if keep:
                shutil.copy(image, f"{self.top}/failed-{cut}")
            print(migration.tail(30), file=sys.stderr)
            raise
        finally:
            subprocess.run(["umount", "-l", migration.mount], stderr=subprocess.DEVNULL)
            if migration.daemon and not migration.ended():
                migration.kill()
            subprocess.run(["umount", "-l", migration.target], stderr=subprocess.DEVNULL)
            migration.remove()

    def complete(self, migration):
        deadline = time.monotonic() + place.PATIENCE_S
        while True:
            check(not migration.ended(), f"the daemon has ended: {migration.tail()}")
            figures = migration.stat()
            if figures and figures["state"] == "complete":
                break
            check(time.monotonic() < deadline, f"the migration does not complete: {figures}")
            time.sleep(0.05)
        migration.check_totals(figures)
        status, said = migration.finish()
        check(status == 0, f"finish: {said}")

    def cuts(self, begin, end, count, keep):
        log = Log(f"{self.top}/log")
        durable = f"{self.top}/durable"
        fd = os.open(durable, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, DISK_BYTES)
        failed = 0
        full = [at for at in flushes(f"{self.top}/log") if begin <= at <= end] or [end]
        chosen = [self.rng.choice(full) if i % 2 else self.rng.randrange(begin, end + 1) for i in range(count)]
        for cut in sorted(chosen):
            log.advance(fd, cut)
            try:
                self.try_cut(log, durable, cut, keep)
            except Failure as failure:
                failed += 1
                print(f"{self.fs}: cut at {cut} with {len(log.pending)} writes pending: {failure}", flush=True)
        os.close(fd)
        return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--fs", action="append", choices=sorted(MKFS))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--keep", action="store_true", help="keep images that failed")
    args = parser.parse_args()
    place.go_inside()
    failed = 0
    print(f"seed {args.seed}", flush=True)
    for fs in args.fs or ["ext4", "xfs"]:
        top = tempfile.mkdtemp(prefix="dmmfs-powercut-", dir=os.environ.get("TMPDIR"))
        try:
            things = make_source(f"{top}/source", random.Random(args.seed))
            attempt = Run(fs, top, f"{top}/source", things, args.seed)
            failed += attempt.cuts(*attempt.record(args.seconds), args.cuts, args.keep)
        finally:
            if not (args.keep and failed):
                shutil.rmtree(top, ignore_errors=True)
        print(f"{fs}: {args.cuts} cuts", flush=True)
    print(f"passed {len(args.fs or [1, 2]) * args.cuts - failed} failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
