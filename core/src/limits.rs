//! Bounds. Everything that can grow has a limit, and every limit has its name here.
//!
//! A limit that peers must share to interoperate says so; the others may differ between nodes.

use std::time::Duration;

/// Longest name of a node, tribe, policy, item or cluster, in bytes. Shared by all peers.
pub const NAME_BYTES: usize = 128;
/// Longest name of a service, in bytes. Shared by all peers.
pub const SERVICE_NAME_BYTES: usize = 256;
/// Longest name of a top-level fact, in bytes. Shared by all peers.
pub const FACT_NAME_BYTES: usize = 64;
/// Longest text value inside a fact, in bytes.
pub const FACT_TEXT_BYTES: usize = 4096;
/// Most elements of one list or map inside a fact.
pub const FACT_ELEMENTS: usize = 4096;
/// Deepest nesting of lists and maps inside a fact.
pub const FACT_DEPTH: usize = 5;
/// Largest encoded fact set of one node, in bytes. Shared by all peers.
pub const FACTS_BYTES: usize = 16 * 1024;

/// Most of one file of the host that the fact collector reads, in bytes.
pub const HOST_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Longest text the fact collector takes from the host, in bytes; the rest is cut off.
pub const HOST_TEXT_BYTES: usize = 256;
/// Most elements of a list the fact collector takes from the host.
pub const HOST_ELEMENTS: usize = 512;
/// Most graphics cards and accelerators the fact collector takes from the host.
pub const HOST_GPUS: usize = 16;
/// Most addresses of one family the fact collector takes from the host.
pub const HOST_ADDRESSES: usize = 32;
/// Room for the host's network interfaces within [`FACTS_BYTES`].
pub const HOST_INTERFACES_BYTES: usize = 1024;
/// Room for the host's block devices within [`FACTS_BYTES`]; physical ones come first.
pub const HOST_DEVICES_BYTES: usize = 10 * 1024;

/// Most files of a directory of external facts.
pub const FACTS_FILES: usize = 64;
/// Longest file of external facts, and output of a program that prints some, in bytes.
pub const FACTS_FILE_BYTES: usize = 64 * 1024;
/// How long a program may take that prints external facts.
pub const FACTS_PROGRAM_TIME: Duration = Duration::from_secs(5);
/// No further program is run after this time for all external facts.
pub const FACTS_DIR_TIME: Duration = Duration::from_secs(20);

/// Longest policy text, in bytes. Shared by all peers.
pub const POLICY_BYTES: usize = 4096;
/// Most tokens of a policy.
pub const POLICY_TOKENS: usize = 512;
/// Deepest nesting of brackets in a policy.
pub const POLICY_DEPTH: usize = 32;
/// Most elements of a list literal in a policy.
pub const POLICY_LIST: usize = 256;
/// Longest pattern of `like` or `matches`, in bytes.
pub const POLICY_PATTERN_BYTES: usize = 256;
/// Most memory of one compiled pattern, in bytes.
pub const POLICY_PATTERN_SIZE: usize = 16 * 1024;
/// Deepest nesting of groups in a pattern.
pub const POLICY_PATTERN_DEPTH: u32 = 16;
/// Most patterns and quantifiers of a policy.
pub const POLICY_PATTERNS: usize = 16;
/// Longest text of a fact that a pattern is tried on, in bytes; on a longer one the verdict is unknown.
pub const POLICY_MATCH_BYTES: usize = 1024;
/// Deepest nesting of quantifiers in a policy.
pub const POLICY_QUANTIFIERS: usize = 2;
/// Most steps that a quantifier takes over all its elements; of one that would take more the verdict is unknown.
pub const POLICY_STEPS: usize = 100_000;

