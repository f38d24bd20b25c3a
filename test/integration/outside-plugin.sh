#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A plugin that is built outside of the tree, from what `meson install` puts in place alone: the example of the installed manual page,
# against the installed header, where pkg-config says. A migration from it works like any other.
. "$(dirname "$0")/lib.sh"
m=$work/target
for tool in cc pkg-config; do [ -n "$(command -v $tool)" ] || skip "needs $tool"; done

DESTDIR=$work/root meson install -C "$DMMFS_BUILDDIR" --no-rebuild --skip-subprojects --quiet
pc=$(find root -name dmmfs.pc)
about() { PKG_CONFIG_PATH=$(dirname "$work/$pc") PKG_CONFIG_SYSROOT_DIR=$work/root pkg-config "$@" dmmfs; }
plugindir=$work/root/$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --variable=plugindir dmmfs)
page=$(find root -name 'dmmfs-plugin.3')
sed -n '/^\.\\" example begins/,/^\.\\" example ends/p' "$page" | sed '/^\.\\"/d; s/\\e/\\/g' >hello.c
check 'the example is there' grep -q DMMFS_PLUGIN hello.c
# Not the header of the tree: nothing of it is named.
# shellcheck disable=SC2046
check 'it compiles against the installed header' \
	cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -shared -fPIC $(about --cflags) -o hello.so hello.c
install -m 755 hello.so "$plugindir/hello.so"

mkdir target
DMMFS_PLUGINDIR=$plugindir start one hello:// "$m" -o background=off
equal 'an application reads through it' 'Hello, world' "$(cat target/greeting)"
DMMFS_PLUGINDIR=$plugindir finish one "$m"
equal 'what remains' 'Hello, world' "$(cat target/greeting)"
no_trace target
