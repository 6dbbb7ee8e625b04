//! The compiled half of the Python package `tribe`: private, thin, and without opinions.
//!
//! The public API is the typed Python beside it (`python/tribe`), which has the docs, the defaults
//! and the data classes. This crate translates: Python values to facts, views to data classes,
//! errors to exceptions. It decides nothing, and must not know what a tribe is for.
//!
//! Invariants: every wait goes through `call::wait`, so no method can hold the GIL, swallow
//! Ctrl-C or let a panic through; and no thread of the runtime ever calls into Python.

mod call;
mod error;
mod events;
mod fact;
mod feed;
mod key;
mod node;
mod policy;
mod services;
mod view;

/// What `tribe` imports; its stub is `tribe/_tribe.pyi`.
#[pyo3::pymodule]
mod _tribe {
    #[pymodule_export]
    use crate::{
        events::{EventFeed, Events},
        fact::parse_fact,
        key::{Key, generate_key},
        node::{Node, Written},
        policy::Policy,
        services::{Pending, Service},
    };

    /// The version of the library.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "it is Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
