#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layering check finds what it is there for, and lets pass what is right."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import layering


def found(path, text):
    with tempfile.TemporaryDirectory() as top:
        file = pathlib.Path(top, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return list(layering.check(top))


class Layering(unittest.TestCase):
    def test_passes(self):
        for path, header in (
            ("src/migrate/a.c", '"state/store.h"'),
            ("src/migrate/a.c", '"migrate/b.h"'),
            ("src/wire/a.c", '"base/log.h"'),
            ("src/daemon/a.c", '"fs/fs.h"'),
            ("src/cli/a.c", '"state/config.h"'),
            ("src/state/a.c", "<lmdb.h>"),
            ("src/base/lane.c", "<uv.h>"),
            ("src/source/a.c", "<dmmfs/plugin.h>"),
            ("plugins/nfs/a.c", "<nfsc/libnfs.h>"),
            ("plugins/nfs/a.c", '"compound.h"'),
        ):
            self.assertEqual(found(path, f"#include {header}\n"), [], (path, header))

    def test_complains(self):
        for path, header, why in (
            ("src/base/a.c", '"wire/frame.h"', "up"),
            ("src/state/a.c", '"migrate/segment.h"', "up"),
            ("src/state/a.c", '"target/tree.h"', "sideways"),
            ("src/fs/a.c", '"admin/socket.h"', "sideways"),
            ("src/state/a.h", '"../base/log.h"', "'..'"),
            ("src/cli/a.c", '"state/store.h"', "cli may use only"),
            ("src/cli/a.c", '"fs/fs.h"', "cli may use only"),
            ("src/migrate/a.c", "<lmdb.h>", "belongs to"),
            ("src/migrate/a.c", "<fuse_lowlevel.h>", "belongs to"),
            ("src/base/log.c", "<uv.h>", "belongs to"),
            ("src/source/a.c", "<nfsc/libnfs.h>", "belongs to"),
            ("plugins/posix/a.c", '"base/log.h"', "a plugin knows"),
            ("src/state/a.c", '"attic/a.h"', "no room"),
            ("src/a.c", "<stdio.h>", "belongs into a room"),
        ):
            lines = found(path, f"int a;\n  # include {header}\n")
            self.assertEqual(len(lines), 1, (path, header, lines))
            self.assertIn(why, lines[0])

    def test_nothing_there(self):
        self.assertEqual(len(found("README", "")), 1)


unittest.main()
