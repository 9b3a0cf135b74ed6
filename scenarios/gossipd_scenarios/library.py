"""Where scenarios are: the ones that come with gossipd by name, a user's own by path."""

import difflib
from pathlib import Path

from gossipd_scenarios.document import Changes, Document, read
from gossipd_scenarios.errors import ScenarioError

FOLDER = Path(__file__).parent / "library"


def names() -> list[str]:
    """Of the scenarios that come with gossipd."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str, changes: Changes | None = None) -> Document:
    """The scenario of this name, or in the file at this path. ScenarioError when there is none."""
    path = Path(name)
    if name in names():
        return read(FOLDER / f"{name}.toml", name, changes)
    if path.suffix == ".toml" or path.is_file():
        return read(path, path.stem, changes)
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "`gossipd scenario ls` lists them"
    raise ScenarioError(f"no scenario {name!r}", hint, "no-scenario")
