//! The distribution: `os_dist` and what belongs to it.
//!
//! Names are the short ones Ansible's users know (`Debian`, not `Debian GNU/Linux`), and so are
//! the rules where `os-release` alone says too little.

use std::collections::BTreeMap;

use super::{FactRoot, tidy};

/// What is known of the distribution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    /// Empty if the distribution says that it is like no other.
    pub(super) like: Option<Vec<String>>,
    pub(super) version: Option<String>,
    pub(super) release: Option<String>,
    pub(super) family: Option<String>,
}

/// `ID` of os-release, the short name, the family.
const NAMES: &[(&str, &str, &str)] = &[
    ("almalinux", "AlmaLinux", "RedHat"),
    ("alpine", "Alpine", "Alpine"),
    ("altlinux", "Altlinux", "Altlinux"),
    ("amzn", "Amazon", "RedHat"),
    ("arch", "Archlinux", "Archlinux"),
    ("archarm", "Archlinux", "Archlinux"),
    ("centos", "CentOS", "RedHat"),
    ("clear-linux-os", "Clear Linux OS", "ClearLinux"),
    ("cloudlinux", "CloudLinux", "RedHat"),
    ("coreos", "CoreOS", "CoreOS"),
    ("debian", "Debian", "Debian"),
    ("deepin", "Deepin", "Debian"),
    ("devuan", "Devuan", "Debian"),
    ("eurolinux", "EuroLinux", "RedHat"),
    ("fedora", "Fedora", "RedHat"),
    ("flatcar", "Flatcar", "Flatcar"),
    ("gentoo", "Gentoo", "Gentoo"),
    ("kali", "Kali", "Debian"),
    ("linuxmint", "Linux Mint", "Debian"),
    ("manjaro", "Manjaro", "Archlinux"),
    ("neon", "KDE neon", "Debian"),
    ("ol", "OracleLinux", "RedHat"),
    ("openEuler", "openEuler", "RedHat"),
    ("opensuse", "openSUSE", "Suse"),
    ("opensuse-leap", "openSUSE Leap", "Suse"),
    ("opensuse-microos", "openSUSE MicroOS", "Suse"),
    ("opensuse-tumbleweed", "openSUSE Tumbleweed", "Suse"),
    ("parrot", "Parrot", "Debian"),
    ("pop", "Pop!_OS", "Debian"),
    // Told apart from Debian by `os_dist_id` only.
    ("raspbian", "Debian", "Debian"),
    ("rhel", "RedHat", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("scientific", "Scientific", "RedHat"),
    ("sl-micro", "SL-Micro", "Suse"),
    ("slackware", "Slackware", "Slackware"),
    ("sled", "SLED", "Suse"),
    ("sles", "SLES", "Suse"),
    ("sles_sap", "SLES_SAP", "Suse"),
    ("steamos", "SteamOS", "Debian"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("virtuozzo", "Virtuozzo", "RedHat"),
];

/// A word of `ID_LIKE`, and the family it tells.
const LIKE: &[(&str, &str)] = &[
    ("alpine", "Alpine"),
    ("arch", "Archlinux"),
    ("centos", "RedHat"),
    ("debian", "Debian"),
    ("fedora", "RedHat"),
    ("gentoo", "Gentoo"),
    ("rhel", "RedHat"),
    ("sles", "Suse"),
    ("suse", "Suse"),
    ("opensuse", "Suse"),
    ("ubuntu", "Debian"),
];

impl Distribution {
    /// Reads the distribution; every part may be missing.
    pub(super) fn read(root: &FactRoot) -> Self {
        let text = root.text("etc/os-release").or_else(|| root.text("usr/lib/os-release"));
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Self::default();
        };
        let fields = assignments(&text);
        let field = |key: &str| fields.get(key).and_then(|value| tidy(value));
        let id = field("ID");
        let like: Vec<String> = field("ID_LIKE")
            .map(|words| words.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default();
        let known = NAMES.iter().find(|(known, ..)| Some(*known) == id.as_deref());
        let name = match known {
            Some((_, "SLES", _)) if field("VARIANT_ID").as_deref() == Some("sles-sap") => {
                Some("SLES_SAP".to_owned())
            }
            Some((_, name, _)) => Some((*name).to_owned()),
            None => field("NAME").or_else(|| id.clone()),
        };
        let family = known.map(|(.., family)| *family).or_else(|| family_of(&like));
        let family = family.map(str::to_owned).or_else(|| name.clone());
        let version = version(root, name.as_deref(), field("VERSION_ID"));
        let release = release(name.as_deref(), &fields).and_then(tidy);
        let like = Some(like);
        Self { name, id, like, version, release, family }
    }
}

fn family_of(like: &[String]) -> Option<&'static str> {
    like.iter()
        .find_map(|word| LIKE.iter().find(|(known, _)| known == word).map(|(_, family)| *family))
}

/// `VERSION_ID`, refined for the two that leave their minor version out of it.
fn version(root: &FactRoot, name: Option<&str>, stated: Option<String>) -> Option<String> {
    let refined = match name {
        Some("Debian") => root.line("etc/debian_version").filter(|text| is_version(text)),
        Some("CentOS") => root.text("etc/centos-release").and_then(|text| {
            let version = text.split_whitespace().find(|word| is_version(word))?;
            let mut parts = version.split('.');
            let major = parts.next()?.to_owned();
            Some(parts.next().map_or(major.clone(), |minor| format!("{major}.{minor}")))
        }),
        _ => None,
    };
    refined.or(stated)
}

/// Digits with dots between them.
fn is_version(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// The codename.
fn release<'a>(name: Option<&str>, fields: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let field = |key: &str| fields.get(key).map(String::as_str);
    if name == Some("CentOS") && field("NAME").is_some_and(|name| name.contains("Stream")) {
        return Some("Stream");
    }
    // A codename that is there but empty (Fedora) says that there is none: what stands in brackets
    // behind the version is the edition then.
    field("VERSION_CODENAME").or_else(|| field("UBUNTU_CODENAME")).or_else(|| {
        let (_, rest) = field("VERSION")?.split_once('(')?;
        Some(rest.split_once(')')?.0)
    })
}

/// The assignments of an os-release file, unquoted. The last one of a key counts.
fn assignments(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), unquote(value)))
        .collect()
}

/// A value as a shell would read it: single quotes keep all, elsewhere a backslash escapes.
fn unquote(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'') {
        return inner.to_owned();
    }
    let mut unquoted = String::new();
    let mut characters = quoted('"').unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => unquoted.extend(characters.next()),
            other => unquoted.push(other),
        }
    }
    unquoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_that_of_a_shell() {
        let check = |text: &str, expected: &str| assert_eq!(unquote(text), expected);
        check("ubuntu", "ubuntu");
        check("\"Debian GNU/Linux\"", "Debian GNU/Linux");
        check("'a \"b\" $c \\d'", "a \"b\" $c \\d");
        check("\"a \\\"b\\\" \\$c\"", "a \"b\" $c");
        check("\"open", "\"open");
        check("\"", "\"");
        check("\\", "");
        check("", "");
    }

    #[test]
    fn versions_are_digits_and_dots() {
        assert!(is_version("12.11"));
        assert!(!is_version("bookworm/sid"));
        assert!(!is_version("12."));
        assert!(!is_version(""));
    }
}
