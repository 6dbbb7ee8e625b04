//! The hash of all that happened.

use std::{hash::Hasher, time::Duration};

use siphasher::sip::SipHasher13;

/// What happened so far, in order.
#[derive(Debug, Default)]
pub(super) struct Trace(SipHasher13);

impl Trace {
    pub(super) fn note(&mut self, at: Duration, what: u8, whom: u64, bytes: &[u8]) {
        self.0.write_u64(at.as_nanos() as u64);
        self.0.write_u8(what);
        self.0.write_u64(whom);
        self.0.write(bytes);
    }

    pub(super) fn hash(&self) -> u64 {
        self.0.finish()
    }
}
