#!/bin/sh
# The daemon ends, or gets an error, at every fault point.
exec python3 "$(dirname "$0")/points.py" "$@"
