"""The local API on a unix socket, its events, logs and metrics, and the small client of it.

`operator` is the interface that the daemon implements; `api` turns it into HTTP; `server` runs that
on the socket; `client` is the other end. `client` and what it imports load in milliseconds, because
every command of the CLI starts with it; the rest loads in the daemon only.
"""
