"""The machine the daemon is a guest on: its owner's wishes, memory, clock and services."""
