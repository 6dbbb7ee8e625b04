//! What the language knows of the built-in facts: their types, and the primary fields of records.
//!
//! Facts that are not declared here are judged by the value they have when a policy is evaluated.

use super::ast::Step;

/// The declared type of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Bytes,
    /// In seconds.
    Duration,
    Version,
    Text,
    Ip,
    List,
    Map,
}

impl Kind {
    /// The type as shown to people, with its article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "a yes or no",
            Self::Int => "a number",
            Self::Bytes => "a size in bytes",
            Self::Duration => "a duration",
            Self::Version => "a version",
            Self::Text => "text",
            Self::Ip => "an IP address",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }

    /// Is one value of this type less than another?
    pub(crate) fn is_ordered(self) -> bool {
        matches!(self, Self::Int | Self::Bytes | Self::Duration | Self::Version)
    }
}

/// The declared type of a path, and its primary field if it is a record.
pub(crate) fn declared(name: &str, steps: &[Step]) -> (Option<Kind>, Option<&'static str>) {
    let kind = match (name, steps) {
        ("default_ipv4" | "default_ipv6", []) => return (Some(Kind::Ip), Some("address")),
        ("default_ipv4" | "default_ipv6", [Step::Key(field)]) => address_field(field),
        ("devices", [] | [_]) => Some(Kind::Map),
        ("devices", [_, Step::Key(field)]) => device_field(field),
        ("interfaces", [] | [_]) | ("gpus", [_]) => Some(Kind::Map),
        ("interfaces", [_, Step::Key(field)]) => interface_field(field),
        ("gpus", [_, Step::Key(field)]) if matches!(&**field, "vendor" | "device") => {
            Some(Kind::Text)
        }
        ("all_ipv4_addresses" | "all_ipv6_addresses" | "dns_nameservers", [_]) => Some(Kind::Ip),
        ("os_dist_like" | "processor_features", [_]) => Some(Kind::Text),
        (_, []) => scalar(name),
        _ => None,
    };
    (kind, None)
}

fn scalar(name: &str) -> Option<Kind> {
    Some(match name {
        "architecture"
        | "bios_version"
        | "hostname"
        | "kernel_name"
        | "node_name"
        | "os_dist"
        | "os_dist_id"
        | "os_dist_release"
        | "os_family"
        | "pkg_mgr"
        | "processor_type"
        | "processor_vendor"
        | "product_name"
        | "product_vendor"
        | "service_mgr"
        | "timezone"
        | "virtualization_role"
        | "virtualization_type" => Kind::Text,
        "kernel" | "os_dist_version" => Kind::Version,
        "meminstalled" | "memtotal" | "swaptotal" => Kind::Bytes,
        "all_ipv4_addresses" | "all_ipv6_addresses" | "dns_nameservers" | "gpus"
        | "os_dist_like" | "processor_features" => Kind::List,
        "cgroup_version"
        | "numa_nodes"
        | "processor_cores"
        | "processor_count"
        | "processor_level"
        | "processor_threads_per_core"
        | "processor_vcpus"
        | "shard" => Kind::Int,
        "efi" | "fips" => Kind::Bool,
        _ => return None,
    })
}

fn address_field(field: &str) -> Option<Kind> {
    Some(match field {
        "address" | "gateway" | "netmask" | "network" => Kind::Ip,
        "interface" | "macaddress" => Kind::Text,
        "mtu" | "prefix" => Kind::Int,
        _ => return None,
    })
}

fn interface_field(field: &str) -> Option<Kind> {
    Some(match field {
        "macaddress" => Kind::Text,
        "mtu" | "speed" => Kind::Int,
        "up" => Kind::Bool,
        _ => return None,
    })
}

fn device_field(field: &str) -> Option<Kind> {
    Some(match field {
        "model" | "serial" | "vendor" => Kind::Text,
        "removable" | "rotational" | "virtual" => Kind::Bool,
        "size" => Kind::Bytes,
        _ => return None,
    })
}

/// Values of built-in facts that people are likely to spell otherwise.
const OS_DIST: &[&str] = &[
    "AlmaLinux",
    "Alpine",
    "Amazon",
    "Archlinux",
    "CentOS",
    "Debian",
    "Fedora",
    "Flatcar",
    "RedHat",
    "Rocky",
    "SLES",
    "Ubuntu",
    "openSUSE Leap",
];

/// Other names of architectures.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("armv8", "aarch64"),
    ("i486", "i386"),
    ("i586", "i386"),
    ("i686", "i386"),
    ("x64", "x86_64"),
    ("x86", "i386"),
    ("x86-64", "x86_64"),
];

/// The value that a built-in fact has where people may write another.
pub(crate) fn known_value(name: &str, value: &str) -> Option<&'static str> {
    let same = |known: &str| known.eq_ignore_ascii_case(value);
    match name {
        "os_dist" => {
            let bare = value.replace(' ', "");
            let known =
                OS_DIST.iter().find(|known| same(known) || bare.eq_ignore_ascii_case(known));
            known.copied().filter(|known| *known != value)
        }
        "architecture" => {
            ARCHITECTURES.iter().find(|(other, _)| same(other)).map(|(_, known)| *known)
        }
        _ => None,
    }
}
