# SPDX-License-Identifier: GPL-3.0-or-later
"""A private place for crash tests: a source tree made of real files, daemons that are killed and started again, and a
comparison of trees.

The test runs in name spaces of its own for mounts and processes, so whatever happens, everything ends with it.
"""
import ctypes
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

SOURCEDIR = pathlib.Path(__file__).resolve().parents[2]
BUILDDIR = pathlib.Path(os.environ.get("DMMFS_BUILDDIR", SOURCEDIR / "build"))
DMMFS = BUILDDIR / "src/daemon/dmmfs"
ADMIN = BUILDDIR / "src/cli/dmmfs-admin"
PATIENCE_S = 240  # a loaded machine is slow; only a failure waits so long
DISK = "/dev/shm"

libc = ctypes.CDLL(None, use_errno=True)
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE = 1, 2, 16
MNT_DETACH = 2


def fallocate(fd, mode, off, length):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def go_inside():
    """Into name spaces of one's own."""
    if os.environ.pop("DMMFS_TEST_INSIDE", None):
        return
    if os.geteuid() != 0:
        skip("needs root")
    if not os.path.exists("/dev/fuse"):
        skip("needs /dev/fuse")
    inside = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*inside, "true"]).returncode:
        skip("needs name spaces for mounts and processes")
    os.execvpe(inside[0], [*inside, sys.executable, *sys.argv], {**os.environ, "DMMFS_TEST_INSIDE": "1"})


def detach(mount):
    """Whatever is mounted there is not any more."""
    while libc.umount2(os.fsencode(mount), MNT_DETACH) == 0:
        pass


def work_in_memory(top, megabytes):
    """Where files are made from now on: a file system of our own at `top`, whose disk is memory. A sync of it costs little, and does
    not wait for what others write. Where there is no room for it or no loop device it is left as it is."""
    try:
        if shutil.disk_usage(DISK).free < 2 * megabytes << 20:
            return
        with tempfile.NamedTemporaryFile(dir=DISK, prefix="dmmfs-disk-") as image:  # it goes with the mount, however that goes
            image.truncate(megabytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "65536", image.name], check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop", image.name, top], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the disk of the machine is used: {error}")


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


# --- the source ---------------------------------------------------------------------------------------------------------------

REAL_TREES = ["/usr/include", "/usr/lib/python3", "/usr/share/doc", "/usr/lib/gcc", "/usr/share"]


def copy_real_files(top, count, skip_files=0, most_bytes=200_000):
    """So many regular files and links of this machine, with their directories, below `top`."""
    copied = 0
    for tree in REAL_TREES:
        for base, dirs, files in os.walk(tree):
            dirs.sort()
            for name in sorted(files):
                path = os.path.join(base, name)
                st = os.lstat(path)
                if not (stat.S_ISLNK(st.st_mode) or stat.S_ISREG(st.st_mode) and st.st_size <= most_bytes):
                    continue
                if skip_files > 0:
                    skip_files -= 1
                    continue
                to = top + path
                os.makedirs(os.path.dirname(to), exist_ok=True)
                shutil.copy2(path, to, follow_symlinks=False)
                copied += 1
                if copied == count:
                    return


