#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""dmmfs-admin against the real socket of a daemon whose migration is simulated: its JSON, its text, its exit codes.

usage: test_cli_daemon.py DMMFS-ADMIN SIMULATED-DAEMON     as root, without a mount
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
import unittest

ADMIN, DAEMON = map(os.path.abspath, sys.argv[1:3])

REQUIRED = {
    "migid": int, "state": str, "source": str, "target": str, "mountpoint": str, "dirs_found": int, "dirs_migrated": int,
    "files_found": int, "files_migrated": int, "files_pending": int, "files_error": int, "bytes_found": int,
    "bytes_migrated": int, "bytes_pending": int, "rate_bytes_per_s": int, "eta_s": (int, type(None)), "demand_requests": int,
    "demand_p50_us": int, "demand_p99_us": int, "uptime_s": int,
}


class Daemon:
    def __init__(self, test, name=b"home"):
        self.mount = os.path.join(os.fsencode(test.dir), name)
        os.makedirs(self.mount, exist_ok=True)
        self.process = subprocess.Popen([DAEMON, test.conf, test.run, "/old/home", self.mount, self.mount],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.migid = self.process.stdout.readline().split()[1]

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class CliTest(unittest.TestCase):
    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="dmmfs-test-cli."))
        self.conf, self.run = self.dir + "/conf", self.dir + "/run"
        self.env = dict(os.environ, DMMFS_CONFDIR=self.conf, DMMFS_RUNDIR=self.run, LC_ALL="C.UTF-8", TZ="UTC")
        self.daemons = []

    def tearDown(self):
        for daemon in self.daemons:
            daemon.close()
        shutil.rmtree(self.dir)

    def daemon(self, name=b"home"):
        self.daemons.append(Daemon(self, name))
        return self.daemons[-1]

    def admin(self, *args, status=0, **more):
        """Runs dmmfs-admin; what it printed is self.out and self.err."""
        done = subprocess.run([ADMIN, *args], env=self.env, capture_output=True, timeout=60, **more)
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"{args}: {self.out}{self.err}")
        return self.out

    def json(self, *args, status=0, **more):
        return json.loads(self.admin(*args, "--json", status=status, **more))

    def check_figures(self, figures):
        for key, kind in REQUIRED.items():
            self.assertIn(key, figures)
            self.assertIsInstance(figures[key], kind, key)
            self.assertNotIsInstance(figures[key], bool, key)


class NothingThere(CliTest):
    def test_no_database(self):
        self.assertIn("no migrations", self.admin("list"))
        self.assertEqual(self.json("list"), [])
        self.assertEqual(self.json("show"), [])
        self.admin("stat", "1", status=3)
        self.assertIn("dmmfs-admin list", self.err)
        failure = self.json("finish", "1", status=3)
        self.assertEqual((failure["ok"], failure["error"], failure["exit"]), (False, "ENOENT", 3))
        self.admin("where", "/tmp/x", status=3)
        self.admin("errors", "/tmp", status=3)

    def test_usage(self):
        self.assertRegex(self.admin("--version"), r"^dmmfs-admin \d+\.\d+")
        self.assertIn("finish", self.admin("--help"))
        self.admin(status=2)
        self.assertIn("usage", self.err)
        for command in re.findall(r"^  ([a-z]+) ", self.admin("--help"), re.M):
            text = self.admin(command, "--help")
            self.assertRegex(text, rf"^usage: dmmfs-admin {command}")
            for line in text.splitlines():
                self.assertLess(len(line), 125)
            if command != "create":  # -h: halted
                self.assertEqual(text, self.admin(command, "-h"))
            self.admin(command, "--nonsense", status=2)
            self.assertIn(f"dmmfs-admin {command} --help", self.err)
        for bad in (["nonsense"], ["--nonsense"], ["list", "1"], ["stat"], ["stat", "1", "2"], ["where"], ["finish"], ["errors"],
                    ["db"], ["db", "nonsense"], ["db", "export", "1"], ["stat", "-w", "0", "1"], ["stat", "-w", "x", "1"], ["stat", "-w", "1.5", "1"], ["stat", "-w"],
                    ["finish", "--wait", "-1", "1"], ["finish", "--wait", "99999999999999999999", "1"]):
            self.admin(*bad, status=2)
            self.assertTrue(self.err.startswith("dmmfs-admin: "), self.err)

    def test_only_root(self):
        os.chmod(self.dir, 0o755)
        copy = shutil.copy(ADMIN, self.dir)
        done = subprocess.run([copy, "list"], env=self.env, capture_output=True, user=65534, group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"root", done.stderr)

    def test_unsafe_database(self):
        self.daemon().close()
        os.chmod(self.conf, 0o777)
        self.admin("list", status=1)
        self.assertIn("chmod 0700", self.err)


