"""What stays: SQLite and model files. The disk lives only here."""
