//! The file of a backup, read one entry at a time, so that its size does not matter.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, error::Category};
use tribe_api::{BACKUP_FORMAT, BACKUP_VERSION, BackupEntry};

use crate::failure::Failure;

/// How much is read at a time, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The path that stands for stdin, or for stdout.
pub(crate) const DASH: &str = "-";

/// Opens a backup, at its beginning, and counts its entries. It was read once to its end: whatever
/// it says, it says well.
pub(crate) fn open(path: &Path) -> Result<(File, usize), Failure> {
    let stdin = path == Path::new(DASH);
    let failed = |what: String| match stdin {
        true => Failure::new(format!("stdin {what}")),
        false => Failure::new(format!("`{}` {what}", path.display())),
    };
    let unread = |error: io::Error| failed(format!("cannot be read: {error}"));
    let no_backup = |error: serde_json::Error| match error.classify() {
        Category::Io => failed(format!("cannot be read: {error}")),
        Category::Eof => failed(format!("is no backup, or only its beginning: {error}"))
            .with_help("copy all of it once more; `snapctl backup FILE` makes one"),
        _ => failed(format!("is no backup: {error}")).with_help("`snapctl backup FILE` makes one"),
    };
    let no_whole = |error: serde_json::Error| match error.classify() {
        Category::Io => failed(format!("cannot be read: {error}")),
        Category::Eof => failed(format!("is a backup that is cut off: {error}"))
            .with_help("copy all of it once more"),
        Category::Syntax => failed(format!("is a backup that was damaged: {error}"))
            .with_help("copy it once more as it is"),
        Category::Data => {
            failed(format!("is a backup of which this snapctl cannot read all: {error}"))
                .with_help("use the snapctl that made it")
        }
    };
    let file = match stdin {
        true => copy(io::stdin().lock()),
        false => File::open(path).and_then(seekable),
    };
    let mut file = file.map_err(unread)?;
    let Header { format, version } = Header::read(&file).map_err(no_backup)?;
    if format.as_ref().and_then(Value::as_str) != Some(BACKUP_FORMAT) {
        return Err(failed("is no backup".to_owned()).with_help("`snapctl backup FILE` makes one"));
    }
    match version.as_ref().and_then(Value::as_u64) {
        Some(version) if version <= u64::from(BACKUP_VERSION) => {}
        version => {
            let version = version.map_or("none".to_owned(), |version| version.to_string());
            let what =
                format!("is of version {version}, this snapctl reads up to {BACKUP_VERSION}");
            return Err(failed(what).with_help("use the snapctl that made it"));
        }
    }
    file.rewind().map_err(unread)?;
    let count = count(&file).map_err(no_whole)?;
    file.rewind().map_err(unread)?;
    Ok((file, count))
}

/// How many entries there are in all of a backup.
pub(crate) fn count(file: impl Read) -> serde_json::Result<usize> {
    let mut count = 0;
    entries(file, |_| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// Hands on one entry after the other, to the end of the file or until no more are wanted.
pub(crate) fn entries(
    file: impl Read,
    each: impl FnMut(BackupEntry) -> bool,
) -> serde_json::Result<()> {
    let mut json = document(file);
    json.deserialize_map(Document(each))?;
    json.end()
}

fn document<R: Read>(file: R) -> serde_json::Deserializer<serde_json::de::IoRead<BufReader<R>>> {
    serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// The file, or a copy of what cannot be read twice, as a pipe.
fn seekable(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { copy(file) }
}

fn copy(mut source: impl Read) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut source, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// What a file says of itself.
#[derive(Debug, Default)]
struct Header {
    format: Option<Value>,
    version: Option<Value>,
}

impl Header {
    /// Reads no further than it must.
    fn read(file: &File) -> serde_json::Result<Self> {
        let mut header = Self::default();
        let read = document(file).deserialize_map(&mut header);
        let is_known = header.format.is_some() && header.version.is_some();
        if is_known { Ok(header) } else { read.map(|()| header) }
    }
}

impl<'de> Visitor<'de> for &mut Header {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "format" => self.format = fields.next_value()?,
                "version" => self.version = fields.next_value()?,
                _ if self.format.is_some() && self.version.is_some() => {
                    return Err(A::Error::custom("the rest is not of interest"));
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The whole of a backup, for whom its entries are.
struct Document<F>(F);

impl<'de, F: FnMut(BackupEntry) -> bool> Visitor<'de> for Document<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut has_entries = false;
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "entries" if has_entries => return Err(A::Error::duplicate_field("entries")),
                "entries" => {
                    has_entries = true;
                    fields.next_value_seed(Entries(&mut self.0))?;
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        if has_entries { Ok(()) } else { Err(A::Error::missing_field("entries")) }
    }
}

struct Entries<'a, F>(&'a mut F);

impl<'de, F: FnMut(BackupEntry) -> bool> DeserializeSeed<'de> for Entries<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<(), D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(BackupEntry) -> bool> Visitor<'de> for Entries<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            if !(self.0)(entry) {
                return Err(A::Error::custom("no more entries are wanted"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_wherever_they_stand_and_only_if_all_is_there() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            let mut names = Vec::new();
            let read = entries(text.as_bytes(), |entry| {
                let BackupEntry::Tribe { name, .. } = entry else { return false };
                names.push(name);
                true
            });
            match (read, expected) {
                (Ok(()), Ok(expected)) => assert_eq!(names, expected, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (read, _) => panic!("{text}: {read:?}"),
            }
        };
        let a = r#"{"what": "tribe", "name": "a", "description": ""}"#;
        let b = r#"{"what": "tribe", "name": "b", "description": ""}"#;
        let left = r#"{"what": "placement", "tribe": "a", "node": "n", "placement": "left"}"#;
        check(r#"{"entries": []}"#, Ok(&[]));
        check(&format!(r#"{{"version": 1, "entries": [{a},{b}], "new": [[1]]}}"#), Ok(&["a", "b"]));
        check(&format!(r#"{{"entries": [{a},{left},{b}]}}"#), Err("no more entries are wanted"));
        check(&format!(r#"{{"entries": [{a},"#), Err("EOF"));
        check(&format!(r#"{{"entries": [{a}]"#), Err("EOF"));
        check(&format!(r#"{{"entries": [{a}]}} {{}}"#), Err("trailing characters"));
        check(r#"{"entries": [], "entries": []}"#, Err("duplicate field `entries`"));
        check(r#"{"version": 1}"#, Err("missing field `entries`"));
        check(r#"{"entries": [{"what": "else"}]}"#, Err("unknown variant `else`"));
        check("[]", Err("expected a backup"));
        check("", Err("EOF"));
    }
}