class Figures(CliTest):
    def test_running(self):
        daemon = self.daemon()
        figures = self.json("stat", "1")
        self.check_figures(figures)
        self.assertEqual((figures["migid"], figures["state"], figures["daemon"]), (1, "running", "running"))
        self.assertEqual((figures["bytes_found"], figures["eta_s"], figures["estimate"]), (3 << 40, 7815, True))
        self.assertEqual(self.json("list"), [figures])
        for name in daemon.mount, daemon.mount + b"/", b"././" + os.path.basename(daemon.mount):
            self.assertEqual(self.json("stat", os.fsdecode(name), cwd=self.dir), figures)
        os.symlink(self.dir, self.dir + "/link")
        self.assertEqual(self.json("stat", self.dir + "/link/home"), figures)
        self.admin("stat", self.dir + "/home/inside", status=3)

    def test_text(self):
        self.daemon()
        listed = self.admin("list").splitlines()
        self.assertEqual(len(listed), 2)
        self.assertRegex(listed[1], r"^ +1  running +33 %  3 TiB  120 MiB/s  at least 2 h 10 min +2  /old/home +/.*/home$")
        text = self.admin("stat", "1")
        self.assertRegex(text, r"\nDirectories +1,500 +1,200 +300 +0\n")
        self.assertRegex(text, r"\nFiles +20,400 +8,000 +12,400 +2\n")
        self.assertRegex(text, r"\nData +3 TiB +1 TiB +2 TiB\n")
        self.assertIn("33 % of what has been found", text)
        self.assertIn("1,234 requests, 3 waiting, p50 1.2 ms, p99 33 ms", text)
        background = ["rule 1, until 2100-01-01 00:00:00: mon-fri 08:00-18:00 limit=20MB/s workers=2",
                      "at most 20 MiB/s, 1 of 6 workers for directories, 1 of 12 for files",
                      "yields, down to 25 %: waits for the source took 45 ms (p90) in the last second, more than 20 ms"]
        self.assertIn("\nBackground   " + "\n             ".join(background) + "\n", text)
        self.assertIn("dmmfs-admin errors 1", text)
        text = self.admin("show", "1")
        self.assertIn("\n  background   " + "\n               ".join(background) + "\n", text)
        self.assertIn("  segsize      1M\n", text)
        self.assertIn("  bandwidth    \\xff\n", text)
        self.assertNotIn("\x1b", text + self.admin("list"))

    def test_show(self):
        self.daemon(), self.daemon(b"srv")
        one, both = self.json("show", "2"), self.json("show")
        self.assertEqual(both[1], one)
        self.assertEqual([entry["migid"] for entry in both], [1, 2])
        self.check_figures(one)
        self.assertEqual(one["properties"], {"bandwidth": "\\xff", "escaped": ["bandwidth"], "segsize": "1M"})
        self.assertAlmostEqual(one["created"], time.time(), delta=60)
        self.assertIsNone(one["finished"])

    def test_killed(self):
        self.daemon().close()
        figures = self.json("stat", "1")
        self.check_figures(figures)
        self.assertEqual((figures["state"], figures["daemon"], figures["files_found"]), ("halted", "none", 0))
        self.assertIn("halted", self.admin("list"))
        self.admin("errors", "1", status=5)
        self.assertIn("has died", self.err)
        self.assertIn("dmmfs-admin start 1", self.err)
        self.admin("finish", "1", status=5)
        self.admin("where", self.dir + "/home/x", status=5)
        self.admin("stat", "-w", "1", "1", status=5)

    def test_halted(self):
        daemon = self.daemon()
        daemon.tell("halt")
        daemon.process.wait()
        figures = self.json("show", "1")
        self.check_figures(figures)
        self.assertEqual((figures["state"], figures["files_found"], figures["eta_s"]), ("halted", 20400, None))
        self.assertEqual((figures["rate_bytes_per_s"], figures["uptime_s"], figures["finished"]), (0, 0, 1700000000))

    def test_name_of_any_bytes(self):
        daemon = self.daemon(b"h\xff\\")
        figures = self.json("list")[0]
        self.assertEqual(sorted(figures["escaped"]), ["mountpoint", "statedir", "target"])
        self.assertTrue(figures["mountpoint"].endswith("/h\\xff\\\\"))
        self.assertIn("/h\\xff\\\n", self.admin("list"))
        self.assertEqual(self.json("stat", os.fsdecode(daemon.mount)), figures)

    def test_silent(self):
        daemon = self.daemon()
        os.kill(daemon.process.pid, signal.SIGSTOP)
        listing = subprocess.Popen([ADMIN, "list"], env=self.env, stdout=subprocess.PIPE, text=True)
        self.admin("stat", "1", status=5)
        self.assertIn("does not answer", self.err)
        self.assertRegex(listing.communicate()[0], r"no answer +\?( +\?){4} ")
        self.assertNotIn("errors", self.admin("show", "1"))
        os.kill(daemon.process.pid, signal.SIGCONT)

    def test_nonsense_from_the_socket(self):
        daemon = self.daemon()
        daemon.close()
        os.unlink(self.run + "/1.sock")
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.run + "/1.sock")
        server.listen()
        pid = os.fork()
        if pid == 0:
            while True:
                peer, _ = server.accept()
                peer.recv(1000)
                peer.sendall(b"\xff\xff\xff\xffnonsense")
                peer.close()
        try:
            self.admin("errors", "1", status=5)
            self.check_figures(self.json("list")[0])
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            server.close()

    def test_options_instead_of_environment(self):
        self.daemon()
        env = {key: value for key, value in self.env.items() if not key.startswith("DMMFS_")}
        for args in (["--confdir", self.conf, "--rundir", self.run, "stat", "1", "--json"],
                     ["stat", "1", "--json", "--confdir=" + self.conf, "--rundir=" + self.run]):
            done = subprocess.run([ADMIN, *args], env=env, capture_output=True, check=True)
            self.assertEqual(json.loads(done.stdout)["daemon"], "running")

    def test_output_that_is_lost(self):
        self.daemon()
        with open("/dev/full", "wb") as full:
            self.assertEqual(subprocess.run([ADMIN, "list"], env=self.env, stdout=full, stderr=subprocess.PIPE).returncode, 1)


