"""The command line: typer commands and rendering. Talks to a running daemon by its control API."""
