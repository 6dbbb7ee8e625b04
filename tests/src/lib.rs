//! Whole-system tests of tribe: real `snapd` processes that meet on loopback addresses, people who type
//! `snapctl`, and members written in C and Python.
//!
//! What is here runs and watches processes; it knows no more of tribe than a user does: the programs, the
//! control API and the files. Nothing is at a fixed place: every process of tests has loopback addresses,
//! ports, sockets and directories of its own, so tests run at the same time. Whatever was started is killed
//! when its handle is dropped, and tells its log if the test failed.
//!
//! The programs under test are built beforehand:
//!
//! ```text
//! cargo build -p snapd -p snapctl -p tribe-ffi && cargo build -p snap-tribe --example echo
//! cargo test -p tribe-tests
//! ```
//!
//! `TRIBE_TEST_FULL=1` makes the long tests long; see [`full_size`].

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says why"
)]

mod address;
mod binaries;
mod capture;
mod cluster;
mod echo;
mod http;
mod influx;
mod listener;
mod network;
mod node;
pub mod plugins;
mod process;
mod program;
mod random;
mod relay;
mod snapctl;
mod tasks;
mod wait;

pub use address::free_address;
pub use binaries::{binary, workspace};
pub use capture::{Capture, Heard};
pub use cluster::{Cluster, Tribes};
pub use echo::{Echoes, Language};
pub use http::Asked;
pub use influx::Influx;
pub use listener::Listener;
pub use network::{Network, Place};
pub use node::Node;
pub use process::{Process, Ran};
pub use program::{CProgram, Program, python};
pub use random::Random;
pub use relay::{Carried, Relay};
pub use tasks::runs;
pub use wait::{LONG, report, say, wait_equal, wait_until, wait_until_within};

/// Is the whole of a long test wanted, or what an ordinary run has time for?
#[must_use]
pub fn full_size() -> bool {
    std::env::var_os("TRIBE_TEST_FULL").is_some_and(|value| value == "1")
}
