//! A mistake of ours must take down neither the host nor its terminal.
//!
//! A panic is caught at the entry it happened under. The hook keeps its message and prints nothing. A
//! panic of a thread that is none of ours goes to the hook there was before.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    sync::Once,
    thread,
};

/// The library's threads bear this name, or one that starts with it and a dash.
pub(crate) const THREAD: &str = "tribe";

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic becomes one line of text.
pub(crate) fn catch<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    install();
    let outer = INSIDE.replace(true);
    // What a panic leaves half done lies behind locks that are poison-proof, or is thrown away.
    let result = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(outer);
    result.map_err(|payload| {
        // A payload may panic in its turn when it is dropped; that one is not dropped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        dropped.unwrap_or_else(std::mem::forget);
        MESSAGE.take().unwrap_or_else(|| "mistake in the library".to_owned())
    })
}

fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if INSIDE.get() {
                MESSAGE.set(Some(describe(info)));
            } else if !is_ours(thread::current().name()) {
                previous(info);
            }
        }));
    });
}

fn is_ours(thread: Option<&str>) -> bool {
    let rest = thread.and_then(|name| name.strip_prefix(THREAD));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no reason given").replace(['\r', '\n'], " ");
    match info.location() {
        Some(at) => format!("mistake in the library: {what} ({}:{})", at.file(), at.line()),
        None => format!("mistake in the library: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Status, handle::call};
    use std::mem::MaybeUninit;

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        let mut err = MaybeUninit::<Box<Error>>::uninit();
        let body = || -> Result<(), Error> { panic!("no\nway") };
        assert_eq!(call(Some(&mut err), body), Status::Panic);
        // SAFETY: a status below zero says that the error was written.
        let error = unsafe { err.assume_init() };
        assert_eq!(error.status(), Status::Panic);
        let message = error.message();
        assert!(message.starts_with("mistake in the library: no way ("), "{message}");
    }

    #[test]
    fn a_panic_inside_a_nested_call_is_caught_there() {
        let outer = catch(|| catch(|| panic!("inner")).map_err(|_| "caught"));
        assert_eq!(outer, Ok(Err::<(), _>("caught")));
        assert!(!INSIDE.get());
    }

    #[test]
    fn only_threads_of_the_library_are_silent() {
        assert!(is_ours(Some("tribe")));
        assert!(is_ours(Some("tribe-store")));
        assert!(!is_ours(Some("tribes")));
        assert!(!is_ours(Some("main")));
        assert!(!is_ours(None));
    }

    #[test]
    fn nothing_is_printed() {
        if std::env::var_os("TRIBE_TEST_PANIC").is_some() {
            let body = || -> Result<(), Error> { panic!("printed") };
            assert_eq!(call(None, body), Status::Panic);
            return;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panic::tests::nothing_is_printed", "--nocapture"])
            .env("TRIBE_TEST_PANIC", "1")
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr).find("printed"), None);
    }
}
