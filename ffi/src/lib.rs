//! The C ABI of *tribe*: it translates, and decides nothing.
//!
//! `include/tribe.h` is made from this crate and committed; its opening comment states what C
//! promises and gets. In short: opaque handles, texts as pointer and length, outputs written only on
//! success, an owned error object last, panics caught at every entry, events polled.
//!
//! A signature says what C must give. `Option<&T>` is a pointer that may be NULL and is only read,
//! `Option<&mut MaybeUninit<T>>` is room for an output, `Option<Box<T>>` is a handle given back.
//! `Option<NonNull<T>>` is a handle that several threads may use at once; such functions are `unsafe`
//! to call from Rust, whose types cannot say so.
//!
//! Invariant: no thread of the library ever calls code of the host.

#![expect(unsafe_code, reason = "pointers of C come in here, and nowhere else")]
#![expect(clippy::missing_safety_doc, reason = "the header states once what all callers promise")]

mod config;
mod error;
mod event;
mod fact;
mod handle;
mod key;
mod member;
mod node;
mod offers;
mod panic;
mod policy;
mod queue;
mod service;
mod status;
mod string;
mod tribes;
mod version;
mod wake;
mod written;

pub use config::*;
pub use error::*;
pub use event::*;
pub use fact::*;
pub use key::*;
pub use member::*;
pub use node::*;
pub use offers::*;
pub use policy::*;
pub use service::*;
pub use status::*;
pub use string::*;
pub use tribes::*;
pub use version::*;
pub use written::*;
