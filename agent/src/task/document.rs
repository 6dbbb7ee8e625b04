//! A manifest as it was written, JSON or YAML, before anyone judges it.
//!
//! Maps keep their order and their duplicates, so that whoever reads the document can tell the path
//! of everything that is wrong with it.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// The format of a file, by the end of its name.
    pub(crate) fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A value of JSON or YAML.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Document {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Document>),
    Map(Vec<(String, Document)>),
}

/// A text that is no document, and where that shows. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub(crate) struct SyntaxError {
    pub(crate) line: u64,
    pub(crate) column: u64,
    message: String,
}

impl Document {
    /// Reads a text.
    pub(super) fn parse(text: &str, format: Format) -> Result<Self, SyntaxError> {
        match format {
            Format::Json => serde_json::from_str(text).map_err(|error| SyntaxError {
                line: error.line() as u64,
                column: error.column() as u64,
                message: plain(&error.to_string()),
            }),
            Format::Yaml => {
                let options = serde_saphyr::options! {
                    with_snippet: false,
                    strict_booleans: true,
                    duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
                };
                serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                    let error = error.without_snippet();
                    let at = error.location();
                    SyntaxError {
                        line: at.map_or(1, |at| at.line()),
                        column: at.map_or(1, |at| at.column()),
                        message: plain(&error.to_string()),
                    }
                })
            }
        }
    }

    /// What it is, in a message.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// The first line of a foreign message, without its own idea of the place.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.trim_end_matches('.').to_owned()
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> de::Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_none<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(i64::try_from(value).map_or(Document::Float(value as f64), Document::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
        Ok(Document::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Text(text.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Document::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Document, A::Error> {
        let mut map = Vec::new();
        while let Some((Key(key), value)) = access.next_entry()? {
            map.push((key, value));
        }
        Ok(Document::Map(map))
    }
}

/// A key of a map. YAML takes some for numbers.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl de::Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_say_the_same() {
        let json = r#"{"b": [1, 2.5, null, true], "a": {"x": "y", "x": "z"}}"#;
        let yaml = "b: [1, 2.5, null, true]\na:\n  x: y\n  x: z\n";
        let found = Document::parse(json, Format::Json).unwrap();
        assert_eq!(found, Document::parse(yaml, Format::Yaml).unwrap());
        let Document::Map(map) = found else { panic!("{found:?}") };
        assert_eq!(map[0].0, "b");
        assert!(matches!(&map[1].1, Document::Map(inner) if inner.len() == 2));
    }

    #[test]
    fn what_is_no_document_is_told_with_its_place() {
        let error = Document::parse("{\n  \"a\": 1,\n}", Format::Json).unwrap_err();
        assert_eq!((error.line, error.column), (3, 1));
        assert_eq!(error.to_string(), "line 3, column 1: trailing comma");
        let error = Document::parse("a: 1\nb: [2\n", Format::Yaml).unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }

    #[test]
    fn deep_nesting_is_refused_and_no_harm() {
        let deep = "[".repeat(100_000);
        assert!(Document::parse(&deep, Format::Json).is_err());
        assert!(Document::parse(&deep, Format::Yaml).is_err());
    }
}
