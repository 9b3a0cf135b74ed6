"""A scenario file and what the command line changes of it -> `Scenario`.

    [parameters]            share = 80          what `--set share=50` may change, with its default
    [variants.case.2]       ...                 merged into the file when the parameter case is 2
    who = { percent = "$share" }                "$share" is the parameter's value

`--set` also takes any key of the file by its path: `--set settings.mode=gossip`,
`--set timeline.0.at=5`. Every mistake is answered with its key path and what would be right.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from gossipd_scenarios import schema
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.schema import SIDES, Scenario

_OPERATIONS = {kind.__struct_config__.tag: kind for kind in get_args(schema.Operation)}
_CHECKS = {kind.__struct_config__.tag: kind for kind in get_args(schema.Check)}
_SECTIONS = {"topology": schema.Topology, "data": schema.Data, "hostile": schema.Hostile}
_SELECTORS = ("who", "hears", "empty", "heavy")


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line changes."""

    nodes: int | None = None
    seed: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    """`--set key=value`."""


@dataclass(frozen=True, slots=True)
class Document:
    """A scenario that was read."""

    name: str
    text: str
    """As the file has it."""
    scenario: Scenario
    parameters: Mapping[str, Any]
    """As they were in the end."""
    folder: Path
    """Where the file lies: paths in it are relative to that."""


def read(path: Path, name: str, changes: Changes | None = None) -> Document:
    """The scenario in a file. ScenarioError with the key path of the first mistake, and the fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}", "give a file that can be read") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8: {error.reason}", "save it as UTF-8") from None
    return parse(text, name, changes or Changes(), path.parent)


def parse(text: str, name: str, changes: Changes, folder: Path) -> Document:
    """As `read`, from text."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name} is not TOML: {error}", "mend that line") from None
    parameters = _table(raw, "parameters")
    variants = _table(raw, "variants")
    keys = _apply_parameters(parameters, changes.values)
    for parameter, choices in variants.items():
        _merge(raw, _variant(parameter, choices, parameters))
    raw = _filled(raw, parameters, "")
    for key, value in keys.items():
        _set(raw, key, value)
    raw |= {
        key: value
        for key, value in (("nodes", changes.nodes), ("seed", changes.seed))
        if value is not None
    }
    return Document(name, text, _converted(raw), parameters, folder)


# --- parameters -----------------------------------------------------------------------------------


