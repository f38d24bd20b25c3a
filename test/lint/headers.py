#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every header compiles by itself, so that the order of includes never matters.

usage: headers.py TOP BUILD [FLAGS]      the compiler is $CC or cc
"""
import os
import pathlib
import subprocess
import sys

TABLES = ("src/base/fault_points.h",)  # included inside a declaration, on purpose


def main():
    top, build, flags = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    headers = [p.relative_to(top).as_posix() for folder in ("include", "src") for p in sorted((top / folder).rglob("*.h"))]
    compiler = os.environ.get("CC", "cc").split() + ["-std=gnu11", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-fsyntax-only",
        "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-I{top}/src", f"-I{top}/include", f"-I{build}", *flags]
    bad = 0
    for header in headers:
        if header not in TABLES:
            line = f'#include "{header.split("/", 1)[1]}"\n'
            bad |= subprocess.run([*compiler, "-xc", "-"], input=line, text=True).returncode
    return 1 if bad or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
