"""gossipd: a daemon that lets people train a model together with no server.

Importing this package loads nothing: `gossipd status` must answer in a blink. Each room is imported
by whoever needs it; `gossipd.daemon` is the only place that puts them together.
"""

__version__ = "0.1.0"
