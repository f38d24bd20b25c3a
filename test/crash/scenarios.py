# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done while a fault point is armed: scenarios (scenario.py) that together reach every point of the table."""
import errno
import json
import os
import random
import subprocess
import threading
import time

import load
import place
from place import ADMIN, PATIENCE_S, Failure, check, detach
from scenario import KILLED, Scenario, growing


def noise(name, size):
    return random.Random(name).randbytes(size)


# --- a load that knows what must be there -------------------------------------------------------------------------------------------

class Countdown:
    """The load's `stop`: after so many looks."""

    def __init__(self, count):
        self.left = count

    @property
    def value(self):
        self.left -= 1
        return self.left < 0


class Demand(Scenario):
    """Applications change a tree while it comes over, segment by segment as they ask; what they leave comes at the end."""
    operations, background, whole = 50, False, "0"
    steady = "quiet/large"

    def __init__(self, sources, fault, seed):
        self.options = ["segsize=4K", f"whole={self.whole}", "maxnsproc=3", "resnsproc=1", "maxdfproc=4", "resdfproc=1"]
        super().__init__(f"{sources}/", fault, seed)
        self.path = self.place.source = f"{sources}/Demand"
        self.lock, self.over = threading.Lock(), False

    @staticmethod
    def make_source(top, rng):
        os.mkdir(top)
        place.copy_real_files(f"{top}/quiet", 4, most_bytes=20_000)
        place.make_odd_things(f"{top}/quiet", rng, most_bytes=20_000)
        place.write_file(f"{top}/quiet/large", place.contents(rng, 50_000))
        place.make_links(f"{top}/quiet", [".", "odd", "odd/deep", "usr"], rng, 3, [0, 10, 9000])
        mine = f"{top}/load"
        place.copy_real_files(mine, 14, skip_files=40, most_bytes=30_000)
        os.makedirs(f"{mine}/a/b")
        for i in range(2):
            place.write_file(f"{mine}/a/large-{i}", place.contents(rng, rng.randrange(100_001, 120_000)))
        place.make_links(mine, ["a", "a/b"], rng, 2, [10, 5000, 30_000])
        place.age(top, rng)

    def up(self):
        self.place.options = [*self.options, f"background={'on' if self.background else 'off'}"]
        return super().up()

    def watch(self):
        while not self.over:
            with self.lock:
                try:
                    self.revive()
                except Failure as failure:
                    self.said.append(f"{failure}")
                    return
            time.sleep(0.01)

    def begin_background(self):
        if self.kept:
            self.admin("set", "-p", "background=on", "1")
            return
        if not self.place.ended():
            self.said += self.logged()  # what is not written yet is lost with it
            self.place.kill()
        detach(self.place.mount)
        self.place.forget()
        self.up()

    def act(self):
        self.up()
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        try:
            self.worker = load.Load(self.path, "load", self.seed, self.place.mount, self.place.outside, None,
                                    Countdown(self.operations))
            self.worker.dead, self.worker.names_least = self.dead, 12
            if self.error:
                self.worker.may_fail = {getattr(errno, self.error), errno.EIO, errno.ENOSPC}  # "no room", whatever the reason
            self.worker.run()
            with self.lock:
                if not self.background:
                    self.background = True
                    self.begin_background()
            self.settle()
            self.worker.verify(self.place.mount)
            place.compare_trees(f"{self.path}/quiet", f"{self.place.mount}/quiet")
            self.place.check_totals(self.settle())
        finally:
            self.over = True
            watcher.join()
        self.said += [errno.errorcode.get(number, "") for number in self.worker.errors]
        if self.error and self.worker.short_writes:
            self.said.append(self.error)
        left = subprocess.run([ADMIN, "errors", "1"], env=self.place.env, capture_output=True, text=True, timeout=PATIENCE_S).stdout
        check("create" not in left, f"errors are left: {left}")
        self.finish()

    def settle(self):
        deadline, pauses = time.monotonic() + PATIENCE_S, growing()
        while time.monotonic() < deadline:
            figures = self.place.stat()
            if figures and figures["state"] == "complete":
                return figures
            time.sleep(next(pauses))
        raise Failure(f"the migration does not complete: {self.place.stat()}")

    def verify(self):
        self.verify_finished()
        self.worker.verify(self.place.target)
        place.compare_trees(f"{self.path}/quiet", f"{self.place.target}/quiet")


