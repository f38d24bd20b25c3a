/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 *     model make DIR                          a random tree
 *     model run PLAIN MOUNT                   random operations on both, compared
 *     model compare PLAIN OTHER               the trees
 *
 * Options: -s SEED  -n STEPS  -t SECONDS  -g SEGSIZE (bytes)  -o FILE (only operations on the data of this one)  -v (trace)
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct steps_options options = {.segsize = 65536, .count = 10000};
	int option;

	while ((option = getopt(argc, argv, "s:n:t:g:o:v")) != -1) {
		switch (option) {
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			options.count = strtoull(optarg, NULL, 0);
			break;
		case 't':
			options.seconds = (unsigned)atoi(optarg);
			break;
		case 'g':
			options.segsize = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			options.only = optarg;
			break;
		case 'v':
			options.trace = true;
			break;
		default:
			return 2;
		}
	}
	argv += optind;
	argc -= optind;
	random_seed(options.seed);
	if (argc == 2 && strcmp(argv[0], "make") == 0) {
		tree_make(argv[1], options.segsize);
		return 0;
	}
	if (argc == 3 && strcmp(argv[0], "compare") == 0)
		return tree_compare(argv[1], argv[2]) < 0;
	if (argc == 3 && strcmp(argv[0], "run") == 0) {
		options.sides[PLAIN] = argv[1];
		options.sides[MOUNT] = argv[2];
		return steps_run(&options) < 0;
	}
	fprintf(stderr, "usage: model [options] make DIR | run PLAIN MOUNT | compare PLAIN OTHER\n");
	return 2;
}
