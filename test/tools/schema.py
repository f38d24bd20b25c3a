#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does JSON fit a schema of test/schemas?

usage: schema.py SCHEMA [FILE]      SCHEMA: a name, "stat" for test/schemas/stat.json; FILE: one JSON value, or one in each line

The schemas are JSON Schema 2020-12, of which this knows what they use; a keyword it does not know is an error of the schema.
Beside that it asks of each schema what keeps documents and programs together: every key has a description, and no object takes
keys that are not named.
"""
import json
import pathlib
import re
import sys

SCHEMAS = pathlib.Path(__file__).resolve().parents[1] / "schemas"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
KEYWORDS = {"$comment", "$defs", "$ref", "title", "description", "type", "enum", "const", "pattern", "minimum", "maximum",
            "properties", "required", "additionalProperties", "unevaluatedProperties", "items", "anyOf"}


class Mismatch(Exception):
    pass


def load(name, folder=SCHEMAS):
    """The schema of a file, or of a part of it: "common.json#/$defs/time"."""
    file, _, part = name.partition("#")
    schema = json.loads((folder / file).read_text())
    for key in filter(None, part.split("/")):
        schema = schema[key]
    return schema


def is_of(value, type_name):
    return isinstance(value, TYPES[type_name]) and not (type_name in ("integer", "number") and isinstance(value, bool))


def check_scalar(schema, value, where):
    types = schema.get("type")
    types = [types] if isinstance(types, str) else types
    if types and not any(is_of(value, one) for one in types):
        raise Mismatch(f"{where} is {json.dumps(value)[:60]}, not of type {' or '.join(types)}")
    if "enum" in schema and value not in schema["enum"]:
        raise Mismatch(f"{where} is {value!r}, not one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        raise Mismatch(f"{where} is {value!r}, not {schema['const']!r}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        raise Mismatch(f"{where} is {value!r}, which does not match {schema['pattern']}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            raise Mismatch(f"{where} is {value}, out of its range")


def check_object(schema, value, where, known):
    """`known`: the keys that schemas beside this one have accounted for; those of this one are added."""
    for key in schema.get("required", []):
        if key not in value:
            raise Mismatch(f"{where} has no key {key}")
    for key, part in schema.get("properties", {}).items():
        if key in value:
            check(part, value[key], f"{where}.{key}")
            known.add(key)
    rest = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    for key in value.keys() - known if rest is not None else ():
        if rest is False:
            raise Mismatch(f"{where} has the key {key}, which its schema does not name")
        check(rest, value[key], f"{where}.{key}")
        known.add(key)


def check_any(schemas, value, where):
    found, reasons = None, []
    for schema in schemas:
        try:
            known = check(schema, value, where)
            found = known if found is None else found | known
        except Mismatch as mismatch:
            reasons.append(str(mismatch))
    if found is None:
        raise Mismatch(f"{where} fits none of several forms: {'; '.join(reasons)}")
    return found


def check(schema, value, where="it"):
    """The keys of an object that the schema accounts for."""
    unknown = schema.keys() - KEYWORDS
    assert not unknown, f"the schema has keywords that nobody checks: {unknown}"
    known = set()
    if "$ref" in schema:
        known |= check(load(schema["$ref"]), value, where)
    if "anyOf" in schema:
        known |= check_any(schema["anyOf"], value, where)
    check_scalar(schema, value, where)
    if isinstance(value, dict):
        check_object(schema, value, where, known)
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            check(schema["items"], item, f"{where}[{i}]")
    return known


def read(text):
    """One value, or a value in each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def main():
    text = pathlib.Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else sys.stdin.read()
    try:
        values = read(text)
        for value in values:
            check(load(sys.argv[1] + ".json"), value)
    except ValueError as error:
        sys.exit(f"this is no JSON ({error}): {text[:400]!r}")
    except Mismatch as mismatch:
        sys.exit(f"{sys.argv[1]}.json does not fit: {mismatch}")
    return 0 if values else 1


if __name__ == "__main__":
    sys.exit(main())
