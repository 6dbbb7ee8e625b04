//! What the compiler does not check: who may use whom, and what may not be left lying about.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use tribe_tests::workspace;

/// The modules of the library. Each uses those before it only.
const LAYERS: &[&str] = &[
    "limits",
    "name",
    "codec",
    "fact",
    "offer",
    "plugin",
    "keyring",
    "policy",
    "state",
    "membership",
    "metric",
    "wire",
    "swim",
    "engine",
    "sim",
    "runtime",
];

/// The crates, and those of this workspace that they may use.
const CRATES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("api", &[]),
    ("ffi", &["tribe"]),
    ("python", &["tribe"]),
    ("agent", &["tribe", "tribe-api"]),
    ("cli", &["tribe", "tribe-api"]),
    ("tests", &["tribe-api"]),
];

/// Modules of the library that its users leave alone, public or not.
const INNER: &[&str] = &["engine", "sim"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()))
}

/// The files below a directory with one of these endings.
fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "__pycache__" {
                    dirs.push(path);
                }
            } else if path
                .extension()
                .and_then(OsStr::to_str)
                .is_some_and(|ending| endings.contains(&ending))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Rust without its comments.
fn code(path: &Path) -> String {
    let text = read(path);
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().display().to_string()
}

/// The word at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first segments of all paths that begin with this, as `crate::`; in braces as well.
fn first_segments(code: &str, start: &str) -> BTreeSet<String> {
    let mut segments = BTreeSet::new();
    for (at, _) in code.match_indices(start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
            continue;
        }
        let rest = code[at + start.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(list) => segments.extend(list_heads(list)),
            None => segments.extend([word(rest).to_owned()]),
        }
    }
    segments.remove("");
    segments
}

