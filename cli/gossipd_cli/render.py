"""The daemon's answers as people read them: pure functions from JSON data to text."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from gossipd.control.client import fields_of, time_of
from gossipd_cli.output import printable, style, table

Document = dict[str, Any]


def status(data: Document) -> str:
    """A screenful: who, where, how far, how well, and what is wrong."""
    data = printable(data)
    network, training = data["network"], data["training"]
    rows = [
        ("peer", data["peer_id"]),
        (
            "daemon",
            _joined(
                f"gossipd {data['version']}",
                f"pid {data['pid']}",
                f"up {duration(data['uptime'])}",
                data["home"],
            ),
        ),
        ("task", _joined(data["task"], data["mode"], f"swarm {short(data['swarm'], 16)}")),
        (
            "network",
            _joined(
                "up" if network["healthy"] else f"DOWN ({network['detail']})",
                f"{network['connected']} connected",
                f"{network['known']} known",
                f"{size(network['bytes_in'])} in",
                f"{size(network['bytes_out'])} out",
                f"{network['restarts']} restarts" if network["restarts"] else "",
            ),
        ),
        (
            "training",
            _joined(
                "paused" if training["paused"] else "on",
                training.get("why_not") or "",
                f"{training['steps']:,} steps",
                f"{training['cycles']:,} cycles",
                f"loss {measure(training['loss'])}",
                f"{training['examples']:,} examples",
            ),
        ),
    ]
    if data.get("membership"):
        rows.insert(3, ("swarm", _membership(data["membership"])))
    if data.get("guest") and data["guest"]["resting"]:
        rows.append(("resting", data["guest"]["resting"]))
    if data["round"]:
        rows.append(("round", _round(data["round"], data["peer_id"])))
    rows += [
        (role, _model(data["models"][role]))
        for role in ("serving", "head", "base")
        if data["models"].get(role)
    ]
    if data.get("using") and data["using"]["chosen"]:
        answers = (
            f"{short(data['using']['hash'], 16)}, by choice: `gossipd models use --follow` ends it"
        )
        rows.append(("answers", answers))
    rows.append(("updates", _joined(*(f"{n:,} {name}" for name, n in data["updates"].items()))))
    rows.append(("coding", _coding(data["coding"])))
    if data["refused"]:
        rows.append(("refused", _joined(*(f"{n:,} {why}" for why, n in data["refused"].items()))))
    if data["errors"]:
        rows.append(("errors", _joined(*(f"{n:,} {what}" for what, n in data["errors"].items()))))
    rows += [("waiting", _wait(row)) for row in data["waiting"][:5]]
    rows += [("warning", warning(row)) for row in data["health"]]
    rows += [("address", address) for address in data["addresses"]]
    rows.append(("join", how_to_join(data)))
    return _labelled(rows)


def how_to_join(status: Document) -> str:
    """The line that another machine types, or who makes one."""
    membership = status.get("membership")
    if status["join"]:
        return str(status["join"])
    if membership is None:
        return "nobody can dial this device: it announces no address"
    if membership["founder"]:
        return "`gossipd invite` makes the line for another device"
    return f"`gossipd invite` makes the line, on the founder's device: {membership['founded_by']}"


def peers(data: list[Document]) -> str:
    """A line for each peer."""
    if not data:
        return "no peers yet; `gossipd peers add ADDRESS` adds one"
    return table(
        ("PEER", "STATE", ">RTT", ">STEPS", ">EXAMPLES", "ADDRESS", "NOTE"),
        [
            (
                row["peer_id"],
                row["state"],
                "-" if row["round_trip"] is None else f"{row['round_trip'] * 1000:.0f} ms",
                _number(row["steps"]),
                _number(row["examples"]),
                (row["address"] or "-").partition("/p2p/")[0],
                _peer_note(row),
            )
            for row in printable(data)
        ],
    )


def peer(data: Document) -> str:
    """The answer to adding or removing one."""
    return str(printable(data["peer_id"]))


def members(data: list[Document]) -> str:
    """A line for each, as the founder's device knows them."""
    if not data:
        return "this device is in no closed swarm; `gossipd members found` makes one"
    return table(
        ("PEER", "NAME", "STATE", "ISSUED", "GOOD UNTIL"),
        [
            (
                row["peer_id"],
                row["name"] or "-",
                "founder" if row["founder"] else row["state"],
                moment(row["issued"]),
                moment(row["not_after"]) if row["not_after"] else "-",
            )
            for row in printable(data)
        ],
    )


