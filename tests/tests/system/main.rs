//! Whole clusters of real processes. Each test's name is what it shows; `timing:` lines tell how long it took.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, and says why"
)]

mod abuse;
mod backup;
mod broken;
mod cut_off;
mod facts;
mod facts_of_others;
mod fleet;
mod full_disk;
mod idle;
mod keys;
mod languages;
mod load;
mod mistakes;
mod newcomer;
mod outage;
mod partition;
mod parts;
mod remote;
mod restart;
mod services;
mod storyboard;
mod transcript;

use std::time::Duration;

use tribe_tests::report;

/// Tells how long the cluster took to agree. The goal is 3 s on a quiet machine; this fails only far beyond
/// it, for others share the machine.
fn check_time(what: &str, took: Duration) {
    report(what, took);
    assert!(took < Duration::from_secs(10), "{what} took {took:?}");
}

/// A text as a policy has it.
fn policy_word(value: &serde_json::Value) -> String {
    let text = value.as_str().unwrap();
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric());
    if plain { text.to_owned() } else { format!("'{text}'") }
}