class Background(Demand):
    """The same, while the background brings everything, small files with their directories."""
    background, whole = True, "1M"


# --- small ones -----------------------------------------------------------------------------------------------------------------------

def make_small_tree(top, _rng):
    os.makedirs(f"{top}/dir/sub")
    for name, size in (("large", 40_000), ("dir/one", 9_000), ("dir/two", 100), ("dir/sub/three", 5_000), ("dir/sub/empty", 0)):
        place.write_file(f"{top}/{name}", noise(name, size))
    os.symlink("one", f"{top}/dir/symlink")
    for name, others in (("dir/linked", ["dir/sub/linked-too"]), ("dir/sub/far", ["far", "dir/far"])):
        place.write_file(f"{top}/{name}", noise(name, 6_000))
        for other in others:
            os.link(f"{top}/{name}", f"{top}/{other}")
    place.age(top, random.Random(1))


class Alone(Scenario):
    """Nobody uses it: it begins, comes over, finishes by a command."""
    options = ["segsize=4K", "whole=0"]
    make_source = staticmethod(make_small_tree)
    steady = "far"

    def act(self):
        self.finish()

    def verify(self):
        self.verify_finished()
        place.compare_trees(self.path, self.place.target)


class Crowded(Alone):
    """A directory so large that several threads make its entries."""
    options = ["segsize=64K"]
    late = True

    @staticmethod
    def make_source(top, rng):
        make_small_tree(top, rng)
        os.mkdir(f"{top}/crowd")
        for i in range(600):
            name = f"crowd/name-{i}"
            if i % 40 == 7:
                os.makedirs(f"{top}/{name}/sub")
            elif i % 40 == 8:
                os.symlink("name-9", f"{top}/{name}")
            else:
                place.write_file(f"{top}/{name}", noise(name, 1_100_000 if i % 250 == 5 else i % 5 * 1_000))
            if i % 50 == 9:
                os.link(f"{top}/{name}", f"{top}/crowd/linked-{i}")
        place.age(top, random.Random(1))


class Used(Alone):
    """An application does one of each, in what has not come over."""
    options = ["segsize=4K", "whole=0", "background=off"]
    steady = None

    @staticmethod
    def write(path, off, data):
        with open(path, "r+b", buffering=0) as file:
            check(os.pwrite(file.fileno(), data, off) == len(data), "a short write")

    @staticmethod
    def unless_gone(path, action, *arguments):
        """A step that takes the name away, and may have done so before it was cut off."""
        try:
            os.lstat(path)
        except FileNotFoundError:
            return
        action(path, *arguments)

    def act(self):
        self.up()
        self.use(lambda top: self.write(f"{top}/large", 4096, b"w" * 4096))  # a whole segment
        self.use(lambda top: self.write(f"{top}/large", 9_000, b"part"))
        self.use(lambda top: os.truncate(f"{top}/large", 30_001))
        self.use(lambda top: os.utime(f"{top}/dir/one", ns=(10**18, 10**18 + 1)))
        self.use(lambda top: os.utime(f"{top}/dir/sub", ns=(10**18, 10**18 + 2)))
        self.use(lambda top: self.unless_gone(f"{top}/dir/two", os.unlink))
        self.use(lambda top: self.unless_gone(f"{top}/dir/sub/three", os.rename, f"{top}/three"))
        self.use(lambda top: self.write(f"{top}/three", 0, b"t" * 5_000))
        self.place.options = self.options[:2]  # what a mount command gives would win
        self.admin("set", "-p", "background=on", "1")
        self.finish()

    def verify(self):
        self.verify_finished()
        large = bytearray(noise("large", 40_000)[:30_001])
        large[4096:8192] = b"w" * 4096
        large[9000:9004] = b"part"
        wanted = {"large": bytes(large), "three": b"t" * 5_000, "dir/one": noise("dir/one", 9_000), "dir/sub/empty": b"",
                  "dir/linked": noise("dir/linked", 6_000), "far": noise("dir/sub/far", 6_000)}
        for name, data in wanted.items():
            found = place.read_all(f"{self.place.target}/{name}")
            check(found == data, f"{name}: {place.first_difference(data, found)}" if found != data else "")
        check(os.stat(f"{self.place.target}/dir/one").st_mtime_ns == 10**18 + 1, "the time that was set is another")
        check(os.path.samefile(f"{self.place.target}/dir/linked", f"{self.place.target}/dir/sub/linked-too"), "not one file")
        for name in ("dir/two", "dir/sub/three"):
            check(not os.path.lexists(f"{self.place.target}/{name}"), f"{name} is there again")


