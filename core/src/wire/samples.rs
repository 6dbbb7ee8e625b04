//! A sample of every message, beside the bytes it had from the beginning. [`fixture`](super::fixture) says how.
//!
//! ```text
//! TRIBE_UPDATE_CAPTURES=1 cargo test -p snap-tribe --all-features --lib -- as_they_always_were
//! ```

use std::{collections::BTreeSet, fmt::Debug, net::SocketAddr};

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use super::fixture::{Samples, Variants, variants};
use super::{
    frame::{Ask, Datagram, Entries, Frame, Gap, Hello, Refuse, SyncRoots, ToldKey},
    peer::{Finding, Identity, Peer, Standing},
    seal::SessionId,
};
use crate::{
    BlobId, Boolean, FactName, Facts, ItemKind, ItemName, Key as ClusterKey, KeyId, KeyPhase,
    NodeId, NodeName, NodeStatus, Offers, Placement, ServiceName, Source, Spelling, TribeName,
    Value, codec,
    keyring::KeyBytes,
    state::{
        Body, Buckets, EnabledBody, FloorBody, Form, ItemBody, Key, KeyPhaseBody, KeysBody, Kind,
        NodeBody, Owned, PlacementBody, PolicyBody, Record, Roots, RunningBody, Shared, Stamp,
        TribeBody, Version,
    },
};

variants! {
    Datagram {
        Swim Doubt Objection Check CheckReply Holds Held Vouch Vouched Watch Watched AskKeys HeldKeys
    }
    Frame {
        Hello Refuse Roots Buckets Entries Records Want Peers Pull Ask Answer Done Dial Dialled Ping
        Pong Sessions WantKeys Keys Since Until Gap
    }
    Refuse { NameTaken EpochBehind Busy NoService NotAllowed ServiceBusy }
    Ask { SetFacts }
    Standing { Alive Suspect Down }
    Finding { Here Refused Unanswered Silent }
    Version { Shared Owned }
    Record { Shared Owned }
    Value { Bool Int Float Text Ip Net List Map }
    Spelling { Lower Title Upper }
    Source { Host Start Runtime File }
    Placement { Joined Left Automatic }
    KeyPhase { Installed InUse Removed }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn identity() -> Identity {
    Identity::new(NodeId(0x0123_4567_89ab_cdef), address("10.1.2.3:6000"), 1_764_000_000_123)
}

pub(crate) fn other_identity() -> Identity {
    Identity::new(NodeId(250), address("[fd00::7]:6001"), 251)
}

fn peer(standing: Standing) -> Peer {
    Peer { identity: identity(), incarnation: 258, standing }
}

pub(crate) fn key() -> Key {
    Key::new(Kind::TRIBE, "core")
}

pub(crate) fn stamp() -> Stamp {
    Stamp { time: (1_764_000_000_123 << 16) | 5, node: NodeId(9) }
}

pub(crate) fn versions() -> [Version; 2] {
    [Version::Shared(key(), stamp()), Version::Owned(NodeId(9), Kind::FACTS, 1_764_000_000_000, 3)]
}

fn roots() -> SyncRoots {
    let records = Roots { owners: 250, shared: u64::MAX, horizon_ms: 1_763_996_400_000 };
    SyncRoots { members: 65_536, records }
}

fn buckets() -> Buckets {
    let mut buckets = Buckets::default();
    buckets.add(0, 1);
    buckets.add(0x1ff, 70_000);
    buckets
}

fn key_ids() -> Vec<KeyId> {
    vec![KeyId::from_bytes([1, 2, 3, 4]), KeyId::from_bytes([0xfb, 0xfc, 0xfd, 0xff])]
}

fn shared(kind: Kind, name: &str, body: Option<Body>) -> Record {
    let base = body.as_ref().map(|_| Stamp { time: stamp().time - 1, node: NodeId(1) });
    Record::Shared(Shared { key: Key::new(kind, name), stamp: stamp(), base, body })
}

fn owned(kind: Kind, body: Body) -> Record {
    Record::Owned(Owned { owner: NodeId(9), epoch: 1_764_000_000_000, seq: 3, kind, body })
}

fn told_keys() -> Vec<ToldKey> {
    let phase = |phase| KeyPhaseBody { phase }.to_body();
    let told = |name, body, key| ToldKey { record: shared(Kind::KEY_PHASE, name, Some(body)), key };
    let key = KeyBytes(ClusterKey::from_bytes([7; 32]));
    vec![
        told("01020304", phase(KeyPhase::InUse), Some(key)),
        told("fbfcfdff", phase(KeyPhase::Removed), None),
    ]
}

fn values() -> Vec<Value> {
    let list = vec![Value::Int(1), Value::List(Vec::new()), Value::Text("x".into())];
    let map = [("a".to_owned(), Value::Float(1.5)), ("b".to_owned(), Value::Int(-129))];
    vec![
        Value::from(true),
        Value::Int(-1),
        Value::Float(-0.25),
        Value::Text("größer".into()),
        Value::Ip("10.0.0.1".parse().unwrap()),
        Value::Ip("fd00::1".parse().unwrap()),
        Value::Net("10.0.0.0/8".parse().unwrap()),
        Value::Net("fd00::/16".parse().unwrap()),
        Value::List(list),
        Value::Map(map.into()),
    ]
}

/// The facts of a node: this one.
fn facts(value: Value, source: Source) -> Facts {
    let mut facts = Facts::new();
    facts.insert(FactName::parse("rack").unwrap(), value, source);
    facts
}

impl Samples {
    /// Adds a message.
    pub(crate) fn one<M>(&mut self, name: &str, message: M)
    where
        M: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        self.add(name, codec::encode(&message), move |bytes| {
            let read = codec::decode::<M>(bytes).unwrap();
            assert_eq!(read, message);
            assert_eq!(codec::encode(&read), bytes);
        });
    }

    /// Adds a record with a body of this form.
    fn body<F>(&mut self, name: &str, record: Record, form: F)
    where
        F: Form + PartialEq + Debug + 'static,
    {
        let bytes = codec::encode(&record);
        self.add(name, bytes, move |bytes| {
            let read = codec::decode::<Record>(bytes).unwrap();
            assert_eq!(read, record);
            let body = match &read {
                Record::Shared(shared) => shared.body.as_ref().unwrap(),
                Record::Owned(owned) => &owned.body,
            };
            let read = F::from_body(body).unwrap();
            assert_eq!(read, form);
            assert_eq!(read.to_body(), *body);
        });
    }

    fn shared<F>(&mut self, name: &str, kind: Kind, key: &str, form: F)
    where
        F: Form + PartialEq + Debug + 'static,
    {
        self.body(name, shared(kind, key, Some(form.to_body())), form);
    }

    fn owned<F>(&mut self, name: &str, kind: Kind, form: F)
    where
        F: Form + PartialEq + Debug + 'static,
    {
        self.body(name, owned(kind, form.to_body()), form);
    }
}

