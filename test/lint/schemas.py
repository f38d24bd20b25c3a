#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schemas of test/schemas are whole: keywords that test/tools/schema.py checks, parts that exist, a description of every key,
no object that takes any key. And every command of dmmfs-admin has one, with a line in test/integration/json.sh that uses it.

usage: schemas.py TOP
"""
import pathlib
import re
import sys

top = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(top / "test/tools"))
import schema as language

faults = []


def is_closed(schema):
    return any(key in schema for key in ("additionalProperties", "unevaluatedProperties", "$ref", "anyOf"))


def look(schema, where, named=False):
    for key in schema.keys() - language.KEYWORDS:
        faults.append(f"{where}: nobody checks {key}")
    if "$ref" in schema:
        try:
            language.load(schema["$ref"], top / "test/schemas")
        except (OSError, KeyError):
            faults.append(f"{where}: there is no {schema['$ref']}")
    # What others extend is left open; they are closed themselves.
    if "properties" in schema and not is_closed(schema) and where != "figures.json":
        faults.append(f'{where}: say "additionalProperties": false')
    if named and "description" not in schema and not schema.get("$ref", "").startswith("common.json"):
        faults.append(f"{where}: a key without a description")
    for key, part in schema.get("properties", {}).items():
        look(part, f"{where} {key}", named=True)
    for key, part in schema.get("$defs", {}).items():
        look(part, f"{where} {key}")
    for part in schema.get("anyOf", []):
        look(part, where)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            look(schema[key], where)


for path in sorted((top / "test/schemas").glob("*.json")):
    look(language.load(path.name, path.parent), path.name)

script = (top / "test/integration/json.sh").read_text()
commands = [name for path in sorted((top / "src/cli").glob("*.c"))
            for name in re.findall(r'^const struct command command_\w+ = \{\s*"(\w+)"', path.read_text(), re.M)]
for name in commands:
    if not (top / f"test/schemas/{name}.json").exists():
        faults.append(f"dmmfs-admin {name} has no test/schemas/{name}.json: describe there what its --json prints")
    if not re.search(rf"^\s*valid(_lines)? {name}( |$)", script, re.M):
        faults.append(f"dmmfs-admin {name} is not validated: add a line 'valid {name} ARGUMENTS' to test/integration/json.sh")
if not commands:
    faults.append("no command was found in src/cli: look at this test")
for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
