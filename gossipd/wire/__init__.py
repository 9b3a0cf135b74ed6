"""Bytes <-> messages. Pure: no clock, no socket, no disk.

`messages` is the vocabulary, `framing` turns one message into bytes and back, `envelope` signs what
is relayed, `limits` bounds all of it.
"""