def invitations(data: list[Document]) -> str:
    """A line for each that was made here."""
    if not data:
        return "no invitations; `gossipd invite` makes one"
    return table(
        ("ID", "NAME", "STATE", ">USED", "GOOD UNTIL"),
        [
            (
                row["id"],
                row["name"] or "-",
                row["state"],
                f"{len(row['used'])} of {row['uses']}",
                moment(row["not_after"]) if row["not_after"] else "-",
            )
            for row in printable(data)
        ],
    )


def invitation(data: Document) -> str:
    """What is to be known about a line before it is handed on."""
    if "id" not in data:
        return "on the other device (this swarm is open):"
    until = f"until {moment(data['not_after'])}" if data["not_after"] else "until it is withdrawn"
    devices = "one device" if data["uses"] == 1 else f"{data['uses']} devices"
    return f"invitation {data['id']}, for {devices}, {until}; on the other device:"


def models(data: list[Document], others: int | None = None) -> str:
    """Those with a role or a mark, then the newest `others` of the rest (None: all)."""
    if not data:
        return "no models yet"
    data = printable(data)
    ranked = sorted(data, key=lambda row: (_is_other(row), -(row["created"] or 0)))
    left_out = 0
    if others is not None:
        left_out = max(0, sum(map(_is_other, data)) - others)
        ranked = ranked[: len(data) - left_out]
    drawn = table(
        (
            "HASH",
            "ROLE",
            ">LOSS",
            ">ACCURACY",
            ">AUTHORS",
            ">STEPS",
            ">SIZE",
            "CODEC",
            ">SENT",
            "CREATED",
            "AUTHOR",
            "MARKS",
        ),
        [
            (
                short(row["hash"], 16),
                row["role"],
                measure(row["held_out_loss"]),
                measure(row["held_out_accuracy"]),
                str(len(row["lineage"])),
                f"{sum(row['lineage'].values()):,}",
                size(row["size"]),
                row["codec"] or "-",
                "-" if row["body_size"] is None else size(row["body_size"]),
                moment(row["created"]),
                _ending(row["author"]),
                marks(row),
            )
            for row in ranked
        ],
    )
    return drawn + (f"\n... and {left_out} older ones (--all shows them)" if left_out else "")


def _is_other(row: Document) -> bool:
    return bool(row["role"] == "other" and not marks(row))


def marks(row: Document) -> str:
    """What people have done with a model."""
    return " ".join(mark for mark in ("used", "pinned") if row[mark])


def health(data: Document) -> str:
    """A line for each warning."""
    if not data["health"]:
        return "healthy"
    return "\n".join(warning(row) for row in printable(data["health"]))


def warning(row: Document) -> str:
    code = style(f"{row['severity']}[{row['code']}]", "31" if row["severity"] == "error" else "33")
    return f"{code}: {row['text']}" + (f" ({row['fix']})" if row["fix"] else "")


_VERDICTS = {"ok": "32", "warning": "33", "error": "31", "skipped": "2"}


def doctor(data: Document) -> str:
    """A line for each check, and under it how to mend what is wrong; then what it comes to."""
    lines = []
    for row in _together(printable(data["findings"])):
        verdict = style(f"{row['verdict']:<8}", _VERDICTS[row["verdict"]])
        code = f"[{row['code']}] " if row["code"] else ""
        lines.append(f"{verdict}{row['check']:<14}{code}{row['evidence']}{_subject(row)}")
        if row["fix"]:
            lines.append(f"{'':22}fix: {row['fix']}")
    counts = data["summary"]
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return "\n".join([*lines, f"the daemon is {data['daemon']}; {told}"])


