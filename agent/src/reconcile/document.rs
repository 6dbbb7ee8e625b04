//! The document of a `plugin` item: which file of it runs where.
//!
//! One plugin may have a file for each kind of host. A file says itself where it runs: a program by its
//! ELF header; a script runs anywhere.

use std::{fmt, fs::File, io, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use tribe::{BlobId, ItemName, NameError};

use crate::plugin::{HEAD_BYTES, ProgramError, inspect};

/// Where a file runs that is no program of one kind of host: a script.
const ANY: &str = "any";
/// What snap's plugins are called before their own name.
const PREFIXES: [&str; 4] = [
    "snap-plugin-streaming-collector-",
    "snap-plugin-collector-",
    "snap-plugin-processor-",
    "snap-plugin-publisher-",
];
/// Endings of file names that are no part of a plugin's name.
const ENDINGS: [&str; 3] = [".aci", ".py", ".sh"];

/// The files of a plugin, at most one for each kind of host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PluginDocument {
    /// The files.
    pub(crate) files: Vec<PluginFile>,
}

/// One file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PluginFile {
    /// Where it runs.
    #[serde(flatten)]
    pub(crate) platform: Platform,
    /// The file itself, by its content.
    #[serde(rename = "sha256")]
    pub(crate) blob: BlobId,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// What it is called where it runs.
    pub(crate) file_name: String,
    /// Its armored detached OpenPGP signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<String>,
}

/// A kind of host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// The operating system, as in `linux`.
    pub(crate) os: String,
    /// The processor, as in `x86_64`.
    pub(crate) arch: String,
}

/// Why a document gives no file for this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DocumentError {
    /// Another version of snapd wrote it, or another agent.
    #[error("the item is not understood here: {0}")]
    Unread(String),
    /// Nobody loaded a file for this kind of host.
    #[error("there is no file for {here}, only for {}; load one with `snapctl plugin load`", list(.there))]
    Platform {
        /// This host.
        here: Platform,
        /// What there is.
        there: Vec<Platform>,
    },
}

impl PluginDocument {
    /// Reads the document of an item.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice(bytes).map_err(|error| DocumentError::Unread(error.to_string()))
    }

    /// The document as it is kept in an item.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Maps with text keys, lists, texts and numbers: nothing that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// This document with a file, in place of the one for the same kind of host.
    pub(crate) fn with(mut self, file: PluginFile) -> Self {
        self.files.retain(|known| known.platform != file.platform);
        self.files.push(file);
        self
    }

    /// The file that runs on this host: one for its kind before one that runs anywhere.
    pub(crate) fn for_this_host(&self) -> Result<&PluginFile, DocumentError> {
        let here = Platform::here();
        let exact = self.files.iter().find(|file| file.platform == here);
        let found = exact.or_else(|| self.files.iter().find(|file| file.platform.arch == ANY));
        found.ok_or_else(|| DocumentError::Platform {
            there: self.files.iter().map(|file| file.platform.clone()).collect(),
            here,
        })
    }
}

impl Platform {
    /// This host.
    pub(crate) fn here() -> Self {
        Self { os: std::env::consts::OS.into(), arch: std::env::consts::ARCH.into() }
    }

    /// Where a file runs. A program for another processor than this host's has its place in a tribe.
    ///
    /// # Errors
    /// The file cannot be read, or is a program on no host.
    pub(crate) fn of_file(path: &Path) -> io::Result<Result<Self, ProgramError>> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(match inspect(&head) {
            Ok(()) | Err(ProgramError::Architecture(_)) => {
                Ok(Self { os: std::env::consts::OS.into(), arch: arch(&head).into() })
            }
            Err(error) => Err(error),
        })
    }
}

/// The processor a program is for, by the beginning of its file (ELF-64 Object File Format, `e_machine`).
fn arch(head: &[u8]) -> &'static str {
    let (Some(b"\x7fELF"), Some(&[low, high])) = (head.get(..4), head.get(18..20)) else {
        return ANY;
    };
    let is_big_endian = head.get(5) == Some(&2);
    let machine = if is_big_endian {
        u16::from_be_bytes([low, high])
    } else {
        u16::from_le_bytes([low, high])
    };
    match machine {
        3 => "x86",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        _ => "unknown",
    }
}

