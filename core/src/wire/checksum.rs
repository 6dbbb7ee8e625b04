//! What stands in for an authentication tag in plaintext.
//!
//! It protects from nobody, but it fails where a real tag would fail: for another session, another
//! cluster, or damaged bytes. So tests and simulations in plaintext behave as sealed ones do.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Length of the checksum: that of a real tag.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// The checksum of these bytes, in this order. Where one part ends and the next begins does not
/// count.
pub(super) fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = SipHasher13::new();
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish128().as_bytes()
}
