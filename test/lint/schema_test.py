#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""test/tools/schema.py refuses what does not fit, and says where."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
import schema as language

ONE = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"enum": ["x", "y"]}}, "required": ["a"]}
CLOSED = dict(ONE, additionalProperties=False)
MORE = {"anyOf": [ONE], "properties": {"c": {"const": True}}, "required": ["c"], "unevaluatedProperties": False}
LIST = {"type": "array", "items": CLOSED}
FORMS = {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^E"}]}

FIT = [(CLOSED, {"a": 1}), (CLOSED, {"a": 2, "b": "y"}), (ONE, {"a": 1, "z": 0}), (MORE, {"a": 1, "c": True}), (LIST, []),
       (LIST, [{"a": 1}]), (FORMS, None), (FORMS, "EIO"), ({"type": ["integer", "null"]}, None),
       ({"type": "object", "additionalProperties": {"type": "string"}}, {"z": "text"})]
MISFIT = [(CLOSED, {}, "no key a"), (CLOSED, {"a": 0}, "range"), (CLOSED, {"a": "1"}, "type"), (CLOSED, {"a": True}, "type"),
          (CLOSED, {"a": 1, "b": "z"}, "not one of"), (CLOSED, {"a": 1, "z": 0}, "key z"), (MORE, {"a": 1}, "no key c"),
          (MORE, {"a": 1, "c": True, "z": 0}, "key z"), (MORE, {"a": 1, "c": 1.5}, "not True"), (LIST, [{"a": 1}, {}], r"it[1]"),
          (FORMS, "x", "none of several"), ({"type": "object", "additionalProperties": {"type": "string"}}, {"z": 1}, "it.z")]

for one, value in FIT:
    language.check(one, value)
for one, value, why in MISFIT:
    try:
        language.check(one, value)
    except language.Mismatch as mismatch:
        assert why in str(mismatch), f"{mismatch} instead of {why}"
    else:
        sys.exit(f"{value} fits {one}")
try:
    language.check({"typo": "integer"}, 1)
except AssertionError:
    pass
else:
    sys.exit("a keyword that is none was not noticed")
assert language.read('{"a":1}\n{"a":2}\n') == [{"a": 1}, {"a": 2}]
