//! Keys. Their bytes leave only when asked for by name; everything else shows the fingerprint.

use std::{fmt, path::Path};

use pyo3::{prelude::*, pybacked::PyBackedStr};
use tribe::Keyring;

use crate::{call::guard, error::Error};

/// One 32-byte key.
#[pyclass(frozen, module = "tribe")]
pub(crate) struct Key {
    key: tribe::Key,
}

/// A key as it is given to a node.
#[derive(FromPyObject)]
pub(crate) enum Given<'py> {
    Key(Bound<'py, Key>),
    /// The text of a key file.
    Text(PyBackedStr),
}

#[pymethods]
impl Key {
    #[getter]
    fn fingerprint(&self) -> PyResult<String> {
        Ok(guard(|| self.key.id().to_string())?)
    }

    fn to_base64(&self) -> PyResult<String> {
        Ok(guard(|| self.key.to_base64().to_string())?)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<tribe.Key {}>", self.fingerprint()?))
    }
}

/// A fresh random key from the operating system.
#[pyfunction]
pub(crate) fn generate_key() -> PyResult<Key> {
    let key = guard(tribe::generate_key)?.map_err(refused)?;
    Ok(Key { key })
}

/// The one key that is given.
pub(crate) fn one(given: &Given<'_>) -> PyResult<tribe::Key> {
    let key = guard(|| match given {
        Given::Key(key) => Ok(key.get().key.clone()),
        Given::Text(text) => tribe::Key::parse(text).map_err(refused),
    })?;
    Ok(key?)
}

/// A key's fingerprint, from its text.
pub(crate) fn fingerprint(text: &str) -> PyResult<tribe::KeyId> {
    let id = guard(|| text.parse::<tribe::KeyId>())?;
    Ok(id.map_err(|error| Error::Argument(format!("`{text}` is {error}")))?)
}

/// The keyring of a node, which is given in one of three ways.
pub(crate) fn keyring(
    key: Option<&Given<'_>>,
    file: Option<&Path>,
    plaintext: bool,
) -> PyResult<Keyring> {
    let keyring = guard(|| match (key, file, plaintext) {
        (Some(Given::Key(key)), None, false) => Ok(Keyring::new(key.get().key.clone())),
        (Some(Given::Text(text)), None, false) => Keyring::from_text(text).map_err(refused),
        (None, Some(path), false) => tribe::read_key_file(path).map_err(refused),
        (None, None, true) => Ok(Keyring::plaintext()),
        _ => Err(Error::Argument("give one of key, key_file and plaintext=True".to_owned())),
    })?;
    Ok(keyring?)
}

fn refused(error: impl fmt::Display) -> Error {
    Error::Keyring(error.to_string())
}
