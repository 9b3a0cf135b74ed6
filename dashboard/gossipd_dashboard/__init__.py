"""The web dashboard: a page on which a swarm is watched, and a few things done.

A process of its own and a client of the control API like any other: it can crash, grow or be
stopped without any daemon noticing. `serve.serve` is its door.
"""
