"""Where the project's own files are, for the tests that read them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    ROOT / "gossipd",
    ROOT / "cli" / "gossipd_cli",
    ROOT / "dashboard" / "gossipd_dashboard",
    ROOT / "scenarios" / "gossipd_scenarios",
)


def product_files() -> Iterator[Path]:
    """Every Python file that is installed on somebody's machine."""
    for package in PACKAGES:
        yield from sorted(package.rglob("*.py"))
