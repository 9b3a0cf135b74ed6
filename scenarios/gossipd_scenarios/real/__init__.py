"""Scenarios on real daemons: processes of this machine, and links between them that we shape."""
