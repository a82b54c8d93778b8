# SPDX-License-Identifier: MIT
"""What bench/compare found out: as a table, as JSON, as Markdown, as one page of HTML."""

import html
import json
import os

# Word of a line, unit, and whether more is better.  A workload has those figures that its line has words for.
FIGURES = [
    ("p50_ns", "ns, p50", False),
    ("p99_ns", "ns, p99", False),
    ("bytes_per_actor", "bytes/actor", False),
    ("efficiency", "of ideal", True),
    ("ns_per_msg", "ns/message", False),
]

# Where troupe has a form that no peer has: what the peers' best is taken from.
MEASURED_BY = {"fj_throughput_batch": ["fj_throughput_b", "fj_throughput_u"]}


def figures_of(words):
    """The figures that a line of these words has."""
    special = [f for f in FIGURES[:-1] if f[0] in words]
    return special or [FIGURES[-1]]


def median(values):
    """Of an even number the lower, as in troupe-bench."""
    return sorted(values)[(len(values) - 1) // 2]


def cell_of(runs, word):
    values = [run[word] for run in runs]
    cores = median([run["cpu_secs"] / run["wall_secs"] for run in runs])
    return {"median": median(values), "min": min(values), "max": max(values), "cores": cores, "runs": values}


def best_of(cells, more):
    """The peer with the best median, or None."""
    peers = {peer: cell["median"] for peer, cell in cells.items() if peer != "troupe"}
    if not peers:
        return None
    return (max if more else min)(peers, key=peers.get)


def peers_elsewhere(results, workload, word, more):
    """The best of each peer at the workloads by which this one is measured."""
    cells = {}
    for other in MEASURED_BY.get(workload, []):
        for peer, runs in results.get(other, {}).items():
            cell = cell_of(runs, word)
            is_better = peer not in cells or (cell["median"] > cells[peer]["median"]) == more
            if peer != "troupe" and is_better:
                cells[peer] = {**cell, "from": other}
    return cells


def summarize(results):
    """results[workload][peer] is a list of runs; gives the rows of the table."""
    rows = []
    for workload, by_peer in results.items():
        if not by_peer:
            continue
        words = next(iter(by_peer.values()))[0]
        for word, unit, more in figures_of(words):
            cells = {peer: cell_of(runs, word) for peer, runs in by_peer.items()}
            for peer, cell in peers_elsewhere(results, workload, word, more).items():
                cells.setdefault(peer, cell)
            best = best_of(cells, more)
            ratio = None
            if best is not None and "troupe" in cells:
                ours, theirs = cells["troupe"]["median"], cells[best]["median"]
                above, below = (ours, theirs) if more else (theirs, ours)
                ratio = above / below if below > 0 else None
            rows.append({"workload": workload, "figure": word, "unit": unit, "more_is_better": more,
                         "cells": cells, "best_peer": best, "ratio": ratio})
    return rows


def number(value):
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def cell_text(cell):
    if cell is None:
        return "-"
    return f"{number(cell['median'])} ({number(cell['min'])}-{number(cell['max'])})"


def ratio_text(row):
    return "-" if row["ratio"] is None else f"{row['ratio']:.2f} {row['best_peer']}"


def lines_of(rows, peers):
    """Medians, with least and largest in brackets; the last column is how many times troupe is as good as the best peer."""
    lines = [["workload", "unit", *peers, "troupe : best peer"]]
    for row in rows:
        cells = [cell_text(row["cells"].get(peer)) for peer in peers]
        lines.append([row["workload"], row["unit"], *cells, ratio_text(row)])
    return lines


def aligned(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines)


def table(rows, peers):
    return aligned(lines_of(rows, peers))


def write_json(path, machine, rows, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": rows, "runs": results}, file, indent=1)
        file.write("\n")


# What is between them is the script's.
MD_BEGIN = "<!-- bench/compare --md: begin -->"
MD_END = "<!-- bench/compare --md: end -->"


def around_marks(path):
    """What is before the first mark and behind the second one; None if it has not both, once, in this order."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(MD_BEGIN) != 1 or text.count(MD_END) != 1 or text.index(MD_BEGIN) > text.index(MD_END):
        return None
    return text.split(MD_BEGIN)[0], text.split(MD_END)[1]


def complaint_about(path):
    """Why a table cannot be written into this file, or None."""
    if not os.path.exists(path):
        return None
    try:
        if around_marks(path) is None:
            return f"{path} is there, and has no two lines \"{MD_BEGIN}\" and \"{MD_END}\" between which the table could go"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path}: {error}"
    return None


def md_table(lines):
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in [lines[0], rule, *lines[1:]])


def write_md(path, facts, rows, peers):
    """The machine and the table, in place of what was between the marks; what is around them stays."""
    before, behind = around_marks(path) if os.path.exists(path) else ("", "\n")
    text = "\n".join([MD_BEGIN, "", md_table([["of this run", ""], *[[key, str(value)] for key, value in facts.items()]]), "",
                      md_table(lines_of(rows, peers)), "", MD_END])
    # Whole, or not at all.
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(before + text + behind)
    os.replace(path + ".new", path)


STYLE = """
:root { color-scheme: light dark; --bar: #8a94a6; --ours: #2f7d5b; --line: #8884; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
h2 small { font-weight: normal; opacity: .7; }
.row { display: grid; grid-template-columns: 5rem 1fr 13rem; gap: .6rem; align-items: center; }
.bar { height: .9rem; background: var(--bar); border-radius: 2px; min-width: 1px; }
.troupe .bar { background: var(--ours); }
.value { font-variant-numeric: tabular-nums; white-space: nowrap; }
table { border-collapse: collapse; }
td { border-top: 1px solid var(--line); padding: .15rem .8rem .15rem 0; vertical-align: top; }
"""


def chart(row, peers):
    shown = [(peer, row["cells"][peer]) for peer in peers if peer in row["cells"]]
    longest = max(cell["median"] for _, cell in shown) or 1
    better = "more" if row["more_is_better"] else "less"
    ratio = "" if row["ratio"] is None else f"; troupe : {row['best_peer']} = {row['ratio']:.2f}"
    parts = [f"<h2>{html.escape(row['workload'])} <small>{html.escape(row['unit'])}, {better} is better"
             f"{html.escape(ratio)}</small></h2>"]
    for peer, cell in shown:
        kind = "row troupe" if peer == "troupe" else "row"
        where = f" [{cell['from']}]" if "from" in cell else ""
        parts.append(f'<div class="{kind}"><span>{html.escape(peer)}</span>'
                     f'<div class="bar" style="width:{100 * cell["median"] / longest:.1f}%"></div>'
                     f'<span class="value">{html.escape(cell_text(cell) + where)}</span></div>')
    return "\n".join(parts)


def write_html(path, machine, rows, peers):
    facts = "\n".join(f"<tr><td>{html.escape(key)}</td><td>{html.escape(str(value))}</td></tr>"
                      for key, value in machine.items())
    charts = "\n".join(chart(row, peers) for row in rows)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>troupe and its peers</title><style>{STYLE}</style></head><body>
<h1>troupe and its peers</h1>
<p>Median (least-largest) of all repetitions. A ratio above 1: troupe is so many times better than the best peer.</p>
<table>
{facts}
</table>
{charts}
</body></html>
""")
