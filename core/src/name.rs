//! Names and ids, valid by construction.
//!
//! A name is parsed once, at the edge; behind it nobody checks again. Names are cheap to clone.
//! Invariant: a name is 1 to [`limits::NAME_BYTES`] bytes of `A-Z a-z 0-9 . _ -` and starts with a
//! letter, digit or underscore, so it never needs quoting in a path, a key or a terminal.
//!
//! ```
//! use tribe::TribeName;
//! assert!(TribeName::parse("core").is_ok());
//! assert!(TribeName::parse("no spaces").is_err());
//! ```

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Why a text is not a name. Nothing has changed; the text is the user's or the peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("a {0} name must not be empty")]
    Empty(&'static str),
    /// The text is too long.
    #[error("{kind} name of {bytes} bytes is too long, at most {max}")]
    TooLong {
        /// What was named.
        kind: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A part of the text, between slashes, is not a name.
    #[error(
        "`{text}` is not a {kind} name: each part between `/` must be of letters, digits, `.`, `_` and `-`, starting with a letter, digit or `_`"
    )]
    Part {
        /// What was named.
        kind: &'static str,
        /// The text as it was given.
        text: String,
    },
    /// The text has a character no name has.
    #[error(
        "`{text}` is not a {kind} name: `{character}` is not allowed, use letters, digits, `.`, `_` and `-`, starting with a letter, digit or `_`"
    )]
    Character {
        /// What was named.
        kind: &'static str,
        /// The text as it was given.
        text: String,
        /// The first character that is not allowed.
        character: char,
    },
}

fn check(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty(kind));
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, bytes: text.len(), max });
    }
    match strange(text) {
        Some(character) => Err(NameError::Character { kind, text: text.to_owned(), character }),
        None => Ok(()),
    }
}

/// The same for names of several parts.
fn check_parts(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty(kind));
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, bytes: text.len(), max });
    }
    if text.split('/').any(|part| part.is_empty() || strange(part).is_some()) {
        return Err(NameError::Part { kind, text: text.to_owned() });
    }
    Ok(())
}

/// The first character that is not of a name.
fn strange(text: &str) -> Option<char> {
    let named =
        |at, c: char| c.is_ascii_alphanumeric() || c == '_' || (at > 0 && matches!(c, '.' | '-'));
    text.chars().enumerate().find(|&(at, c)| !named(at, c)).map(|(_, c)| c)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:expr) => {
        name!($(#[$doc])* $type, $kind, $max, check);
    };
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:expr, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Reads a name.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with the text.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $check($kind, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a node: what people call a host in the cluster.
    NodeName, "node", limits::NAME_BYTES
);
name!(
    /// The name of a tribe.
    TribeName, "tribe", limits::NAME_BYTES
);
name!(
    /// The name of a policy, unique in the cluster.
    PolicyName, "policy", limits::NAME_BYTES
);
name!(
    /// The name of something a tribe should have: a plugin, a task, or an agent author's own.
    ItemName, "item", limits::NAME_BYTES
);
name!(
    /// The kind of an item: `plugin`, `task`, or an agent author's own.
    ItemKind, "item kind", limits::NAME_BYTES
);
name!(
    /// The name of a cluster: nodes of different clusters never mix, even with one key.
    ClusterName, "cluster", limits::NAME_BYTES
);
name!(
    /// The name of a top-level fact.
    FactName, "fact", limits::FACT_NAME_BYTES
);

name!(
    /// The name of a service: parts joined by `/`, as in `publisher/influxdb/25`.
    ServiceName, "service", limits::SERVICE_NAME_BYTES, check_parts
);

/// The random id of a node, kept for the life of its data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text is not a node id. Nothing has changed; the text is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a node id: expected 16 hexadecimal digits")]
pub struct NodeIdError(String);

impl FromStr for NodeId {
    type Err = NodeIdError;
    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        match (text.len(), u64::from_str_radix(text, 16)) {
            (16, Ok(id)) => Ok(Self(id)),
            _ => Err(NodeIdError(text.to_owned())),
        }
    }
}

/// Names a blob by the SHA-256 of its bytes. As text it is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a blob's id. Nothing has changed; the text is the user's or the peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a blob: expected 64 hexadecimal digits")]
pub struct BlobIdError(String);

impl FromStr for BlobId {
    type Err = BlobIdError;
    fn from_str(text: &str) -> Result<Self, BlobIdError> {
        let error = || BlobIdError(text.to_owned());
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(error()) };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        bytes.try_into().map(Self).map_err(|_| error())
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = TribeName::parse(text).map(String::from).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn names_keep_their_spelling() {
        check("core", Ok("core"));
        check("Rack-7.eu_west", Ok("Rack-7.eu_west"));
        check("7", Ok("7"));
    }

    #[test]
    fn what_is_not_a_name_says_why() {
        check("", Err("a tribe name must not be empty"));
        check(
            "a b",
            Err("`a b` is not a tribe name: ` ` is not allowed, use letters, digits, `.`, `_` \
                 and `-`, starting with a letter, digit or `_`"),
        );
        check(
            "-x",
            Err("`-x` is not a tribe name: `-` is not allowed, use letters, digits, `.`, `_` \
                 and `-`, starting with a letter, digit or `_`"),
        );
        check(&"x".repeat(129), Err("tribe name of 129 bytes is too long, at most 128"));
    }

    fn check_service(text: &str, fine: bool) {
        assert_eq!(ServiceName::parse(text).is_ok(), fine, "{text}");
    }

    #[test]
    fn services_have_names_of_several_parts() {
        check_service("status", true);
        check_service("publisher/influxdb/25", true);
        check_service("_a/b.c/d-e", true);
        check_service("", false);
        check_service("/status", false);
        check_service("status/", false);
        check_service("a//b", false);
        check_service("a/../b", false);
        check_service("a/.b", false);
        check_service("a b/c", false);
        check_service(&"x".repeat(limits::SERVICE_NAME_BYTES), true);
        check_service(&"x".repeat(limits::SERVICE_NAME_BYTES + 1), false);
        assert_eq!(
            ServiceName::parse("a//b").unwrap_err().to_string(),
            "`a//b` is not a service name: each part between `/` must be of letters, digits, \
             `.`, `_` and `-`, starting with a letter, digit or `_`"
        );
    }

    #[test]
    fn names_of_items_have_one_part() {
        assert!(ItemName::parse("a/b").is_err());
        assert!(ItemKind::parse("plugin/x").is_err());
    }

    fn check_blob(text: &str, fine: bool) {
        assert_eq!(text.parse::<BlobId>().is_ok(), fine, "{text}");
    }

    #[test]
    fn blob_ids_are_sixty_four_digits() {
        check_blob(&"0a".repeat(32), true);
        check_blob(&"0A".repeat(32), true);
        check_blob(&"0a".repeat(31), false);
        check_blob(&"0a".repeat(33), false);
        check_blob(&"a".repeat(63), false);
        check_blob(&"+a".repeat(32), false);
        check_blob(&"0g".repeat(32), false);
        check_blob("", false);
    }

    #[test]
    fn blob_ids_are_hexadecimal_where_people_read() {
        let id = BlobId(std::array::from_fn(|at| at as u8));
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(text, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<BlobId>(&text).unwrap(), id);
        assert!(serde_json::from_str::<BlobId>("\"00\"").is_err());
    }

    #[test]
    fn node_ids_round_trip() {
        let id = NodeId(0x00ab_cdef);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("12".parse::<NodeId>().is_err());
    }
}
