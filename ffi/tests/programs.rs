//! C and C++ programs against the library, with the sanitizers on; those that need no node.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{C11, C99, CPP17, Dialect, Link, Programs, Run, built, crate_path};

fn check(dialect: Dialect, link: Link, program: &str) {
    let programs = Programs::new();
    let source = crate_path(&format!("tests/c/{program}.c"));
    let program = programs.compile(dialect, link, &source);
    let symbols = Run::new("nm").arg(&program).succeeds();
    assert!(symbols.contains("__asan_init"), "the sanitizer is off");
    programs.run(&program).succeeds();
}

#[test]
fn null_is_refused_everywhere() {
    check(C11, Link::Shared, "api_null");
}

#[test]
fn null_is_refused_everywhere_when_linked_statically() {
    check(C11, Link::Static, "api_null");
}

#[test]
fn configurations_say_what_is_wrong() {
    check(C99, Link::Shared, "api_config");
}

#[test]
fn configurations_say_what_is_wrong_when_linked_statically() {
    check(C99, Link::Static, "api_config");
}

#[test]
fn a_cpp_program_can_use_it() {
    check(CPP17, Link::Shared, "build_cpp");
}

#[test]
fn the_examples_compile_with_every_objection() {
    let programs = Programs::new();
    for example in ["member", "echo"] {
        programs.compile(C11, Link::Shared, &crate_path(&format!("examples/{example}.c")));
    }
}

#[test]
fn the_shared_library_exports_what_the_header_declares_and_nothing_else() {
    let symbols = Run::new("nm")
        .args(["-D", "--defined-only", "--format=just-symbols"])
        .arg(built("libtribe_ffi.so"))
        .succeeds();
    let mut exported: Vec<&str> = symbols.lines().collect();
    exported.sort_unstable();
    let header = std::fs::read_to_string(crate_path("include/tribe.h")).unwrap();
    assert_eq!(exported, declared(&header));
}

#[test]
fn every_function_is_tried_with_null() {
    let header = std::fs::read_to_string(crate_path("include/tribe.h")).unwrap();
    let program = std::fs::read_to_string(crate_path("tests/c/api_null.c")).unwrap();
    // These take no pointer.
    let without = ["tribe_abi_version", "tribe_status_name", "tribe_version"];
    for function in declared(&header) {
        let tried = program.contains(&format!("{function}("));
        assert_eq!(tried, !without.contains(&function), "{function}");
    }
}

/// The functions of the header, by name.
fn declared(header: &str) -> Vec<&str> {
    let body = header.split("extern \"C\"").nth(1).unwrap().split("#ifdef __cplusplus").next();
    let words = body.unwrap().lines().filter(|line| !line.trim_start().starts_with(['*', '/']));
    let mut functions: Vec<&str> = words
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|word| word.starts_with("tribe_"))
        .collect();
    functions.sort_unstable();
    functions
}

#[test]
#[cfg(target_os = "linux")]
fn the_shared_library_has_a_soname() {
    let dynamic = Run::new("readelf").arg("-d").arg(built("libtribe_ffi.so")).succeeds();
    let soname = format!("soname: [libtribe.so.{}]", common::soname_version());
    assert!(dynamic.contains(&soname), "{dynamic}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_example_builds_and_runs_against_an_installed_library() {
    let directory = tempfile::tempdir().unwrap();
    let (root, work) = (directory.path().join("root"), directory.path().join("work"));
    let library = root.join("lib");
    let deps = built("");
    // What is installed is what cargo built for this test.
    Run::new("make")
        .arg("-C")
        .arg(crate_path(""))
        .args(["install", "CARGO=:"])
        .arg(format!("TARGET={}", deps.parent().unwrap().display()))
        .arg(format!("PROFILE={}", deps.file_name().unwrap().to_str().unwrap()))
        .arg(format!("PREFIX={}", root.display()))
        .arg(format!("WORK={}", work.display()))
        .succeeds();
    let foreign = Run::new("nm")
        .args(["-g", "--defined-only", "--format=just-symbols"])
        .arg(library.join("libtribe.a"))
        .succeeds();
    let mut foreign = foreign.lines().filter(|line| !line.is_empty() && !line.ends_with(".o:"));
    assert_eq!(foreign.find(|symbol| !symbol.starts_with("tribe_")), None);

    for mode in ["--shared", "--static"] {
        let program = directory.path().join(format!("member{mode}"));
        let flags = Run::new("pkg-config")
            .args(["--cflags", "--libs", mode, "tribe"])
            .env("PKG_CONFIG_PATH", library.join("pkgconfig"))
            .succeeds();
        if mode == "--static" {
            std::fs::remove_file(library.join("libtribe.so")).unwrap();
        }
        Run::new("cc")
            .arg(crate_path("examples/member.c"))
            .arg("-o")
            .arg(&program)
            .args(flags.split_whitespace())
            .succeeds();
        let run = Run::new(&program).env("LD_LIBRARY_PATH", &library).arg("--no-such-option");
        assert_eq!(run.command().output().unwrap().status.code(), Some(2), "{mode}");
    }
}
