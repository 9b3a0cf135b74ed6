"""What may be asked of the control API: bodies and queries, typed and bounded.

The text under each says which route it belongs to, for whoever gets one wrong.
"""

from typing import Annotated, Literal

import msgspec

WAIT_SECONDS = 60.0
"""Longest long poll; a client that wants to wait longer asks again."""


class AddPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/peers"""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/overlay"""

    allow: tuple[str, ...]


class Issue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/members"""

    peer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    name: Annotated[str, msgspec.Meta(max_length=64)] = ""
    days: float | None = None


class Invite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/invitations"""

    name: Annotated[str, msgspec.Meta(max_length=64)] = ""
    days: float | None = None
    uses: int = 1


class Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/membership"""

    membership: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


Model = Annotated[str, msgspec.Meta(pattern="^(base|head|serving|[0-9a-f]{8,64})$")]
"""By its role, or by how its hash begins."""


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/models/export"""

    model: Model
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern="^/")]


class OneModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/models/show, POST and DELETE /v1/models/pins"""

    model: Model


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/models/use"""

    model: Model | None
    """None: the serving average again."""


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/models/search"""

    query: Annotated[str, msgspec.Meta(max_length=1024)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20


class ExportBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/bundle/export"""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern="^/")]
    everything: bool = False
    force: bool = False


class ImportBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/bundle/import"""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern="^/")]


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/logs"""

    since: Annotated[int, msgspec.Meta(ge=0)] = 0
    run: Annotated[str, msgspec.Meta(max_length=64)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    newest: bool = False
    level: Literal["debug", "info", "warning", "error"] = "debug"
    room: Annotated[str, msgspec.Meta(max_length=64)] = ""


class LogLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/logs/levels"""

    room: Literal["all", "control", "daemon", "learning", "network", "runtime", "storage"]
    level: Literal["debug", "info", "warning", "error", "default"]


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /events"""

    since: Annotated[int, msgspec.Meta(ge=0)] = 0
    run: Annotated[str, msgspec.Meta(max_length=64)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    newest: bool = False
    wait: Annotated[float, msgspec.Meta(ge=0, le=WAIT_SECONDS)] = 0.0


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/rank"""

    model: Annotated[str, msgspec.Meta(min_length=4, max_length=64)]
    query: Annotated[str, msgspec.Meta(max_length=1024)]


class RankQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/rank"""

    kind: Literal["peers", "models"]
    query: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
