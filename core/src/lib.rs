//! *tribe* lets agents on many hosts form one encrypted cluster without a server, sort themselves
//! into named, overlapping tribes by policies over facts, and agree on what each tribe runs.

pub mod fact;
pub mod limits;
mod name;

pub use fact::{Boolean, Fact, FactError, Facts, Source, Spelling, Value};
pub use name::{
    ClusterName, FactName, ItemKind, ItemName, NameError, NodeId, NodeIdError, NodeName,
    PolicyName, TribeName,
};
