"""What the operator sees of a running daemon and does to it: what stands behind the control API."""