def contents(rng, size):
    """Random bytes with stretches of zeros, so that sparse writing is tried as well."""
    data = bytearray(rng.randbytes(size))
    for _ in range(size // 60000):
        at = rng.randrange(size)
        length = rng.choice([100, 4096, 20000])
        data[at:at + length] = bytes(len(data[at:at + length]))
    return bytes(data)


def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


def make_odd_things(top, rng, most_bytes=90_000):
    """What is not an ordinary file, and metadata of all sorts."""
    os.makedirs(f"{top}/odd/deep/er", exist_ok=True)
    os.mkfifo(f"{top}/odd/fifo")
    os.symlink("nowhere\n/at all", f"{top}/odd/dangling")
    os.mknod(f"{top}/odd/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    write_file(f"{top}/odd/empty", b"")
    with open(f"{top}/odd/sparse", "wb") as file:
        file.truncate(3_000_000)
        file.seek(1_234_567)
        file.write(b"island")
    write_file(os.fsencode(f"{top}/odd/") + b"n\xff\xfe\n\\ame", b"any bytes")
    for i in range(6):
        path = f"{top}/odd/deep/owned-{i}"
        write_file(path, contents(rng, rng.randrange(1, most_bytes)))
        os.chown(path, 1000 + i, 2000 + i)
        os.chmod(path, rng.choice([0o6755, 0o4711, 0o2644, 0o400, 0o1777]))
        os.setxattr(path, "user.colour", rng.randbytes(rng.randrange(1, 200)))
        os.setxattr(path, "trusted.kept", b"by root")
    subprocess.run(["setfacl", "-m", "u:1234:rwx,d:u:1234:rx", f"{top}/odd/deep/er"], check=False)
    write_file(f"{top}/odd/deep/er/child", b"of a directory with a default ACL")
    os.chmod(f"{top}/odd/deep/er/child", 0o640)


def make_links(top, dirs, rng, count, sizes=(0, 10, 5000, 70000, 300000)):
    """Files with names in several directories."""
    for i in range(count):
        first = f"{top}/{rng.choice(dirs)}/linked-{i}"
        write_file(first, contents(rng, rng.choice(sizes)))
        for n in range(rng.randrange(1, 4)):
            os.link(first, f"{top}/{rng.choice(dirs)}/linked-{i}-{n}")


def age(top, rng):
    """Times of long ago, with nanoseconds, on everything."""
    for base, dirs, files in os.walk(top, topdown=False):
        for name in files:
            t = rng.randrange(10**18, 17 * 10**17)
            os.utime(os.path.join(base, name), ns=(t, t), follow_symlinks=False)
        t = rng.randrange(10**18, 17 * 10**17)
        os.utime(base, ns=(t, t))


# --- comparing ----------------------------------------------------------------------------------------------------------------

OURS = ".dmmfs"


def xattrs_of(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names
            if name != "trusted.dmmfs" and not name.startswith("trusted.SGI_ACL_")}  # which xfs shows beside each ACL


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def first_difference(a, b):
    if len(a) != len(b):
        return f"size {len(a)} against {len(b)}"
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if a[low:middle] != b[low:middle] else (middle, high)
    return f"byte {low}: {a[low:low + 8].hex()} against {b[low:low + 8].hex()}"


def compare_one(a, b, x, y, seen_a, seen_b):
    check(stat.S_IFMT(x.st_mode) == stat.S_IFMT(y.st_mode), f"{b}: another type")
    check(x.st_mode == y.st_mode, f"{b}: mode {x.st_mode:o} against {y.st_mode:o}")
    check((x.st_uid, x.st_gid) == (y.st_uid, y.st_gid), f"{b}: owner")
    check(x.st_mtime_ns == y.st_mtime_ns, f"{b}: mtime {x.st_mtime_ns} against {y.st_mtime_ns}")
    check(x.st_rdev == y.st_rdev, f"{b}: device number")
    check(xattrs_of(a) == xattrs_of(b), f"{b}: extended attributes {xattrs_of(a)} against {xattrs_of(b)}")
    if not stat.S_ISDIR(x.st_mode):
        check(x.st_nlink == y.st_nlink, f"{b}: links {x.st_nlink} against {y.st_nlink}")
        check(seen_a.setdefault(x.st_ino, a) == seen_b.setdefault(y.st_ino, b).replace(compare_one.b, compare_one.a, 1),
              f"{b}: another hard link")
    if stat.S_ISLNK(x.st_mode):
        check(os.readlink(a) == os.readlink(b), f"{b}: link text")
    if stat.S_ISREG(x.st_mode):
        data_a, data_b = read_all(a), read_all(b)
        check(data_a == data_b, f"{b}: content: {first_difference(data_a, data_b)}" if data_a != data_b else "")


def compare_trees(a, b):
    """Everything of two trees is the same."""
    compare_one.a, compare_one.b = a, b
    seen_a, seen_b = {}, {}
    stack = [(a, b)]
    while stack:
        a, b = stack.pop()
        x, y = os.lstat(a), os.lstat(b)
        compare_one(a, b, x, y, seen_a, seen_b)
        if stat.S_ISDIR(x.st_mode):
            names_a, names_b = (sorted(name for name in os.listdir(path) if name != OURS) for path in (a, b))
            check(names_a == names_b, f"{b}: names: {sorted(set(names_a) ^ set(names_b))[:5]}")
            stack += [(os.path.join(a, name), os.path.join(b, name)) for name in reversed(names_a)]


# --- daemons ------------------------------------------------------------------------------------------------------------------

class Place:
    """Directories of one migration, and its daemon."""

    def __init__(self, source, options):
        self.top = tempfile.mkdtemp(prefix="dmmfs-crash-", dir=os.environ.get("TMPDIR"))
        self.source, self.options = source, options
        self.target, self.mount = f"{self.top}/target", f"{self.top}/mount"
        self.log = f"{self.top}/log"
        for name in ("target", "mount", "conf", "run"):
            os.mkdir(f"{self.top}/{name}")
        self.outside = os.stat(self.mount).st_dev
        self.env = {**os.environ, "DMMFS_CONFDIR": f"{self.top}/conf", "DMMFS_RUNDIR": f"{self.top}/run",
                    "DMMFS_PLUGINDIR": os.environ.get("DMMFS_PLUGINDIR", str(BUILDDIR / "plugins")), "LC_ALL": "C"}
        self.daemon, self.end = None, None  # a process, and what can be polled for its end
        self.keeper = "off"  # what is tried is a daemon that dies and for a while is not there, unless somebody says otherwise

    def start(self, fault=None, wait_s=120):
        """True when the mount serves; False when the daemon ended before."""
        self.check_state()
        path = f"{self.top}/notify"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.log, "a") as log:
            notify.bind(path)
            env = {**self.env, "NOTIFY_SOCKET": path, **({"DMMFS_FAULT": fault} if fault else {})}
            log.write(f"--- start {fault or ''}\n")
            log.flush()
            self.forget()
            self.daemon = subprocess.Popen(
                [DMMFS, self.source, self.mount, "-f", "-o", ",".join([f"target={self.target}", f"keeper={self.keeper}", *self.options])],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.end = os.pidfd_open(self.daemon.pid)
            deadline = time.monotonic() + wait_s
            while (left := deadline - time.monotonic()) > 0:
                ready, _, _ = select.select([notify, self.end], [], [], left)
                if notify in ready:
                    if notify.recv(200).startswith(b"READY"):
                        return True
                elif ready:
                    self.daemon.wait()
                    return False
        raise Failure("the daemon does not get ready")

    def forget(self):
        if self.end is not None:
            os.close(self.end)
        self.daemon, self.end = None, None

    def pause(self, seconds):
        """So long at most: the end of the daemon is an end of it."""
        if self.daemon is None or self.ended():
            time.sleep(seconds)
        else:
            select.select([self.end], [], [], seconds)

    def kill(self):
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()

    def ended(self):
        return self.daemon.poll() is not None

    def stat(self):
        """None when there is no daemon to ask."""
        try:
            result = subprocess.run([ADMIN, "list", "--json"], env=self.env, capture_output=True, text=True, timeout=10)
            return json.loads(result.stdout)[0]
        except (IndexError, ValueError, subprocess.TimeoutExpired):
            return None

    def finish(self):
        """(status, what it said)"""
        figures = self.stat()
        migid = figures["migid"] if figures else 1  # a beginning that failed has used up a number
        result = subprocess.run([ADMIN, "finish", str(migid)], env=self.env, capture_output=True, text=True, timeout=100)
        return result.returncode, result.stdout + result.stderr

    def check_totals(self, figures):
        for kind in ("files", "dirs", "bytes"):
            found, migrated = figures[f"{kind}_found"], figures[f"{kind}_migrated"]
            check(found == migrated, f"{kind}: found {found}, migrated {migrated}: {figures}")
        for name in ("files_pending", "bytes_pending", "files_error", "dirs_error", "links_pending"):
            check(figures[name] == 0, f"{name} is {figures[name]}: {figures}")

    def check_state(self):
        """What a daemon that died has left keeps every promise of docs/FORMAT.md; its beginning may have been cut off."""
        state = f"{self.target}/{OURS}/state"
        if not os.path.exists(f"{state}/data.mdb"):
            return
        result = subprocess.run([ADMIN, "db", "check", "--json", "--state", state], env={**self.env, "DMMFS_DAEMON": str(DMMFS)},
                                capture_output=True, text=True, timeout=100)
        check(result.returncode in (0, 6), f"db check: {result.returncode} {result.stdout}{result.stderr}")
        findings = [one for one in json.loads(result.stdout)["findings"] if one["rule"] != "identity"]
        check(not findings, f"db check: {findings}")

    def check_no_trace(self):
        check(not os.path.exists(f"{self.target}/{OURS}"), "our directory is left in the target")
        check("trusted.dmmfs" not in os.listxattr(self.target), "our mark is left on the target")

    def tail(self, lines=40):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def remove(self):
        if self.daemon and not self.ended():
            self.kill()
        self.forget()
        detach(self.mount)
        shutil.rmtree(self.top, ignore_errors=True)
