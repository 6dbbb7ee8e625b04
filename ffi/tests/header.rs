//! `include/tribe.h` is what `src` says, and C and C++ compile it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use cbindgen::{Builder, Config};
use common::{C11, C99, CPP17, Dialect, crate_path};

const UPDATE: &str = "TRIBE_UPDATE_HEADER";

/// In the order a reader meets them.
const SOURCES: &[&str] = &[
    "version", "status", "error", "string", "config", "node", "written", "member", "tribes",
    "policy", "fact", "event", "service", "offers", "key",
];

fn generate() -> String {
    let mut config = Config::from_file(crate_path("cbindgen.toml")).unwrap();
    let versions = format!(
        "\n#define TRIBE_VERSION_MAJOR {}\n#define TRIBE_VERSION_MINOR {}\n\
         #define TRIBE_VERSION_PATCH {}\n",
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    config.after_includes = config.after_includes.map(|text| versions + &text);
    let builder = SOURCES.iter().fold(Builder::new().with_config(config), |builder, source| {
        builder.with_src(crate_path(&format!("src/{source}.rs")))
    });
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_what_the_source_says() {
    let path = crate_path("include/tribe.h");
    let made = generate();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "ffi/include/tribe.h is not what ffi/src says; run\n    \
         {UPDATE}=1 cargo test -p tribe-ffi --test header\nand commit it"
    );
}

#[test]
fn every_source_with_functions_is_in_the_header() {
    for entry in fs::read_dir(crate_path("src")).unwrap() {
        let path = entry.unwrap().path();
        let exports = fs::read_to_string(&path).unwrap().contains("unsafe(no_mangle)");
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(exports, SOURCES.contains(&name), "{name}");
    }
}

fn compiles(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tribe.h"), generate()).unwrap();
    let source = directory.path().join(format!("twice.{}", dialect.extension));
    fs::write(&source, "#include \"tribe.h\"\n#include \"tribe.h\"\n").unwrap();
    dialect.compiler().arg("-fsyntax-only").arg(source).succeeds();
}

#[test]
fn the_header_compiles_as_c99() {
    compiles(C99);
}

#[test]
fn the_header_compiles_as_c11() {
    compiles(C11);
}

#[test]
fn the_header_compiles_as_cpp17() {
    compiles(CPP17);
}
