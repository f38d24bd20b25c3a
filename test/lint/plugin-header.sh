#!/bin/sh
# A plugin outside the tree builds against the installed header alone: strictly, and without any other header before it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/include" "$work/include/dmmfs"
cp "$DMMFS_SOURCEDIR/include/dmmfs/plugin.h" "$work/include/dmmfs/"

cat >"$work/outside.c" <<'EOT'
#include <dmmfs/plugin.h>
static const struct dmm_plugin outside = {.abi = DMM_PLUGIN_ABI, .struct_size = sizeof(struct dmm_plugin), .name = "outside"};
DMMFS_PLUGIN(outside)
EOT
${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -shared -fPIC -Wl,--no-undefined -I"$work/include" \
	-o "$work/outside.so" "$work/outside.c"
nm -D --defined-only "$work/outside.so" | grep -q ' T dmmfs_plugin_entry$'
