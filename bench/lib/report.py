"""The figures of both sides, side by side."""

import statistics

from . import calls

# What is shown, its key, the factor to the unit shown, and how. Where more is better, the ratio is
# turned round: it always says how many times better Postern is.
ROWS = (
    ("CPU s per 1,000 messages", "cpu_seconds_per_1000", 1, "{:.3f}"),
    ("messages per second, end to end", "messages_per_second", 1, "{:.0f}"),
    ("accepted per second", "accepted_per_second", 1, "{:.0f}"),
    ("device KiB per message", "device_octets_per_message", 1 / 1024, "{:.1f}"),
    ("anonymous memory, peak MiB", "anonymous_octets_peak", 1 / 1024 / 1024, "{:.1f}"),
    ("generator, CPU s per 1,000", "generator_seconds_per_1000", 1, "{:.3f}"),
    ("sink, CPU s per 1,000", "sink_seconds_per_1000", 1, "{:.3f}"),
    ("others on this machine, percent", "others_busy_share", 100, "{:.0f}"),
)

N_CALLS_SHOWN = 6


def median(runs, key):
    """Of one figure over the rounds."""
    return statistics.median(run[key] for run in runs)


def tables(results, counted):
    """One table for each entry and way of connecting."""
    cases = dict.fromkeys((run["entry"], run["kept"]) for run in results)
    return "\n".join(table(case, results, counted) for case in cases)


def table(case, results, counted):
    """Both sides and their ratio for one case."""
    entry, kept = case
    sides = {name: [r for r in results if r["mta"] == name and (r["entry"], r["kept"]) == case]
             for name in ("postfix", "postern")}
    present = [name for name, runs in sides.items() if runs]
    how = "connections kept" if kept else "a connection per message"
    lines = [f"\nby {entry}, {how}",
             f"{'':34}" + "".join(f"{name:>12}" for name in present) + f"{'better':>10}"]
    for title, key, factor, form in ROWS:
        values = [median(sides[name], key) * factor for name in present]
        lines.append(line(title, values, form))
    lines += call_lines(present, [counted.get(name, {}).get(entry) for name in present])
    for name in present:
        lost = sum(run["lost"] for run in sides[name])
        twice = sum(run["duplicates"] for run in sides[name])
        failures = {run["generator_failed"] for run in sides[name]} - {""}
        if lost or twice or failures:
            lines.append(f"  {name}: {lost} LOST, {twice} TWICE {' '.join(failures)}")
    return "\n".join(lines)


def call_lines(names, counted):
    """System calls, if they were counted; then by part, with those made most."""
    if not counted or not all(counted):
        return []
    lines = [line(title, [sum(map(of, parts.values())) for parts in counted], form)
             for title, of, form in (("system calls per message", calls.total, "{:.0f}"),
                                     ("sync calls per message", calls.syncs, "{:.2f}"))]
    for name, parts in zip(names, counted):
        for part, by_name in parts.items():
            most = sorted(by_name.items(), key=lambda call: -call[1])[:N_CALLS_SHOWN]
            told = ", ".join(f"{call} {n:.1f}" for call, n in most if n >= 0.05)
            lines.append(f"  {name} {part}: {calls.syncs(by_name):.2f} syncs; {told}")
    return lines


def line(title, values, form):
    """A title, the values, and how many times better the second is."""
    cells = "".join(f"{form.format(value):>12}" for value in values)
    ratio = ""
    if len(values) == 2 and all(values):
        times = values[1] / values[0] if "per second" in title else values[0] / values[1]
        ratio = f"{times:>9.1f}x"
    return f"{title:34}{cells}{ratio}"
