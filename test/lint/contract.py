#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/CRASH-CONTRACT.md names tests and fault points that exist, and all fault points.

usage: contract.py TOP

A test is named `FOLDER/NAME`, or `FOLDER/NAME:PART` for one test of a unit, a scenario of crash/points, or what the load of
crash/powercut does. A fault point is named in brackets: [`commit-done`]. Every row of a table that has a column "shown by" names a test.
"""
import pathlib
import re
import sys

# Where the parts of a test are, and how they begin.
PARTS = {"crash/points": ("crash/scenarios.py", r"^class {}\("), "crash/powercut": ("crash/powercut.py", r"^    def {}\(")}
SUFFIXES = {"unit": ".c", "integration": ".sh", "crash": ".sh", "model": ".sh"}
NOT_OURS = ("`sync(2)`", "`syncfs(2)`")  # said of the kernel


def missing_test(top, name, part):
    folder = name.split("/")[0]
    file = top / "test" / (name + SUFFIXES[folder])
    if not file.is_file():
        return f"there is no test {name}"
    if not part:
        return None
    where, pattern = PARTS.get(name, (f"{name}.c", r"START_TEST\({}\)"))
    text = (top / "test" / where).read_text()
    return None if re.search(pattern.format(re.escape(part)), text, re.M) else f"there is no {part} in test/{where}"


def faults(top, text):
    table = set(re.findall(r'^FAULT_\w+\(\w+,\s*"([^"]+)"', (top / "src/base/fault_points.h").read_text(), re.M))
    named = set(re.findall(r"\[`([a-z-]+)`\]", text))
    yield from (f"there is no fault point {name}" for name in sorted(named - table))
    yield from (f"no row of the order of writes has the fault point {name}" for name in sorted(table - named))


def rows_without_test(text):
    shown = False
    for line in text.splitlines():
        if not line.startswith("|"):
            shown = False
        elif "shown by" in line:
            shown = True
        elif shown and not re.match(r"\|[-|]+$", line) and not any(word in line for word in NOT_OURS):
            if not re.search(r"`(unit|integration|crash|model)/", line.rstrip("| ").split("|")[-1]):
                yield f"no test shows this: {line[:60]}..."


def problems(top):
    text = (top / "docs/CRASH-CONTRACT.md").read_text()
    for name, part in sorted(set(re.findall(r"`((?:unit|integration|crash|model)/[\w-]+)(?::([\w-]+))?`", text))):
        if missing := missing_test(top, name, part):
            yield missing
    yield from faults(top, text)
    yield from rows_without_test(text)


def main():
    found = list(problems(pathlib.Path(sys.argv[1])))
    for problem in found:
        print(f"docs/CRASH-CONTRACT.md: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
