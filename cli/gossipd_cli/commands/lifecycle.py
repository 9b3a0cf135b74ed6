"""`gossipd start` and `stop`."""

import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gossipd import __version__
from gossipd.config import Config, Paths, home_directory, load, paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd_cli import render
from gossipd_cli.commands.init import FolderOption, SwarmOption, initialise
from gossipd_cli.options import FormatOption, HomeOption, client, example
from gossipd_cli.output import Format, emit, emit_error, say
from gossipd_cli.processes import Watch, detach

if TYPE_CHECKING:
    from gossipd.daemon import Ready

START_SECONDS = 180.0
"""As the unit of `gossipd service`: a small board, or a busy machine, loads torch for a minute."""
STOP_SECONDS = 20.0

app = typer.Typer()


@app.command(
    "start",
    epilog=example(
        "gossipd start",
        "gossipd start --detach --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...",
        "gossipd start --set gossip.fanout=3 --set log.level=debug",
    ),
)
def start(
    detached: Annotated[
        bool, typer.Option("--detach", "-d", help="Go on in the background, logging to files.")
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR",
            help="Multiaddress of a peer to begin with; may be repeated.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="TCP port to listen on. Default: chosen at the first start and kept.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="IP", help="IP address to listen on.", show_default=False),
    ] = None,
    data: FolderOption = None,
    swarm: SwarmOption = None,
    no_mdns: Annotated[
        bool, typer.Option("--no-mdns", help="Do not look for peers on the local network.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a setting for this run; may be repeated.",
            show_default=False,
        ),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Log into this file, 3 x 10 MB. Default: stderr; with --detach logs/gossipd.log.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Run the daemon. The first start makes the state directory.

    It prints the line that another machine types to join.
    """
    paths = paths_of(home_directory(home))
    _refuse_second(client(home))
    if not paths.config.exists():
        initialise(paths, data, swarm)
    configured = load(paths.home)
    overrides = _overrides(
        {
            "network.port": port,
            "network.listen": listen,
            "network.mdns": False if no_mdns else None,
            "network.peers": [*configured.network.peers, *peer] if peer else None,
            "task.name": "idx" if data and configured.task.name == "digits" else None,
            "task.data": str(data) if data else None,
            "swarm.id": swarm,
        },
        setting or [],
    )
    config = load(paths.home, overrides)
    if config.task.name != "digits" and not config.swarm.id and not paths.members.exists():
        # The open swarm is everybody's who has data of this shape, whatever it is about.
        raise OperatorError(
            "no-swarm",
            "own data needs a swarm of its own",
            "enter one with what its founder issued: gossipd members accept FILE; or found one: "
            "gossipd members found",
            ExitCode.CONFIG,
        )
    if swarm and paths.members.exists():
        raise OperatorError(
            "two-swarms",
            f"--swarm {swarm}, and this device is a member of a closed swarm",
            "leave --swarm out: the membership says it; or choose another --home",
            ExitCode.CONFIG,
        )
    if detached:
        _detach(overrides, paths, log_file or paths.logs / "gossipd.log", output_format)
        return
    _run(config, paths, log_file, output_format, reload=lambda: load(paths.home, overrides))


@app.command("stop", epilog=example("gossipd stop"))
def stop(
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Seconds to wait for its end.")
    ] = STOP_SECONDS,
    home: HomeOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Stop the daemon and wait until it is gone."""
    daemon = client(home)
    pid = daemon.status()["pid"]
    with suppress(ProcessLookupError), closing(Watch(pid)) as watch:
        daemon.stop()
        if not watch.ended(timeout):
            raise OperatorError(
                "stop-timeout",
                f"process {pid} still runs after {timeout:g} s",
                f"`gossipd logs` may tell why; `kill -9 {pid}` ends it, and nothing saved is lost",
                ExitCode.TIMEOUT,
            )
    emit(output_format, {"pid": pid, "stopped": True}, lambda data: f"stopped (pid {data['pid']})")


def _refuse_second(daemon: Client) -> None:
    """Say at once, before anything slow is loaded, that a daemon runs here already."""
    try:
        status = daemon.status()
    except OperatorError as error:
        if error.exit_code == ExitCode.NOT_RUNNING:
            return
        raise
    raise OperatorError(
        "already-running",
        f"a daemon runs in {status['home']} already (pid {status['pid']})",
        "`gossipd status` shows it, `gossipd stop` stops it; a second one needs its own --home",
        ExitCode.ALREADY_RUNNING,
    )


def _overrides(options: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """The dotted settings that the command line asks for; --set has the last word."""
    overrides = {key: value for key, value in options.items() if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        overrides[key.strip()] = value
    return overrides


def _run(
    config: Config,
    paths: Paths,
    log_file: Path | None,
    output_format: Format,
    *,
    reload: Callable[[], Config],
) -> NoReturn:
    from gossipd.members.identity import load_or_create

    # Before anything slow is loaded: a key that may not be used is said at once.
    load_or_create(paths.identity)
    say(f"gossipd {__version__} starts in {paths.home}")
    from gossipd.daemon import run  # loads torch and libp2p, which takes seconds

    is_ready = False

    def announce(ready: "Ready") -> None:
        nonlocal is_ready
        is_ready = True
        told = {"peer_id": ready.peer_id, "addresses": list(ready.addresses), "join": ready.join}
        _announce(output_format, {**told, "membership": ready.membership, "pid": os.getpid()})

    try:
        code = run(config, paths.home, on_ready=announce, log_file=log_file, reload=reload)
    except OperatorError as error:
        if not is_ready:
            raise
        emit_error(Format.text, error)  # stdout has had its one document
        code = error.exit_code
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End this process at once.

    All that has to be said, written, joined and closed has been: `run` returns after that. What
    Python would go on with is taking torch and libp2p apart, object by object, in memory that the
    system takes back anyway: ours, measured, 1.0 s of processor time after .03 s for the stop
    itself, which at a daemon's low priority beside busy programs makes somebody wait ten.
    """
    import logging

    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _detach(overrides: dict[str, Any], paths: Paths, log_file: Path, output_format: Format) -> None:
    arguments = ["start", "--home", str(paths.home), "--log-file", str(log_file.absolute())]
    for key, value in overrides.items():
        arguments += ["--set", f"{key}={_text(value)}"]
    status = detach(arguments, Client(paths.socket), paths.logs, START_SECONDS)
    say(f"gossipd {__version__} runs in {paths.home}, pid {status['pid']}")
    _announce(output_format, status)


def _announce(output_format: Format, status: dict[str, Any]) -> None:
    """Who came up, and the line that another machine types: for people on stderr."""
    say(f"peer     {status['peer_id']}")
    for address in status["addresses"]:
        say(f"address  {address}")
    say(f"join     {render.how_to_join(status)}")
    if output_format is Format.json:
        data = {key: status[key] for key in ("pid", "peer_id", "addresses", "join")}
        emit(output_format, data, str)
        sys.stdout.flush()


def _text(value: Any) -> str:
    """A setting as `--set` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
