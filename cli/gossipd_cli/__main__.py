"""`python -m gossipd_cli`: the command `gossipd`, found by the interpreter instead of the PATH."""

from gossipd_cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