def _table(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.pop(key, {})
    if not isinstance(value, dict):
        raise ScenarioError(f"{key} = {value!r}: not a table", f"write [{key}] above its values")
    return value


def _apply_parameters(parameters: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Set parameters; what is none of them is a key of the file, and returned."""
    keys = {}
    for key, text in values.items():
        value = _value_of(text)
        if key in parameters:
            parameters[key] = value
        elif "." in key or key in Scenario.__struct_fields__:
            keys[key] = value
        else:
            known = [*parameters, *Scenario.__struct_fields__]
            raise ScenarioError(
                f"--set {key}={text}: no such parameter or key", _suggest(key, known)
            )
    return keys


def _value_of(text: str) -> Any:
    """As TOML would read it; text without quotes is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _variant(parameter: str, choices: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    where = f"variants.{parameter}"
    if parameter not in parameters:
        raise ScenarioError(f"{where}: no such parameter", f"give {parameter} in [parameters]")
    chosen = str(parameters[parameter])
    if not isinstance(choices, dict) or not isinstance(choices.get(chosen), dict):
        known = ", ".join(choices) if isinstance(choices, dict) else "none"
        raise ScenarioError(f"{parameter} = {chosen}: no such variant", f"there are: {known}")
    variant: dict[str, Any] = choices[chosen]
    return variant


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Tables are merged, everything else takes the place of what was there."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _filled(value: Any, parameters: Mapping[str, Any], path: str) -> Any:
    """The same with every text "$name" replaced by that parameter's value."""
    if isinstance(value, dict):
        return {k: _filled(v, parameters, f"{path}.{k}".strip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(item, parameters, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] not in parameters:
            raise ScenarioError(
                f'{path} = "{value}": no such parameter', _suggest(value[1:], parameters)
            )
        return parameters[value[1:]]
    return value


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set a key by its dotted path; numbers go into lists. In [settings] the rest is one key."""
    parts = key.split(".")
    place: Any = raw
    for number, part in enumerate(parts[:-1]):
        if isinstance(place, list):
            if not part.isdigit() or int(part) >= len(place):
                raise ScenarioError(
                    f"--set {key}: {'.'.join(parts[:number])} has {len(place)} entries",
                    "they count from 0",
                )
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise ScenarioError(
                f"--set {key}: {'.'.join(parts[:number])} is {place!r}", "it has no keys"
            )
    if not isinstance(place, dict):
        raise ScenarioError(
            f"--set {key}: {'.'.join(parts[:-1])} has no keys", "name one of a table"
        )
    place[parts[-1]] = value


# --- types ----------------------------------------------------------------------------------------


def _converted(raw: dict[str, Any]) -> Scenario:
    try:
        scenario = msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `")
        path = where.rstrip("`").removeprefix("$").removeprefix(".") or "the file"
        raise ScenarioError(f"{path}: {message}", _fix(message, path, raw)) from None
    _check_together(scenario)
    return scenario


def _fix(message: str, path: str, raw: Mapping[str, Any]) -> str:
    quoted = re.search(r"`(\w[\w-]*)`|'([^']*)'", message)
    word = (quoted[1] or quoted[2] or "") if quoted else ""
    if "unknown field" in message:
        return _suggest(word, _fields_at(path, raw))
    if "missing required field" in message:
        return f"add: {word} = ..."
    if message.startswith("Invalid value"):
        if path.endswith(".do"):
            return _suggest(word, _OPERATIONS)
        if path.endswith(".check"):
            return _suggest(word, _CHECKS)
        return "see docs/scenarios.md for what may stand here"
    if message.startswith("Expected"):
        return f"give {message.removeprefix('Expected ').partition(', got')[0]}"
    return "see docs/scenarios.md"


def _fields_at(path: str, raw: Mapping[str, Any]) -> Sequence[str]:
    """What the table at this path may hold."""
    parts = re.findall(r"\w+", path) if path != "the file" else []
    if not parts:
        return Scenario.__struct_fields__
    if parts[-1] in _SELECTORS or parts[0] == "groups":
        return schema.Selector.__struct_fields__
    if parts[0] in _SECTIONS:
        return _SECTIONS[parts[0]].__struct_fields__
    if len(parts) == 2 and parts[0] in ("timeline", "checks"):
        entry = raw[parts[0]][int(parts[1])]
        kinds, tag = (_OPERATIONS, "do") if parts[0] == "timeline" else (_CHECKS, "check")
        kind = kinds.get(entry.get(tag))
        return (tag, *kind.__struct_fields__) if kind else (tag,)
    return ()


def _suggest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


# --- what types alone cannot say ------------------------------------------------------------------


def _check_together(scenario: Scenario) -> None:
    marks = {"start", "heal", "end"} | {step.mark for step in scenario.timeline if step.mark}
    for number, step in enumerate(scenario.timeline):
        where = f"timeline[{number}]"
        if step.at > scenario.seconds:
            raise ScenarioError(
                f"{where}.at = {step.at:g}: after the end (seconds = {scenario.seconds:g})",
                "make the scenario longer or do it earlier",
            )
        if isinstance(step, schema.Flap) and step.down >= step.every:
            raise ScenarioError(f"{where}.down = {step.down:g}: not below every", "give less")
        for key in ("who", "hears"):
            _check_selector(getattr(step, key, None), scenario, f"{where}.{key}")
    for name, selector in scenario.groups.items():
        if selector.group or selector.outside:
            raise ScenarioError(f"groups.{name}: made of another group", "say it without")
        _check_selector(selector, scenario, f"groups.{name}")
    _check_selector(scenario.data.empty, scenario, "data.empty")
    _check_selector(scenario.data.heavy, scenario, "data.heavy")
    if scenario.hostile is not None:
        _check_selector(scenario.hostile.who, scenario, "hostile.who")
    for number, check in enumerate(scenario.checks):
        where = f"checks[{number}]"
        for key in ("at", "after", "until"):
            moment = getattr(check, key, None)
            if isinstance(moment, str) and moment not in marks:
                raise ScenarioError(
                    f'{where}.{key} = "{moment}": no such mark', _suggest(moment, marks)
                )
        _check_group(getattr(check, "group", ""), scenario, f"{where}.group")
        bounds = [getattr(check, key, ...) for key in ("at_least", "at_most")]
        if bounds == [None, None]:
            raise ScenarioError(f"{where}: it holds whatever comes", "give at_least or at_most")
    _check_layout(scenario)


def _check_selector(selector: schema.Selector | None, scenario: Scenario, where: str) -> None:
    if selector is None:
        return
    _check_group(selector.group, scenario, f"{where}.group")
    _check_group(selector.outside, scenario, f"{where}.outside")
    if selector.count is not None and selector.percent is not None:
        raise ScenarioError(f"{where}: count and percent", "give one of the two")
    islands = max(1, len(scenario.topology.islands))
    if selector.island is not None and selector.island >= islands:
        raise ScenarioError(
            f"{where}.island = {selector.island}: the topology has {islands}", "they count from 0"
        )


def _check_group(group: str, scenario: Scenario, where: str) -> None:
    known = [*scenario.groups, *(SIDES if scenario.hostile else ())]
    if group and group not in known:
        raise ScenarioError(f'{where} = "{group}": no such group', _suggest(group, known))


def _check_layout(scenario: Scenario) -> None:
    topology, data = scenario.topology, scenario.data
    islands = len(topology.islands)
    if islands > scenario.nodes:
        raise ScenarioError(
            f"topology.islands: {islands} for {scenario.nodes} nodes", "give each at least a node"
        )
    for key, needs in (("topology.kind", topology.kind), ("data.split", data.split)):
        if needs == "islands" and islands < 2:
            raise ScenarioError(f'{key} = "islands" without any', "give topology.islands = [...]")
    if topology.kind == "file" and not topology.file:
        raise ScenarioError('topology.kind = "file" without a file', 'add: file = "..."')
    if data.heavy is not None and data.split != "iid":
        raise ScenarioError(
            f'data.heavy with data.split = "{data.split}"', 'it needs split = "iid"'
        )
