"""The tree of commands, in the order in which the help shows them."""

from typing import Annotated

import typer

from gossipd_cli.commands import (
    bundle,
    completion,
    configuration,
    dashboard,
    demo,
    doctor,
    init,
    join,
    lifecycle,
    members,
    metrics,
    models,
    peers,
    predict,
    rank,
    scenario,
    service,
    show,
    stream,
    task,
    train,
    wait,
)

app = typer.Typer(
    name="gossipd",
    help="Train a model together with other machines, with no server.",
    epilog="\b\nFirst steps:\n"
    "  gossipd start      on one machine; it prints the line that another one types\n"
    "  gossipd status     how far it is\n"
    "  gossipd demo       five nodes on this machine",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def gossipd(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from gossipd import __version__

        typer.echo(f"gossipd {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.add_typer(init.app)
app.add_typer(lifecycle.app)
app.add_typer(join.app)
app.add_typer(show.app)
app.add_typer(doctor.app)
app.add_typer(predict.app)
app.add_typer(peers.app, name="peers")
app.add_typer(members.app, name="members")
app.add_typer(models.app, name="models")
app.add_typer(rank.app, name="rank")
app.add_typer(bundle.app, name="bundle")
app.add_typer(task.app, name="task")
app.add_typer(train.app, name="train")
app.add_typer(stream.app)
app.add_typer(metrics.app, name="metrics")
app.add_typer(wait.app)
app.add_typer(dashboard.app)
app.add_typer(configuration.app, name="config")
app.add_typer(service.app, name="service")
app.add_typer(completion.app)
app.add_typer(demo.app)
app.add_typer(scenario.app, name="scenario")