class ManPage(CliTest):
    def test_documents_everything(self):
        top = os.environ.get("DMMFS_SOURCEDIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
        with open(top + "/docs/man/dmmfs-admin.8") as page:
            text = page.read().replace("\\-", "-")
        commands = re.findall(r"^  ([a-z]+) ", self.admin("--help"), re.M)
        self.assertIn("list", commands)
        words = set(commands)
        for command in commands:
            words.update(re.findall(r"(?<![\w-])--?[a-z]+(?:-[a-z]+)*", self.admin(command, "--help")))
        for word in sorted(words):
            self.assertRegex(text, rf"(?<![\w-]){re.escape(word)}(?![\w-])")


class Live(CliTest):
    """dmmfs-admin watch on a terminal."""

    def start(self, rows=24, columns=80):
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execve(ADMIN, [ADMIN, "watch", "-w", "1"], dict(self.env, TERM="xterm"))
        self.addCleanup(os.close, self.terminal)
        self.resize(rows, columns, None)
        self.seen = ""
        return pid

    def resize(self, rows, columns, pid):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if pid:
            os.kill(pid, signal.SIGWINCH)

    def read_until(self, wanted, seconds=60):
        """What came, up to and with `wanted`, and forgets it."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            self.assertLess(time.monotonic(), end, f"waited in vain for {wanted!r}: {self.seen[-2000:]!r}")
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    self.seen += "<closed>"
        came, _, self.seen = self.seen.partition(wanted)
        return came + wanted

    def end(self, pid, wanted):
        self.assertIn("\x1b[?25h", self.read_until("\x1b[?1049l"))
        status = os.waitpid(pid, 0)[1]
        self.assertEqual(os.waitstatus_to_exitcode(status), wanted)

    def test_keys(self):
        self.daemon()
        self.daemon(b"second")
        pid = self.start(30, 120)
        self.read_until("\x1b[?1049h")
        self.read_until("> 1")
        self.read_until("Migration 1\x1b[0m of /old/home")
        os.write(self.terminal, b"\x1b[B")
        self.read_until("> 2")
        os.write(self.terminal, b"j")  # there is none below
        self.read_until("Migration 2\x1b[0m")
        os.write(self.terminal, b"k")
        self.read_until("> 1")
        os.write(self.terminal, b"q")
        self.end(pid, 0)

    def fits(self, frame, rows, columns):
        lines = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", frame).split("\r\n")
        widths = [sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) for line in lines]
        return len(lines) <= rows and max(widths) < columns

    def test_never_wider_and_never_higher(self):
        self.daemon(b"a very long name that does not fit at all \xff\xe2\x82\xac" + (40 * "\u6f22").encode())
        pid = self.start()
        self.read_until("\x1b[J")
        for rows, columns in (24, 80), (10, 40), (3, 20), (50, 200), (2, 9), (24, 80):
            self.resize(rows, columns, pid)
            time.sleep(0.2)
            self.seen = ""
            self.read_until("\x1b[J")
            for attempt in range(10):  # on a busy machine some of the size before are still to be read
                if self.fits(self.read_until("\x1b[J"), rows, columns):
                    break
            else:
                self.fail(f"not {rows} lines of {columns} columns")
        os.write(self.terminal, b"q")
        self.end(pid, 0)

    def test_signals_give_the_terminal_back(self):
        self.daemon()
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            pid = self.start()
            self.read_until("> 1")
            self.assertFalse(termios.tcgetattr(self.terminal)[3] & termios.ECHO)
            os.kill(pid, number)
            self.end(pid, -number)

    def test_echo_is_there_again(self):
        self.daemon()
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execve("/bin/sh", ["sh", "-c", f"'{ADMIN}' watch; stty -a; sleep 1"], dict(self.env, TERM="xterm"))
        self.addCleanup(os.close, self.terminal)
        self.seen = ""
        self.read_until("\x1b[J")
        os.write(self.terminal, b"q")
        self.assertRegex(self.read_until("echoke"), r"(?s)1049l.* icanon.* echo ")
        os.waitpid(pid, 0)

    def test_a_hung_daemon_holds_nothing_up(self):
        hung = self.daemon()
        self.daemon(b"second")
        os.kill(hung.process.pid, signal.SIGSTOP)
        pid = self.start()
        began = time.monotonic()
        self.read_until("no answer")
        os.write(self.terminal, b"q")
        self.end(pid, 0)
        self.assertLess(time.monotonic() - began, 60)
        os.kill(hung.process.pid, signal.SIGCONT)

    def test_without_migrations(self):
        pid = self.start()
        self.read_until("There are no migrations")
        os.write(self.terminal, b"q")
        self.end(pid, 0)

    def test_lines(self):
        self.daemon()
        with subprocess.Popen([ADMIN, "watch", "-w", "1"], env=self.env, stdout=subprocess.PIPE, text=True) as watch:
            for _ in range(2):
                self.assertRegex(watch.stdout.readline(), r"^1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  running  33 %")
            watch.terminate()


class Watching(CliTest):
    def watch(self, *args, stdout=subprocess.PIPE):
        return subprocess.Popen([ADMIN, "stat", "-w", "1", *args, "1"], env=self.env, stdout=stdout, text=True)

    def test_lines(self):
        daemon = self.daemon()
        with self.watch() as watch:
            lines = [watch.stdout.readline() for _ in range(2)]
            daemon.tell("all here")
            lines += watch.stdout.read().splitlines()
        self.assertEqual(watch.returncode, 0)
        for line in lines[:2]:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  running  33 %  1 of 3 TiB  120 MiB/s  at least 2 h 10 min")
        self.assertIn("dmmfs-admin finish 1", lines[-1])

    def test_json_lines(self):
        daemon = self.daemon()
        with self.watch("--json") as watch:
            self.check_figures(json.loads(watch.stdout.readline()))
            daemon.tell("all here")
            lines = watch.stdout.read().splitlines()
        self.assertEqual(watch.returncode, 0)
        self.assertEqual(json.loads(lines[-1])["files_pending"], 0)

    def test_only_to_be_finished(self):
        daemon = self.daemon()
        daemon.tell("all here")
        daemon.tell("complete")
        for args in ["stat", "1"], ["stat", "-w", "1", "1"]:
            self.assertIn("dmmfs-admin finish 1 ends the migration", self.admin(*args))
        self.assertIn("Migration 1 is complete:", self.admin("finish", "1"))
        self.assertIn("Migration 1 is complete.", self.admin("stat", "-w", "1", "1"))

    def test_until_complete(self):
        daemon = self.daemon()
        daemon.tell("crawled")
        with self.watch() as watch:
            self.assertIn("about 2 h 10 min", watch.stdout.readline())
            self.admin("finish", "1")
            self.assertIn("Migration 1 is complete.", watch.stdout.read())
        self.assertEqual(watch.returncode, 0)

    def test_daemon_dies(self):
        daemon = self.daemon()
        with self.watch("--json") as watch:
            watch.stdout.readline()
            daemon.close()
            lines = watch.stdout.read().splitlines()
        self.assertEqual(watch.returncode, 5)
        self.assertEqual(json.loads(lines[-1])["exit"], 5)

    def test_terminal(self):
        self.daemon()
        self.env["TERM"] = "xterm"
        master, slave = pty.openpty()
        watch = self.watch(stdout=slave)
        os.close(slave)
        text = b""
        while text.count(b"\r") < 3 and select.select([master], [], [], 10)[0]:
            text += os.read(master, 65536)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(), -signal.SIGINT)
        try:
            text += os.read(master, 65536)
        except OSError:
            pass
        os.close(master)
        # Two lines, each time over the two before.
        first, second = text.replace(b"\r\n", b"\n").split(b"\x1b[A\r")[:2]
        self.assertEqual(first, b"\r" + second.removesuffix(b"\n"))
        bar, below = second.decode().replace("\x1b[K", "").split("\n")[:2]
        self.assertRegex(bar, r"^running   33 % \[#+\.+\]  1 of 3 TiB  120 MiB/s$")
        self.assertEqual(below, "at least 2 h 10 min, still looking  2 errors  limit 20 MiB/s until Fri 00:00")
        self.assertTrue(text.endswith(b"\n"))

    def test_colour(self):
        self.daemon()
        self.env["TERM"] = "xterm"
        for more, colour in ({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False):
            master, slave = pty.openpty()
            subprocess.run([ADMIN, "list"], env=dict(self.env, **more), stdout=slave, check=True)
            os.close(slave)
            self.assertEqual(b"\x1b[32mrunning\x1b[0m" in os.read(master, 65536), colour)
            os.close(master)


class Where(CliTest):
    def test_json(self):
        mount = os.fsdecode(self.daemon().mount)
        partly = self.json("where", mount + "/partly")
        self.assertEqual((partly["path"], partly["type"], partly["mode"], partly["size"]), (mount + "/partly", "file", "0640", 4 << 20))
        self.assertEqual((partly["migid"], partly["finished"], partly["error"]), (1, False, None))
        self.assertEqual([entry["where"] for entry in partly["ranges"]], ["source", "resident", "changed", "hole"])
        end = 0
        for entry in partly["ranges"]:
            self.assertEqual(entry["offset"], end)
            end += entry["length"]
        self.assertEqual(sum(partly["bytes_" + where] for where in ("source", "resident", "changed", "hole")), end)
        broken = self.json("where", mount + "/broken")
        self.assertEqual((broken["error"], broken["error_detail"]), ("EIO", "the source gave EIO four times"))
        many = self.json("where", mount + "/absent", "/nowhere", mount + "/missing", mount + "/dir", status=3)
        self.assertEqual([entry.get("error") for entry in many], [None, "EXDEV", "ENOENT", None])

    def test_text(self):
        mount = os.fsdecode(self.daemon().mount)
        self.assertEqual(self.admin("where", mount + "/absent"), f"{mount}/absent: 1 MiB, at the source\n")
        self.assertEqual(self.admin("where", mount + "/file"), f"{mount}/file: 1 MiB, on the target\n")
        self.assertEqual(self.admin("where", mount + "/dir"), f"{mount}/dir: directory, its entries are at the source\n")
        self.assertIn("  in error: EIO, the source gave EIO four times\n", self.admin("where", mount + "/broken"))
        self.assertRegex(self.admin("where", mount + "/partly"),
                         r"/partly: 3 of 4 MiB on the target\n +FROM  LENGTH  WHERE\n"
                         r" +0   1 MiB  at the source\n1,048,576   1 MiB  on the target\n"
                         r"2,097,152   1 MiB  on the target, changed by an application\n3,145,728   1 MiB  a hole\n$")
        self.admin("where", mount + "/missing", status=1)
        self.assertIn("no such file", self.err)

    def test_any_path(self):
        mount = self.daemon().mount
        odd = mount + b"/\xff\n/absent"
        self.assertIn("/\\xff\\x0a/absent: 1 MiB", self.admin("where", odd))
        reported = self.json("where", odd)
        self.assertEqual(reported["escaped"], ["path"])
        self.assertTrue(reported["path"].endswith("/\\xff\n/absent"))
        os.mkdir(mount + b"/sub")
        for cwd, path in (mount, "sub/../absent"), (mount + b"/sub", "../absent"), (self.dir, "home//./absent"):
            self.assertEqual(self.json("where", path, cwd=cwd)["path"], os.fsdecode(mount) + "/absent")

    def test_touches_nothing_below_the_mount(self):
        if not shutil.which("strace"):
            self.skipTest("strace is missing")
        mount = os.fsdecode(self.daemon().mount)
        trace = self.dir + "/trace"
        path = mount + "/some/absent"
        done = subprocess.run(["strace", "-f", "-s", "4096", "-e", "trace=file", "-o", trace, ADMIN, "where", path],
                              env=dict(self.env, ASAN_OPTIONS="detect_leaks=0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0 and b"ptrace" in done.stderr.lower():
            self.skipTest("strace is not allowed here")
        self.assertIn(b"at the source", done.stdout)
        with open(trace) as calls:
            touching = [line for line in calls if mount in line and "execve" not in line]
        self.assertEqual(touching, [])

    def test_complete(self):
        daemon = self.daemon()
        mount = os.fsdecode(daemon.mount)
        self.admin("finish", "1")
        with open(mount + "/plain", "wb") as file:
            file.write(b"12345")
        plain = self.json("where", mount + "/plain")
        self.assertEqual((plain["type"], plain["finished"], plain["bytes_resident"]), ("file", True, 5))
        self.assertEqual(plain["ranges"], [{"offset": 0, "length": 5, "where": "resident"}])
        self.assertEqual(self.admin("where", mount), f"{mount}: directory, its entries have come over\n")
        self.admin("where", mount + "/nothing", status=1)
        self.assertEqual(self.json("errors", "1"), [])


class Finish(CliTest):
    def test_success(self):
        self.daemon()
        started = time.monotonic()
        done = self.json("finish", "1")
        self.assertGreater(time.monotonic() - started, 0.2)  # the state had to be taken away
        self.assertEqual((done["ok"], done["migid"], done["state"]), (True, 1, "complete"))
        self.assertIn("Migration 1 is complete", self.admin("finish", "1"))
        figures = self.json("stat", "1")
        self.check_figures(figures)
        self.assertEqual((figures["state"], figures["files_migrated"], figures["files_pending"]), ("complete", 20400, 0))
        self.assertEqual(self.json("list"), [figures])
        self.assertRegex(self.admin("list"), r"1  complete  100 %")
        self.assertIn("Migration 1 is complete.", self.admin("stat", "-w", "1", "1"))

    def test_busy(self):
        daemon = self.daemon()
        daemon.tell("busy")
        self.admin("finish", "1", status=4)
        self.assertIn("--lazy", self.err)
        self.assertRegex(self.err, r"\n4711  vi +/mnt/x/letter\n4712  sh\\xff +/mnt/x/\\xff\n")
        failure = self.json("finish", "--wait", "3", "1", status=4)
        self.assertEqual((failure["error"], failure["exit"], failure["holders"][0]["pid"]), ("EBUSY", 4, 4711))

    def test_pending(self):
        daemon = self.daemon()
        daemon.tell("pending")
        self.admin("finish", "1", status=4)
        self.assertIn("12 files are pending", self.err)
        self.assertEqual(self.json("finish", "1", status=4)["error"], "EINPROGRESS")

    def test_lazy(self):
        self.daemon()
        self.assertIn("detached", self.admin("finish", "--lazy", "1"))
        self.assertEqual(self.json("finish", "--lazy", "1")["state"], "detached")


class Life(CliTest):
    def setUp(self):
        super().setUp()
        self.env["DMMFS_DAEMON"] = self.dir + "/dmmfs"
        self.play("exit 0")

    def play(self, script):
        """What the daemon's program does."""
        with open(self.dir + "/dmmfs", "w") as program:
            program.write("#!/bin/sh\n" + script + "\n")
        os.chmod(self.dir + "/dmmfs", 0o755)

    def test_start(self):
        self.daemon()
        self.assertIn("runs already", self.admin("start", "1"))
        self.assertTrue(self.json("start", "1")["was_running"])
        self.daemons[0].close()
        self.play('echo "dmmfs: info: noise" >&2; echo "dmmfs: warning: look" >&2; echo "dmmfs: it is $1 $2" >&2; exit 32')
        self.admin("start", "1", status=1)
        self.assertIn("dmmfs-admin: migration 1 does not start: it is --migid 1\n", self.err)
        self.assertIn("dmmfs-admin: warning: look\n", self.err)
        self.assertNotIn("noise", self.err)
        self.play("kill -9 $$")
        self.admin("start", "1", status=1)
        self.assertIn("was ended by SIGKILL", self.err)
        self.env["DMMFS_DAEMON"] = self.dir + "/nowhere"
        self.admin("start", "1", status=1)
        self.assertIn("nowhere can not be run", self.err)

    def test_pause(self):
        daemon = self.daemon()
        self.assertEqual(self.json("pause", "1")["state"], "paused")
        self.assertEqual(self.json("stat", "1")["state"], "paused")
        self.assertEqual(self.json("resume", "1")["paused"], False)
        self.assertEqual(self.json("stat", "1")["state"], "running")
        daemon.close()
        self.assertEqual(self.json("pause", "1")["state"], "halted")
        self.assertEqual(self.json("show", "1")["properties"]["paused"], "on")

    def test_halt_busy(self):
        self.daemon().tell("busy")
        self.assertEqual(len(self.json("halt", "1", status=4)["holders"]), 2)
        self.admin("delete", "-f", "1", status=4)
        self.assertIn("4711  vi", self.err)
        self.admin("delete", "1", status=4)
        self.assertIn("is running: 12,400 files (2 TiB)", self.err)

    def test_create(self):
        self.play(f'printf "%s\\n" "$@" >{self.dir}/arguments; echo 7')
        self.admin("create", "-h", "-p", "source=/a", "-p", "target=/b", "-p", "name=a,b\\c", status=1)
        self.assertIn("migration 7 was made, and deleted", self.err)
        with open(self.dir + "/arguments") as arguments:
            self.assertEqual(arguments.read().split("\n")[:-1],
                             ["-o", "name=a\\,b\\\\c", "-o", "target=/b", "--create", "--", "/a", "/b"])
        self.play("echo nonsense")
        self.admin("create", "-p", "source=/a", "-p", "target=/b", status=1)
        self.assertIn("did not say", self.err)

    def test_delete(self):
        self.daemon().close()
        self.play('echo "{\\"ok\\":false,\\"error\\":\\"EINPROGRESS\\",\\"message\\":\\"not yet\\"}"; exit 32')
        self.admin("delete", "1", status=4)
        self.assertIn("dmmfs-admin: not yet", self.err)
        self.play("kill -9 $$")
        self.admin("delete", "1", status=1)
        self.assertIn("repeat the command", self.err)
        self.admin("delete", "--keep", "--remove", "1", status=2)


class Errors(CliTest):
    def test_errors(self):
        daemon = self.daemon()
        self.assertEqual(self.admin("errors", "1"), "No errors.\n")
        daemon.tell("errors 12345")
        entries = self.json("errors", "1")
        self.assertEqual([entry["id"] for entry in entries], list(range(1, 12346)))
        self.assertEqual((entries[0]["error"], entries[0]["told"], entries[0]["state"], entries[0]["path"]),
                         ("EIO", None, "waiting", "some/dir/file-1"))
        self.assertEqual(entries[1]["escaped"], ["path"])
        daemon.tell("errors 2")
        lines = self.admin("errors", "1").splitlines()
        self.assertRegex(lines[1], r"^ 1  waiting +1  2023-11-14 22:13:20  2023-11-14 22:13:21  -     read   EIO     -     some/dir/file-1")
        self.assertIn("some/dir/\\xe9\\file-2", lines[2])
        self.assertEqual([entry["state"] for entry in self.json("errors", "--state", "waived", "1")], ["waived"])
        self.assertEqual(self.json("errors", "--state", "fixed", "1")[0]["path"], "some/dir/healed")
        self.admin("errors", "--state", "broken", "1", status=2)

    def test_decisions(self):
        daemon = self.daemon()
        daemon.tell("errors 12")
        self.assertEqual(self.admin("retry", "1"), "12 errors are tried again.\n")
        self.assertEqual(self.admin("retry", "3", "./some/dir/", "/mnt/x/file", "1"), "3 errors are tried again.\n")
        self.assertEqual(self.admin("waive", "7", "1"), "1 error is waived.\n")
        self.assertEqual(self.json("waive", "7", "1"), {"ok": True, "migid": 1, "changed": 0, "unchanged": 1})
        self.assertEqual(self.json("waive", "--all", "1")["unchanged"], 12)
        self.assertEqual(self.json("waive", "13", "1", status=1)["error"], "ENOENT")
        self.admin("retry", "missing", "1", status=1)
        self.assertIn("no such error", self.err)
        self.admin("retry", "0", "1", status=2)
        for wrong in ["retry"], ["waive"], ["waive", "1"], ["waive", "--all", "7", "1"]:
            self.admin(*wrong, status=2)
        self.admin("retry", "3", "99", status=3)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("the daemon's socket serves root only, and this is not root")
        sys.exit(77)
    del sys.argv[1:3]
    unittest.main(verbosity=1)
