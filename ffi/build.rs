//! Gives the shared library its soname, which plain cargo does not.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    // cargo-c sets its own.
    if linux && env::var_os("CARGO_FEATURE_CAPI").is_none() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtribe.so.{}", compatible());
    }
}

/// What a program linked against this version needs: the minor version counts until 1.0.
fn compatible() -> String {
    let part = |name: &str| env::var(name).unwrap_or_default();
    let major = part("CARGO_PKG_VERSION_MAJOR");
    match major.as_str() {
        "0" => format!("0.{}", part("CARGO_PKG_VERSION_MINOR")),
        _ => major,
    }
}
