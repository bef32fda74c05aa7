"""Parts of bench/run: who is measured, with what load, and by which counters."""
