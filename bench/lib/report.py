"""The figures of both sides, side by side."""

import statistics

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


def median(runs, key):
    """Of one figure over the rounds."""
    return statistics.median(run[key] for run in runs)


def tables(results, syncs):
    """One table for each entry and way of connecting."""
    cases = dict.fromkeys((run["entry"], run["kept"]) for run in results)
    return "\n".join(table(case, results, syncs) for case in cases)


def table(case, results, syncs):
    """Both sides and their ratio for one case."""
    entry, kept = case
    sides = {name: [r for r in results if r["mta"] == name and (r["entry"], r["kept"]) == case]
             for name in ("postfix", "postern")}
    present = [name for name, runs in sides.items() if runs]
    how = "connections kept" if kept else "a connection per message"
    lines = [f"\nby {entry}, {how}",
             f"{'':34}" + "".join(f"{name:>12}" for name in present) + f"{'ratio':>10}"]
    for title, key, factor, form in ROWS:
        values = [median(sides[name], key) * factor for name in present]
        lines.append(line(title, values, form))
    counted = [syncs.get(name, {}).get(entry) for name in present]
    if all(counted):
        lines.append(line("sync calls per message",
                          [sum(parts.values()) for parts in counted], "{:.2f}"))
        for name, by_part in zip(present, counted):
            told = ", ".join(f"{part} {value:.2f}" for part, value in by_part.items())
            lines.append(f"  {name}: {told}")
    for name in present:
        lost = sum(run["lost"] for run in sides[name])
        twice = sum(run["duplicates"] for run in sides[name])
        failures = {run["generator_failed"] for run in sides[name]} - {""}
        if lost or twice or failures:
            lines.append(f"  {name}: {lost} LOST, {twice} TWICE {' '.join(failures)}")
    return "\n".join(lines)


def line(title, values, form):
    """A title, the values, and how many times the first is of the second."""
    cells = "".join(f"{form.format(value):>12}" for value in values)
    ratio = f"{values[0] / values[1]:>9.1f}x" if len(values) == 2 and values[1] else ""
    return f"{title:34}{cells}{ratio}"
