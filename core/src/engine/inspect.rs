//! What tests of hostile bytes look at in an engine, and do to it.

use std::net::SocketAddr;

use super::{Engine, Now, Verdict, Written, persist::Pending};
use crate::{
    codec,
    state::{Body, Key, Kind, Record},
    swim,
    wire::frame::Datagram,
};

impl Engine {
    /// All that bytes from outside could change: members, records, what follows from them, what waits.
    pub(crate) fn everything(&self, now: Now) -> String {
        let mut members: Vec<_> = self.swim.members().collect();
        members.sort_by_key(|peer| peer.identity);
        format!(
            "{:?} {:?} {:?} {members:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.waits,
            self.roots(),
            self.rev,
            self.backlog(),
            self.reachable,
            self.announced,
            self.gone,
            self.seeds,
            self.clocks,
            self.acting,
            self.view(now),
        )
    }

    /// What a datagram to this engine says, without taking it.
    pub(crate) fn unsealed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.sealer.unsealed(bytes)
    }

    /// The shared record of this kind and name.
    pub(crate) fn shared(&self, kind: Kind, name: &str) -> Option<Record> {
        self.state.shared(&Key::new(kind, name))
    }

    /// Takes one record alone, before others that were written with it.
    pub(crate) fn take_alone(&mut self, record: Record, now: Now) {
        assert_eq!(self.take(record, now), Verdict::Fresh);
        self.persist_soon(now);
    }

    /// From now on one sync carries so few bytes.
    pub(crate) fn set_sync_bytes(&mut self, bytes: usize) {
        self.streams.sync_bytes = Some(bytes);
    }

    /// The session that datagrams to it are sealed to.
    pub(crate) fn session(&self) -> [u8; 16] {
        self.sealer.session().0
    }

    /// Takes what a peer who holds the key would have sealed.
    pub(crate) fn take_plain(&mut self, from: SocketAddr, plain: Vec<u8>, now: Now) {
        self.take_opened(from, vec![plain], now);
    }
}

impl Engine {
    /// Writes what only a later build understands: records of kinds this one does not know, shared
    /// and owned, and a policy in a form that it does not know.
    pub(crate) fn write_as_a_later_build(&mut self, now: Now) -> Option<Vec<Written>> {
        let body = || Body { version: 200, bytes: b"of a later build".to_vec().into() };
        let shared = [Key::new(Kind(40), "later"), Key::new(Kind::POLICY, "later")];
        let mut versions = Vec::new();
        for key in shared {
            versions.push(self.write(key, Some(body()), now).ok()?);
        }
        versions.push(self.write_own(Kind(99), body(), now)?);
        self.persist(Pending { versions: versions.clone(), ..Pending::default() });
        Some(versions.into_iter().map(|version| Written { versions: vec![version] }).collect())
    }
}

/// The kind of an unsealed datagram.
pub(crate) fn kind(plain: &[u8]) -> String {
    match codec::decode(plain) {
        Ok(Datagram::Swim(packet)) => format!("Swim{}", swim::kind(&packet)),
        Ok(datagram) => variant(&datagram),
        Err(error) => format!("{error:?}"),
    }
}

/// The name of a variant.
pub(crate) fn variant(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}