/// Of all datagrams.
pub(crate) fn datagrams() -> Samples {
    let mut samples = Samples::default();
    let all = [
        Datagram::Swim(vec![0, 1, 250, 251, 255]),
        Datagram::Doubt(identity(), 7),
        Datagram::Objection(peer(Standing::Alive)),
        Datagram::Check(roots()),
        Datagram::CheckReply(roots()),
        Datagram::Holds { nonce: 77, version: versions()[0].clone() },
        Datagram::Held { nonce: 77, holds: true },
        Datagram::Vouch(other_identity(), 300),
        Datagram::Vouched(identity(), Finding::Here),
        Datagram::Watch,
        Datagram::Watched,
        Datagram::AskKeys,
        Datagram::HeldKeys(key_ids()),
    ];
    samples.all("Datagram", all, Samples::one);
    let standings = [Standing::Alive, Standing::Suspect, Standing::Down];
    samples.all("Datagram.Objection", standings, |samples, name, standing| {
        samples.one(name, Datagram::Objection(peer(standing)));
    });
    let findings = [Finding::Here, Finding::Refused, Finding::Unanswered, Finding::Silent];
    samples.all("Datagram.Vouched", findings, |samples, name, finding| {
        samples.one(name, Datagram::Vouched(identity(), finding));
    });
    samples.all("Datagram.Holds", versions(), |samples, name, version| {
        samples.one(name, Datagram::Holds { nonce: 1, version });
    });
    samples
}

