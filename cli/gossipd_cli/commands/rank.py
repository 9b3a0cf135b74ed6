"""`gossipd rank`: which peers and models have served nodes like this one, and why."""

from typing import Annotated, Literal

import typer

from gossipd_cli import rankings
from gossipd_cli.options import FormatOption, HomeOption, client, example, group
from gossipd_cli.output import Format, emit

app = group("Show which peers and models have served nodes like this one.")

QueryOption = Annotated[
    str,
    typer.Option("--query", "-q", metavar="WORDS", help="What to ask; else this node's own label."),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show the votes that each score is made of.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Places to show.")]


@app.command("peers", epilog=example("gossipd rank peers", "gossipd rank peers --explain"))
def rank_peers(
    query: QueryOption = "",
    explain: ExplainOption = False,
    limit: LimitOption = 20,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Whose models have helped, for one label."""
    _show("peers", query, explain, limit, home, output_format)


@app.command("models", epilog=example("gossipd rank models --query digits --explain"))
def rank_models(
    query: QueryOption = "",
    explain: ExplainOption = False,
    limit: LimitOption = 20,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Which of the models that are known here were chosen, for these words."""
    _show("models", query, explain, limit, home, output_format)


@app.command("vote", epilog=example("gossipd rank vote 3fa9c1d2 --query digits"))
def vote(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="How its hash begins, as rank models shows it.")
    ],
    query: Annotated[str, typer.Option("--query", "-q", metavar="WORDS", help="For which words.")],
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Say that a model is right for some words: it ranks higher, here and for those like you.

    It stays on this device unless ranking.share_clicks is true.
    """
    emit(output_format, client(home).choose(model, query), rankings.choice)


def _show(
    kind: Literal["peers", "models"],
    query: str,
    explain: bool,
    limit: int,
    home: HomeOption,
    output_format: Format,
) -> None:
    answer = client(home).rank(kind, query, limit)
    emit(output_format, answer, lambda data: rankings.ranking(data, explain=explain))
