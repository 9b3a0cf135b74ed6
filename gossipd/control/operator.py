"""What the daemon does for its operator: the one interface between this room and the daemon.

Every method is called on the daemon's asyncio loop. The plain ones answer at once from memory; the
asynchronous ones end within their own deadlines. What goes wrong in a way that the operator can
act on raises `gossipd.errors.OperatorError`. All answers are plain JSON values: text, numbers,
booleans, None, lists and dicts with text keys; hashes are hex text.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

Document = dict[str, Any]


class Operator(Protocol):
    """The daemon as its operator sees it. The shapes below are the API's contract."""

    def status(self) -> Document:
        """Everything at a glance.

        {peer_id, version, pid, uptime, home, mode, author, swarm, membership, task,
        addresses: [text], join,
        network: {healthy, detail, restarts, connected, inbound, known, allow: [peer id],
        block: [peer id], bytes_in, bytes_out},
        training: {paused, why_not, steps, cycles, loss, examples, class_counts},
        guest: {train_when, plugged, battery, bytes_today, resting},
        using: {hash, chosen},
        models: {base | head | serving: {hash, held_out_loss, held_out_accuracy, held_out: {metric:
        value}}},
        updates: {offered, fetched, merged, adopted, redundant, refused},
        refused: {reason: count}, refused_by_peer: {peer: {reason: count}}, errors: {kind: count},
        waiting: [{what, whom, seconds, deadline}], health: as `health()`}

        `membership` is None in an open swarm, else as a row of `members()` and {founded_by, known,
        revoked};
        `using`: the model that answers, and whether somebody chose it with `use_model`;
        `why_not` and `resting`: in words why it does not train, or talks to nobody, or None;
        `battery` 0 to 1, or None;
        `author` is its key in lineages; `uptime` in seconds; `seconds` is how long a wait lasts,
        `deadline` how long it may go on;
        `join` is the line that another machine types, empty in a closed
        swarm: `invite` makes it; a measure that does not exist yet is None.
        What else a daemon shows (more counters) may stand beside these.
        """
        ...

    def inside(self) -> Document:
        """What the process holds, for who looks for a leak:

        {threads, tasks, network_tasks, objects, types: {name: count}, tables: {name: entries}}

        The names are those of this version's code.
        """
        ...

    def peers(self) -> list[Document]:
        """Every peer that is known.

        [{peer_id, author, state, address, outbound, round_trip, bytes_in, bytes_out, steps,
        examples, next_dial_in, failures, clock, last_error, refused: {reason: count},
        violations}]; state: connected | dialing | backing-off | known; bytes: over its present
        connection; `author`: its key in lineages, or None; `round_trip` and
        `next_dial_in` in seconds, or None; `clock`: by how many seconds its calendar is ahead of
        ours, or None; `violations`: refusals that no honest peer earns, since it was held off last.
        """
        ...

    def rank(self, kind: Literal["peers", "models"], query: str, limit: int) -> Document:
        """Who, or what, has served nodes like this one best: {query, kind, items: [{peer_id or
        model, author, role, tags; score, matches, voters, parts: [{peer_id, similarity, terms,
        items, union, unlike, value, scale, score}]}]}. An empty query: the node's own label."""
        ...

    def choose(self, model: str, query: str) -> Document:
        """A model, named by how its hash begins, suits these words: {query, model, shared}."""
        ...

    async def add_peer(self, address: str) -> Document:
        """Remember and dial a multiaddress that ends in /p2p/<peer id>. Answers {peer_id, ...}."""
        ...

    async def remove_peer(self, peer: str) -> Document:
        """Disconnect and forget a peer. Answers {peer_id, ...}."""
        ...

    def restrict(self, allow: Sequence[str]) -> Document:
        """Talk to these peer ids only, until the next start; none: to everybody.

        Connections with others are closed, and who is newly allowed is dialled. Answers {allow}.
        """
        ...

    def block_peer(self, peer: str) -> Document:
        """Never dial nor answer a peer id, from now on: it is added to network.block, and settings
        are read again. Answers {peer_id, block: [peer id]}."""
        ...

    def unblock_peer(self, peer: str) -> Document:
        """Dial and answer it again. Answers as `block_peer`."""
        ...

    def members(self) -> list[Document]:
        """Who is in a closed swarm: [{peer_id, name, serial, issued, not_after, state, founder}].

        state: member | expired | revoked, times in Unix seconds. Elsewhere than on the founder's
        device only this one and who was shut out.
        """
        ...

    def issue_membership(self, peer: str, name: str, days: float | None) -> Document:
        """Let a peer in: {peer_id, name, serial, not_after, founder, swarm, membership}."""
        ...

    def invite(self, name: str, days: float | None, uses: int) -> Document:
        """A line with which `uses` devices can enter within `days` (None: until it is withdrawn):
        {line, swarm, task, addresses, id, name, state, uses, used, not_after}. In an open swarm
        anybody can, at any time: {line, swarm, task}.
        """
        ...

    def invitations(self) -> list[Document]:
        """Invitations made here: [{id, name, state, uses, used: [peer id], not_after}]; state:
        open | used-up | expired | withdrawn."""
        ...

    def withdraw_invitation(self, invitation: str) -> Document:
        """Let nobody in with it any more; by its id. Answers as a row of `invitations()`."""
        ...

    def revoke_member(self, peer: str) -> Document:
        """Shut a member out, here and wherever it is heard of. Answers {peer_id, serial}."""
        ...

    def accept_membership(self, membership: str) -> Document:
        """Replace this device's membership by a newer one. Answers as `issue_membership`."""
        ...

    def models(self) -> list[Document]:
        """[{hash, role, author, created, lineage: {author key: steps}, held_out_loss,
        held_out_accuracy, size, used, pinned}]; role: base | head | serving | other; `created` in
        Unix seconds, `size` in bytes; `used`: it answers, by choice or as the serving average.
        """
        ...

    def show_model(self, model: str) -> Document:
        """One model, by role or by how its hash begins: what its manifest says of it (title, tags,
        licence, labels, loss, accuracy, author, role, created), as far as one was seen; a row of
        `models()` where it is kept here; {hash, task, here, used, pinned}: `here`, whether it can
        be used."""
        ...

    def search_models(self, query: str, limit: int) -> Document:
        """From what is known here, nobody is asked: {query, items: [{model, author, role, title,
        tags, licence, labels, loss, accuracy, created, here, used, pinned, and as in `rank()`:
        score, matches, voters, parts}]}, best first; `labels` and measures as its author says."""
        ...

    async def use_model(self, model: str | None) -> Document:
        """Let this model answer from now on, or with None the serving average again: {hash, chosen,
        query}; `query`: the search that this was a click for, or None."""
        ...

    async def roll_back(self) -> Document:
        """Let the serving model answer that did before the one that does now: as `use_model`, and
        {before}."""
        ...

    async def pin_model(self, model: str) -> Document:
        """Never collect it: {hash, pinned, query}."""
        ...

    def unpin_model(self, model: str) -> Document:
        """Let it go when room is needed. Answers as `pin_model`."""
        ...

    async def evaluate(self) -> Document:
        """The model that answers, on the task's test set, or where that is none on what is held out
        here: {hash, loss, accuracy, examples, on, ...}; `accuracy` is None for a regression, which
        has `rmse` and `r2`."""
        ...

    def identity(self) -> Document:
        """Who this daemon is: {peer_id, public_key, addresses, ...}."""
        ...

    def pause(self) -> Document:
        """Stop training after the current step; exchange goes on. Answers {paused: true}."""
        ...

    def resume(self) -> Document:
        """Train again, unless something else is against it. Answers {paused}."""
        ...

    async def export(self, model: str, path: str) -> Document:
        """Write a model (base | head | serving, or the beginning of a hash) to an absolute path, as
        safetensors.

        Answers {hash, path, size, ...}.
        """
        ...

    async def export_bundle(self, path: str, everything: bool, force: bool) -> Document:
        """Write what this daemon knows into a file of this machine (an absolute path), to be
        carried by hand. `everything`: all updates that it keeps, not just what it stands on;
        `force`: in place of what is there.

        Answers {path, bytes, records, claims, revocations, updates}.
        """
        ...

    async def import_bundle(self, path: str) -> Document:
        """Take what is good in such a file, and refuse the rest.

        Answers {path, author, created, taken, known, updates, refused: {reason: count}}: `author`
        and `created` as the file says, None where that part is damaged; `taken` and `known` count
        signed documents, `updates` those of the taken that are models.
        """
        ...

    def reload(self) -> Document:
        """Read the settings again: {applied: {key: value}, restart: [key]}; the latter hold from
        the next start on. With a mistake in them nothing changes."""
        ...

    def stop(self) -> Document:
        """Begin to stop, and answer {pid} before it is done."""
        ...

    def health(self) -> list[Document]:
        """Current warnings: [{code, severity, text, fix}]; severity: info | warning | error."""
        ...
