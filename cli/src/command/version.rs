//! `snapctl version`: what runs at both ends.

use serde::Serialize;
use tribe_api::{API_VERSION, Version};

use crate::{
    exit::Exit,
    failure::Failure,
    output::{self, table},
    session::Session,
};

/// The versions of both ends, as in JSON.
#[derive(Debug, Serialize)]
struct Versions {
    client: ClientVersion,
    /// Absent if snapd cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Version>,
}

#[derive(Debug, Serialize)]
struct ClientVersion {
    version: &'static str,
    api: u32,
}

/// Prints our own version even if snapd cannot be asked for its own.
pub(crate) async fn run(session: &Session) -> Result<Exit, Failure> {
    let reply = session.snapd.version().await;
    let client = ClientVersion { version: env!("CARGO_PKG_VERSION"), api: API_VERSION };
    let (daemon, failure) = match reply {
        Ok(version) => (Some(version), None),
        Err(error) => (None, Some(Failure::from(error))),
    };
    let versions = Versions { client, daemon };
    output::show(session.format, &versions, versions_text)?;
    if let Some(daemon) = versions.daemon.filter(|daemon| daemon.api != API_VERSION) {
        output::tell(&format!(
            "warning: snapctl speaks version {API_VERSION} of the API, snapd version {}",
            daemon.api
        ));
    }
    failure.map_or(Ok(Exit::Success), Err)
}

fn versions_text(versions: &Versions) -> String {
    let client = &versions.client;
    let mut rows =
        vec![["snapctl".into(), client.version.into(), client.api.to_string(), String::new()]];
    rows.extend(versions.daemon.as_ref().map(|daemon| {
        [
            "snapd".into(),
            daemon.version.clone(),
            daemon.api.to_string(),
            daemon.policy_level.to_string(),
        ]
    }));
    table(["PROGRAM", "VERSION", "API", "POLICY-LEVEL"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_have_a_line() {
        let client = ClientVersion { version: "0.1.0", api: 3 };
        let daemon = Version { version: "0.2.0".into(), api: 3, policy_level: 1 };
        let versions = Versions { client, daemon: Some(daemon) };
        let expected = "\
PROGRAM  VERSION  API  POLICY-LEVEL
snapctl  0.1.0    3    -
snapd    0.2.0    3    1";
        assert_eq!(versions_text(&versions), expected);
    }
}