/// Of all messages on streams.
pub(crate) fn frames() -> Samples {
    let mut samples = Samples::default();
    let hello = Hello {
        name: NodeName::parse("web-1").unwrap(),
        identity: identity(),
        epoch: 1_764_000_000_000,
        session: SessionId([5; 16]),
        wall_ms: 1_764_000_000_456,
    };
    let entries = Entries {
        owner_buckets: vec![0, 255],
        owned: vec![(NodeId(9), 1_764_000_000_000, Kind::FACTS, 3, u64::MAX)],
        shared_buckets: vec![1],
        shared: vec![(key(), stamp(), 42)],
        member_buckets: vec![2, 3],
        peers: vec![peer(Standing::Suspect)],
        last: true,
    };
    let records = vec![
        shared(Kind::TRIBE, "core", Some(TribeBody { description: "all".into() }.to_body())),
        owned(Kind::KEYS, KeysBody { keys: key_ids() }.to_body()),
    ];
    let set = vec![(FactName::parse("rack").unwrap(), Value::Int(7))];
    let unset = vec![FactName::parse("room").unwrap()];
    let all = [
        Frame::Hello(hello),
        Frame::Refuse(Refuse::Busy),
        Frame::Roots(roots()),
        Frame::Buckets { members: Some(buckets()), owners: None, shared: Some(buckets()) },
        Frame::Entries(entries),
        Frame::Records(records.clone()),
        Frame::Want { shared: vec![key()], owned: vec![(NodeId(9), 7, Kind::OFFERS)] },
        Frame::Peers(vec![peer(Standing::Down), peer(Standing::Alive)]),
        Frame::Pull(versions().into()),
        Frame::Ask(Ask::SetFacts { set: Vec::new(), unset: Vec::new() }),
        Frame::Answer(Ok(versions()[1].clone())),
        Frame::Answer(Err("no".into())),
        Frame::Done,
        Frame::Dial(ServiceName::parse("publisher/influxdb/25").unwrap()),
        Frame::Dialled { load: 12 },
        Frame::Ping(identity(), None),
        Frame::Ping(other_identity(), Some(7)),
        Frame::Pong(peer(Standing::Alive)),
        Frame::Sessions(vec![
            (address("10.1.2.3:6000"), SessionId([1; 16])),
            (address("[fd00::7]:6001"), SessionId([2; 16])),
        ]),
        Frame::WantKeys(key_ids()),
        Frame::Keys(told_keys()),
        Frame::Since(1_763_996_400_000),
        Frame::Until(1_763_996_400_001),
        Frame::Gap(Gap { from_ms: 1_763_996_400_002, to_ms: 1_764_000_000_003 }),
    ];
    samples.all("Frame", all, Samples::one);
    let refusals = [
        Refuse::NameTaken(NodeId(7)),
        Refuse::EpochBehind { epoch: 1_764_000_000_001, generation: 4 },
        Refuse::Busy,
        Refuse::NoService,
        Refuse::NotAllowed,
        Refuse::ServiceBusy,
    ];
    samples.all("Frame.Refuse", refusals, |samples, name, refuse| {
        samples.one(name, Frame::Refuse(refuse));
    });
    samples.all("Frame.Ask", [Ask::SetFacts { set, unset }], |samples, name, ask| {
        samples.one(name, Frame::Ask(ask));
    });
    samples.all("Frame.Records", records, |samples, name, record| {
        samples.one(name, Frame::Records(vec![record]));
    });
    samples
}

/// Of all kinds of records, and of all bodies.
pub(crate) fn records() -> Samples {
    let mut samples = Samples::default();
    let tribe = TribeName::parse("core").unwrap();
    let item = (ItemKind::parse("task").unwrap(), ItemName::parse("load").unwrap());
    let item = Key::item(Kind::ITEM, &tribe, &item).name;
    let description = "all of them".to_owned();
    let text = "memtotal >= 16g".to_owned();
    samples.shared("Record.1", Kind::TRIBE, "core", TribeBody { description: description.clone() });
    samples.shared("Record.10", Kind::DESCRIPTION, "core", TribeBody { description });
    samples.shared("Record.2", Kind::FLOOR, "core", FloorBody {});
    let placements = [Placement::Joined, Placement::Left, Placement::Automatic];
    samples.all("Record.3", placements, |samples, name, placement| {
        samples.shared(name, Kind::PLACEMENT, "core/web-1", PlacementBody { placement });
    });
    for off in [false, true] {
        let (tribe, text) = (tribe.clone(), text.clone());
        samples.shared("Record.4", Kind::POLICY, "big", PolicyBody { tribe, level: 1, text, off });
    }
    samples.shared("Record.5", Kind::POLICY_ENABLED, "big", EnabledBody { enabled: false });
    for stopped in [false, true] {
        let body = ItemBody { document: b"{\"a\":1}".to_vec().into(), stopped };
        let record = shared(Kind::ITEM, &item, Some(body.to_body()));
        samples.add("Record.6", codec::encode(&record), move |bytes| {
            let read = codec::decode::<Record>(bytes).unwrap();
            assert_eq!(read, record);
            let Record::Shared(Shared { body: Some(read), .. }) = read else { panic!("{read:?}") };
            assert_eq!(ItemBody::from_body(&read).as_ref(), Some(&body));
        });
    }
    samples.shared("Record.7", Kind::ITEM_RUNNING, &item, RunningBody { running: true });
    let forgotten = Key::forgotten(NodeId(9), 1_764_000_000_000).name;
    samples.one("Record.8", shared(Kind::FORGOTTEN, &forgotten, None));
    let phases = [KeyPhase::Installed, KeyPhase::InUse, KeyPhase::Removed];
    samples.all("Record.9", phases, |samples, name, phase| {
        samples.shared(name, Kind::KEY_PHASE, "01020304", KeyPhaseBody { phase });
    });
    add_owned(&mut samples);
    samples
}

