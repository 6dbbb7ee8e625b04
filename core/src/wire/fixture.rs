//! Samples of messages, and the file that has their bytes.
//!
//! The bytes stand in `fixtures/wire/v1`, a line for each sample, and are never changed: other bytes are another
//! version of the format. A new variant fails to compile until it is listed in [`variants!`], then fails
//! its test until it has a sample, and then until its bytes stand there. With `TRIBE_UPDATE_CAPTURES=1` a test adds
//! lines for samples that have none, and changes no other.
//!
//! It knows nothing of the crate it is in: others that send messages have the same file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// An enum whose variants all have a sample.
pub(crate) trait Variants {
    /// The names of all variants.
    const NAMES: &'static [&'static str];

    /// The name of this one.
    fn variant(&self) -> &'static str;
}

/// Lists all variants of enums.
macro_rules! variants {
    ($($type:ty { $($variant:ident)* })*) => {
        $(impl Variants for $type {
            const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];

            fn variant(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                }
            }
        })*
    };
}
pub(crate) use variants;

/// Reads bytes, which must be what the sample says.
type Read = Box<dyn Fn(&[u8])>;

/// Samples of one part of the format.
#[derive(Default)]
pub(crate) struct Samples(Vec<(String, Vec<u8>, Read)>);

impl Samples {
    /// Adds what is not of the codec.
    pub(crate) fn add(&mut self, name: &str, bytes: Vec<u8>, read: impl Fn(&[u8]) + 'static) {
        let known = |name: &str| self.0.iter().any(|(other, ..)| other == name);
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !known(name));
        self.0.push((name.unwrap(), bytes, Box::new(read)));
    }

    /// Adds something for all variants of an enum.
    pub(crate) fn all<T: Variants>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
        add: impl Fn(&mut Self, &str, T),
    ) {
        let mut missing: BTreeSet<_> = T::NAMES.iter().collect();
        for value in values {
            let variant = value.variant();
            missing.remove(&variant);
            add(self, &format!("{name}.{variant}"), value);
        }
        assert!(missing.is_empty(), "{name} without a sample: {missing:?}");
    }

    /// All are read and written as they always were.
    pub(crate) fn check(self, part: &str) {
        let path = format!("{}/fixtures/wire/v1/{part}.txt", env!("CARGO_MANIFEST_DIR"));
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        let is_there =
            |text: &str, name: &str| text.lines().any(|line| line.split(' ').next() == Some(name));
        if std::env::var_os("TRIBE_UPDATE_CAPTURES").is_some() {
            for (name, bytes, _) in &self.0 {
                if !is_there(&text, name) {
                    writeln!(text, "{name} {}", hex(bytes)).unwrap();
                }
            }
            std::fs::write(&path, &text).unwrap();
        }
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let mut lines: BTreeMap<_, _> = lines.collect();
        for (name, bytes, read) in self.0 {
            let always = lines.remove(name.as_str());
            let always = always.unwrap_or_else(|| panic!("the bytes of {name} stand nowhere"));
            assert_eq!(hex(&bytes), always, "{name} is written otherwise");
            read(&bytes);
        }
        assert!(lines.is_empty(), "without a sample: {:?}", lines.keys());
    }

    /// The bytes of all.
    pub(crate) fn bytes(self) -> Vec<Vec<u8>> {
        self.0.into_iter().map(|(_, bytes, _)| bytes).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
