//! The preamble: the line of JSON with which a plugin says what it is and where it listens.
//!
//! Plugins of two languages and several ages write it differently: keys are missing or null, lines
//! of log come before it, and old ones hold numbers that no machine type takes. Invariant: a
//! [`Preamble`] is of a plugin that this host can talk to.

use std::net::SocketAddr;

use serde::{Deserialize, de::IgnoredAny};

use super::identity::{Identity, IdentityError, Kind};

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
}

/// Why a plugin that said what it is cannot be used. Not our fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PreambleError {
    /// It is from before gRPC.
    #[error("v1 native RPC plugin, not supported")]
    Native,
    /// It streams.
    #[error("streaming collector, not supported")]
    Streaming,
    /// It wants TLS.
    #[error("plugin with TLS, not supported: load it without its TLS settings")]
    Tls,
    /// It has a protocol or a type that snap never had.
    #[error("its {what} is {number}, which is unknown")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// What it says.
        number: i64,
    },
    /// It says itself that it cannot.
    #[error("it gave up: {0}")]
    GaveUp(String),
    /// Its name or version is none.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Nothing can listen there.
    #[error("it listens on `{0}`, which is not an address")]
    Address(String),
    /// It is not the JSON that snap agreed on.
    #[error("its first line is not understood: {0}")]
    Unreadable(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    meta: Option<RawMeta>,
    listen_address: Option<String>,
    r#type: Option<i64>,
    state: Option<i64>,
    error_message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawMeta {
    name: Option<String>,
    version: Option<i64>,
    r#type: Option<i64>,
    #[serde(rename = "RPCType")]
    rpc_type: Option<i64>,
    #[serde(rename = "TLSEnabled")]
    tls_enabled: Option<bool>,
}

/// What tells a preamble from other lines.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mark {
    meta: Option<IgnoredAny>,
    listen_address: Option<IgnoredAny>,
}

/// Reads a line of standard output; none if it is no preamble.
pub(super) fn parse(line: &[u8]) -> Option<Result<Preamble, PreambleError>> {
    let mark: Mark = serde_json::from_slice(line).ok()?;
    if mark.meta.is_none() && mark.listen_address.is_none() {
        return None;
    }
    // Not by way of `serde_json::Value`: the key of a v1 plugin is a number of 617 digits.
    let raw =
        serde_json::from_slice(line).map_err(|error| PreambleError::Unreadable(error.to_string()));
    Some(raw.and_then(judge))
}

fn judge(raw: Raw) -> Result<Preamble, PreambleError> {
    let meta = raw.meta.unwrap_or_default();
    if raw.state.unwrap_or(0) != 0 {
        return Err(PreambleError::GaveUp(raw.error_message.unwrap_or_default()));
    }
    match meta.rpc_type.unwrap_or(0) {
        0 => return Err(PreambleError::Native),
        2 => {}
        3 => return Err(PreambleError::Streaming),
        number => return Err(PreambleError::Unknown { what: "protocol", number }),
    }
    let kind = match raw.r#type.or(meta.r#type).unwrap_or(0) {
        0 => Kind::Collector,
        1 => Kind::Processor,
        2 => Kind::Publisher,
        3 => return Err(PreambleError::Streaming),
        number => return Err(PreambleError::Unknown { what: "type", number }),
    };
    if meta.tls_enabled.unwrap_or(false) {
        return Err(PreambleError::Tls);
    }
    let name = meta.name.unwrap_or_default();
    let address = raw.listen_address.unwrap_or_default();
    Ok(Preamble {
        identity: Identity::new(kind, &name, meta.version.unwrap_or(0))?,
        address: address.parse().map_err(|_| PreambleError::Address(address))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO: &str = r#"{"Meta":{"Type":0,"Name":"psutil","Version":14,"RPCType":2,"RPCVersion":1,"ConcurrencyCount":5,"Exclusive":false,"Unsecure":true,"CacheTTL":0,"RoutingStrategy":0,"CertPath":"","KeyPath":"","TLSEnabled":false,"RootCertPaths":""},"ListenAddress":"127.0.0.1:34617","PprofAddress":"0","Type":0,"State":0,"ErrorMessage":""}"#;
    const PYTHON: &str = r#"{"Meta":{"Name":"Rand-Py","Version":1,"Type":2,"RPCType":2,"RPCVersion":1,"ConcurrencyCount":5,"Exclusive":false,"CacheTTL":null,"RoutingStrategy":0,"RootCertPaths":null,"CertPath":null,"KeyPath":null,"Ciphers":["A","B"],"TLSEnabled":null},"ListenAddress":"127.0.0.1:43303","Token":null,"PublicKey":null,"Type":2,"ErrorMessage":null,"State":0}"#;

    fn check(line: &str, expected: Result<&str, &str>) {
        let found = parse(line.as_bytes()).expect("it is a preamble");
        let found = found
            .map(|preamble| format!("{} at {}", preamble.identity, preamble.address))
            .map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_go_plugin_says_what_it_is() {
        check(GO, Ok("collector:psutil:14 at 127.0.0.1:34617"));
    }

    #[test]
    fn nulls_of_a_python_plugin_are_defaults() {
        check(PYTHON, Ok("publisher:rand-py:1 at 127.0.0.1:43303"));
    }

    #[test]
    fn missing_keys_are_defaults() {
        let line = r#"{"Meta":{"Name":"p","Version":1,"RPCType":2},"ListenAddress":"127.0.0.1:1"}"#;
        check(line, Ok("collector:p:1 at 127.0.0.1:1"));
    }

    #[test]
    fn a_v1_plugin_is_recognised_in_spite_of_its_huge_key() {
        let digits = "7".repeat(617);
        let line = format!(
            r#"{{"Meta":{{"Name":"smart","Version":9,"Type":0,"RPCType":0,"AcceptedContentTypes":["snap.gob"]}},"ListenAddress":"127.0.0.1:1","Token":"x","PublicKey":{{"N":{digits},"E":65537}},"Type":0,"State":0}}"#
        );
        check(&line, Err("v1 native RPC plugin, not supported"));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        check(
            &GO.replace(r#""RPCType":2"#, r#""RPCType":3"#),
            Err("streaming collector, not supported"),
        );
        check(
            &GO.replace(r#""Type":0,"State""#, r#""Type":3,"State""#),
            Err("streaming collector, not supported"),
        );
        check(
            &GO.replace(r#""RPCType":2"#, r#""RPCType":1"#),
            Err("its protocol is 1, which is unknown"),
        );
        check(
            &GO.replace(r#""State":0"#, r#""State":1"#)
                .replace(r#""ErrorMessage":"""#, r#""ErrorMessage":"no disk""#),
            Err("it gave up: no disk"),
        );
        check(
            &GO.replace(r#""TLSEnabled":false"#, r#""TLSEnabled":true"#),
            Err("plugin with TLS, not supported: load it without its TLS settings"),
        );
        check(
            &GO.replace("127.0.0.1:34617", "here"),
            Err("it listens on `here`, which is not an address"),
        );
        check(
            &GO.replace("14", "0"),
            Err("`0` is not a version of a plugin, they are whole numbers from 1"),
        );
        check(&GO.replace("psutil", ""), Err("`` cannot be the name of a plugin"));
    }

    #[test]
    fn lines_that_are_no_preamble_are_passed_over() {
        for line in
            ["", "starting", "7", "[]", r#"{"level":"info","msg":"hello"}"#, "{", "\u{fffd}"]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(parse(b"\xff\xfe"), None);
    }
}