/// Of what nodes say of themselves.
fn add_owned(samples: &mut Samples) {
    for (left, address) in [(false, address("10.1.2.3:6000")), (true, address("[fd00::7]:6001"))] {
        let node = NodeBody {
            name: NodeName::parse("web-1").unwrap(),
            address,
            version: "0.1.0".into(),
            level: 2,
            left,
            yielded: !left,
            memberships: u64::MAX,
            kinds: vec![Kind::NODE, Kind::FACTS],
        };
        samples.owned("Record.64", Kind::NODE, node);
    }
    samples.all("Record.65", values(), |samples, name, value| {
        samples.owned(name, Kind::FACTS, facts(value, Source::Host));
    });
    let spellings = [Spelling::Lower, Spelling::Title, Spelling::Upper];
    samples.all("Record.65.Bool", spellings, |samples, name, spelling| {
        let value = Value::Bool(Boolean { value: false, spelling });
        samples.owned(name, Kind::FACTS, facts(value, Source::Host));
    });
    let sources = [Source::Host, Source::Start, Source::Runtime, Source::File];
    samples.all("Record.65", sources, |samples, name, source| {
        samples.owned(name, Kind::FACTS, facts(Value::Int(1), source));
    });
    let services = ["status", "publisher/influxdb/25"];
    let services = services.map(|name| ServiceName::parse(name).unwrap()).into();
    let offers = Offers { services, blobs: [BlobId([3; 32])].into() };
    samples.owned("Record.66", Kind::OFFERS, offers);
    for worst in [None, Some("task `load`: no plugin".to_owned())] {
        let status = NodeStatus { wanted: 3, applied: 2, failed: 1, digest: u64::MAX, worst };
        samples.owned("Record.67", Kind::STATUS, status);
    }
    samples.owned("Record.68", Kind::KEYS, KeysBody { keys: key_ids() });
}

/// The bodies of all.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let records = records().bytes().into_iter().map(|bytes| codec::decode(&bytes).unwrap());
    let bodies = records.filter_map(|record| match record {
        Record::Shared(shared) => shared.body,
        Record::Owned(owned) => Some(owned.body),
    });
    bodies.map(|body| body.bytes.into()).collect()
}

/// Reads bytes as the body of each kind.
pub(crate) fn read_bodies(bytes: &[u8]) {
    fn read<F: Form>(bytes: &[u8]) {
        let body = Body { version: 1, bytes: bytes.to_vec().into() };
        let read = super::fuzz::read_within(bytes, |_| F::from_body(&body));
        if let Some(form) = read {
            assert!(form.to_body().bytes.len() <= bytes.len());
        }
    }
    let all = [
        read::<TribeBody>,
        read::<FloorBody>,
        read::<PlacementBody>,
        read::<PolicyBody>,
        read::<EnabledBody>,
        read::<RunningBody>,
        read::<KeyPhaseBody>,
        read::<KeysBody>,
        read::<NodeBody>,
        read::<Offers>,
        read::<NodeStatus>,
        read::<Facts>,
    ];
    all.iter().for_each(|read| read(bytes));
}

/// The numbers of all kinds that the code names.
fn kinds() -> BTreeSet<u8> {
    let code = include_str!("../state/record.rs");
    let named = code.lines().filter_map(|line| line.split_once(": Self = Self("));
    named.map(|(_, number)| number.split_once(')').unwrap().0.parse().unwrap()).collect()
}

#[test]
fn datagrams_are_read_and_written_as_they_always_were() {
    datagrams().check("datagrams");
}

#[test]
fn frames_are_read_and_written_as_they_always_were() {
    frames().check("frames");
}

#[test]
fn records_of_all_kinds_are_read_and_written_as_they_always_were() {
    let read = |bytes: Vec<u8>| match codec::decode(&bytes).unwrap() {
        Record::Shared(shared) => shared.key.kind.0,
        Record::Owned(owned) => owned.kind.0,
    };
    let sampled: BTreeSet<u8> = records().bytes().into_iter().map(read).collect();
    let kinds = kinds();
    assert!(kinds.len() >= 14, "{kinds:?}");
    assert_eq!(sampled, kinds);
    records().check("records");
}
