"""System: files that appear whole, locks, signals, and what disks and memory refuse."""
