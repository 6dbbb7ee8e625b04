//! The plugin protocol as `agent/proto/plugin.proto` has it. Generated; nothing else belongs here.

#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]

tonic::include_proto!("rpc");
