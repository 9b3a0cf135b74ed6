"""The API's other end, for the CLI, the scenario engine and anybody's script.

    Client(paths_of(home).socket).status()["peer_id"]

Loads in milliseconds: the standard library only. One connection per request, so that a client
outlives the daemon it talks to. Every method raises `OperatorError`: what the daemon answered, or
"not-running", "timeout", "forbidden", "no-answer" when it did not.
"""

import http.client
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gossipd.control import unix_socket
from gossipd.control.records import fields_of, text_of, time_of
from gossipd.errors import ExitCode, OperatorError

__all__ = ["Client", "fields_of", "text_of", "time_of"]

TIMEOUT = 10.0
"""Seconds for what the daemon answers from memory."""
EVALUATE_TIMEOUT = 300.0
EXPORT_TIMEOUT = 60.0
BUNDLE_TIMEOUT = 600.0
"""A slow stick writes a gigabyte in that time."""
ANSWER_BYTES = 64 * 1024 * 1024

Document = dict[str, Any]


class Client:
    """Talks to the daemon that listens on `path`."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout

    def status(self) -> Document:
        return self._document("GET", "/v1/status")

    def inside(self) -> Document:
        """How much the daemon holds of what: threads, tasks, objects, the entries of its tables."""
        return self._document("GET", "/v1/inside")

    def peers(self) -> list[Document]:
        return self._documents("GET", "/v1/peers")

    def add_peer(self, address: str) -> Document:
        return self._document("POST", "/v1/peers", body={"address": address}, timeout=60.0)

    def remove_peer(self, peer: str) -> Document:
        return self._document("DELETE", f"/v1/peers/{quote(peer, safe='')}")

    def block_peer(self, peer: str) -> Document:
        """Have it never dial nor answer a peer: as `gossipd peers block`."""
        return self._document("POST", f"/v1/peers/{quote(peer, safe='')}/block")

    def unblock_peer(self, peer: str) -> Document:
        return self._document("DELETE", f"/v1/peers/{quote(peer, safe='')}/block")

    def restrict(self, allow: Sequence[str]) -> Document:
        """Have it talk to these peer ids only, until its next start; none: to everybody."""
        return self._document("PUT", "/v1/overlay", body={"allow": list(allow)})

    def members(self) -> list[Document]:
        return self._documents("GET", "/v1/members")

    def issue_membership(self, peer: str, name: str, days: float | None) -> Document:
        body = {"peer": peer, "name": name, "days": days}
        return self._document("POST", "/v1/members", body=body)

    def invite(self, name: str = "", days: float | None = None, uses: int = 1) -> Document:
        body = {"name": name, "days": days, "uses": uses}
        return self._document("POST", "/v1/invitations", body=body)

    def invitations(self) -> list[Document]:
        return self._documents("GET", "/v1/invitations")

    def withdraw_invitation(self, invitation: str) -> Document:
        return self._document("DELETE", f"/v1/invitations/{quote(invitation, safe='')}")

    def revoke_member(self, peer: str) -> Document:
        return self._document("DELETE", f"/v1/members/{quote(peer, safe='')}")

    def accept_membership(self, membership: str) -> Document:
        return self._document("POST", "/v1/membership", body={"membership": membership})

    def rank(self, kind: str, query: str = "", limit: int = 20) -> Document:
        """Which "peers" or "models" have served nodes like this one best, and why."""
        asked = {"kind": kind, "query": query, "limit": limit}
        return self._document("GET", f"/v1/rank?{urlencode(asked)}")

    def choose(self, model: str, query: str) -> Document:
        """Say that a model, named by how its hash begins, is right for these words."""
        return self._document("POST", "/v1/rank", body={"model": model, "query": query})

    def models(self) -> list[Document]:
        return self._documents("GET", "/v1/models")

    def show_model(self, model: str) -> Document:
        """All that is known of one, named by its role or by how its hash begins."""
        return self._document("GET", "/v1/models/show", query={"model": model})

    def search_models(self, query: str, limit: int = 20) -> Document:
        """What is known there for these words, best first."""
        asked = {"query": query, "limit": limit}
        return self._document("GET", "/v1/models/search", query=asked)

    def use_model(self, model: str | None) -> Document:
        """Have predictions use this model; None: the serving average again."""
        body = {"model": model}
        return self._document("POST", "/v1/models/use", body=body, timeout=EXPORT_TIMEOUT)

    def roll_back(self) -> Document:
        """Have predictions use the serving model before the one that they use now."""
        return self._document("POST", "/v1/models/rollback", timeout=EXPORT_TIMEOUT)

    def pin_model(self, model: str) -> Document:
        """Have it kept, whatever the quota."""
        body = {"model": model}
        return self._document("POST", "/v1/models/pins", body=body, timeout=EXPORT_TIMEOUT)

    def unpin_model(self, model: str) -> Document:
        return self._document("DELETE", "/v1/models/pins", query={"model": model})

    def export(self, model: str, path: Path, timeout: float = EXPORT_TIMEOUT) -> Document:
        """Write a model (its role, or how its hash begins) into a file of this machine."""
        body = {"model": model, "path": str(path.absolute())}
        return self._document("POST", "/v1/models/export", body=body, timeout=timeout)

    def export_bundle(
        self, path: Path, *, everything: bool = False, force: bool = False
    ) -> Document:
        """Write what the daemon knows into a file of this machine, to be carried by hand."""
        body = {"path": str(path.absolute()), "everything": everything, "force": force}
        return self._document("POST", "/v1/bundle/export", body=body, timeout=BUNDLE_TIMEOUT)

    def import_bundle(self, path: Path) -> Document:
        """Take what is good in such a file."""
        body = {"path": str(path.absolute())}
        return self._document("POST", "/v1/bundle/import", body=body, timeout=BUNDLE_TIMEOUT)

    def evaluate(self, timeout: float = EVALUATE_TIMEOUT) -> Document:
        return self._document("POST", "/v1/eval", timeout=timeout)

    def identity(self) -> Document:
        return self._document("GET", "/v1/id")

    def pause(self) -> Document:
        return self._document("POST", "/v1/train/pause")

    def resume(self) -> Document:
        return self._document("POST", "/v1/train/resume")

    def reload(self) -> Document:
        """Have it read its settings again."""
        return self._document("POST", "/v1/reload")

    def log_levels(self) -> Document:
        return self._document("GET", "/v1/logs/levels")

    def set_log_level(self, room: str, level: str) -> Document:
        """Of one room, or of "all"; the levels that hold now."""
        return self._document("PUT", "/v1/logs/levels", body={"room": room, "level": level})

    def stop(self) -> Document:
        return self._document("POST", "/v1/stop")

    def health(self) -> Document:
        """{healthy, health: [...]}; unhealthy is an answer, not an error."""
        return self._document("GET", "/health")

    def metrics(self) -> str:
        """The Prometheus text."""
        return self._request("GET", "/metrics").decode()

    def logs(
        self,
        since: int = 0,
        *,
        run: str = "",
        level: str = "debug",
        room: str = "",
        limit: int = 1000,
        newest: bool = False,
    ) -> Document:
        """{run, records, next, missed}: records after `since`; ask again with `next` and `run`."""
        return self._document(
            "GET",
            "/v1/logs",
            query={
                "since": since,
                "run": run,
                "level": level,
                "room": room,
                "limit": limit,
                "newest": newest,
            },
        )

    def events(
        self,
        since: int = 0,
        *,
        run: str = "",
        wait: float = 0.0,
        limit: int = 1000,
        newest: bool = False,
    ) -> Document:
        """{run, events, next, missed}: events after `since`; waits `wait` s for the first."""
        return self._document(
            "GET",
            "/events",
            query={"since": since, "run": run, "wait": wait, "limit": limit, "newest": newest},
            timeout=wait + self.timeout,
        )

    def _document(self, *args: Any, **kwargs: Any) -> Document:
        data = self._data(*args, **kwargs)
        if not isinstance(data, dict):
            raise self._no_answer("its answer has another form")
        return data

    def _documents(self, *args: Any, **kwargs: Any) -> list[Document]:
        data = self._data(*args, **kwargs)
        if not isinstance(data, list):
            raise self._no_answer("its answer has another form")
        return data

    def _data(self, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = json.loads(self._request(*args, **kwargs))
            if answer["status"] == "ok":
                return answer["data"]
            error = answer["error"]
            raise OperatorError(
                error["code"], error["message"], error["hint"], ExitCode(error["exit_code"])
            )
        except (ValueError, KeyError, TypeError):
            raise self._no_answer("its answer has another form") from None

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        query: Document | None = None,
        timeout: float | None = None,
    ) -> bytes:
        if query:
            path = f"{path}?{urlencode({name: _text(value) for name, value in query.items()})}"
        timeout = self.timeout if timeout is None else timeout
        connection = _Connection(self.path, timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES)
            if response.status == 503 and not content.startswith(b"{"):
                raise OperatorError(
                    "busy", "the daemon has too many requests", "try again", ExitCode.TEMPORARY
                )
            return content
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise OperatorError(
                "not-running",
                f"no daemon answers on {self.path}",
                "`gossipd start` starts one; --home or GOSSIPD_HOME name another directory",
                ExitCode.NOT_RUNNING,
            ) from None
        except PermissionError:
            raise OperatorError(
                "forbidden",
                f"{self.path} belongs to another user",
                "run the command as that user",
                ExitCode.IDENTITY,
            ) from None
        except TimeoutError:
            raise OperatorError(
                "timeout",
                f"the daemon did not answer within {timeout:g} s",
                "`gossipd logs` or its log file show what it does; kill it if it hangs",
                ExitCode.TIMEOUT,
            ) from None
        except BlockingIOError:
            raise OperatorError(
                "busy", "the daemon accepts no connection", "try again", ExitCode.TEMPORARY
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(str(error) or type(error).__name__) from None
        finally:
            connection.close()

    def _no_answer(self, why: str) -> OperatorError:
        return OperatorError(
            "no-answer",
            f"the daemon broke off: {why}",
            "`gossipd status` tells whether it still runs",
            ExitCode.FAILURE,
        )


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket; the host name is what HTTP/1.1 wants to be told."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("gossipd", timeout=timeout)
        self._path = path
        self._seconds = timeout
        self.sock: socket.socket | None

    def connect(self) -> None:
        self.sock = unix_socket.connect(self._path, self._seconds)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
