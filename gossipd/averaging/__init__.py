"""Many models -> one. Pure numpy over flat vectors; which ones, and when, is decided elsewhere."""