class Redone(Alone):
    """A population was cut off before, and the source has lost an entry since."""
    source_is_changed = True

    def prepare(self):
        self.place.env["DMMFS_FAULT"] = "populate-made:2"
        check(not self.place.start() or self.place.daemon.wait(PATIENCE_S) == KILLED, "it was not killed")
        detach(self.place.mount)
        self.place.forget()
        for name in ("dir/one", "dir/symlink", "large"):
            st = os.stat(os.path.dirname(f"{self.path}/{name}"))
            os.unlink(f"{self.path}/{name}")
            os.utime(os.path.dirname(f"{self.path}/{name}"), ns=(st.st_atime_ns, st.st_mtime_ns))
        del self.place.env["DMMFS_FAULT"]

    def verify(self):
        # What was listed before its directory was on record, and has gone since, may have come or not.
        for name in ("large", "dir/one"):
            if os.path.exists(f"{self.place.target}/{name}"):
                check(os.stat(f"{self.place.target}/{name}").st_size == 0 or
                      place.read_all(f"{self.place.target}/{name}") == noise(name, 40_000 if name == "large" else 9_000),
                      f"{name} is neither gone nor whole")
        self.verify_finished()


class Drifted(Alone):
    """Files change at the source while they come over, and are brought anew."""
    source_is_changed = True
    options = ["segsize=16K", "whole=0", "drift=refetch"]

    @staticmethod
    def make_source(top, rng):
        make_small_tree(top, rng)
        for name in ("one", "two"):
            place.write_file(f"{top}/drifts-{name}", noise(name, 600_000))
        place.age(top, rng)

    def prepare(self):
        self.place.options = [*self.options, "background=off"]
        check(self.place.start(), "the daemon does not start")
        for name in ("drifts-one", "drifts-two"):  # a part of each, and no more
            with open(f"{self.place.mount}/{name}", "rb", buffering=0) as file:
                file.read(100)
        self.halt()
        self.place.options = [*self.options, "background=on"]
        for name, size in (("drifts-one", 50_000), ("drifts-two", 700_000)):
            place.write_file(f"{self.path}/{name}", noise("new " + name, size))


class Rebuilt(Alone):
    """The state is damaged, and made anew from source and target."""

    def prepare(self):
        self.place.options = [*self.options, "background=off"]
        check(self.place.start(), "the daemon does not start")
        place.read_all(f"{self.place.mount}/dir/one")
        os.listdir(f"{self.place.mount}/dir/sub")
        self.halt()
        self.place.options = [*self.options, "background=on"]
        with open(f"{self.place.target}/{place.OURS}/state/data.mdb", "r+b") as state:
            state.write(bytes(12288))

    def check_reported(self):
        if self.fault.startswith("rebuild-"):  # what else fails the command tries again by itself
            super().check_reported()

    def act(self):
        self.admin("db", "rebuild", "-f", "1", needs_daemon=False)
        self.finish()


class Beside(Scenario):
    """The target is not empty, and what is in the way moves aside."""
    options = ["segsize=4K", "collision=rename"]
    make_source = staticmethod(make_small_tree)
    steady = "far"
    own = ["large", "dir/one", "dir/two", "dir/sub/three"]

    def prepare(self):
        os.makedirs(f"{self.place.target}/dir/sub")
        for name in self.own:
            place.write_file(f"{self.place.target}/{name}", b"mine " + name.encode())

    def act(self):
        self.finish()

    def verify(self):
        self.verify_finished()
        for name in self.own:
            aside = f"{self.place.target}/{name}.collision-1"
            check(place.read_all(aside) == b"mine " + name.encode(), f"{aside} is another")
            os.unlink(aside)
        for base, _, _ in os.walk(self.path):
            st = os.stat(base)
            os.utime(self.place.target + base[len(self.path):], ns=(st.st_atime_ns, st.st_mtime_ns))
        place.compare_trees(self.path, self.place.target)


