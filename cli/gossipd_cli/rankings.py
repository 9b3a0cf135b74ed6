"""A ranking as a table for people, and what they do with the models in it."""

from typing import Any

from gossipd_cli.output import printable, table
from gossipd_cli.render import fields, marks, measure, moment, short

Document = dict[str, Any]


def ranking(data: Document, *, explain: bool) -> str:
    """A line for each place; with `explain` also one for each vote in it."""
    data = printable(data)
    if not data["items"]:
        return f"nothing is known for {data['query']!r} yet"
    rows = []
    for place, item in enumerate(data["items"], 1):
        name = item.get("peer_id") or f"{item['model'][:16]}  {item['role']} of {item['author']}"
        why = "its own words" if item["matches"] else ""
        rows.append((str(place), f"{item['score']:.2f}", str(item["voters"]), why, name))
        rows += [_vote(part) for part in item["parts"]] if explain else []
    return f"for {data['query']!r}:\n" + table((">PLACE", ">SCORE", ">VOTES", "MATCH", "WHO"), rows)


def found(data: Document, *, explain: bool) -> str:
    """What a search found, a line for each model; with `explain` the votes below it."""
    data = printable(data)
    if not data["items"]:
        return f"no model that is known here has to do with {data['query']!r}"
    rows: list[tuple[str, ...]] = []
    for item in data["items"]:
        rows.append(
            (
                short(item["model"], 16),
                "words" if item["matches"] else "votes",
                f"{item['score']:.2f}",
                str(item["voters"]),
                measure(item["accuracy"]),
                moment(item["created"]),
                "yes" if item["here"] else "no",
                marks(item),
                ", ".join(filter(None, (item["title"], *item["tags"], item["licence"]))),
            )
        )
        rows += [
            ("", *_vote(part)[1:4], *[""] * 4, _vote(part)[4]) for part in item["parts"] if explain
        ]
    headings = (
        "MODEL",
        "BY",
        ">SCORE",
        ">VOTES",
        ">ACCURACY",
        "CREATED",
        "HERE",
        "MARKS",
        "SAID OF IT",
    )
    return table(headings, rows)


def shown(data: Document) -> str:
    """All that is known of one model."""
    data = printable(data)
    lines: Document = {n: ", ".join(v) if isinstance(v, list) else v for n, v in data.items()}
    if "lineage" in lines:
        lineage = lines.pop("lineage")
        lines["taught"] = f"by {len(lineage)}, {sum(lineage.values()):,} steps"
    if "created" in lines:
        lines["created"] = moment(lines["created"])
    return fields({name: v for name, v in lines.items() if v not in (None, "")})


def answering(data: Document) -> str:
    """Which model answers from now on."""
    data = printable(data)
    model = short(data["hash"], 16)
    if not data["chosen"]:
        return f"predictions use the serving model again, now {model}"
    before = f" instead of {short(data['before'], 16)}" if "before" in data else ""
    said = f"; noted for {data['query']!r}" if data["query"] else ""
    return f"predictions use {model}{before}, until `gossipd models use --follow`{said}"


def pinned(data: Document) -> str:
    """Whether a model is kept."""
    data = printable(data)
    model = short(data["hash"], 16)
    if not data["pinned"]:
        return f"{model} may go when room is needed"
    return f"{model} is kept" + (f"; noted for {data['query']!r}" if data["query"] else "")


def _vote(part: Document) -> tuple[str, str, str, str, str]:
    alike = f"{part['terms']} words, {part['items']} choices of {part['union']} in common"
    formula = f"{part['value']:.2f} x ({part['similarity']:.2f} + {part['unlike']:g})"
    if part["scale"] < 1:
        formula += f" x {part['scale']:.2f}"
    return "", f"{part['score']:.2f}", "", formula, f"  vote of {part['peer_id']}: {alike}"


def choice(data: Document) -> str:
    """What was chosen, and who learns of it."""
    data = printable(data)
    whom = "and shared with others" if data["shared"] else "and kept on this device"
    return f"noted for {data['query']!r}, {whom}"
