//! What the failure detector says, beside the bytes it had from the beginning.

use super::{
    Announcement, Codec, FocaCodec as _, Header, Identity, Member, MemberState, Message, WireTarget,
};
use crate::{
    NodeId,
    state::{Body, Key, Kind, Record, Shared, Stamp},
    wire::{
        fuzz::read_within,
        samples::{Samples, Variants, identity, other_identity, variants, versions},
    },
};

variants! {
    Message<Identity> {
        Ping Ack PingReq IndirectPing IndirectAck ForwardedAck Announce Feed Gossip Broadcast TurnUndead
    }
    WireTarget { Hash Whole }
    MemberState { Alive Suspect Down }
}

fn header(message: Message<Identity>) -> Header<Identity> {
    Header { src: identity(), src_incarnation: 300, dst: other_identity(), message }
}

/// Of all packets of the failure detector, as far as they are ours to encode, and of broadcasts.
pub(crate) fn samples() -> Samples {
    let mut samples = Samples::default();
    let (target, origin, probe_number) = (identity(), identity(), 251);
    let messages = [
        Message::Ping(7),
        Message::Ack(7),
        Message::PingReq { target, probe_number },
        Message::IndirectPing { origin, probe_number },
        Message::IndirectAck { target, probe_number },
        Message::ForwardedAck { origin, probe_number },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ];
    samples.all("Swim", messages, |samples, name, message| {
        let (header, mut bytes) = (header(message), Vec::new());
        Codec { own: identity() }.encode_header(&header, &mut bytes).unwrap();
        samples.add(name, bytes, move |bytes| {
            let read = Codec { own: other_identity() }.decode_header(bytes).unwrap();
            assert_eq!(read, header);
        });
    });
    let own = other_identity();
    let targets = [WireTarget::Hash(WireTarget::hash(&own)), WireTarget::Whole(own)];
    samples.all("Swim.Target", targets, |samples, name, target| {
        samples.add(name, crate::codec::encode(&target), |bytes| {
            let read: WireTarget = crate::codec::decode(bytes).unwrap();
            match read {
                WireTarget::Hash(hash) => assert_eq!(hash, WireTarget::hash(&other_identity())),
                WireTarget::Whole(whole) => assert_eq!(whole, other_identity()),
            }
        });
    });
    let states = [MemberState::Alive, MemberState::Suspect, MemberState::Down];
    samples.all("Swim.Member", states, |samples, name, state| {
        let (member, mut bytes) = (Member::new(other_identity(), 258, state), Vec::new());
        Codec { own: identity() }.encode_member(&member, &mut bytes).unwrap();
        samples.add(name, bytes, move |bytes| {
            let read = Codec { own: identity() }.decode_member(bytes).unwrap();
            assert_eq!(read, member);
        });
    });
    add_announcements(&mut samples);
    samples
}

fn add_announcements(samples: &mut Samples) {
    for version in versions() {
        samples.one("Announcement.hint", Announcement { version, record: None });
    }
    let stamp = Stamp { time: 7 << 16, node: NodeId(9) };
    let body = Some(Body { version: 1, bytes: vec![0, 1, 255].into() });
    let record =
        Record::Shared(Shared { key: Key::new(Kind::TRIBE, "core"), stamp, base: None, body });
    let announcement = Announcement { version: record.version(), record: Some(record) };
    samples.one("Announcement.record", announcement);
}

/// Reads bytes as each part of a packet, and as a broadcast.
pub(crate) fn read(bytes: &[u8]) {
    let codec = || Codec { own: identity() };
    let _ = read_within(bytes, |bytes| codec().decode_header(bytes));
    let _ = read_within(bytes, |bytes| codec().decode_member(bytes));
    let _ = read_within(bytes, crate::codec::decode::<Announcement>);
    let _ = read_within(bytes, Announcement::version_of);
}

#[test]
fn packets_are_read_and_written_as_they_always_were() {
    samples().check("swim");
}
