"""Why `gossipd status` does not load pydantic.

Typer (0.29) turns the text of every parameter into its type by pydantic, whose import takes longer
than all the rest of a command. What a parameter needs most of the time is less: nothing, because it
was not given, or the text itself, or a plain constructor. The rest is left to typer's converter, as
is everything when this typer has none of that name: this is speed, not behaviour.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer.core

_NAME = "build_runtime_param"
_BY_TYPER: Any = getattr(typer.core, _NAME, None)


class _Converter:
    """Stands where typer expects its converter of one parameter, and asks for it when it must."""

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None and not param.multiple and param.nargs == 1:
            return None  # not given
        kind = self._descriptor.annotation
        if isinstance(kind, type):
            if isinstance(value, kind):
                return value  # text, or a default
            if kind is Path and not self._descriptor.parameter_info.exists:
                return Path(value)
            if issubclass(kind, StrEnum) and value in list(kind):
                return kind(value)
        return _BY_TYPER(self._descriptor).coerce(value, param=param, ctx=ctx)


def install() -> None:
    """Put it in place, for this process."""
    if _BY_TYPER is not None:
        setattr(typer.core, _NAME, _Converter)
