"""Executes the core's outputs through ports: clock, transport, store, compute. One loop."""
