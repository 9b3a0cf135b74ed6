"""Every bound on what a peer may send, in one place.

A bound is checked before the bytes it limits are read, decoded or stored. The values are ours
unless a line says otherwise; each is far above what an honest swarm of some hundred peers needs.
"""

KIB = 1024
MIB = 1024 * KIB

# --- messages (request/response) ---------------------------------------------------------------
MESSAGE_BYTES = 1 * MIB
"""Largest encoded message, request or response."""
ENVELOPE_BYTES = 256 * KIB
"""Largest signed envelope inside a message."""
RECORD_BYTES = 32 * KIB
CLAIM_BYTES = 1 * KIB
"""Largest signed record and claim: thousands of them are kept, as they came."""
MEMBERSHIP_BYTES = 1 * KIB
"""Largest signed membership or revocation: one rides on every record of a closed swarm."""
NESTING_ITEMS = 4096
"""Longest array or map that msgpack may announce inside a message: as long as the longest field.

Memory is reserved as announced, at up to 1024 levels of nesting: some 30 MB before it is noticed.
"""
TEXT_BYTES = 4 * KIB
"""Longest text field inside a message."""

# --- what a message may hold -------------------------------------------------------------------
MANIFESTS_PER_OFFER = 4
RECORDS_PER_MESSAGE = 512
CLAIMS_PER_MESSAGE = 4096
ADDRESSES_PER_RECORD = 8
ADDRESS_TEXT = 256
TAGS = 16
TAG_TEXT = 64
REASON_TEXT = 512
TENSORS = 4096
"""Weight tensors of one model: the length of the declared variances."""
CLASSES = 4096
AUTHORS = 4096
"""Entries of one lineage; above it a swarm refuses new authors (nothing is ever folded)."""
REVOCATIONS = 1024
"""Members of a closed swarm that can be shut out; then its founder founds a new one."""
REVOCATIONS_PER_MESSAGE = 512
MEMBER_NAME = 64
"""Longest name that a founder gives a member."""
SAMPLE = 256
"""Peers of one sampled round: far above the papers' 13."""
MANIFESTS_PER_ROUND = 3
"""What a round's message names: a head, and at most the base and serving model beside it."""

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
KNOWN_PEERS = 4096
"""Peers that a daemon remembers."""
