//! Which library this is.

use std::ffi::{CStr, c_char};

/// The ABI this header describes. It changes when a program must be compiled again.
pub const TRIBE_ABI_VERSION: u32 = 1;

const VERSION: &CStr = {
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    }
};

/// The ABI of the library that runs; compare it with TRIBE_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_abi_version() -> u32 {
    TRIBE_ABI_VERSION
}

/// The version of the library that runs, such as `0.1.0`. Static.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_version() -> *const c_char {
    VERSION.as_ptr()
}
