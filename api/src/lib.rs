//! The control API of snapd: what is asked and answered under `/v3`, and the client that asks.
//!
//! One crate for both ends, so that they cannot drift apart: snapd answers with these types, snapctl
//! and others ask with the [`client`] (feature `client`). Nothing here knows how a cluster works; names are
//! plain strings, which snapd judges.
//!
//! Invariant: the JSON only grows. A field or a kind is added, never renamed; readers let unknown
//! fields pass, so a client works with a newer daemon. A field that may be absent has a default.
//!
//! | method and path | request | reply |
//! |---|---|---|
//! | `GET /v3/version` | | [`Version`] |
//! | `GET /v3/node` | | [`NodeInfo`] |
//! | `GET /v3/members` | | list of [`Member`] |
//! | `GET /v3/members/{node}` | | [`Member`] |
//! | `DELETE /v3/members/{node}` | | [`Changed`] |
//! | `GET /v3/members/{node}/facts` | | list of [`FactEntry`] |
//! | `PATCH /v3/members/{node}/facts` | [`FactChange`] | [`Changed`] |
//! | `GET /v3/keys` | | [`Keys`] |
//! | `POST /v3/keys` | [`InstallKey`] | [`KeyChanged`] |
//! | `POST /v3/keys/{key}/use`, `remove` | [`ChangeKey`] | [`KeyChanged`] |
//! | `POST /v3/keys/rotate` | [`RotateKey`] | [`KeyStep`] |
//! | `GET /v3/tribes` | | list of [`TribeSummary`] |
//! | `POST /v3/tribes` | [`CreateTribe`] | [`Changed`] |
//! | `GET /v3/tribes/{tribe}` | | [`Tribe`] |
//! | `PATCH /v3/tribes/{tribe}` | [`DescribeTribe`] | [`Changed`] |
//! | `DELETE /v3/tribes/{tribe}` | [`ForceQuery`] | [`Changed`] |
//! | `PUT /v3/tribes/{tribe}/placements/{node}` | [`Place`] | [`Changed`] |
//! | `GET /v3/tribes/{tribe}/status` | | [`TribeStatus`] |
//! | `GET /v3/policies` | [`PolicyQuery`] | list of [`Policy`] |
//! | `POST /v3/policies` | [`CreatePolicy`] | [`PolicyCreated`] |
//! | `GET /v3/policies/{policy}` | | [`Policy`] |
//! | `PATCH /v3/policies/{policy}` | [`PolicyChange`] | [`Changed`] |
//! | `DELETE /v3/policies/{policy}` | [`ForceQuery`] | [`Changed`] |
//! | `POST /v3/policies/test` | [`TestPolicy`] | [`PolicyTest`] |
//! | `GET /v3/policies/{policy}/explain/{node}` | | [`Explanation`] |
//! | `GET /v3/plugins` | | list of [`Plugin`] |
//! | `POST /v3/plugins` | [`LoadQuery`], the file | [`PluginLoaded`] |
//! | `POST /v3/plugins/named` | [`LoadNamed`] | [`PluginLoaded`] |
//! | `GET /v3/plugins/{plugin}` | | [`PluginDetail`] |
//! | `DELETE /v3/plugins/{plugin}` | | [`Plugin`] |
//! | `GET /v3/tribes/{tribe}/plugins` | | list of [`TribePlugin`] |
//! | `GET /v3/tribes/{tribe}/plugins/{plugin}` | | [`TribePlugin`] |
//! | `DELETE /v3/tribes/{tribe}/plugins/{plugin}` | | [`Changed`] |
//! | `GET /v3/offers` | [`OfferQuery`] | list of [`Offer`] |
//! | `GET /v3/tasks` | | list of [`Task`] |
//! | `POST /v3/tasks` | [`CreateTaskQuery`], the manifest | [`TaskChanged`] |
//! | `GET /v3/tasks/{task}` | [`TribeQuery`] | [`Task`] |
//! | `DELETE /v3/tasks/{task}` | [`TribeQuery`] | [`TaskChanged`] |
//! | `POST /v3/tasks/{task}/start`, `stop`, `enable` | [`TribeQuery`] | [`TaskChanged`] |
//! | `GET /v3/tasks/{task}/export` | [`TribeQuery`] | the manifest |
//! | `GET /v3/tasks/{task}/watch` | [`WatchQuery`] | server-sent events, each a [`Flow`] |
//! | `GET /v3/tribes/{tribe}/tasks` | | list of [`TribeTask`] |
//! | `GET /v3/metrics` | [`MetricQuery`] | list of [`MetricType`] |
//! | `GET /v3/metrics/show` | [`MetricShowQuery`] | [`MetricDetail`] |
//! | `POST /v3/metrics/collect` | [`CollectOnce`] | list of [`Measured`] |
//! | `GET /v3/backup` | [`BackupQuery`] | [`Backup`] |
//! | `POST /v3/restore` | [`Restore`] | [`Restored`] |
//! | `GET /v3/events` | | server-sent events, each an [`Event`] |
//! | `GET /v3/counters` | | map of name to number |
//! | `GET /v3/openapi.json` | | the OpenAPI document |
//!
//! Every write that other nodes get takes [`WaitQuery`]. Whatever goes wrong is answered by an
//! [`ErrorReply`].
//!
//! ```
//! use tribe_api::{Place, Placement};
//! let place = Place { placement: Placement::Joined };
//! assert_eq!(serde_json::to_string(&place)?, r#"{"placement":"joined"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod backup;
mod change;
#[cfg(feature = "client")]
pub mod client;
mod environment;
mod error;
mod event;
mod item;
mod key;
mod member;
mod metric;
mod node;
mod plugin;
mod policy;
mod task;
mod tribe;

pub use backup::{
    BACKUP_FORMAT, BACKUP_VERSION, Backup, BackupDocument, BackupEntry, BackupQuery, Restore,
    RestoreOutcome, Restored,
};
pub use change::{Changed, WaitQuery};
pub use environment::{EnvironmentError, expand_environment};
pub use error::{ErrorBody, ErrorReply};
pub use event::Event;
pub use item::{
    ItemStatus, LoadNamed, Offer, OfferQuery, PluginLoaded, TribePlugin, TribePluginFile, TribeTask,
};
pub use key::{ChangeKey, InstallKey, KeyChanged, KeyInfo, KeyMember, KeyStep, Keys, RotateKey};
pub use member::{FactChange, FactEntry, Member, MemberState};
pub use metric::{
    CollectOnce, DynamicElement, Measured, MetricDetail, MetricQuery, MetricRequest,
    MetricShowQuery, MetricType,
};
pub use node::{Acting, NodeInfo, Version};
pub use plugin::{ConfigRule, LoadQuery, Plugin, PluginDetail, PluginState, SIGNATURE_HEADER};
pub use policy::{
    CreatePolicy, Explanation, ForceQuery, Policy, PolicyChange, PolicyCreated, PolicyQuery,
    PolicyTest, TestPolicy, UnknownNode,
};
pub use task::{
    CreateTaskQuery, Flow, StepRun, StepSpool, StepTried, Task, TaskChanged, TaskFailure,
    TaskState, TaskStep, TribeQuery, WatchQuery,
};
pub use tribe::{
    CreateTribe, DescribeTribe, Place, PlacedNode, Placement, Reason, StatusMember, Tribe,
    TribeMember, TribeStatus, TribeSummary,
};

/// The version of this API, the number in its paths.
pub const API_VERSION: u32 = 3;

/// The socket snapd listens on unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/snap/snapd.sock";
