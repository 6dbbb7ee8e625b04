//! The plugin host: real snap plugins, each a process of its own that speaks gRPC on loopback.
//!
//! A file that is trusted ([`trust`]) becomes a process ([`process`]) that says what it is
//! ([`preamble`]) and is asked the rest ([`start`]); from then on an [`instance`] keeps it running,
//! and a [`pool`] has as many of them as are needed. What collectors offer is the [`catalog`]; what
//! one task has of all that is its [`session`]. Nothing here knows of tribes, HTTP or tasks.
//!
//! Invariant: whatever a plugin does, snapd goes on. Its output is read and bounded, its bytes are
//! made text, its silence has a limit, and its death is followed by another start.

pub(crate) mod batch;
mod cache;
mod calls;
mod catalog;
mod client;
mod config;
mod convert;
mod host;
mod identity;
mod instance;
mod launch;
mod limits;
mod loaded;
mod metric;
mod once;
mod output;
mod pause;
mod pool;
mod preamble;
mod prefix;
mod process;
mod program;
mod rpc;
mod seats;
mod session;
mod start;
mod store;
mod stream;
mod tls;
mod told;
mod traits;
mod trust;

#[cfg(test)]
pub(crate) use self::metric::test_metric;
pub(crate) use self::{
    calls::UseError,
    catalog::{Entry, Request, RequestError},
    config::{Config, ConfigTree, ConfigValue},
    host::{Host, HostSettings, LoadError, NODE_TAG},
    identity::{Identity, IdentityError, Kind, Wanted},
    limits::Limits,
    loaded::Plugin,
    metric::{Data, Metric},
    once::{Once, run as run_once},
    prefix::ByPrefix,
    process::{ExecArgs, exec},
    program::{HEAD_BYTES, ProgramError, inspect},
    session::{Collection, Session, SessionLife},
    store::{StoreError, StoredFile, Upload},
    stream::StreamOptions,
    tls::{Tls, TlsFiles},
    told::PluginConfigs,
    trust::{Signed, Trust, TrustLevel},
};

#[cfg(test)]
pub(crate) mod tests;
