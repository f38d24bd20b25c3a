#!/bin/sh
# Load, kills, outages of the source, a full target: hours by hand (--hours N), a minute in the suite.
exec python3 "$(dirname "$0")/soak.py" "$@"
