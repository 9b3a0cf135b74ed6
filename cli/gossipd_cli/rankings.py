"""A ranking as a table for people."""

from typing import Any

from gossipd_cli.output import printable, table

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
