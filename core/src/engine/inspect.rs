//! What tests of hostile bytes look at in an engine, and do to it.

use std::net::SocketAddr;

use super::{Engine, Now};
use crate::{codec, swim, wire::frame::Datagram};

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
