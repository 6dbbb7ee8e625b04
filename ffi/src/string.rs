//! Texts and lists of names, in and out.

use std::{ffi::c_char, fmt, slice};

use crate::{Error, Status, handle::call_or};

/// A text: UTF-8, not owned.
///
/// As an argument `ptr` need not end in NUL, and may be NULL if `len` is 0. As a result `ptr[len]` is
/// NUL, and the text lives as long as the object it was taken from.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Str {
    // INVARIANT: made by C, which promises `len` readable bytes, or by `Text`, which has them.
    ptr: *const c_char,
    len: usize,
}

impl Str {
    /// The empty text.
    pub(crate) const EMPTY: Self = Self { ptr: c"".as_ptr(), len: 0 };

    /// The text C gave. It lives as long as the call.
    pub(crate) fn read<'a>(self, what: &str) -> Result<&'a str, Error> {
        if self.len == 0 {
            return Ok("");
        }
        if self.ptr.is_null() {
            return Err(Error::null(what));
        }
        let wrong = || Error::new(Status::Utf8, format_args!("`{what}` is not UTF-8"));
        if isize::try_from(self.len).is_err() {
            return Err(wrong());
        }
        // SAFETY: not NULL, `len` bytes by the invariant, fewer than `isize::MAX`.
        let bytes = unsafe { slice::from_raw_parts(self.ptr.cast::<u8>(), self.len) };
        str::from_utf8(bytes).map_err(|_| wrong())
    }

    /// The text C gave, or `None` if it is empty.
    pub(crate) fn read_optional<'a>(self, what: &str) -> Result<Option<&'a str>, Error> {
        self.read(what).map(|text| Some(text).filter(|text| !text.is_empty()))
    }
}

/// An owned text.
pub struct Text {
    // INVARIANT: ends in NUL, which is no part of the text.
    bytes: Box<[u8]>,
}

impl Text {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let mut bytes = text.into().into_bytes();
        bytes.push(0);
        Self { bytes: bytes.into_boxed_slice() }
    }

    pub(crate) fn json(json: &serde_json::Value) -> Self {
        Self::new(json.to_string())
    }

    pub(crate) fn borrow(&self) -> Str {
        Str { ptr: self.bytes.as_ptr().cast(), len: self.bytes.len().saturating_sub(1) }
    }

    pub(crate) fn as_str(&self) -> &str {
        let text = self.bytes.split_last().map_or(&[][..], |(_, text)| text);
        str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A list of texts.
#[derive(Debug)]
pub struct Names(Box<[Text]>);

impl Names {
    pub(crate) fn new<T: ToString>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| Text::new(name.to_string())).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn at(&self, index: usize) -> Str {
        self.0.get(index).map_or(Str::EMPTY, Text::borrow)
    }
}

/// The text, which lives as long as `text`. Empty if `text` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_text_str(text: Option<&Text>) -> Str {
    text.map_or(Str::EMPTY, Text::borrow)
}

/// Frees a text. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_text_free(text: Option<Box<Text>>) {
    call_or((), || drop(text));
}

/// How many names there are. 0 if `names` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_names_count(names: Option<&Names>) -> usize {
    names.map_or(0, Names::count)
}

/// A name, which lives as long as `names`. Empty if `names` is NULL or has no such index.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_names_at(names: Option<&Names>, index: usize) -> Str {
    names.map_or(Str::EMPTY, |names| names.at(index))
}

/// Frees a list of names. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_names_free(names: Option<Box<Names>>) {
    call_or((), || drop(names));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn check(ptr: *const u8, len: usize, expected: Result<&str, Status>) {
        let text = Str { ptr: ptr.cast(), len };
        assert_eq!(text.read("text").map_err(|error| error.status()), expected);
    }

    #[test]
    fn a_text_of_c_is_checked() {
        check(ptr::null(), 0, Ok(""));
        check(ptr::null(), 1, Err(Status::Null));
        check(b"core".as_ptr(), 4, Ok("core"));
        check(b"core".as_ptr(), 2, Ok("co"));
        check(b"\xff".as_ptr(), 1, Err(Status::Utf8));
        check(b"x".as_ptr(), usize::MAX, Err(Status::Utf8));
    }

    #[test]
    fn a_text_for_c_ends_in_nul() {
        let text = Text::new("a\0b");
        let given = text.borrow();
        assert_eq!(given.len, 3);
        assert_eq!(given.read("text").unwrap(), "a\0b");
        assert_eq!(text.bytes.last(), Some(&0));
    }
}
