"""Plans: what a run of either level would do, make and cost, before it does (`--dry-run`)."""
