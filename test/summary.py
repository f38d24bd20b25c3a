#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds up what `meson test` did in each build directory: failures, skips with their reasons, and one line of counts.

usage: summary.py BUILD...

Reads BUILD/meson-logs/testlog.json; a file in BUILD/meson-logs/sanitizer counts as a failure. Exits with 1 if anything failed
or nothing ran.
"""
import json
import pathlib
import sys

PASSED = {"OK", "EXPECTEDFAIL"}


def last_line(test):
    lines = [line for line in (test.get("stdout") or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def read_build(build):
    """Returns (passed, failures, skips); the latter are lines."""
    passed, failures, skips = 0, [], []
    logs = pathlib.Path(build, "meson-logs")
    log = logs / "testlog.json"
    if not log.exists():
        return 0, [f"{build}: no test ran: {log} is missing"], []
    for line in log.read_text(errors="replace").splitlines():
        test = json.loads(line)
        name = f"{test['name']} ({pathlib.Path(build).name})"
        if test["result"] in PASSED:
            passed += 1
        elif test["result"] == "SKIP":
            skips.append(f"{name}: {last_line(test)}")
        else:
            failures.append(f"{name}: {test['result'].lower()} after {test['duration']:.1f} s")
    for report in sorted((logs / "sanitizer").glob("*")):
        failures.append(f"sanitizer report {report}:\n" + report.read_text(errors="replace"))
    return passed, failures, skips


def main():
    passed, failures, skips = 0, [], []
    for build in sys.argv[1:]:
        more_passed, more_failures, more_skips = read_build(build)
        passed += more_passed
        failures += more_failures
        skips += more_skips
    print()
    for skip in skips:
        print("skipped", skip)
    for failure in failures:
        print("FAILED", failure)
    print(f"{passed} passed, {len(failures)} failed, {len(skips)} skipped")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