def _together(rows: list[Document]) -> list[Document]:
    """Of a peer that is well in every respect one line, that which says where."""
    unwell = {row["subject"] for row in rows if row["verdict"] != "ok"}
    well = {row["subject"]: {**row, "check": "peer"} for row in rows if row["subject"]}
    shown = [row for row in rows if not row["subject"] or row["subject"] in unwell]
    return shown + [row for subject, row in well.items() if subject not in unwell]


def _subject(row: Document) -> str:
    return f" ({_ending(row['subject'])})" if row["subject"] else ""


def fields(data: Document) -> str:
    """Any flat answer, a line for each field."""
    return _labelled(
        [(name.replace("_", " "), _value(value)) for name, value in printable(data).items()]
    )


def bundle(data: Document) -> str:
    """What became of a bundle."""
    refused = ", ".join(f"{count} {reason}" for reason, count in data["refused"].items())
    return _labelled(
        [
            ("taken", f"{data['taken']} documents, {data['updates']} of them updates"),
            ("known", f"{data['known']} documents"),
            ("refused", printable({"refused": refused or "nothing"})["refused"]),
        ]
    )


def event(row: Document) -> str:
    """A line: time, number, kind, fields."""
    row = printable(row)
    rest = {name: value for name, value in row.items() if name not in ("seq", "time", "kind")}
    return f"{time_of(row['time'])} {row['seq']:>6} {row['kind']}{fields_of(rest)}"


# --- values ----------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Two units at most: "3 h 12 min", "4 s"."""
    whole = int(seconds)
    for size_of, unit, next_size, next_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size_of:
            return f"{whole // size_of} {unit} {whole % size_of // next_size} {next_unit}"
    return f"{whole} s"


def size(count: float) -> str:
    """Bytes, in powers of 1000."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit, factor in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < 999.5 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e12:.3g} TB"


def measure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def short(identifier: str, characters: int = 12) -> str:
    """The beginning of a hash; the API has all of it."""
    return identifier[:characters] or "-"


def _ending(peer_id: str | None) -> str:
    """The end of a peer id, where it differs from others."""
    return f"…{peer_id[-8:]}" if peer_id else "-"


def moment(seconds: float | None) -> str:
    """Unix seconds in the reader's own time zone."""
    if not seconds:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _membership(row: Document) -> str:
    until = f"until {moment(row['not_after'])}" if row["not_after"] else ""
    return _joined(
        "closed",
        "founder" if row["founder"] else f"{row['state']} {row['name']}".rstrip(),
        until,
        f"{row['known']:,} members known",
        f"{row['revoked']:,} revoked" if row["revoked"] else "",
    )


def _round(row: Document, me: str) -> str:
    def named(peers: list[str]) -> str:
        return " ".join("me" if peer == me else _ending(peer) for peer in peers)

    return _joined(
        f"{row['number']:,}",
        row["role"],
        f"sample {named(row['sample'])}" if row["sample"] else "in no sample yet",
        f"aggregated by {named(row['aggregators'])}" if row["aggregators"] else "",
    )


def _model(row: Document) -> str:
    return _joined(
        *(f"{name} {measure(value)}" for name, value in (row.get("held_out") or {}).items()),
        f"loss {measure(row['held_out_loss'])}",
        short(row["hash"] or "", 16),
    )


def _coding(row: Document) -> str:
    return _joined(
        row["setting"],
        " ".join(f"{codec} {count:,}" for codec, count in sorted(row["published"].items())),
        f"{row['bodies_sent']:,} bodies sent, {size(row['bytes_sent'])}",
        f"{size(row['bytes_saved'])} saved",
    )


def _wait(row: Document) -> str:
    whom = f" from {row['whom']}" if row["whom"] else ""
    return f"{row['what']}{whom} for {row['seconds']:.1f} s, {row['deadline']:.1f} s left"


def _peer_note(row: Document) -> str:
    refused = sum(row["refused"].values())
    retry = row["next_dial_in"]
    return _joined(
        f"retry in {retry:.0f} s" if retry is not None else "",
        f"{row['failures']} failures" if row["failures"] else "",
        row["last_error"] or "",
        f"refused {refused}" if refused else "",
    )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _labelled(rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"{style(label.ljust(width), '2')}  {text}" for label, text in rows)
