"""Writes the golden files of the wire format that are missing; see README.md beside this file."""

import sys
from pathlib import Path

from support.wire_examples import GOLDEN

FOLDER = Path(__file__).parent / "wire-v1"


def main(overwrite: bool) -> None:
    for name, data in GOLDEN.items():
        file = FOLDER / f"{name}.bin"
        if overwrite or not file.exists():
            file.write_bytes(data)


if __name__ == "__main__":
    main("--overwrite" in sys.argv[1:])
