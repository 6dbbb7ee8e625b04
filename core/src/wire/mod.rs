//! Bytes between nodes: the codec of messages, sealed datagrams, sealed streams.
//!
//! It must not know what a message means, nor what time it is: callers bring time and seeds, and
//! carry the bytes. Invariant: nothing of a peer's is parsed before it was authenticated, but for
//! fixed headers.

mod checksum;
mod datagram;
#[cfg(test)]
#[cfg(feature = "sim")]
mod fixture;
pub(crate) mod frame;
#[cfg(test)]
#[cfg(feature = "sim")]
pub(crate) mod fuzz;
#[cfg(test)]
#[cfg(feature = "sim")]
pub(crate) mod golden;
#[cfg_attr(
    not(feature = "runtime"),
    expect(dead_code, reason = "the loop around the engine carries streams")
)]
pub(crate) mod noise;
pub(crate) mod peer;
mod recent;
#[cfg(test)]
#[cfg(feature = "sim")]
pub(crate) mod samples;
pub(crate) mod seal;
mod window;
