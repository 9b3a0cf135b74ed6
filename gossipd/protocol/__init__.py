"""Decisions, sans-IO: `Node.handle(event, now) -> outputs`.

No clock, socket, thread, tensor or global random generator is reached from here; `now` is an
argument and the generator is injected. Models are known by content hash only. The state machines
(`peers`, `view`, `exchange`, `gossip`, `antientropy`) share one shape: they are handed what
happened and append to one list of outputs; `node` routes events to them.
"""
