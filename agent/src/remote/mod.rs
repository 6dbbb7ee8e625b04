//! Steps of tasks on other nodes: process and publish with the plugins of any member of a tribe.
//!
//! A node serves each processor and publisher it runs as a service of the cluster, named
//! `publisher/influxdb/25` ([`mod@serve`]); the plugin itself stays on loopback. A task that needs one finds
//! a member that offers it ([`find`]), dials it and keeps the stream ([`call`]): work goes out, what came of it
//! comes back ([`frame`]), one batch after the other, so the order of a task is kept.
//!
//! Invariant: the stream is the lease. When either side dies it ends, and with it all that the other
//! side held for it.

#[cfg(test)]
mod bench;
mod call;
mod find;
mod frame;
mod message;
#[cfg(test)]
mod samples;
mod serve;

pub(crate) use self::{
    call::{Remote, RemoteError, Step},
    serve::serve,
};
use std::time::Duration;

use crate::plugin::{Identity, Kind, Wanted};

/// How long one part of a batch may take elsewhere: what a plugin has, and the way there and back. Then its
/// caller has given up.
const WORK_TIME: Duration = Duration::from_secs(11);

/// The name of the service that a plugin is.
fn service_name(plugin: &Identity) -> String {
    format!("{}/{}/{}", plugin.kind.as_str(), plugin.name, plugin.version)
}

/// The plugin that a service is, if it is one.
pub(crate) fn plugin_of(service: &str) -> Option<Identity> {
    let mut parts = service.split('/');
    let (kind, name, version) = (parts.next()?, parts.next()?, parts.next()?);
    let wanted = Wanted::parse(&format!("{kind}:{name}:{version}")).ok()?;
    parts.next().is_none().then_some(())?;
    Some(Identity { kind: wanted.kind, name: wanted.name, version: wanted.version? })
}

/// May steps on other nodes use a plugin of this kind?
fn is_served(kind: Kind) -> bool {
    matches!(kind, Kind::Processor | Kind::Publisher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_names_its_plugin() {
        let plugin = Identity::new(Kind::Publisher, "influxdb", 25).unwrap();
        assert_eq!(service_name(&plugin), "publisher/influxdb/25");
        assert_eq!(plugin_of("publisher/influxdb/25"), Some(plugin));
        for other in ["status", "publisher/influxdb", "publisher/influxdb/25/x", "reader/x/1"] {
            assert_eq!(plugin_of(other), None, "for {other}");
        }
    }
}
