//! Waiting for what comes by itself, and telling how long it took.

use std::{
    fmt::Debug,
    io::Write,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a slow machine.
pub const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Tries again and again until it holds. Returns how long that took.
///
/// # Panics
/// If it does not hold within [`LONG`].
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) -> Duration {
    wait_until_within(LONG, what, holds)
}

/// The same for what may take longer, or must not take that long.
///
/// # Panics
/// If it does not hold in time.
pub fn wait_until_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not so in time: {what}");
        std::thread::park_timeout(PAUSE);
    }
    start.elapsed()
}

/// Looks again and again until it finds what is expected. Returns how long that took.
///
/// # Panics
/// If it is not found within [`LONG`], with what was found last.
pub fn wait_equal<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    mut find: impl FnMut() -> T,
) -> Duration {
    let start = Instant::now();
    loop {
        let found = find();
        if found == *expected {
            return start.elapsed();
        }
        assert!(
            start.elapsed() < LONG,
            "not so in time: {what}\nexpected {expected:#?}\nfound {found:#?}"
        );
        std::thread::park_timeout(PAUSE);
    }
}

/// Tells how long something took, also if the test passes.
pub fn report(what: &str, took: Duration) {
    say(&format!("timing: {what}: {:.3} s", took.as_secs_f64()));
}

/// Says something past the capture of test output.
pub fn say(text: &str) {
    // There is nowhere left to say that it could not be said.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