class Settings(Scenario):
    """The administrator makes a migration and changes its configuration, with a daemon and without one."""
    options = ["background=off"]
    make_source = staticmethod(make_small_tree)

    def wanted(self, name, value):
        said = json.loads(self.admin("get", "--json", "-p", name, "1", needs_daemon=False))
        check(f'"{value}"' in json.dumps(said) or f": {value}" in json.dumps(said), f"{name} is not {value}: {said}")

    def act(self):
        self.admin("create", "--halted", "-p", f"source={self.path}", "-p", f"target={self.place.target}",
                   "-p", f"mountpoint={self.place.mount}", needs_daemon=False, missing_is_done="there is a migration from")
        self.up()
        self.admin("set", "-p", "errorretries=3", "1")
        self.admin("pause", "1")
        self.admin("set", "-p", "errorretries=2", "-p", "background=on", "1")
        check(not self.is_complete(), "it does not pause")
        self.halt()
        self.admin("set", "-p", "bandwidth=1G", "1", needs_daemon=False)
        self.wanted("errorretries", 2)
        self.options = self.place.options = []
        self.up()
        self.wanted("bandwidth", "1G")
        self.until("figures", self.place.stat)
        check(not self.is_complete(), "the pause was forgotten")
        self.admin("resume", "1")
        self.finish()

    def verify(self):
        self.verify_finished()
        place.compare_trees(self.path, self.place.target)


# --- errors and what is decided about them ---------------------------------------------------------------------------------------------

class Waived(Scenario):
    """What cannot be read is waived; finish takes away what would read as zeros."""
    plugin = "slow"
    options = ["segsize=4K", "whole=0", "errorretries=0", "collision=overwrite"]
    steady = "good"

    @staticmethod
    def make_source(top, _rng):
        os.makedirs(f"{top}/late/sub")
        for name in ("good", "changed", "bad-1", "bad-2", "bad-3", "late/a", "late/b"):
            place.write_file(f"{top}/{name}", noise(name, 20_000))
        os.link(f"{top}/bad-3", f"{top}/bad-too")
        place.age(top, random.Random(1))

    def prepare(self):
        """One directory fails on its way, with what it had made left in it."""
        bad = [f"read error EIO {name}" for name in ("changed", "bad-1", "bad-2", "bad-3", "bad-too")]
        self.slow(*bad)
        self.place.env["DMMFS_FAULT"] = "populate-made:2:EIO"
        check(self.place.start(), "the daemon does not start")
        self.until("all in error", lambda: len(self.errors("waiting")) == 5)
        Used.write(f"{self.place.mount}/changed", 4096, b"c" * 4096)
        self.slow("list error EIO late", *bad)
        self.halt()
        del self.place.env["DMMFS_FAULT"]

    def act(self):
        self.up()
        self.admin("waive", "--all", "1")
        self.finish()

    def verify(self):
        self.verify_finished()
        names = sorted(os.path.relpath(os.path.join(base, name), self.place.target)
                       for base, dirs, files in os.walk(self.place.target) for name in dirs + files)
        check(names == ["changed", "good", "late"], f"what is left: {names}")
        check(place.read_all(f"{self.place.target}/good") == noise("good", 20_000), "good is another")
        check(place.read_all(f"{self.place.target}/changed") == bytes(4096) + b"c" * 4096 + bytes(20_000 - 8192),
              "what an application wrote is gone")


