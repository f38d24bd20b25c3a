/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source plugin without a source: the test that loads it puts its own functions into the table, so that it can misbehave in
 * every way.
 */
#include <dmmfs/plugin.h>

__attribute__((visibility("default"))) struct dmm_plugin sim_plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "sim_plugin",
};

DMMFS_PLUGIN(sim_plugin)
