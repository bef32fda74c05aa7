"""The figures of all sides, side by side, as tables in Markdown."""

import statistics

from . import calls
from .shapes import FIRST_SHAPES, SHAPES

TITLES = {"none": "no MTA", "postfix": "Postfix", "postfix-tuned": "Postfix, tuned",
          "before": "Postern, before", "postern": "Postern"}

# What is shown, its key, the factor to the unit shown, and how. Where more is better, the ratio is
# turned round: it always says how many times better Postern is. Some have no better.
LESS, MORE, NEITHER = "less", "more", "neither"
ROWS = (
    ("CPU s per 1,000 messages", "cpu_seconds_per_1000", 1, "{:.3f}", LESS),
    ("messages a second, end to end", "messages_per_second", 1, "{:,.0f}", MORE),
    ("accepted a second", "accepted_per_second", 1, "{:,.0f}", MORE),
    ("ceiling a second, by the CPU of all", "ceiling_per_second", 1, "{:,.0f}", NEITHER),
    ("reached of it, percent", "ceiling_reached", 100, "{:.0f}", NEITHER),
    ("device KiB per message", "device_octets_per_message", 1 / 1024, "{:.1f}", LESS),
    ("device octets per octet of content", "device_octets_per_octet", 1, "{:.2f}", LESS),
    ("anonymous memory, peak MiB", "anonymous_octets_peak", 1 / 1024 / 1024, "{:.1f}", LESS),
    ("generator, CPU s per 1,000", "generator_seconds_per_1000", 1, "{:.3f}", NEITHER),
    ("sink, CPU s per 1,000", "sink_seconds_per_1000", 1, "{:.3f}", NEITHER),
    ("others on this machine, percent", "others_busy_share", 100, "{:.0f}", NEITHER),
)
ANSWER_ROWS = (
    ("p50 ms to the reply", "p50_us", 1e-3, "{:.2f}", LESS),
    ("p99 ms to the reply", "p99_us", 1e-3, "{:.2f}", LESS),
    ("the slowest, ms", "max_us", 1e-3, "{:.1f}", LESS),
)
SINGLE_ROWS = (
    ("p50 ms to the reply", "answer_p50_ms", 1, "{:.2f}", LESS),
    ("p99 ms to the reply", "answer_p99_ms", 1, "{:.2f}", LESS),
    ("p50 ms to the sink", "arrival_p50_ms", 1, "{:.2f}", LESS),
    ("p99 ms to the sink", "arrival_p99_ms", 1, "{:.2f}", LESS),
)
N_CALLS_SHOWN = 6


def document(figures):
    """Everything that was measured."""
    runs = figures["runs"]
    cases = dict.fromkeys((run["shape"], run["entry"]) for run in runs if run["entry"] != "none")
    shapes = dict.fromkeys(shape for shape, _ in cases)
    parts = [glance(cases, runs), weight(cases, runs)]
    # Of many shapes only the first ones are shown whole; the file of figures has them all.
    parts += [case_table(case, runs) for case in cases
              if len(shapes) <= len(FIRST_SHAPES) or case[0] in FIRST_SHAPES]
    parts.append(losses(runs))
    titles = {"answers": "From the end of the data to the reply, under load "
                         "(4 KiB, 20 connections, kept)",
              "singles": "One message at a time, a connection for each, from the end of the data"}
    for key, rows in (("answers", ANSWER_ROWS), ("singles", SINGLE_ROWS)):
        for entry in dict.fromkeys(run["entry"] for run in figures[key]):
            of_entry = [run for run in figures[key] if run["entry"] == entry]
            parts.append(f"**{titles[key]}, by {entry}**\n\n" + grid(of_entry, rows))
    for entry in dict.fromkeys(e for sides in figures["counted"].values() for e in sides):
        parts.append(counted_table(entry, figures["counted"]))
    parts += call_lines(figures["system_calls"])
    return "\n\n".join(filter(None, parts)) + "\n"


def median(runs, key):
    """Of one figure over the rounds."""
    return statistics.median(run[key] for run in runs)


def sides_of(runs):
    """The runs of each side, in the order in which sides are shown."""
    sides = {name: [run for run in runs if run["mta"] == name] for name in TITLES}
    return {name: of_side for name, of_side in sides.items() if of_side}