/// What a plugin from a file of this name is called: without what snap's plugins begin with, and without
/// an ending.
///
/// # Errors
/// [`NameError`]: what remains is no name.
pub(crate) fn item_name(file_name: &str) -> Result<ItemName, NameError> {
    let ending = ENDINGS.iter().find_map(|ending| file_name.strip_suffix(ending));
    let stem = ending.unwrap_or(file_name);
    let short = PREFIXES.iter().find_map(|prefix| stem.strip_prefix(prefix));
    ItemName::parse(short.filter(|short| !short.is_empty()).unwrap_or(stem))
}

fn list(platforms: &[Platform]) -> String {
    let texts: Vec<_> = platforms.iter().map(Platform::to_string).collect();
    if texts.is_empty() { "no other".to_owned() } else { texts.join(", ") }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Samples,
        fuzz::{chance, hostile, read_within, runs},
    };

    fn file(arch: &str, content: u8) -> PluginFile {
        PluginFile {
            platform: Platform { arch: arch.into(), ..Platform::here() },
            blob: BlobId([content; 32]),
            bytes: 7,
            file_name: "psutil".into(),
            signature: None,
        }
    }

    #[test]
    fn a_document_round_trips() {
        let document = PluginDocument::default().with(file("x86_64", 1)).with(file("any", 2));
        assert_eq!(PluginDocument::parse(&document.to_bytes()), Ok(document));
        assert!(matches!(PluginDocument::parse(b"{"), Err(DocumentError::Unread(_))));
    }

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for signature in [None, Some("-----BEGIN PGP SIGNATURE-----".to_owned())] {
            let platform = Platform { os: "linux".to_owned(), arch: "x86_64".to_owned() };
            let document = PluginDocument::default().with(PluginFile {
                platform,
                signature,
                ..file("any", 0xab)
            });
            samples.add("PluginDocument", document.to_bytes(), move |bytes| {
                assert_eq!(PluginDocument::parse(bytes).as_ref(), Ok(&document));
            });
        }
        samples
    }

    #[test]
    fn documents_are_read_and_written_as_they_always_were() {
        samples().check("documents");
    }

    #[test]
    fn no_document_makes_reading_panic_or_hold_more_than_it_may_cost() {
        let (mut rng, good) = (chance(), samples().bytes());
        let mut understood = 0;
        for _ in 0..runs(50_000) {
            let document = read_within(&hostile(&mut rng, &good), PluginDocument::parse);
            understood += u64::from(document.is_ok_and(|document| {
                let _ = document.for_this_host();
                PluginDocument::parse(&document.to_bytes()) == Ok(document)
            }));
        }
        assert!(understood > 100, "only {understood} were understood");
    }

    #[test]
    fn a_host_runs_the_file_for_its_kind() {
        let here = Platform::here().arch;
        let check = |files: &[PluginFile], expected: Option<u8>| {
            let document = PluginDocument { files: files.to_vec() };
            let found = document.for_this_host().ok().map(|file| file.blob);
            assert_eq!(found, expected.map(|content| BlobId([content; 32])));
        };
        check(&[file("any", 1), file(&here, 2)], Some(2));
        check(&[file("any", 1), file("s390", 2)], Some(1));
        check(&[file("s390", 2)], None);
        check(&[], None);
    }

    #[test]
    fn a_later_file_for_the_same_kind_of_host_replaces_the_former() {
        let document = PluginDocument::default().with(file("any", 1)).with(file("any", 2));
        assert_eq!(document.files, [file("any", 2)]);
    }

    #[test]
    fn a_file_says_where_it_runs() {
        let elf = |machine: u8, order: u8| {
            let mut head = vec![0; 20];
            head.splice(..6, [0x7f, b'E', b'L', b'F', 2, order]);
            head[if order == 2 { 19 } else { 18 }] = machine;
            head
        };
        assert_eq!(arch(&elf(62, 1)), "x86_64");
        assert_eq!(arch(&elf(183, 1)), "aarch64");
        assert_eq!(arch(&elf(22, 2)), "s390x");
        assert_eq!(arch(&elf(200, 1)), "unknown");
        assert_eq!(arch(b"#!/usr/bin/python3\n####"), ANY);
        assert_eq!(arch(b""), ANY);
    }

    #[test]
    fn a_plugin_is_called_after_its_file() {
        let check = |file: &str, expected: &str| {
            assert_eq!(item_name(file).unwrap().as_str(), expected, "for {file}");
        };
        check("influxdb", "influxdb");
        check("snap-plugin-collector-psutil", "psutil");
        check("snap-plugin-streaming-collector-rand.py", "rand");
        check("snap-plugin-collector-", "snap-plugin-collector-");
        check("psutil.v2", "psutil.v2");
        assert!(item_name("a b").is_err());
    }
}
