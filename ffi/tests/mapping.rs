//! Every error and every event of the library has a code of its own.
//!
//! The library's enums may grow, so the compiler asks for a last arm that takes the rest. This asks in
//! its place that no variant gets there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use common::crate_path;

/// Variants of a public enum, by name.
fn variants(file: &str, name: &str) -> Vec<String> {
    let source = fs::read_to_string(crate_path(&format!("../core/src/{file}"))).unwrap();
    let body = source.split_once(&format!("pub enum {name} {{\n")).unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.split([' ', '(', '{', ',']).next().unwrap().to_owned())
        .collect()
}

fn check(file: &str, name: &str, mapped_in: &str, as_name: &str) {
    let mapping = fs::read_to_string(crate_path(mapped_in)).unwrap();
    let variants = variants(file, name);
    assert!(!variants.is_empty(), "{name}");
    for variant in variants {
        let arm = format!("{as_name}::{variant}");
        let named = mapping.match_indices(&arm).any(|(at, _)| {
            !mapping[at + arm.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
        });
        assert!(named, "{arm} has no arm of its own in {mapped_in}");
    }
}

#[test]
fn every_error_chooses_its_code() {
    check("engine/command.rs", "CommandError", "src/error.rs", "CommandError");
    check("engine/services.rs", "DialError", "src/error.rs", "DialError");
    check("runtime/mod.rs", "StartError", "src/error.rs", "StartError");
    check("fact.rs", "FactError", "src/error.rs", "FactError");
}

#[test]
fn every_event_chooses_its_number() {
    check("engine/event.rs", "EventKind", "src/event.rs", "Theirs");
}