def glance(cases, runs):
    """All shapes at a glance: CPU seconds per 1,000 messages, and messages a second."""
    names = [name for name in sides_of(runs) if name != "none"]
    head = ["load", "by"] + [f"{TITLES[name]}: CPU s, per s" for name in names]
    if len(names) > 1:
        head += ["CPU", "throughput", "of the ceiling"]
    lines = [row(head), row(["---"] * len(head))]
    for shape, entry in cases:
        sides = sides_of([r for r in runs if (r["shape"], r["entry"]) == (shape, entry)])
        pairs = [(median(of, "cpu_seconds_per_1000"), median(of, "messages_per_second"))
                 for of in sides.values()]
        cells = [SHAPES[shape].title, entry] + [f"{cpu:.3f}, {per:,.0f}" for cpu, per in pairs]
        if len(pairs) > 1:
            (cpu, per), (own_cpu, own_per) = pairs[0], pairs[-1]
            cells += [times(cpu, own_cpu, LESS), times(per, own_per, MORE),
                      f"{median(list(sides.values())[-1], 'ceiling_reached') * 100:.0f} %"]
        lines.append(row(cells))
    title = "**CPU seconds per 1,000 messages, and messages a second, end to end**\n\n"
    return title + "\n".join(lines)


def weight(cases, runs):
    """What all shapes weigh: octets at the device for each of content, and memory."""
    names = [name for name in sides_of(runs) if name != "none"]
    head = ["load", "by"] + [f"{TITLES[name]}: device, MiB" for name in names]
    lines = [row(head), row(["---"] * len(head))]
    for shape, entry in cases:
        sides = sides_of([r for r in runs if (r["shape"], r["entry"]) == (shape, entry)])
        lines.append(row([SHAPES[shape].title, entry] + [
            f"{median(of, 'device_octets_per_octet'):.2f}, "
            f"{median(of, 'anonymous_octets_peak') / 1024 / 1024:.1f}" for of in sides.values()]))
    title = "**Octets at the device for each octet of content, and anonymous memory at its peak**"
    return title + "\n\n" + "\n".join(lines)


def case_table(case, runs):
    """All sides for one shape and entry, with the machine itself beside them."""
    shape, entry = case
    chosen = [run for run in runs if run["shape"] == shape and run["entry"] in (entry, "none")]
    return f"**{SHAPES[shape].title}, by {entry}**\n\n" + grid(chosen, ROWS)


def grid(runs, rows):
    """One column for each side, and how many times better the last is than the others."""
    sides = sides_of(runs)
    rivals = [name for name in sides if name not in ("none", "postern")]
    compared = rivals if "postern" in sides else []
    head = [""] + [TITLES[name] for name in sides]
    head += [f"better than {TITLES[name]}" for name in compared]
    lines = [row(head), row(["---"] * len(head))]
    for title, key, factor, form, better in rows:
        values = {name: median(of, key) * factor for name, of in sides.items()}
        cells = [title] + [form.format(value) for value in values.values()]
        cells += [times(values[name], values["postern"], better) for name in compared]
        lines.append(row(cells))
    return "\n".join(lines)


def losses(runs):
    """What must not happen, in words."""
    lines = []
    for name, of_side in sides_of(runs).items():
        lost, twice = (sum(run[key] for run in of_side) for key in ("lost", "duplicates"))
        failures = {run["generator_failed"] for run in of_side} - {""}
        if lost or twice or failures:
            lines.append(f"{TITLES[name]}: {lost} LOST, {twice} TWICE {' '.join(failures)}")
    return "\n".join(lines) or f"Lost 0, doubled 0, in all {len(runs)} runs."


def counted_table(entry, counted):
    """What perf counted, for each message."""
    sides = {name: of[entry] for name, of in counted.items() if of.get(entry)}
    whats = dict.fromkeys(what for of in sides.values() for what in of)
    if not sides:
        return ""
    head = ["for each message"] + [TITLES[name] for name in sides]
    lines = [row(head), row(["---"] * len(head))]
    for what in whats:
        cells = [f"{of[what]:,.2f}" if what in of else "not told" for of in sides.values()]
        lines.append(row([what] + cells))
    return f"**Counted under load (4 KiB, 20 connections, kept), by {entry}**\n\n" \
        + "\n".join(lines)


def call_lines(counted):
    """System calls, if they were counted: by part, with those made most."""
    for name, entries in counted.items():
        for entry, parts in entries.items():
            if not parts:
                continue
            lines = [f"**System calls for each message, {TITLES[name]}, by {entry}: "
                     f"{sum(map(calls.total, parts.values())):.0f}**\n"]
            for part, by_name in parts.items():
                most = sorted(by_name.items(), key=lambda call: -call[1])[:N_CALLS_SHOWN]
                told = ", ".join(f"{call} {n:.1f}" for call, n in most if n >= 0.05)
                lines.append(f"- {part}: {calls.syncs(by_name):.2f} syncs; {told or 'hardly any call'}")
            yield "\n".join(lines)


def times(rival, own, better):
    """How many times better the second is."""
    if better == NEITHER or not rival or not own:
        return ""
    ratio = rival / own if better == LESS else own / rival
    return f"{ratio:.1f} ×" if ratio >= 2 else f"{ratio:.2f} ×"


def row(cells):
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"
