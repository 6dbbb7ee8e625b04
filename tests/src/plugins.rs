//! Plugins to load: real ones in Go and Python, and broken ones.
//!
//! They are built and installed by the first test that wants them, behind locks, for tests of other
//! processes want them as well.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    binaries::{binary, workspace},
    process::Ran,
};

/// Where an ELF file says which machine it is for.
const ELF_MACHINE: usize = 18;
const AARCH64: u16 = 183;
const X86_64: u16 = 62;

/// A plugin in Go: one of ours by its name, `psutil`, or an example of snap's library by its file.
///
/// # Panics
/// If it cannot be built, or there is none of that name.
#[must_use]
pub fn go(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| build(&[]));
    existing(dir.join(name))
}

/// One of our plugins in Go in another version than 1.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn go_version(name: &str, version: u32) -> PathBuf {
    let version = version.to_string();
    existing(build(&[name, &version]).join(format!("v{version}")).join(name))
}

/// Runs the script that builds them. The directory they are in.
fn build(args: &[&str]) -> PathBuf {
    let dir = target().join("plugins");
    let mut script = Command::new(workspace().join("tests/plugins/build"));
    Ran::new(script.env("TRIBE_PLUGINS", &dir).args(args)).done();
    dir
}

/// A plugin in Python, as PyPI has it: `snap-plugin-collector-jolokia` or `-diamond`.
///
/// # Panics
/// If it cannot be installed, or there is none of that name.
#[must_use]
pub fn pypi(name: &str) -> PathBuf {
    existing(environment().join("bin").join(name))
}

/// A plugin in Python of which this is the source in the project, as a file of its name in this directory.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn python(source: &str, dir: &Path) -> PathBuf {
    let source = workspace().join(source);
    let text = fs::read_to_string(&source).unwrap();
    let interpreter = existing(environment().join("bin/python"));
    let path = dir.join(source.file_stem().unwrap());
    script(&path, &format!("#!{}\n{text}", interpreter.display()))
}

/// A plugin that is a good one, but on the node whose data is in a directory of this name, where it is
/// a broken one.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn broken_on(node: &str, broken: &Path, good: &Path, path: &Path) -> PathBuf {
    let (broken, good) = (broken.display(), good.display());
    // It runs from the data of its node.
    let text =
        format!("#!/bin/sh\ncase $0 in */{node}/*) exec {broken} ;; esac\nexec {good} \"$@\"\n");
    script(path, &text)
}

/// Writes a program.
fn script(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// Where snap's library for Python is, and the plugins of PyPI.
fn environment() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // The tests of snapd have theirs there, too.
        let dir = target().join("tmp/snap-plugin-lib-py");
        let script = workspace().join("agent/tests/plugins/setup");
        Ran::new(Command::new(script).arg(&dir)).done();
        dir
    })
}

/// A plugin that does not work: `crash`, `hang`, `garbage` or `preamble`.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn broken(name: &str) -> PathBuf {
    existing(workspace().join("tests/plugins/broken").join(name))
}

/// A plugin for another machine than this, made in this directory.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn for_another_machine(dir: &Path) -> PathBuf {
    let mut program = fs::read(go("psutil")).unwrap();
    let machine = if cfg!(target_arch = "aarch64") { X86_64 } else { AARCH64 };
    program[ELF_MACHINE..ELF_MACHINE + 2].copy_from_slice(&machine.to_le_bytes());
    let path = dir.join("foreign");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A `smartctl` for the collector `smart`, which knows the disks sda and nvme0.
#[must_use]
pub fn smartctl() -> PathBuf {
    existing(workspace().join("tests/plugins/smart/testdata/smartctl"))
}

/// The directory that cargo builds into.
fn target() -> PathBuf {
    binary("").ancestors().nth(1).unwrap().to_owned()
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing", path.display());
    path
}
