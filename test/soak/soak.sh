#!/bin/sh
# Load, kills, outages of the source: hours by hand (--hours N), less here.
exec python3 "$(dirname "$0")/soak.py" "$@"
