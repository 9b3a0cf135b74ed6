"""Every bound on what a peer may send, in one place.

A bound is checked before the bytes it limits are read, decoded or stored. The values are ours
unless a line says otherwise; each is far above what an honest swarm of some hundred peers needs.
"""

KIB = 1024
MIB = 1024 * KIB

# --- messages (request/response) ---------------------------------------------------------------
MESSAGE_BYTES = 1 * MIB
"""Largest encoded message, request or response."""
ENVELOPE_BYTES = 384 * KIB
"""Largest signed envelope inside a message: a manifest with all that its limits allow, of which a
lineage of AUTHORS entries is two thirds."""
RECORD_BYTES = 32 * KIB
CLAIM_BYTES = 1 * KIB
"""Largest signed record and claim: thousands of them are kept, as they came."""
MEMBERSHIP_BYTES = 1 * KIB
"""Largest signed membership or revocation: one rides on every record of a closed swarm."""
TEXT_BYTES = 4 * KIB
"""Longest text field inside a message."""

# --- what a message may hold -------------------------------------------------------------------
RECORDS_PER_MESSAGE = 2048
CLAIMS_PER_MESSAGE = 4096
ADDRESSES_PER_RECORD = 8
ADDRESS_TEXT = 256
TAGS = 16
TAG_TEXT = 64
TITLE_TEXT = 128
LICENCE_TEXT = 64
"""Ample for a licence's short name, or an SPDX expression of a few."""
REASON_TEXT = 512
ABOUT_TEXT = 128
"""In which a peer says what it learns."""
TENSORS = 4096
"""Weight tensors of one model: the length of the declared variances."""
CLASSES = 4096
AUTHORS = 12 * 1024
"""Entries of one lineage; above it a swarm refuses new authors (nothing is ever folded). Ours: ten
thousand nodes and some that came back with an empty disk. What follows from it: the messages that
hold several lineages, activity and claims beside them stay below MESSAGE_BYTES, since an entry
takes some 13 bytes as long as nobody has trained four billion steps."""
LINEAGES_SHOWN = 16
"""Lineages of which one peer tells another that it holds them. Ours, measured with 300 nodes in 60
rounds: what is said of lineages takes 2.8 times less than whole ones; with 4 2.3, with 64 2.8."""
LINEAGE_HINT_BYTES = 4
"""How much is told of each one's name: two names that begin alike cost a message."""
AUTHORS_PER_QUESTION = 2048
"""Whose claims are asked for at once: with 190 bytes for each they fit into one answer."""
REVOCATIONS = 1024
"""Members of a closed swarm that can be shut out; then its founder founds a new one."""
REVOCATIONS_PER_MESSAGE = 512
MEMBER_NAME = 64
"""Longest name that a founder gives a member."""
INVITATION_USES = 1000
"""Devices that can enter with one invitation."""
DESCRIPTION_BYTES = 256 * KIB
"""Longest description of a task that is handed to who enters: some thousand columns."""
SAMPLE = 256
"""Peers of one sampled round: far above the papers' 13."""
BASES_BETWEEN = 8
"""Bases that a receiver may have to get first, since each is a delta against the one before. Twice
as many spared a small swarm a sixth of its bytes, but hostile messages that stand for long lineages
then took twice as long to refuse (tests/daemon/test_hostile_lineages.py)."""
BASES_BETWEEN_BYTES = MESSAGE_BYTES // 8
"""Of their envelopes: with the longest lineages there is room for none beside what a message is
about, and the receiver asks for the reference whole."""
MANIFESTS_PER_OFFER = 4 + BASES_BETWEEN
MANIFESTS_PER_ROUND = 3 + BASES_BETWEEN
"""What a round's message names: a head, and at most the base and serving model beside it."""

# --- clicks ------------------------------------------------------------------------------------
QUERY_TEXT = 128
"""Longest query that is told to anybody."""
CLICKS_PER_SHEET = 64
"""Rows under one signature: at the start a node may have many; later few at a time."""
SHEET_BYTES = CLICKS_PER_SHEET * (4 * QUERY_TEXT + 16) + 256
"""Largest signed sheet: with queries of four bytes to a character."""
SHEETS_PER_MESSAGE = 2048
SHEETS_BYTES_PER_MESSAGE = 128 * KIB
"""Of one answer's sheets together: checking their signatures takes some .1 s at most."""
CLICK_MARKS = 4096
"""Authors of whose sheets is told what is held; of more only the latest."""

# --- models and bodies -------------------------------------------------------------------------
PARAMETERS = 64_000_000
CHUNK_BYTES = 256 * KIB
"""Bodies are hashed and sent in chunks of this size; the last one may be shorter."""
BODY_BYTES = 256 * MIB
CHUNKS = BODY_BYTES // CHUNK_BYTES
FETCH_BYTES_IN_FLIGHT = 512 * MIB
"""Bodies being received at once, all peers together."""

# --- bundles, which people carry ---------------------------------------------------------------
BUNDLE_BYTES = 4096 * MIB
"""Of a longer file nothing is read: what an exporter puts into one is far below."""
BUNDLE_FRAMES = 32_768
"""Frames that are looked at: the records and claims of a full view, every update that a daemon
keeps, and as much again."""
BUNDLE_DOCUMENT_BYTES = 64 * MIB
"""Signed documents of one bundle that are opened, all together."""
BUNDLE_UPDATES = 512
"""As many as a daemon remembers (`storage.retention`)."""

# --- numbers that must be plausible ------------------------------------------------------------
COUNTER = 2**53
"""Sequence numbers, step counters, rounds, examples: exact in every msgpack implementation."""
QUIET_MILLISECONDS = 10_000_000
"""For which a peer says that no round has gone on: hours, longer than any wait."""
EXAMPLES_OVER_MEDIAN = 10
"""Claimed examples count at most this many times the median of the swarm (a claim is not trust)."""

# --- one peer ----------------------------------------------------------------------------------
REQUESTS_IN_FLIGHT = 32
"""Requests of one peer that may wait for an answer at the same time."""
CONNECTIONS = 256
"""Live connections of one daemon."""
CONNECTIONS_PER_ADDRESS = 64
"""Live connections, upgrading ones included, from one remote IP address."""
VIOLATIONS = 20
"""Refusals of hostile kind after which a peer is disconnected and held off."""
HOLD_OFF_SECONDS = 60.0
"""How long such a peer is not talked to."""
KNOWN_PEERS = AUTHORS
"""Peers that a daemon remembers: as many as can have trained."""