class Again(Scenario):
    """Names that could not be made are made when the administrator says so."""
    plugin = "slow"
    options = ["segsize=4K", "background=off"]

    @staticmethod
    def make_source(top, _rng):
        os.makedirs(f"{top}/dir/sub")
        for name in ("file", "taken", "linked", "sub/inside"):
            place.write_file(f"{top}/dir/{name}", noise(name, 20_000))
        os.link(f"{top}/dir/linked", f"{top}/linked-too")
        os.symlink("file", f"{top}/dir/symlink")
        for name in ("file", "taken", "sub", "symlink"):  # or the source would not be asked for any
            os.setxattr(f"{top}/dir/{name}", "trusted.one", b"1", follow_symlinks=False)
        place.age(top, random.Random(1))

    def prepare(self):
        check(self.place.start(), "the daemon does not start")
        os.listdir(self.place.mount)
        self.slow("xattrs error EPERM")
        check(os.listdir(f"{self.place.mount}/dir") == ["linked"], "names were made, besides that of the file that has another")
        self.slow()
        self.until("all in error", lambda: len(self.errors("waiting")) >= 4)
        place.write_file(f"{self.place.mount}/dir/taken", b"mine")
        self.halt()

    def act(self):
        self.up()
        self.admin("retry", "1")
        if self.error:  # it fails once more, and once more it is asked
            self.until("settled", lambda: not self.errors("retrying"))
            self.admin("retry", "1")
        self.until("made", lambda: not self.errors("waiting") and not self.errors("retrying"))
        self.place.options = self.options[:1]
        self.admin("set", "-p", "background=on", "1")
        self.finish()

    def verify(self):
        self.verify_finished()
        dir = f"{self.place.target}/dir"
        check(sorted(os.listdir(dir)) == ["file", "linked", "sub", "symlink", "taken"], f"{os.listdir(dir)}")
        check(place.read_all(f"{dir}/taken") == b"mine", "what an application made is gone")
        for name in ("file", "linked", "sub/inside"):
            check(place.read_all(f"{dir}/{name}") == noise(name, 20_000), f"{name} is another")
        check(os.path.samefile(f"{dir}/linked", f"{self.place.target}/linked-too"), "not one file")


# --- giving it up -----------------------------------------------------------------------------------------------------------------------

class Kept(Scenario):
    """The migration is deleted half-way: what is whole, or was changed, stays, and nothing that would read as zeros."""
    options = ["segsize=4K", "background=off", "whole=0"]
    make_source = staticmethod(make_small_tree)
    command = ["delete", "-f", "1"]
    has_daemon = False

    def prepare(self):
        check(self.place.start(), "the daemon does not start")
        place.read_all(f"{self.place.mount}/dir/one")
        os.listdir(f"{self.place.mount}/dir/sub")
        Used.write(f"{self.place.mount}/dir/sub/three", 0, b"3" * 4096)
        self.until("recorded", lambda: self.place.stat()["files_migrated"] >= 2)
        self.halt()

    def act(self):
        self.admin(*self.command, missing_is_done="no migration", needs_daemon=False)

    def left(self):
        return {os.path.relpath(os.path.join(base, name), self.place.target) for base, dirs, files in os.walk(self.place.target)
                for name in dirs + files}

    def verify(self):
        self.place.check_no_trace()
        left = self.left()
        check(left == {"dir", "dir/one", "dir/symlink", "dir/sub", "dir/sub/three", "dir/sub/empty"}, f"what is left: {left}")
        check(place.read_all(f"{self.place.target}/dir/one") == noise("dir/one", 9_000), "dir/one is another")
        check(place.read_all(f"{self.place.target}/dir/sub/three")[:4096] == b"3" * 4096, "what was written is gone")
        check(not self.place.stat(), "it is still listed")


class Removed(Kept):
    """The same with all data."""
    command = ["delete", "--remove", "-f", "1"]

    def verify(self):
        self.place.check_no_trace()
        check(self.left() == set(), f"what is left: {self.left()}")
        check(not self.place.stat(), "it is still listed")


# In the order in which a point is tried: cheap ones first.
ALL = [Alone, Used, Kept, Removed, Beside, Redone, Drifted, Rebuilt, Settings, Waived, Again, Demand, Background, Crowded]


def make_sources(top):
    os.mkdir(top)
    for scenario in ALL:
        if scenario is not Background:  # which has the tree of Demand
            scenario.make_source(f"{top}/{scenario.__name__}", random.Random(1))
