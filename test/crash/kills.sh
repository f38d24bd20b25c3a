#!/bin/sh
# kill -9 at random moments, 300 times, under load.
exec python3 "$(dirname "$0")/kills.py" "$@"
