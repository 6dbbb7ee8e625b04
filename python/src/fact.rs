//! Facts to and from Python, whose types are their types: `bool`, `int`, `float`, `str`, `list`,
//! `dict`.
//!
//! Nothing is inferred: a `str` stays text, whatever it looks like. Addresses and networks become
//! `str`.

use std::collections::BTreeMap;

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use tribe::{Boolean, Fact, FactError, FactName, Facts, Source, Spelling, Value, fact, limits};

use crate::error::Error;

/// Reads `key=value`, or a bare `key`, as the command line does.
#[pyfunction]
pub(crate) fn parse_fact<'py>(
    py: Python<'py>,
    text: &str,
) -> PyResult<(String, Bound<'py, PyAny>)> {
    let (name, value) = fact::parse_pair(text).map_err(Error::from)?;
    Ok((name.into(), to_python(py, &value)?))
}

/// Reads facts that people may set, by name. Their sizes are not checked.
pub(crate) fn settable(facts: &Bound<'_, PyDict>) -> PyResult<BTreeMap<String, Value>> {
    let pairs = facts.iter().map(|(name, value)| {
        let name = fact::settable(text_key(&name)?).map_err(Error::from)?;
        let value = from_python(&name, &value, 1)?;
        Ok((name.into(), value))
    });
    pairs.collect()
}

/// Reads facts a node is started with.
pub(crate) fn at_start(facts: &Bound<'_, PyDict>) -> PyResult<Facts> {
    read(facts, fact::settable)
}

/// Reads facts to judge a policy by: those of any host, built-in ones too.
pub(crate) fn of_any_host(facts: &Bound<'_, PyDict>) -> PyResult<Facts> {
    read(facts, |name| Ok(FactName::parse(name)?))
}

/// Writes the facts of a node.
pub(crate) fn to_dict<'py>(py: Python<'py>, facts: &Facts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, Fact { value, .. }) in facts.iter() {
        dict.set_item(name.as_str(), to_python(py, value)?)?;
    }
    Ok(dict)
}

fn read(
    dict: &Bound<'_, PyDict>,
    parse_name: impl Fn(&str) -> Result<FactName, FactError>,
) -> PyResult<Facts> {
    let mut facts = Facts::new();
    for (name, value) in dict.iter() {
        let name = parse_name(text_key(&name)?).map_err(Error::from)?;
        let value = from_python(&name, &value, 1)?;
        facts.insert(name, value, Source::Start);
    }
    facts.check().map_err(Error::from)?;
    Ok(facts)
}

fn from_python(name: &FactName, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    // A list may contain itself, so the depth must be bounded while we walk, not afterwards.
    if depth > limits::FACT_DEPTH {
        let (found, max) = (depth, limits::FACT_DEPTH);
        let error = FactError::TooLarge { name: name.clone(), what: "levels", found, max };
        return Err(Error::from(error).into());
    }
    if let Ok(value) = value.cast::<PyBool>() {
        // Python's own spelling, so that `== "True"` means what it says.
        return Ok(Value::Bool(Boolean { value: value.is_true(), spelling: Spelling::Title }));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        let number = number.extract::<i64>();
        return Ok(Value::Int(number.map_err(|_| Error::from(FactError::Number(name.clone())))?));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return finite(name, number.value());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::from(text.to_str()?));
    }
    if let Ok(map) = value.cast::<PyDict>() {
        let pairs = map.iter().map(|(key, value)| {
            Ok((text_key(&key)?.to_owned(), from_python(name, &value, depth + 1)?))
        });
        return Ok(Value::Map(pairs.collect::<PyResult<_>>()?));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let values = value.try_iter()?.map(|value| from_python(name, &value?, depth + 1));
        return Ok(Value::List(values.collect::<PyResult<_>>()?));
    }
    if value.is_none() {
        return Err(Error::from(FactError::Null(name.clone())).into());
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("fact `{name}` cannot be of type {kind}")))
}

fn finite(name: &FactName, number: f64) -> PyResult<Value> {
    if number.is_finite() {
        Ok(Value::Float(number))
    } else {
        Err(Error::from(FactError::Number(name.clone())).into())
    }
}

fn text_key<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match key.cast::<PyString>() {
        Ok(key) => key.to_str(),
        Err(_) => Err(PyTypeError::new_err("the name of a fact must be a str")),
    }
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Bool(boolean) => PyBool::new(py, boolean.value).to_owned().into_any(),
        Value::Int(number) => PyInt::new(py, *number).into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Ip(_) | Value::Net(_) => PyString::new(py, &value.to_string()).into_any(),
        Value::List(values) => {
            let values = values.iter().map(|value| to_python(py, value));
            PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map {
                dict.set_item(key, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}
