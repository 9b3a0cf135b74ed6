"""The stream muxer: yamux (hashicorp/yamux, spec.md), with flow control that holds both ways.

It takes the place of libp2p's own, which in 0.8.1 sends frames that need two Noise messages each,
answers nearly every read with a window update, polls every 10 ms for a window and gives up after
5 s, buffers without limit what a peer sends beyond its window, lets the 257th stream wait for ever,
and is torn when a write is cancelled. Here one task reads and one writes; a stream hands over whole
frames, so its `write` may be cancelled at any time; and both bounds are kept: the peer's on what we
send, ours on what it may send.

`frames` is the format, `stream` one stream's two windows, `outbox` what waits for the socket,
`muxer` the connection.
"""