/// Longest description of a tribe, in bytes. Shared by all peers.
pub const DESCRIPTION_BYTES: usize = 1024;
/// Largest document of an item (plugin, task, or an agent author's own), in bytes. Shared by all peers.
pub const ITEM_BYTES: usize = 256 * 1024;
/// Largest body of any record, in bytes: what a peer may ask us to keep. Shared by all peers.
pub const BODY_BYTES: usize = ITEM_BYTES + 4096;
/// Longest key of a replicated record, in bytes. Shared by all peers.
pub const KEY_BYTES: usize = 3 * NAME_BYTES + 8;
/// Most items of one node alone.
pub const LOCAL_ITEMS: usize = 4096;
/// Most services one node may offer; the rest is served, but not told.
pub const OFFERED_SERVICES: usize = 256;
/// Most blobs one node may offer; the rest is held, but not told.
pub const OFFERED_BLOBS: usize = 4096;
/// Largest encoded offers of one node, in bytes. Shared by all peers.
pub const OFFERS_BYTES: usize =
    OFFERED_SERVICES * (SERVICE_NAME_BYTES + 3) + OFFERED_BLOBS * 32 + 16;
/// Largest encoded status of one node, in bytes. Shared by all peers.
pub const STATUS_BYTES: usize = 200;
/// A node writes its status at most this often.
pub const STATUS_PERIOD: Duration = Duration::from_secs(10);
/// Most records one owner may have. Shared by all peers.
pub const OWNED_RECORDS: usize = 64;
/// Most epochs of one owner that are kept: the one that stands and newer ones that are not complete.
pub const OWNER_EPOCHS: usize = 4;
/// Most nodes whose records are kept.
pub const OWNERS: usize = 20_000;
/// Most shared records, tombstones included.
pub const SHARED_RECORDS: usize = 100_000;

/// How far a stamp may lie ahead of our wall clock before the record is refused: digest sync offers it again.
pub const STAMP_AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long a tombstone stays.
pub const TOMBSTONE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Largest datagram payload foca may make, in bytes, before sealing.
pub const SWIM_PACKET_BYTES: usize = 1180;
/// Largest record that rides as a broadcast, in bytes; larger ones are announced by a hint.
pub const BROADCAST_BYTES: usize = 900;
/// Announcements up to so many bytes are of the whole record however many wait: a hint spares little, and leads
/// to a stream.
pub const BROADCAST_SMALL_BYTES: usize = 128;
/// Waiting broadcasts above which other records are only hinted at.
pub const BROADCAST_BACKLOG_FULL: usize = 8;
/// Waiting broadcasts above which nothing is announced: digest sync carries it.
pub const BROADCAST_BACKLOG_HINTS: usize = 32;

/// Largest datagram we open, in bytes.
pub const DATAGRAM_BYTES: usize = 1400;
/// Largest message on a stream, in bytes. Shared by all peers.
pub const MESSAGE_BYTES: usize = 1024 * 1024;
/// Records of one stream message are split at about this many bytes.
pub const SYNC_CHUNK_BYTES: usize = 256 * 1024;
/// Records sent in answer to one message, in bytes together; the next sync brings the rest.
pub const SYNC_BYTES: usize = 8 * 1024 * 1024;
/// Streams an engine serves at a time; further peers are told that we are busy.
pub const STREAMS_SERVED: usize = 64;
/// Streams of which an engine does not yet know what the peer wants; further ones are told that we are busy.
pub const STREAMS_UNASKED: usize = 256;
/// Streams an engine opens at a time.
pub const STREAMS_DIALLED: usize = 16;
/// Members dialled at a time because they answer no datagram.
pub const PINGS: usize = 32;
/// A stream that moved nothing for this long is closed.
pub const STREAM_IDLE: Duration = Duration::from_secs(10);
/// Streams to the services of one node at a time.
pub const SERVICE_STREAMS: usize = 20_000;
/// Services of other nodes of which it is remembered how many streams they had.
pub const SERVICE_LOADS: usize = 4096;
/// Connections accepted by the runtime that have not yet proved the key.
pub const HANDSHAKES: usize = 256;
/// Of these, those from one address (of IPv6: from one /64).
pub const HANDSHAKES_OF_SOURCE: usize = 64;
/// Connections to services that shake hands at a time; the next one waits. Fewer than [`HANDSHAKES_OF_SOURCE`], so
/// that a node's services do not crowd its other streams.
pub const HANDSHAKES_DIALLED: usize = HANDSHAKES_OF_SOURCE / 2;
/// A connection must have proved the key within this time.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Peers whose datagram session is remembered.
pub const SESSIONS: usize = 20_000;
/// Sessions of others told in one sync.
pub const SESSIONS_TOLD: usize = 4096;
/// Datagrams held back for one peer until its session is known.
pub const HELD_DATAGRAMS: usize = 8;
/// Challenges sent in answer to unknown sessions, per second.
pub const CHALLENGES_PER_SECOND: u32 = 200;

