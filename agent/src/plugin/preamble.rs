//! The preamble: the line of JSON with which a plugin says what it is and where it listens.
//!
//! Plugins of two languages and several ages write it differently: keys are missing or null, lines
//! of log come before it, and old ones hold numbers that no machine type takes. Invariant: a
//! [`Preamble`] is of a plugin that this host can talk to.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    identity::{Identity, IdentityError, Kind},
    traits::{Routing, Traits},
};

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    pub(super) traits: Traits,
    /// Does it speak TLS?
    pub(super) tls: bool,
}

/// Why a plugin that said what it is cannot be used. Not our fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PreambleError {
    /// It is from before gRPC.
    #[error("v1 native RPC plugin, not supported")]
    Native,
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
    concurrency_count: Option<i64>,
    exclusive: Option<bool>,
    #[serde(rename = "CacheTTL")]
    cache_ttl: Option<i64>,
    routing_strategy: Option<i64>,
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
    // Old streaming collectors say that they are collectors, but not that they answer calls.
    let streams = match meta.rpc_type.unwrap_or(0) {
        0 => return Err(PreambleError::Native),
        2 => false,
        3 => true,
        number => return Err(PreambleError::Unknown { what: "protocol", number }),
    };
    let kind = match raw.r#type.or(meta.r#type).unwrap_or(0) {
        0 if streams => Kind::StreamCollector,
        0 => Kind::Collector,
        1 => Kind::Processor,
        2 => Kind::Publisher,
        3 => Kind::StreamCollector,
        number => return Err(PreambleError::Unknown { what: "type", number }),
    };
    let traits = traits(&meta)?;
    let name = meta.name.unwrap_or_default();
    let address = raw.listen_address.unwrap_or_default();
    Ok(Preamble {
        identity: Identity::new(kind, &name, meta.version.unwrap_or(0))?,
        address: address.parse().map_err(|_| PreambleError::Address(address))?,
        traits,
        tls: meta.tls_enabled.unwrap_or(false),
    })
}

fn traits(meta: &RawMeta) -> Result<Traits, PreambleError> {
    let default = Traits::default();
    let concurrency = meta.concurrency_count.and_then(|count| usize::try_from(count).ok());
    let cache_ttl = meta.cache_ttl.and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
    Ok(Traits {
        concurrency: concurrency.filter(|count| *count > 0).unwrap_or(default.concurrency),
        exclusive: meta.exclusive.unwrap_or(default.exclusive),
        cache_ttl: cache_ttl.map_or(default.cache_ttl, Duration::from_nanos),
        routing: match meta.routing_strategy.unwrap_or(0) {
            0 => Routing::LeastRecentlyUsed,
            1 => Routing::Sticky,
            2 => Routing::ByConfig,
            number => return Err(PreambleError::Unknown { what: "routing strategy", number }),
        },
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
    fn streaming_collectors_of_two_ages_are_recognised() {
        let expected = Ok("streaming-collector:psutil:14 at 127.0.0.1:34617");
        check(&GO.replace(r#""RPCType":2"#, r#""RPCType":3"#), expected);
        check(&GO.replace(r#""Type":0,"State""#, r#""Type":3,"State""#), expected);
    }

    #[test]
    fn how_it_wants_to_be_run_is_read_and_nonsense_is_a_default() {
        let traits = |line: &str| parse(line.as_bytes()).unwrap().unwrap().traits;
        assert_eq!(traits(PYTHON), Traits::default());
        let line = GO
            .replace(r#""ConcurrencyCount":5"#, r#""ConcurrencyCount":1"#)
            .replace(r#""Exclusive":false"#, r#""Exclusive":true"#)
            .replace(r#""CacheTTL":0"#, r#""CacheTTL":2000000000"#)
            .replace(r#""RoutingStrategy":0"#, r#""RoutingStrategy":1"#);
        let expected = Traits {
            concurrency: 1,
            exclusive: true,
            cache_ttl: Duration::from_secs(2),
            routing: Routing::Sticky,
        };
        assert_eq!(traits(&line), expected);
        let line = GO
            .replace(r#""ConcurrencyCount":5"#, r#""ConcurrencyCount":-1"#)
            .replace(r#""CacheTTL":0"#, r#""CacheTTL":-1"#);
        assert_eq!(traits(&line), Traits::default());
        let line = GO.replace(r#""RoutingStrategy":0"#, r#""RoutingStrategy":9"#);
        check(&line, Err("its routing strategy is 9, which is unknown"));
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
            &GO.replace(r#""RPCType":2"#, r#""RPCType":1"#),
            Err("its protocol is 1, which is unknown"),
        );
        check(
            &GO.replace(r#""State":0"#, r#""State":1"#)
                .replace(r#""ErrorMessage":"""#, r#""ErrorMessage":"no disk""#),
            Err("it gave up: no disk"),
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

    #[test]
    fn no_line_makes_reading_panic_or_hold_more_than_it_may_cost() {
        use crate::fuzz::{chance, hostile, read_within, runs};
        let v1 = format!(r#"{{"Meta":{{"Name":"p","PublicKey":{{"N":{}}}}}}}"#, "7".repeat(617));
        let streaming = GO.replace(r#""Type":0,"State""#, r#""Type":3,"State""#);
        let gave_up = GO.replace(r#""State":0"#, r#""State":1"#);
        let good = [GO.into(), PYTHON.into(), v1, streaming, gave_up].map(String::into_bytes);
        let (mut rng, mut usable, mut refused) = (chance(), 0, 0);
        for _ in 0..runs(50_000) {
            match read_within(&hostile(&mut rng, &good), parse) {
                Some(Ok(preamble)) => {
                    assert!(preamble.traits.concurrency > 0);
                    usable += 1;
                }
                Some(Err(error)) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
                None => {}
            }
        }
        assert!(usable > 100 && refused > 100, "{usable} usable and {refused} refused");
    }
}
