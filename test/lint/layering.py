#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the house: a file includes headers of its own room and of lower floors; never sideways, never up.

usage: layering.py TOP
"""
import pathlib
import re
import sys

# A room may include itself and every room of a lower floor.
FLOORS = [
    {"base"},
    {"wire", "property"},  # on base
    {"keeper", "monitor", "state", "target", "source"},
    {"migrate", "cutover", "volume"},
    {"fs", "admin", "dmapi"},
    {"daemon"},
]

# Apart from the house: these talk to the daemon over wire/, and may use what is named here.
APART = {
    "cli": ("base/", "wire/", "property/", "state/config.h", "state/settings.h"),
    "libdm": ("base/", "wire/"),
}

# Libraries, and the files that may know them (prefixes of paths below the top).
LIBRARIES = {
    r"lmdb\.h": ("src/state/",),
    r"fuse_lowlevel\.h|fuse\.h|fuse3/.*": ("src/fs/", "src/daemon/"),
    r"uv\.h": ("src/base/lane", "src/base/loop", "src/admin/socket"),
    r"nfsc/.*|libsmbclient\.h|smb2/.*": ("plugins/",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def floor_of(room):
    return next((n for n, rooms in enumerate(FLOORS) if room in rooms), None)


def complaint(path, bracket, header):
    """Why the file at `path` (below the top) must not include `header`, or None."""
    parts = path.split("/")
    if ".." in header.split("/"):
        return "includes start at src/, without '..'"
    for pattern, places in LIBRARIES.items():
        if bracket == "<" and re.fullmatch(pattern, header) and not path.startswith(places):
            return "this library belongs to " + ", ".join(places)
    if parts[0] == "plugins":
        return None if bracket == "<" or "/" not in header else "a plugin knows <dmmfs/plugin.h> and its own folder only"
    if bracket == "<" or "/" not in header:
        return None  # system headers, dmmfs-config.h, own folder
    if header.startswith("dmmfs/"):
        return None
    room, other = parts[1], header.split("/")[0]
    if other == room:
        return None
    if room in APART:
        return None if header.startswith(APART[room]) else f"{room} may use only " + ", ".join(APART[room])
    mine, theirs = floor_of(room), floor_of(other)
    if mine is None:
        return f"room {room} has no floor: add it to test/lint/layering.py"
    if theirs is None:
        return f"{other} is no room of the house"
    if theirs == mine:
        return f"sideways: {room} and {other} are on one floor"
    return f"up: {other} is above {room}" if theirs > mine else None


def check(top):
    """Yields a line for every include that breaks a rule, and returns how many files were read."""
    files = 0
    for folder in ("src", "plugins", "include"):
        for file in sorted(pathlib.Path(top, folder).rglob("*.[ch]")):
            files += 1
            path = file.relative_to(top).as_posix()
            if folder == "src" and path.count("/") < 2:
                yield f"{path}: a file belongs into a room"
            for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
                match = INCLUDE.match(line)
                why = match and complaint(path, *match.groups())
                if why:
                    yield f"{path}:{number}: {line.strip()}: {why}"
    if not files:
        yield f"{top}: no C files"


def main():
    found = list(check(sys.argv[1]))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
