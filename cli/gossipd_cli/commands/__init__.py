"""The commands by theme; each module has its own small typer app that `gossipd_cli.app` gathers."""
