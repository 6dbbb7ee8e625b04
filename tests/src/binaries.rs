//! Where the things under test are.

use std::path::{Path, PathBuf};

/// The directory of the workspace.
///
/// # Panics
/// Never: this package is in it.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A program or library that cargo built into the directory this test was built into.
///
/// # Panics
/// If it is not there, with the command that builds it.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p snapd -p snapctl -p tribe-ffi && cargo build -p snap-tribe \
         --example echo`",
        path.display()
    );
    path
}
