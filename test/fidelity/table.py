#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what fidelity.sh has seen, and makes docs/FIDELITY.md of it.

    table.py judge PROTOCOL RESULTS [CASE...]   of the directory RESULTS, prints what came over; 1 when something was lost of which nobody
                                                was told, or when it is not what PROTOCOL.json, beside this file, says (not with cases)
    table.py keep RESULTS                       PROTOCOL.json of RESULTS/PROTOCOL for each protocol that is there, and docs/FIDELITY.md
    table.py check                              1 when docs/FIDELITY.md is not what the four PROTOCOL.json make

A verdict: how much of a case is `carried` (all, some, none); what was told `once` for the migration and explains the rest; with which words
objects that lost something were named, `each`."""
import json
import os
import sys

import cases

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, '..', '..', 'docs', 'FIDELITY.md')
OTHER = os.environ.get('FIDELITY_OTHER')  # a server whose version is not that of which the table tells
WITHOUT = os.environ.get('FIDELITY_WITHOUT')  # a library that is not built in, and named where it is missed
PROTOCOLS = {'posix': 'posix', 'nfs3': 'NFSv3', 'nfs4': 'NFSv4.0', 'cifs': 'SMB'}


# --- what was told -----------------------------------------------------------------------------------------------------------------

def load(results, name):
    with open(os.path.join(results, name + '.json'), encoding='utf-8') as file:
        return json.load(file)


def path_of(entry):
    """With a character for each byte, as cases.text() has it."""
    path = entry['path'].encode()
    if 'path' in entry.get('escaped', []):
        path = path.decode('latin-1').encode('latin-1').decode('unicode_escape').encode('latin-1')
    return path.decode('latin-1')


class Told:
    def __init__(self, losses):
        self.never = losses['never']
        self.paths = {}
        for kind in losses['kinds']:
            for entry in kind['listed']:
                self.paths.setdefault(path_of(entry), []).append(entry)

    def of_object(self, path):
        """What was told of it, or of what it lies in."""
        found = []
        while path:
            found += [f"{entry['what']}: {entry['error']}" for entry in self.paths.get(path, [])]
            path = path.rpartition('/')[0]
        return found

    def of_all(self, topics):
        for topic in topics:
            kind, _, word = topic.partition(':')
            found = [never['explanation'] for never in self.never if never['kind'] == kind and word.lower() in never['explanation'].lower()]
            if found:
                return found
        return []


# --- verdicts ----------------------------------------------------------------------------------------------------------------------

def judge(case, source, looks, told):
    """The verdict, and the names that were lost with nobody being told."""
    each, once, silent = set(), set(), []
    lost = {name for look in looks for name in source | look if source.get(name) != look.get(name)}
    for name in sorted(lost):
        named = told.of_object(case.name if name == '.' else f'{case.name}/{name}')
        covered = [] if named else told.of_all(case.topics)
        each.update(named)
        once.update(covered)
        if not named and not covered:
            silent.append(name)
    carried = 'all' if not lost else 'none' if lost >= set(source) else 'some'
    return {'carried': carried, 'once': sorted(once), 'each': sorted(each)}, silent


def judge_tree(tree, results, verdicts, complaints):
    source, mount, after = (load(results, f'{tree}-{when}') for when in ('source', 'mount', 'after'))
    told = Told(load(results, f'{tree}-losses'))
    explained = set()
    for case in [case for case in cases.CASES if case.name in source]:
        looks = [look[case.name] for look in (mount, after) if case.name in look]
        verdict, silent = judge(case, source[case.name], looks, told)
        verdicts[case.name] = verdict
        explained.update(verdict['once'])
        if OTHER and 'acl' in case.name and silent:
            print(f'{case.name}: another server may make ACLs of its own: {len(silent)} differ, with {OTHER}')
            continue
        for name in silent[:5]:
            seen = [look.get(name) for look in looks]
            complaints.append(f'{case.name}: nobody was told of {name!r}: {source[case.name].get(name)} | {seen}'[:300])
    return [never['explanation'] for never in told.never if never['explanation'] not in explained]


def judge_run(protocol, results, chosen):
    verdicts, complaints = {}, []
    idle = judge_tree('open', results, verdicts, complaints)
    if os.path.exists(os.path.join(results, 'closed-losses.json')):
        judge_tree('closed', results, verdicts, complaints)
    for name, verdict in verdicts.items():
        print(f"{name:14} {verdict['carried']:5} {'; '.join(verdict['once'] + verdict['each'])}")
    for explanation in idle:
        print(f'said, and no case shows it: {explanation}')
    if not chosen:
        with open(os.path.join(HERE, protocol + '.json'), encoding='utf-8') as file:
            wanted = json.load(file)
        for name in sorted(wanted.keys() | verdicts.keys()):
            if WITHOUT and any(WITHOUT in text for text in verdicts.get(name, {'once': []})['once']):
                print(f'{name}: not compared, since this build is without {WITHOUT}')
            elif wanted.get(name) != verdicts.get(name) and OTHER:
                print(f'{name}: otherwise than the table says, with {OTHER}')
            elif wanted.get(name) != verdicts.get(name):
                complaints.append(f'{name}: {verdicts.get(name)}, while the table says {wanted.get(name)}: '
                                  'if that is right, test/fidelity/table.py keep BUILD/test/fidelity')
    for complaint in complaints:
        print('WRONG:', complaint)
    with open(os.path.join(results, 'verdicts.json'), 'w', encoding='utf-8') as file:
        json.dump(verdicts, file)
    return 1 if complaints else 0


# --- the document ------------------------------------------------------------------------------------------------------------------

class Notes:
    def __init__(self):
        self.texts = []

    def number(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return str(self.texts.index(text) + 1)


def cell(verdict, notes):
    if verdict is None:
        return '-'
    words = {'all': 'yes', 'some': 'in part', 'none': 'no'}[verdict['carried']]
    if verdict['each']:
        words += ', each named'
    numbers = [notes.number(text) for text in verdict['once']]
    if verdict['each']:
        what = ', '.join(f'`{text}`' for text in verdict['each'])
        numbers.append(notes.number(f'Each is named, with what was done and the error: {what}.'))
    return words + (f" ({', '.join(numbers)})" if numbers else '')


def document():
    verdicts = {}
    for protocol in PROTOCOLS:
        with open(os.path.join(HERE, protocol + '.json'), encoding='utf-8') as file:
            verdicts[protocol] = json.load(file)
    notes = Notes()
    rows = ['| | ' + ' | '.join(PROTOCOLS.values()) + ' |', '|---' * (len(PROTOCOLS) + 1) + '|']
    for case in cases.CASES:
        row = [cell(verdicts[protocol].get(case.name), notes) for protocol in PROTOCOLS]
        rows.append(f'| {case.title} | ' + ' | '.join(row) + ' |')
    listed = [f'{number}. {text}' for number, text in enumerate(notes.texts, 1)]
    with open(os.path.join(HERE, 'FIDELITY.md.in'), encoding='utf-8') as file:
        return file.read().replace('@TABLE@', '\n'.join(rows)).replace('@NOTES@', '\n'.join(listed))


def keep(results):
    for protocol in PROTOCOLS:
        path = os.path.join(results, protocol, 'verdicts.json')
        if os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                verdicts = json.load(file)
            with open(os.path.join(HERE, protocol + '.json'), 'w', encoding='utf-8') as file:
                json.dump(verdicts, file, indent=1)
                file.write('\n')
    with open(DOCUMENT, 'w', encoding='utf-8') as file:
        file.write(document())


def check():
    with open(DOCUMENT, encoding='utf-8') as file:
        if file.read() == document():
            return 0
    print('docs/FIDELITY.md is not what test/fidelity/*.json and FIDELITY.md.in make: run test/fidelity/table.py keep BUILD/test/fidelity')
    return 1


def main():
    if sys.argv[1:2] == ['judge']:
        return judge_run(sys.argv[2], sys.argv[3], sys.argv[4:])
    if sys.argv[1:2] == ['keep']:
        return keep(sys.argv[2])
    return check()


if __name__ == '__main__':
    sys.exit(main())