/// Records one pull may ask for. Shared by all peers.
pub const RECORDS_PULLED: usize = 64;
/// Records sent in answer to one message that wants them; the next sync brings the rest.
pub const RECORDS_SENT: usize = 20_000;

/// Hints whose bodies we want, waiting for a stream.
pub const WANTED: usize = 4096;
/// Events kept for one slow reader.
pub const EVENTS: usize = 4096;
/// Members saved for the next start.
pub const SAVED_MEMBERS: usize = 64;
/// Commands that wait until a new node has met its cluster.
pub const HELD_COMMANDS: usize = 1024;
/// How long each of them waits.
pub const HELD_COMMAND_TIME: Duration = Duration::from_secs(10);

/// Most keys of a keyring.
pub const KEYS: usize = 16;
/// A key that was removed is good for fetching the others for so long: who was absent comes back.
pub const KEY_GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Keys of which it is remembered that they were removed; those removed longest ago are forgotten.
pub const KEYS_REMOVED: usize = 64;
/// Largest key file, in bytes.
pub const KEY_FILE_BYTES: u64 = 16 * 1024;
/// Peers asked for their datagram session at a time.
pub const STRANGERS: usize = 1024;
/// Challenges of strangers answered, per second.
pub const RESPONSES_PER_SECOND: u32 = 2000;
/// How long a datagram is held back for a peer whose session is unknown.
pub const HELD_TIME: Duration = Duration::from_secs(5);
/// An unanswered challenge is repeated at most this often.
pub const CHALLENGE_REPEAT: Duration = Duration::from_millis(250);
/// An answer to a challenge must come within this time.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(10);
/// Bytes that may wait in one stream, in each direction, for whoever drives it.
pub const STREAM_BACKLOG_BYTES: usize = 4 * MESSAGE_BYTES;

/// Largest blob, in bytes. Shared by all peers.
pub const BLOB_BYTES: u64 = 512 * 1024 * 1024;
/// What the blobs of one node may take on disk unless its configuration says otherwise, in bytes.
pub const BLOB_QUOTA_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// A blob that nothing refers to goes after this long.
pub const BLOB_UNREFERENCED: Duration = Duration::from_secs(24 * 3600);
/// Unreferenced blobs are looked for this often.
pub const BLOB_COLLECT_PERIOD: Duration = Duration::from_secs(3600);
/// Blobs fetched at a time; the others wait.
pub const BLOBS_FETCHED: usize = 4;
/// Streams of other nodes that fetch blobs here, or ask to hold one, at a time.
pub const BLOB_STREAMS: usize = 32;
/// Blobs are read, sent, received and written in pieces of this many bytes.
pub const BLOB_CHUNK_BYTES: usize = 256 * 1024;
/// A holder that sent or took nothing for this long is given up.
pub const BLOB_IDLE: Duration = Duration::from_secs(30);
/// A holder that sent wrong bytes is not asked again for this long.
pub const BLOB_DISTRUST: Duration = Duration::from_secs(10 * 60);
/// Longest request or answer about a blob, in bytes, without the blob. Shared by all peers.
pub const BLOB_FRAME_BYTES: usize = 1024;
