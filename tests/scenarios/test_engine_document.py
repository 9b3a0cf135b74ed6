"""Scenario files: what is read, what the command line changes, what a mistake is answered with."""

import pytest

from gossipd_scenarios import library, schema
from gossipd_scenarios.document import Changes
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.plan import plan
from support.histories import HEAD, document


def mistake(text: str, *, head: str = HEAD, **values: str) -> str:
    """What somebody is told about a file: message and hint."""
    with pytest.raises(ScenarioError) as caught:
        plan(document(text, head=head, **values))
    assert caught.value.code == "bad-scenario"
    return f"{caught.value.message} | {caught.value.hint}"


# --- the library ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", library.names())
def test_every_scenario_of_the_library_can_be_planned(name: str) -> None:
    found = library.find(name)
    assert len(found.scenario.about) > 100, "it says what it stands for"
    assert found.scenario.checks, "something must hold"
    planned = plan(found)
    assert len(planned.first) == found.scenario.nodes


@pytest.mark.parametrize("case", ["1", "2", "3"])
def test_the_cases_of_the_quake_differ_in_what_the_doomed_hold(case: str) -> None:
    planned = plan(library.find("quake", Changes(values={"case": case, "x": "20"})))
    doomed = planned.cast.groups["doomed"]
    assert len(doomed) == 10
    parts = {node.settings["task.parts"] for node in planned.nodes if node.name in doomed}
    assert parts == {{"1": 0, "2": 1, "3": 4}[case]}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError) as caught:
        library.find("blackot")
    assert (caught.value.code, caught.value.hint) == ("no-scenario", "did you mean blackout?")


# --- parameters -----------------------------------------------------------------------------------

SHARED = """
[parameters]
share = 80
[[timeline]]
at = 1
do = "kill"
who = { percent = "$share" }
"""


def kill_of(text: str, **values: str) -> schema.Operation:
    return document(text, **values).scenario.timeline[0]


def test_a_parameter_takes_its_default_or_what_is_set() -> None:
    assert kill_of(SHARED) == schema.Kill(at=1, who=schema.Selector(percent=80))
    assert kill_of(SHARED, share="25") == schema.Kill(at=1, who=schema.Selector(percent=25))


def test_a_variant_is_merged_into_the_file() -> None:
    text = """
[parameters]
size = "small"
[variants.size.small]
data = { alpha = 0.1 }
[variants.size.large]
nodes = 7
data = { alpha = 9 }
[data]
split = "dirichlet"
"""
    assert document(text).scenario.data == schema.Data(split="dirichlet", alpha=0.1)
    large = document(text, size="large").scenario
    assert (large.nodes, large.data.alpha) == (7, 9)
    assert mistake(text, size="huge") == "size = huge: no such variant | there are: small, large"


def test_any_key_can_be_set_by_its_path() -> None:
    text = '[[timeline]]\nat = 1\ndo = "kill"\n'
    assert kill_of(text, **{"timeline.0.at": "2.5"}).at == 2.5
    changed = document(text, **{"settings.mode": "gossip", "seconds": "20"}).scenario
    assert (changed.settings, changed.seconds) == ({"mode": "gossip"}, 20)


def test_nodes_and_seed_of_the_command_line_win() -> None:
    found = library.find("first-light", Changes(nodes=3, seed=9)).scenario
    assert (found.nodes, found.seed) == (3, 9)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("nods = 3", "the file: Object contains unknown field `nods` | did you mean nodes?"),
        ("settle = -1", "settle: Expected `float` >= 0.0 | give `float` >= 0.0"),
        ('seed = "x"', "seed: Expected `int`, got `str` | give `int`"),
        ("x = [1", "test is not TOML"),
        ("[parameters]\nx=1\n[data]\nalpha = '$y'", 'data.alpha = "$y": no such parameter | there'),
        ("[data]\nsplit = 'idd'", "data.split: Invalid enum value 'idd'"),
        ("[data]\nalpa = 1", "data: Object contains unknown field `alpa` | did you mean alpha?"),
        (
            "[[timeline]]\nat=1\ndo='kil'",
            "timeline[0].do: Invalid value 'kil' | did you mean kill?",
        ),
        ("[[timeline]]\ndo='kill'", "timeline[0]: Object missing required field `at` | add: at ="),
        ("[[timeline]]\nat=1\ndo='kill'\nwhom={}", "timeline[0]: Object contains unknown field "),
        ("[[timeline]]\nat=1\ndo='kill'\nwho={percent=120}", "timeline[0].who.percent: Expected"),
        ("[[timeline]]\nat=1\ndo='kill'\nwho={per=1}", "timeline[0].who: Object contains unknown"),
        ("[[timeline]]\nat=11\ndo='kill'", "timeline[0].at = 11: after the end (seconds = 10) |"),
        (
            "[[timeline]]\nat=1\ndo='kill'\nwho={count=1, percent=2}",
            "timeline[0].who: count and percent | give one of the two",
        ),
        ("[[timeline]]\nat=1\ndo='kill'\nwho={group='x'}", 'timeline[0].who.group = "x": no such'),
        (
            "[[timeline]]\nat=1\ndo='kill'\nwho={island=1}",
            "timeline[0].who.island = 1: the topolog",
        ),
        (
            "[[timeline]]\nat=1\ndo='flap'\nevery=2\ndown=2\nseconds=5",
            "timeline[0].down = 2: not below every | give less",
        ),
        ("[[checks]]\ncheck='accuracy'", "checks[0]: it holds whatever comes | give at_least or"),
        (
            "[[checks]]\ncheck='reaches'\nat_least=0.1\nwithin=1\nafter='hael'",
            'checks[0].after = "hael": no such mark | did you mean heal?',
        ),
        (
            "[[checks]]\ncheck='acuracy'",
            "checks[0].check: Invalid value 'acuracy' | did you mean a",
        ),
        ("[groups]\na={group='b'}", "groups.a: made of another group | say it without"),
        ("[topology]\nkind='islands'", 'topology.kind = "islands" without any | give topology.isl'),
        (
            "[topology]\nkind='regular'\ndegree=4",
            "topology.degree = 4: 4 nodes cannot have so many",
        ),
        ("[topology]\nkind='file'", 'topology.kind = "file" without a file | add: file = "..."'),
        ("[data]\nsplit='all'\nheavy={count=1}", 'data.heavy with data.split = "all" | it needs'),
        ("[data]\nempty={}", "data.empty: all nodes | leave data to some"),
        ("[settings]\nmode='round'", "settings.mode = 'round': Invalid enum value 'round' | give"),
        ("[settings]\nlog.levle='info'", "settings.log.levle = 'info': no such setting | did you"),
        ("[settings]\nnetwork.port=1", "settings.network.port: not a scenario's to set | topology"),
    ],
)
def test_a_mistake_is_answered_with_its_key_path_and_the_fix(text: str, answer: str) -> None:
    assert mistake(text).startswith(answer) or answer in mistake(text)


def test_what_is_missing_is_named() -> None:
    found = mistake("", head='about = "A"\nnodes = 1\nseconds = 1\n')
    assert found.startswith("the file: Object missing required field `title` | add: title = ...")


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("shar", "--set shar=1: no such parameter or key | did you mean share?"),
        ("timeline.5.at", "--set timeline.5.at: timeline has 1 entries | they count from 0"),
        ("nodes.x", "--set nodes.x: nodes has no keys | name one of a table"),
    ],
)
def test_setting_what_is_not_there_is_refused(key: str, answer: str) -> None:
    assert mistake(SHARED, **{key: "1"}) == answer
