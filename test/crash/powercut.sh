#!/bin/sh
# Any part of what was not flushed is lost, at any instant.
exec python3 "$(dirname "$0")/powercut.py" "$@"
