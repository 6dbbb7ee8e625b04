//! `snapctl task create`: a manifest on its way to snapd, which judges it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use tribe_api::{CreateTaskQuery, client::ManifestFormat, expand_environment};

use super::tell;
use crate::{command::name, exit::Exit, failure::Failure, session::Session};

/// What is larger is no manifest, in bytes: perhaps the file of a plugin. snapd takes less.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How to create a task.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The manifest, JSON or YAML; `-` reads it from stdin
    #[arg(value_name = "FILE", required_unless_present = "task_manifest")]
    file: Option<PathBuf>,
    /// The manifest, as snaptel has it
    #[arg(long, short = 't', value_name = "FILE", conflicts_with = "file")]
    task_manifest: Option<PathBuf>,
    /// Have the members of this tribe run it [default: the node behind the socket]
    #[arg(long, value_parser = name())]
    tribe: Option<String>,
    /// What it is called [default: as the manifest says, else as the file without its ending]
    #[arg(long, short, value_parser = name())]
    name: Option<String>,
    /// Take the place of a task of the same name
    #[arg(long)]
    replace: bool,
    /// Do not start it
    #[arg(long)]
    no_start: bool,
}

pub(super) async fn create(create: Create, session: &Session) -> Result<Exit, Failure> {
    let Create { file, task_manifest, tribe, name, replace, no_start } = create;
    let file = file.or(task_manifest).ok_or_else(|| Failure::usage("there is no manifest"))?;
    let (manifest, format) = read(&file)?;
    let query = CreateTaskQuery { tribe, name, stem: stem(&file), replace, no_start };
    let changed = session.snapd.create_task(&query, manifest, format, session.wait);
    let changed = session.attend_if(query.tribe.is_some(), changed).await;
    let changed = changed.map_err(|error| match error.code() {
        Some("bad-manifest" | "not-runnable" | "no-name") => Failure::from(error).in_file(&file),
        _ => error.into(),
    })?;
    tell(&changed, "created", changed.state, session)
}

/// The name of a file without its ending. stdin has none.
fn stem(file: &Path) -> Option<String> {
    let file = Some(file).filter(|file| file.as_os_str() != "-")?;
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// The text of a manifest with the environment in it, and how it is written.
fn read(file: &Path) -> Result<(Vec<u8>, ManifestFormat), Failure> {
    let cannot = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read `{}`: {reason}", file.display()))
    };
    let text = read_text(file).map_err(|error| cannot(&error))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(cannot(&"it is too large for a manifest"));
    }
    let text = expand_environment(&text, |name| std::env::var(name).ok())
        .map_err(|error| Failure::new(format!("in `{}`: {error}", file.display())))?;
    let format = format_of(file, &text);
    Ok((text.into_bytes(), format))
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = FILE_BYTES + 1;
    if file.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_string(&mut text)?;
    } else {
        File::open(file)?.take(most).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The ending of the name decides, else whether it begins as JSON does.
fn format_of(file: &Path, text: &str) -> ManifestFormat {
    let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "yaml" | "yml" => ManifestFormat::Yaml,
        "json" => ManifestFormat::Json,
        _ if text.trim_start().starts_with('{') => ManifestFormat::Json,
        _ => ManifestFormat::Yaml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_how_it_is_written() {
        let check = |file: &str, text, expected| {
            assert_eq!(format_of(Path::new(file), text), expected, "for {file}");
        };
        check("a.json", "version: 1", ManifestFormat::Json);
        check("a.YML", "{}", ManifestFormat::Yaml);
        check("a.yaml", "version: 1", ManifestFormat::Yaml);
        check("-", "\n {\"version\": 1}", ManifestFormat::Json);
        check("a.task", "version: 1", ManifestFormat::Yaml);
    }

    #[test]
    fn a_task_is_called_as_its_file_unless_it_came_from_stdin() {
        let check = |file: &str, expected: Option<&str>| {
            assert_eq!(stem(Path::new(file)).as_deref(), expected);
        };
        check("/etc/snap/disk-io.json", Some("disk-io"));
        check("disk.io.yaml", Some("disk.io"));
        check("-", None);
    }
}