/// The first word of each part of a list in braces, without the parts of its parts.
fn list_heads(list: &str) -> Vec<String> {
    let (mut heads, mut depth, mut fresh) = (Vec::new(), 0_usize, true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            letter if fresh && !letter.is_whitespace() => {
                heads.push(word(&list[at..]).to_owned());
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

/// The modules of the library, and where each name of its public face comes from.
fn face() -> (Vec<String>, BTreeMap<String, String>) {
    let lib = code(&workspace().join("core/src/lib.rs"));
    let mut modules = Vec::new();
    for line in lib.lines() {
        let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        if let Some(module) = line.strip_prefix("mod ") {
            modules.push(word(module).to_owned());
        }
    }
    let mut names = BTreeMap::new();
    for statement in lib.split("pub use ").skip(1) {
        let (module, rest) = statement.split_once("::").unwrap();
        let rest = rest.split_once(';').unwrap().0;
        let list = rest.strip_prefix('{').map_or_else(|| vec![word(rest).to_owned()], list_heads);
        names.extend(list.into_iter().map(|name| (name, module.to_owned())));
    }
    (modules, names)
}

#[test]
fn every_module_of_the_library_uses_only_those_before_it() {
    let (modules, names) = face();
    let place = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    for module in &modules {
        assert!(place(module).is_some(), "`{module}` has no place among the layers");
    }
    let source = workspace().join("core/src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files(&source, &["rs", "lalrpop"]) {
        let inner = path.strip_prefix(&source).unwrap().with_extension("");
        let module = inner.iter().next().unwrap().to_str().unwrap();
        let Some(own) = place(module) else { continue };
        for used in first_segments(&code(&path), "crate::") {
            let used = names.get(&used).unwrap_or(&used);
            let Some(of) = place(used) else {
                wrong.push(format!("{}: `crate::{used}` is no module", shown(&path)));
                continue;
            };
            seen += 1;
            if of > own {
                wrong.push(format!("{}: `{module}` uses `{used}`", shown(&path)));
            }
        }
    }
    assert!(seen > 50, "only {seen} uses were found");
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_crate_uses_only_what_its_place_allows() {
    let known: BTreeSet<&str> =
        CRATES.iter().flat_map(|(name, _)| [*name]).chain(["tribe", "tribe-api"]).collect();
    let root = read(&workspace().join("Cargo.toml"));
    let members = root.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        assert!(CRATES.iter().any(|(name, _)| *name == member), "`{member}` has no place");
    }
    for (name, allowed) in CRATES {
        let manifest = read(&workspace().join(name).join("Cargo.toml"));
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split([' ', '.', '=']).next().unwrap_or_default();
            let is_ours = known.contains(dependency) || dependency.starts_with("tribe");
            if section == "[dependencies]" && is_ours {
                assert!(allowed.contains(&dependency), "{name} uses {dependency}");
            }
        }
    }
}

#[test]
fn users_of_the_library_know_its_public_face_only() {
    let mut wrong = Vec::new();
    for name in ["agent", "ffi", "python"] {
        for path in files(&workspace().join(name), &["rs"]) {
            let used = first_segments(&code(&path), "tribe::");
            for inner in INNER.iter().filter(|inner| used.contains(**inner)) {
                wrong.push(format!("{}: `tribe::{inner}`", shown(&path)));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_belongs_to_one_place_is_only_there() {
    let mut wrong = Vec::new();
    for (name, _) in CRATES {
        for path in files(&workspace().join(name).join("src"), &["rs"]) {
            let (code, shown) = (code(&path), shown(&path));
            if !first_segments(&code, "foca::").is_empty() && shown != "core/src/swim.rs" {
                wrong.push(format!("{shown}: foca"));
            }
            let is_unsafe = code.contains("unsafe {") || code.contains("unsafe fn");
            if is_unsafe && *name != "ffi" && shown != "agent/src/resident.rs" {
                wrong.push(format!("{shown}: unsafe"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn nothing_is_left_unfinished() {
    // Written in two parts, for this file is read as well.
    let macros = ["todo", "dbg", "unimplemented"].map(|name| format!("{name}!"));
    let notes = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")].map(|(a, b)| format!("{a}{b}"));
    let mut wrong = Vec::new();
    for path in files(workspace(), &["rs", "lalrpop", "py", "pyi", "c", "h", "sh", "toml"]) {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}: {}", shown(&path), number + 1, line.trim());
            let code = line.split_once("//").map_or(line, |(code, _)| code);
            if macros.iter().any(|name| code.contains(&format!("{name}("))) {
                wrong.push(place());
            }
            // An issue has a number.
            if notes.iter().any(|note| line.contains(note.as_str())) && !line.contains('#') {
                wrong.push(place());
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (name, _) in CRATES {
        let manifest = read(&workspace().join(name).join("Cargo.toml"));
        assert!(manifest.contains("\n[lints]\nworkspace = true"), "{name}");
    }
    for (name, _) in CRATES {
        for path in files(&workspace().join(name), &["rs"]) {
            let code = code(&path);
            for lint in ["[allow(", "[expect("] {
                // An attribute, and not a text about one.
                let found = code.match_indices(lint);
                let found = found.filter(|(at, _)| code[..*at].ends_with(['#', '!']));
                for (at, _) in found {
                    let end = code[at..].find(")]").unwrap_or(code.len() - at);
                    let has_reason = code[at..at + end].contains("reason");
                    assert!(has_reason, "{}: {}", shown(&path), &code[at..at + end]);
                }
            }
        }
    }
}

#[test]
fn the_segments_of_paths_are_found() {
    let found = first_segments(
        "use crate::{NodeId, codec, wire::{frame::Datagram, seal::Sent}, swim::Swim};\n\
         fn f(a: crate::state::Key) {} use other_crate::x; $crate::y",
        "crate::",
    );
    let expected = ["NodeId", "codec", "state", "swim", "wire", "y"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let (modules, names) = face();
    assert!(modules.len() > 10, "{modules:?}");
    assert_eq!(names["Facts"], "fact");
    assert_eq!(names["Keyring"], "keyring");
}
