#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The same as many-objects on a file system whose node ids are hashes.
exec "$(dirname "$0")/many-objects.sh" xfs
