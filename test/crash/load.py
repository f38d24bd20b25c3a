# SPDX-License-Identifier: GPL-3.0-or-later
"""A load process with an oracle: it changes a subtree that is its own, and knows what must be there.

Whatever the daemon acknowledged must be there afterwards. An operation during which the daemon died may have happened or not,
and a write may have happened in part; which it was is looked up once the mount serves again, and holds from then on.

All paths are used below a descriptor of the mount's root, so that nothing ever reaches the directory under the mount point.
"""
import errno
import os
import random
import stat
import time

import place
from place import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, Failure, check, fallocate, first_difference

DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV}


class Died(Exception):
    """The daemon died during an operation."""


class File:
    """One file, whatever names it has."""

    def __init__(self, st, source=None):
        self.mode, self.uid, self.gid = stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid
        self.kind = stat.S_IFMT(st.st_mode)
        self.mtime_ns = st.st_mtime_ns  # None: not known, since data was changed
        self.size = st.st_size
        self.source = source
        self.bytes = None
        self.changed = False

    def data(self):
        if self.bytes is None:
            with open(self.source, "rb") as file:
                self.bytes = bytearray(file.read())
        return self.bytes


class Load:
    def __init__(self, source, top, seed, mount, outside, generation, stop):
        self.rng = random.Random(seed)
        self.source, self.top, self.mount, self.outside = source, top, mount, outside
        self.generation, self.stop = generation, stop
        self.root, self.at_generation = -1, -1
        self.names, self.dirs = {}, {}  # path -> File; path -> mtime_ns or None
        self.counts, self.deaths = {}, 0
        self.errors = set()  # that it got, besides those of a daemon that died
        self.short_writes = 0  # how the kernel tells of an error after a part of a write
        self.serial = 0
        self.dead = DEAD  # errors that a daemon's death gives; none where somebody holds the mount
        self.may_fail = set()  # errors that stand for "it may have happened or not", as a death does
        self.history = {}  # id(File) -> what was done to it, for the message
        self.read_source()

    def read_source(self):
        seen = {}
        for base, dirs, files in os.walk(f"{self.source}/{self.top}"):
            relative = os.path.relpath(base, self.source)
            self.dirs[relative] = os.lstat(base).st_mtime_ns
            for name in files + [d for d in dirs if os.path.islink(os.path.join(base, d))]:
                path = os.path.join(base, name)
                st = os.lstat(path)
                self.names[os.path.join(relative, name)] = seen.setdefault(st.st_ino, File(st, path))

    # --- the mount ---

    def attach(self):
        """Waits for a living mount, and takes its root."""
        deadline = time.monotonic() + place.PATIENCE_S
        while True:
            check(time.monotonic() < deadline, "the mount does not come back")
            self.leave()
            try:
                self.root = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
                if os.fstat(self.root).st_dev != self.outside:
                    return
            except OSError as error:
                if error.errno not in self.dead | self.may_fail:
                    raise
            time.sleep(0.005)

    def leave(self):
        if self.root >= 0:
            os.close(self.root)
        self.root = -1

    def alive(self, function):
        """The result of something that only looks, repeated until the daemon lives long enough."""
        deadline = time.monotonic() + place.PATIENCE_S
        while True:
            try:
                return function()
            except OSError as error:
                if error.errno not in self.dead | self.may_fail or time.monotonic() > deadline:
                    raise
                self.errors.add(error.errno)
                self.attach()
                time.sleep(0.05 if error.errno in self.may_fail else 0)

    def attempt(self, function):
        try:
            return function()
        except OSError as error:
            if error.errno not in self.dead | self.may_fail:
                raise
            self.errors.add(error.errno)
            self.deaths += 1
            self.attach()
            raise Died from error

    def open(self, path, flags, mode=0o644):
        return os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=self.root)

    def lstat(self, path):
        return self.alive(lambda: os.stat(path, dir_fd=self.root, follow_symlinks=False))

    def exists(self, path):
        try:
            self.lstat(path)
            return True
        except FileNotFoundError:
            return False

    def read(self, path):
        def go():
            fd = self.open(path, os.O_RDONLY)
            try:
                parts = []
                while part := os.read(fd, 1 << 20):
                    parts.append(part)
                return b"".join(parts)
            finally:
                os.close(fd)
        return self.alive(go)

    # --- what is done to a file's data ---

    def with_file(self, path, flags, function):
        def go():
            fd = self.open(path, flags)
            try:
                return function(fd)
            finally:
                try:
                    os.close(fd)
                except OSError as error:
                    if error.errno not in self.dead:
                        raise
        return self.attempt(go)

    def note(self, file, text):
        self.history.setdefault(id(file), []).append(f"{time.monotonic():.3f} {text}")

    def settle_data(self, path, file, old, new, what):
        """After a death: every byte is the old one or the new one, and so is the size, or between."""
        if self.may_fail:
            time.sleep(1.1)  # a change that fails after it was made: the kernel keeps what it knew for a second
        now = self.read(path)
        low, high = sorted((len(old), len(new)))
        check(low <= len(now) <= high, f"{path}: after {what} cut off: size {len(now)}, not {len(old)} or {len(new)}")
        if now not in (old, new):
            size = max(len(old), len(new), len(now))
            a, b, n = (bytes(x).ljust(size, b"\0") for x in (old, new, now))
            for block in range(0, len(now), 512):
                end = min(block + 512, len(now))
                part = n[block:end]
                if part != a[block:end] and part != b[block:end]:
                    for i in range(block, end):
                        if n[i] not in (a[i], b[i]):
                            raise Failure(f"{path}: after {what} cut off: byte {i} is {n[i]:02x}, was {a[i]:02x}, "
                                          f"written {b[i]:02x}; {self.story(file)}")
        file.bytes = bytearray(now)
        self.note(file, f"settled {what}: {'old' if now == old else 'new' if now == new else 'in part'} size {len(now)}")

    def change_data(self, path, what, new, flags, function):
        file = self.names[path]
        old = bytes(file.data())
        new = bytes(new)
        file.mtime_ns = None
        file.changed = True
        self.note(file, what)
        try:
            self.with_file(path, flags, function)
            file.bytes = bytearray(new)
        except Died:
            self.settle_data(path, file, old, new, what)
        file.size = len(file.bytes)

    def write_part(self, write, fd, data, *where):
        done = write(fd, data, *where)
        self.short_writes += done < len(data)
        return done

    def do_write(self, path):
        old = self.names[path].data()
        size = len(old)
        if self.rng.random() < 0.4:  # whole segments, perhaps
            unit = self.rng.choice([4096, 16384, 65536])
            off = self.rng.randrange(0, size // unit + 1) * unit
            length = unit * self.rng.randrange(1, 5)
        else:
            off = self.rng.randrange(0, size + 3000)
            length = self.rng.choice([1, 100, 4096, 10000, 100000])
        data = self.rng.randbytes(length)
        new = bytearray(max(size, off + length))
        new[:size] = old
        new[off:off + length] = data

        def go(fd):
            done = self.write_part(os.pwrite, fd, data, off)
            while done < length:
                done += os.pwrite(fd, data[done:], off + done)
            if self.rng.random() < 0.1:
                os.fsync(fd)
        self.change_data(path, f"write {off}+{length}", new, os.O_RDWR, go)

    def do_append(self, path):
        data = self.rng.randbytes(self.rng.randrange(1, 20000))

        def go(fd):
            done = self.write_part(os.write, fd, data)
            while done < len(data):
                done += os.write(fd, data[done:])
        old = self.names[path].data()
        self.change_data(path, f"append {len(old)}+{len(data)}", old + data, os.O_WRONLY | os.O_APPEND, go)

    def do_cut(self, path):
        old = self.names[path].data()
        size = self.rng.randrange(0, len(old) + 1)
        if self.rng.random() < 0.3:
            size = size // 4096 * 4096
        self.change_data(path, f"cut {len(old)} to {size}", old[:size], os.O_RDWR, lambda fd: os.ftruncate(fd, size))

    def do_extend(self, path):
        old = self.names[path].data()
        size = len(old) + self.rng.randrange(1, 100000)
        self.change_data(path, f"extend {len(old)} to {size}", old.ljust(size, b"\0"), os.O_RDWR,
                         lambda fd: os.ftruncate(fd, size))

    def do_cut_and_extend(self, path):
        size = len(self.names[path].data())
        self.do_cut(path)
        if len(self.names[path].data()) < size:
            old = self.names[path].data()
            self.change_data(path, f"extend {len(old)} to {size}", old.ljust(size, b"\0"), os.O_RDWR,
                             lambda fd: os.ftruncate(fd, size))

    def do_empty(self, path):
        self.change_data(path, "O_TRUNC", b"", os.O_WRONLY | os.O_TRUNC, lambda fd: None)
        self.do_append(path)

    def do_punch(self, path):
        old = self.names[path].data()
        if not old:
            return
        off = self.rng.randrange(0, len(old))
        length = self.rng.choice([100, 4096, 30000, 200000])
        if self.rng.random() < 0.5:
            off = off // 4096 * 4096
        mode = self.rng.choice([FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE])
        new = bytearray(old)
        if mode == FALLOC_FL_ZERO_RANGE and off + length > len(old):
            new = new.ljust(off + length, b"\0")
        end = min(off + length, len(new))
        new[off:end] = bytes(end - off)
        self.change_data(path, f"zero {off}+{length} mode {mode}", new, os.O_RDWR, lambda fd: fallocate(fd, mode, off, length))

    # --- what is done to attributes ---

    def either(self, path, file, name, new, what, function):
        old = getattr(file, name)
        self.note(file, what)
        try:
            self.attempt(function)
            setattr(file, name, new)
        except Died:
            st = self.lstat(path)
            now = st.st_mtime_ns if name == "mtime_ns" else stat.S_IMODE(st.st_mode)
            check(now == new or old is None or now == old, f"{path}: {what} cut off: {now}, neither {old} nor {new}; {self.story(file)}")
            setattr(file, name, new if now == new else old)
            self.note(file, f"settled: {'new' if now == new else 'old'}")

    def do_chmod(self, path):
        mode = self.rng.choice([0o644, 0o600, 0o755, 0o640, 0o4755, 0o444])
        self.either(path, self.names[path], "mode", mode, f"chmod {mode:o}",
                    lambda: os.chmod(path, mode, dir_fd=self.root))

    def do_utimens(self, path):
        t = self.rng.randrange(10**18, 17 * 10**17)
        self.either(path, self.names[path], "mtime_ns", t, f"utimens {t}",
                    lambda: os.utime(path, ns=(t, t), dir_fd=self.root))

    def do_utimens_dir(self, _path):
        path = self.rng.choice(list(self.dirs))
        t = self.rng.randrange(10**18, 17 * 10**17)
        old = self.dirs[path]
        try:
            self.attempt(lambda: os.utime(path, ns=(t, t), dir_fd=self.root))
            self.dirs[path] = t
        except Died:
            now = self.lstat(path).st_mtime_ns
            check(now == t or old is None or now == old, f"{path}: utimens of a directory cut off: {now}, neither {old} nor {t}")
            self.dirs[path] = t if now == t else old

    # --- what is done to names ---

    def touched(self, *paths):
        for path in paths:
            self.dirs[os.path.dirname(path)] = None

    def fresh_path(self, hint):
        self.serial += 1
        return os.path.join(self.rng.choice(list(self.dirs)), f"{hint}-{self.serial}")

    def do_rename(self, path):
        to = self.rng.choice(list(self.names)) if self.rng.random() < 0.3 else self.fresh_path("moved")
        if to == path or self.names.get(to) is self.names[path]:
            return
        victim, moved = self.names.get(to), self.names[path]
        self.touched(path, to)
        self.note(moved, f"rename {path} to {to}")
        try:
            self.attempt(lambda: os.rename(path, to, src_dir_fd=self.root, dst_dir_fd=self.root))
        except Died:
            if self.exists(path):
                check(victim is None or self.exists(to), f"{to}: lost by a rename that did not happen")
                return
            check(self.exists(to), f"{path} and {to}: both gone after a rename")
        self.names[to] = self.names.pop(path)

    def do_unlink(self, path):
        self.touched(path)
        self.note(self.names[path], f"unlink {path}")
        try:
            self.attempt(lambda: os.unlink(path, dir_fd=self.root))
        except Died:
            if self.exists(path):
                return
        del self.names[path]

    def do_link(self, path):
        to = self.fresh_path("link")
        self.touched(to)
        self.note(self.names[path], f"link {path} {to}")
        try:
            self.attempt(lambda: os.link(path, to, src_dir_fd=self.root, dst_dir_fd=self.root, follow_symlinks=False))
        except Died:
            if not self.exists(to):
                return
        self.names[to] = self.names[path]

    def do_create(self, _path):
        path = self.fresh_path("made")
        self.touched(path)

        def go():
            os.close(self.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            self.attempt(go)
        except Died:
            if not self.exists(path):
                return
        st = self.lstat(path)
        file = self.names[path] = File(st)
        file.bytes, file.mtime_ns = bytearray(), None
        file.mode = 0o644
        self.note(file, f"create {path}")
        self.do_append(path)

    def do_mkdir(self, _path):
        path = self.fresh_path("dir")
        self.touched(path)
        try:
            self.attempt(lambda: os.mkdir(path, 0o755, dir_fd=self.root))
        except Died:
            if not self.exists(path):
                return
        self.dirs[path] = None

    def do_rename_dir(self, _path):
        path = self.rng.choice(list(self.dirs))
        if path == self.top:
            return
        to = self.fresh_path("moved-dir")
        if to.startswith(path + "/"):
            return
        self.touched(path, to)
        try:
            self.attempt(lambda: os.rename(path, to, src_dir_fd=self.root, dst_dir_fd=self.root))
        except Died:
            if self.exists(path):
                return
        def moved(name):
            return to + name[len(path):] if name == path or name.startswith(path + "/") else name
        self.names = {moved(name): file for name, file in self.names.items()}
        self.dirs = {moved(name): mtime for name, mtime in self.dirs.items()}

    # --- looking ---

    def story(self, file):
        return "history: " + "; ".join(self.history.get(id(file), [])[-25:])

    def do_read(self, path):
        file = self.names[path]
        data = self.read(path)
        check(data == file.data(), f"{path}: read: " + (first_difference(data, bytes(file.data())) + "; " + self.story(file)
                                                         if data != file.data() else ""))

    def do_list(self, _path):
        path = self.rng.choice(list(self.dirs))
        self.check_names(path)

    def check_names(self, path):
        names = sorted(self.alive(lambda: self.list_once(path)))
        wanted = sorted(os.path.basename(name) for name in [*self.names, *self.dirs]
                        if os.path.dirname(name) == path)
        check(names == wanted, f"{path}: names differ: too many {sorted(set(names) - set(wanted))[:5]}, "
                               f"missing {sorted(set(wanted) - set(names))[:5]}")

    def list_once(self, path):
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def do_stat(self, path):
        self.check_attributes(path)

    def check_attributes(self, path):
        file, st = self.names[path], self.lstat(path)
        check(stat.S_IFMT(st.st_mode) == file.kind, f"{path}: another type")
        if file.kind == stat.S_IFLNK:
            return
        check(stat.S_IMODE(st.st_mode) == file.mode,
              f"{path}: mode {stat.S_IMODE(st.st_mode):o}, not {file.mode:o}; {self.story(file)}")
        check((st.st_uid, st.st_gid) == (file.uid, file.gid), f"{path}: owner")
        if file.mtime_ns is not None:
            check(st.st_mtime_ns == file.mtime_ns, f"{path}: mtime {st.st_mtime_ns}, not {file.mtime_ns}; {self.story(file)}")
        size = len(file.bytes) if file.bytes is not None else file.size
        if file.kind == stat.S_IFREG:
            check(st.st_size == size, f"{path}: size {st.st_size}, not {size}; {self.story(file)}")

    # --- running ---

    OPERATIONS = [("write", 20), ("append", 6), ("cut", 6), ("extend", 4), ("cut_and_extend", 5), ("empty", 4), ("punch", 8),
                  ("chmod", 5), ("utimens", 8), ("utimens_dir", 3), ("rename", 6), ("unlink", 4), ("link", 3), ("create", 4),
                  ("mkdir", 1), ("rename_dir", 1), ("read", 8), ("list", 3), ("stat", 6)]
    DATA = {"write", "append", "cut", "extend", "cut_and_extend", "empty", "punch", "read", "chmod", "utimens"}
    SIZE_MOST = 8_000_000
    names_least = 60  # fewer are not removed

    def pick(self, operation):
        paths = list(self.names)
        if operation in self.DATA:
            paths = [path for path in paths if self.names[path].kind == stat.S_IFREG and
                     len(self.names[path].bytes or b"") < self.SIZE_MOST]
            # Large ones are few, and have segments.
            large = [path for path in paths if self.names[path].size > 100_000]
            if large and self.rng.random() < 0.5:
                paths = large
        return self.rng.choice(paths) if paths else None

    def run(self):
        self.attach()
        operations, weights = zip(*self.OPERATIONS)
        while not self.stop.value:
            operation = self.rng.choices(operations, weights)[0]
            path = self.pick(operation)
            if path is None:
                self.do_create(None)
                continue
            if operation == "unlink" and len(self.names) < self.names_least:
                continue
            try:
                getattr(self, f"do_{operation}")(path)
            except OSError as error:
                file = self.names.get(path)
                raise Failure(f"{operation} {path}: {errno.errorcode.get(error.errno)}; {self.story(file) if file else ''}") from error
            self.counts[operation] = self.counts.get(operation, 0) + 1

    def verify(self, root):
        """Everything of the subtree, below `root`."""
        self.leave()
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for path, mtime in self.dirs.items():
            self.check_names(path)
            if mtime is not None:
                now = self.lstat(path).st_mtime_ns
                check(now == mtime, f"{path}: mtime of a directory {now}, not {mtime}")
        groups = {}
        for path, file in self.names.items():
            st = self.lstat(path)
            groups.setdefault(id(file), set()).add(st.st_ino)
            check(len(groups[id(file)]) == 1, f"{path}: not the same file as its other names; {self.story(file)}")
            names = sum(1 for other in self.names.values() if other is file) if st.st_nlink > 1 or file.changed else 1
            check(st.st_nlink == names, f"{path}: {st.st_nlink} names, not {names}; {self.story(file)}")
            self.check_attributes(path)
            if file.kind == stat.S_IFREG:
                self.do_read(path)
        check(len({ino for inos in groups.values() for ino in inos}) == len(groups), "two files are one")
        self.leave()


def process(pipe, load):
    """The life of a load process: runs until it is told to stop, then verifies what it is asked to, place by place."""
    try:
        load.run()
        pipe.send(("stopped", load.counts, load.deaths))
        while (root := pipe.recv()) is not None:
            load.verify(root)
            pipe.send(("verified", len(load.names), len(load.dirs)))
    except (Failure, OSError) as failure:
        pipe.send(("failed", f"{type(failure).__name__}: {failure}", load.deaths))
