//! What a command wrote.

use tribe::PolicyCreated;

use crate::{Names, Str, handle::call_or};

/// A record that was written, to be waited for with tribe_node_wait().
#[derive(Debug)]
pub struct Written {
    inner: tribe::Written,
    tribe_created: bool,
    warnings: Names,
}

impl Written {
    pub(crate) fn inner(&self) -> &tribe::Written {
        &self.inner
    }
}

impl From<tribe::Written> for Written {
    fn from(inner: tribe::Written) -> Self {
        Self { inner, tribe_created: false, warnings: Names::new([""; 0]) }
    }
}

impl From<PolicyCreated> for Written {
    fn from(created: PolicyCreated) -> Self {
        let PolicyCreated { written: inner, tribe_created, warnings } = created;
        Self { inner, tribe_created, warnings: Names::new(warnings) }
    }
}

/// A policy was written whose tribe did not exist: it was created with it.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_written_tribe_created(written: Option<&Written>) -> bool {
    written.is_some_and(|written| written.tribe_created)
}

/// How many things in the text of a policy that was written may be mistakes.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_written_warning_count(written: Option<&Written>) -> usize {
    written.map_or(0, |written| written.warnings.count())
}

/// What may be a mistake in the text of a policy. It lives as long as `written`. Empty if there is no such
/// index.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_written_warning_at(written: Option<&Written>, index: usize) -> Str {
    written.map_or(Str::EMPTY, |written| written.warnings.at(index))
}

/// Frees it. What was written stays. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_written_free(written: Option<Box<Written>>) {
    call_or((), || drop(written));
}
