#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benches have measured, held against the goals.

    report.py [--goals-svg FILE] [--bars-svg FILE [--bars NAME...]] [--curves-svg FILE] RESULTS...

RESULTS: lines "NAME VALUE UNIT" of test/bench/run; of a name that comes again the median counts. Prints a table of the goals:
"goal-G1-small-against-cp 1.62 at-least-1.5" is goal G1, and reached. --goals-svg draws them, each as how far it is reached;
--bars-svg draws seconds, a group of bars for each NAME that measurements begin with; --curves-svg draws memory, of all lines
"curve-NAME-OBJECTS 12.3 MiB", against the number of objects.
"""
import argparse
import math
import re
import statistics
import sys
from xml.sax.saxutils import escape

GOAL = re.compile(r"goal-(G\d+b?)-(.*)")
BOUND = re.compile(r"at-(least|most)-([0-9.]+)")
COLORS = {"cp": "#8a8a8a", "rsync": "#b8b8b8", "ceiling": "#5b7fa6", "unverified": "#e0a96d"}
OURS = "#c8642a"


def read_results(paths):
    """{name: ([values], rest of the line)} in the order in which they were first seen."""
    results = {}
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) < 2 or line.startswith("#"):
                    continue
                try:
                    value = float(fields[1])
                except ValueError:
                    continue
                results.setdefault(fields[0], ([], " ".join(fields[2:])))[0].append(value)
    return results


def goals_of(results):
    """(number, name, value, "least" or "most", wished)"""
    goals = []
    for name, (values, rest) in results.items():
        goal, bound = GOAL.fullmatch(name), BOUND.search(rest)
        if goal and bound:
            goals.append((goal[1], goal[2], statistics.median(values), bound[1], float(bound[2])))
    return sorted(goals, key=lambda goal: (int(re.sub(r"\D", "", goal[0])), goal[0]))


def reached(goal):
    """How far: 1 and more is reached."""
    _, _, value, bound, wished = goal
    if bound == "least":
        return value / wished
    return wished / value if value else math.inf


def print_table(goals):
    width = max([len(goal[1]) for goal in goals] + [4])
    print(f"{'goal':5} {'what':{width}} {'reached':>9} {'wished':>14}")
    for goal in goals:
        number, name, value, bound, wished = goal
        print(f"{number:5} {name:{width}} {value:9.2f} {'at ' + bound:>8} {wished:5g}  {'yes' if reached(goal) >= 1 else 'NO'}")


# --- plots -------------------------------------------------------------------------------------------------------------------

ROW, LEFT, RIGHT, TOP = 18, 310, 90, 34


def svg(width, height, title, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n'
            f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>\n' + "\n".join(body) + "\n</svg>\n")


def text(x, y, what, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(what)}</text>'


def bar(x, y, width, color):
    return f'<rect x="{x:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="{ROW - 5}" fill="{color}"/>'


def goals_svg(goals, path):
    """From the line at 1, where a goal is reached, to the right (better) or to the left; the scale is logarithmic, 1/8 to 8."""
    span = 420
    zero = LEFT + span / 2
    body, y = [], TOP
    for goal in goals:
        number, name, value, bound, wished = goal
        octaves = max(-3.0, min(3.0, math.log2(reached(goal) or 1e-9)))
        length = abs(octaves) / 3 * span / 2
        body += [text(LEFT - 8, y + 11, f"{number}  {name}", "end"),
                 bar(zero if octaves >= 0 else zero - length, y, length, "#4c8c4a" if octaves >= 0 else OURS),
                 text(LEFT + span + 8, y + 11, f"{value:.2f} ({'≥' if bound == 'least' else '≤'} {wished:g})")]
        y += ROW
    for octave in range(-3, 4):
        x = zero + octave / 3 * span / 2
        body.append(f'<line x1="{x}" y1="{TOP - 4}" x2="{x}" y2="{y}" stroke="#{"000" if octave == 0 else "ddd"}"/>')
        body.append(text(x, y + 14, f"{2.0 ** octave:g}", "middle"))
    with open(path, "w", encoding="utf-8") as out:
        out.write(svg(LEFT + span + RIGHT + 20, y + 24, "How far each goal is reached (1: as wished, to the right: better)", body))


def bars_svg(results, prefixes, path):
    """A group for each prefix: seconds of dmmfs and its peers, as parts of the longest."""
    span = 380
    body, y = [], TOP
    for prefix in prefixes:
        members = {}
        for name, (values, unit) in results.items():
            peer = re.fullmatch(re.escape(prefix) + r"-([a-z]+)", name)
            if peer and unit == "s":
                members[peer[1]] = statistics.median(values)
        if not members:
            continue
        body.append(text(10, y + 11, prefix))
        most = max(members.values())
        for who, value in sorted(members.items(), key=lambda member: -member[1]):
            body += [text(200, y + 11, who, "end"), bar(208, y, value / most * span, COLORS.get(who, OURS)),
                     text(214 + value / most * span, y + 11, f"{value:.2f} s")]
            y += ROW
        y += ROW // 2
    with open(path, "w", encoding="utf-8") as out:
        out.write(svg(208 + span + 80, y + 8, "Until all is copied and durable", body))


def curves_of(results):
    """{name: [(objects, MiB)]}"""
    curves = {}
    for name, (values, unit) in results.items():
        point = re.fullmatch(r"curve-([a-z-]+)-(\d+)", name)
        if point and unit == "MiB":
            curves.setdefault(point[1], []).append((int(point[2]), max(values)))
    return {name: thinned(sorted(points)) for name, points in curves.items()}


def thinned(points):
    """The highest of those that lie side by side, so that no more are left than can be seen."""
    step = points[-1][0] / 250
    highest = {}
    for x, y in points:
        if x and y >= highest.get(int(x / step), (0, 0))[1]:
            highest[int(x / step)] = (x, y)
    return sorted(highest.values())


def curves_svg(curves, bound, path):
    """Memory of the daemon against the objects that it knows of, and a line at what was wished for."""
    left, top, width, height = 60, 40, 560, 220
    most_x = max(point[0] for points in curves.values() for point in points)
    most_y = max([bound * 1.2] + [point[1] for points in curves.values() for point in points])

    def place(x, y):
        return left + x / most_x * width, top + height - y / most_y * height

    body = []
    for step in range(0, int(most_y) + 1, 16):
        y = place(0, step)[1]
        color = "#000" if step == bound else "#ddd"
        body += [f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="{color}"/>',
                 text(left - 6, y + 4, str(step), "end")]
    for part in range(5):
        x = place(most_x * part / 4, 0)[0]
        body.append(text(x, top + height + 16, f"{most_x * part / 4 / 1e6:.1f}", "middle"))
    body.append(text(left + width, top + height + 32, "million objects", "end"))
    for (name, points), color in zip(sorted(curves.items()), ("#5b7fa6", OURS, "#4c8c4a", "#8a8a8a")):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        body += [f'<polyline points="{line}" fill="none" stroke="{color}"/>',
                 f'<rect x="{left + 8}" y="{top + height - 46 + 16 * (color == OURS)}" width="14" height="3" fill="{color}"/>',
                 text(left + 28, top + height - 40 + 16 * (color == OURS), name)]
    with open(path, "w", encoding="utf-8") as out:
        out.write(svg(left + width + 20, top + height + 40, f"Resident memory of the daemon, MiB ({bound} wished for)", body))


def main():
    parser = argparse.ArgumentParser(description="holds the results of the benches against the goals")
    parser.add_argument("--goals-svg", metavar="FILE")
    parser.add_argument("--bars-svg", metavar="FILE")
    parser.add_argument("--bars", nargs="+", default=["small", "dir", "large", "sparse"], metavar="NAME")
    parser.add_argument("--curves-svg", metavar="FILE")
    parser.add_argument("results", nargs="+")
    options = parser.parse_args()
    results = read_results(options.results)
    goals = goals_of(results)
    if goals:
        print_table(goals)
    if options.goals_svg:
        goals_svg(goals, options.goals_svg)
    if options.bars_svg:
        bars_svg(results, options.bars, options.bars_svg)
    if options.curves_svg:
        curves_svg(curves_of(results), 64, options.curves_svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
