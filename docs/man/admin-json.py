#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes dmmfs-admin-json(5) from the schemas of test/schemas, against which every command is tested.

usage: admin-json.py SCHEMAS MAIN.C TEMPLATE OUTPUT DEPFILE

TEMPLATE holds a line "@COMMANDS@", for the commands in the order in which MAIN.C lists them. DEPFILE: what was read, for ninja.
"""
import json
import pathlib
import re
import sys

schemas, main, template, output, depfile = map(pathlib.Path, sys.argv[1:6])


def load(name):
    return json.loads((schemas / name).read_text())


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in text.split("\n"))


def type_of(schema):
    """What a value is, in few words."""
    if "$ref" in schema and not schema["$ref"].startswith("common.json"):
        return f"object, see \\fB{schema['$ref'][:-5]}\\fR"
    if "$ref" in schema:
        part = schema["$ref"].rsplit("/", 1)[1]
        names = {"count": "number", "migid": "number", "time": "time", "time_or_null": "time or null", "error": "error",
                 "error_or_null": "error or null", "escaped": "array", "moment": "object with sec and nsec",
                 "handle": "object with type and bytes"}
        return names[part]
    if "enum" in schema:
        return ", ".join(f"\\(lq{roff(str(one))}\\(rq" for one in schema["enum"] if one is not None) + (
            " or null" if None in schema["enum"] else "")
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(type_of(one) for one in schema["anyOf"])
    names = schema.get("type", "any")
    names = [names] if isinstance(names, str) else names
    return " or ".join({"integer": "number", "boolean": "true or false"}.get(one, one) for one in names)


def inner(schema):
    """Objects that have no file of their own: below arrays, in keys, and in alternatives."""
    for part in [schema.get("items"), schema.get("additionalProperties")] + schema.get("anyOf", []):
        if isinstance(part, dict) and "$ref" not in part:
            yield part
    for part in schema.get("properties", {}).values():
        if "$ref" not in part:
            yield part


def table(schema, title=None):
    lines = []
    keys = {key: part for key, part in schema.get("properties", {}).items() if key != "escaped"}
    if title and keys:
        lines.append(f".PP\n{roff(title[0].upper() + title[1:])}, an object:")
    required = schema.get("required", [])
    for key, part in keys.items():
        about = roff(part.get("description", "")) or "The same as elsewhere."
        lines.append(f".TP\n\\fB{roff(key)}\\fR ({type_of(part)}{'' if key in required else ', not always there'})\n{about}")
    for part in inner(schema):
        lines += table(part, part.get("title"))
    return lines


def section(name, schema):
    lines = [f".SS {name}", roff(schema.get("description", ""))]
    base = schema.get("$ref") or schema.get("items", {}).get("$ref")
    others = [one["$ref"] for one in schema.get("anyOf", []) if "$ref" in one]
    for other in filter(None, [base] + others):
        lines.append(f"Its object is described below as \\fB{other[:-5]}\\fR.")
    return lines + table(schema)


def main_order():
    """The commands as main.c lists them."""
    text = main.read_text()
    return re.findall(r"&command_(\w+)", text)


commands = [name for name in main_order() if (schemas / f"{name}.json").exists()]
shared = sorted(path.stem for path in schemas.glob("*.json") if path.stem not in commands + ["common"])
parts = [line for name in commands for line in section(name, load(name + ".json"))]
parts.append(".SH OBJECTS\nWhat several commands print.")
parts += [line for name in shared for line in section(name, load(name + ".json"))]
output.write_text(template.read_text().replace("@COMMANDS@", "\n".join(parts)))
read = [main, template, schemas, *sorted(schemas.glob("*.json"))]
depfile.write_text(f"{output}: {' '.join(str(path).replace(' ', chr(92) + ' ') for path in read)}\n")
