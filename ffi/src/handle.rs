//! Pointers of C, checked.

use std::{mem::MaybeUninit, ptr::NonNull};

use crate::{Error, Status};

/// What a handle points to, for as long as the call lasts.
///
/// SAFETY: the caller promises what the header asks of everyone: a handle is NULL or was given by this
/// library, and is not freed before the call returns.
pub(crate) unsafe fn live<'a, T: Send + Sync>(
    handle: Option<NonNull<T>>,
    what: &str,
) -> Result<&'a T, Error> {
    let handle = handle.ok_or_else(|| Error::null(what))?;
    // SAFETY: not NULL, alive by this function's own contract, and never borrowed mutably: `T` is
    // changed behind locks.
    Ok(unsafe { handle.as_ref() })
}

/// An argument that may be NULL and must not be.
pub(crate) trait Required<T> {
    /// The argument, or an error that names it.
    fn required(self, what: &str) -> Result<T, Error>;
}

impl<T> Required<T> for Option<T> {
    fn required(self, what: &str) -> Result<T, Error> {
        self.ok_or_else(|| Error::null(what))
    }
}

/// Room for an output that nobody need want.
pub(crate) fn offer<T>(out: Option<&mut MaybeUninit<Box<T>>>, value: T) {
    if let Some(out) = out {
        out.write(Box::new(value));
    }
}

/// Carries out the body of a function of the ABI: a panic and an error become a status, and the error
/// object if one is wanted.
pub(crate) fn call<R: Into<Status>>(
    err: Option<&mut MaybeUninit<Box<Error>>>,
    body: impl FnOnce() -> Result<R, Error>,
) -> Status {
    let result = match crate::panic::catch(body) {
        Ok(result) => result.map(Into::into),
        Err(message) => Err(Error::new(Status::Panic, message)),
    };
    result.unwrap_or_else(|error| {
        let status = error.status();
        offer(err, error);
        status
    })
}

/// Carries out the body of a function that cannot fail, but may have mistakes in it.
pub(crate) fn call_or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    crate::panic::catch(body).unwrap_or(otherwise)
}
