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
        (_, []) => scalar(name),
        _ => None,
    };
    (kind, None)
}

fn scalar(name: &str) -> Option<Kind> {
    Some(match name {
        "architecture" | "hostname" | "kernel_name" | "node_name" | "os_dist" | "os_dist_id"
        | "os_dist_release" | "os_family" | "processor_type" | "processor_vendor" => Kind::Text,
        "kernel" | "os_dist_version" => Kind::Version,
        "memtotal" => Kind::Bytes,
        "os_dist_like" | "processor_features" => Kind::List,
        "processor_count" => Kind::Int,
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

fn device_field(field: &str) -> Option<Kind> {
    Some(match field {
        "model" | "serial" | "vendor" => Kind::Text,
        "removable" | "rotational" | "virtual" => Kind::Bool,
        "size" => Kind::Bytes,
        _ => return None,
    })
}
