#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds up what `meson test` did in each build directory: failures, skips with their reasons, and one line of counts.

usage: summary.py BUILD...
       summary.py --again BUILD   prints the failed tests that may be tried again, alone

Reads BUILD/meson-logs/testlog.json; a file in BUILD/meson-logs/sanitizer counts as a failure. Exits with 1 if anything failed
or nothing ran.

A test of mounts and servers shares the machine with others, and may meet a time limit that none of them is to blame for. When one or two
fail, bootstrap runs them again (BUILD/meson-logs/again.json): who passes three times is named as unsteady, for somebody to
find out why, and does not fail the run. Everything else fails at once: units, the model, simulations, crashes, fuzzing, the soak.
"""
import json
import pathlib
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
AGAIN_AT_MOST = 2  # tests: more is no accident
AGAIN_TIMES = 3


def last_line(test):
    lines = [line for line in (test.get("stdout") or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def read_log(log):
    return [json.loads(line) for line in log.read_text(errors="replace").splitlines()] if log.exists() else []


def failed(test):
    return test["result"] not in PASSED and test["result"] != "SKIP"


def may_be_tried_again(logs):
    """The names of the tests, as `meson test` takes them; none where anything failed that must not."""
    names = [test["name"] for test in read_log(logs / "testlog.json") if failed(test)]
    if len(names) > AGAIN_AT_MOST or not all(name.startswith("dmmfs:integration") for name in names):
        return []
    return [name.split(" / ")[-1] for name in names]


def passed_again(logs):
    results = {}
    for test in read_log(logs / "again.json"):
        results.setdefault(test["name"], []).append(test["result"] in PASSED)
    return {name for name, passes in results.items() if passes == [True] * AGAIN_TIMES}


def read_build(build):
    """Returns (passed, failures, skips, unsteady); all but the first are lines."""
    passed, failures, skips, unsteady = 0, [], [], []
    logs = pathlib.Path(build, "meson-logs")
    log = logs / "testlog.json"
    if not log.exists():
        return 0, [f"{build}: no test ran: {log} is missing"], [], []
    steady_alone = passed_again(logs)
    for test in read_log(log):
        name = f"{test['name']} ({pathlib.Path(build).name})"
        if test["result"] in PASSED:
            passed += 1
        elif test["result"] == "SKIP":
            skips.append(f"{name}: {last_line(test)}")
        elif test["name"] in steady_alone:
            passed += 1
            unsteady.append(f"{name}: failed beside others, then passed {AGAIN_TIMES} times alone; the first run's output is above")
        else:
            failures.append(f"{name}: {test['result'].lower()} after {test['duration']:.1f} s")
    for report in sorted((logs / "sanitizer").glob("*")):
        failures.append(f"sanitizer report {report}:\n" + report.read_text(errors="replace"))
    return passed, failures, skips, unsteady


def main():
    if sys.argv[1] == "--again":
        print(*may_be_tried_again(pathlib.Path(sys.argv[2], "meson-logs")), sep="\n")
        return 0
    passed, failures, skips, unsteady = 0, [], [], []
    for build in sys.argv[1:]:
        more_passed, more_failures, more_skips, more_unsteady = read_build(build)
        passed += more_passed
        failures += more_failures
        skips += more_skips
        unsteady += more_unsteady
    print()
    for skip in skips:
        print("skipped", skip)
    for name in unsteady:
        print("UNSTEADY", name)
    for failure in failures:
        print("FAILED", failure)
    note = f" ({len(unsteady)} unsteady)" if unsteady else ""
    print(f"{passed} passed{note}, {len(failures)} failed, {len(skips)} skipped")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
