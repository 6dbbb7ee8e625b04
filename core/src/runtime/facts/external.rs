//! Facts of the host's administrator, from the files of one directory: `facts.d`.
//!
//! `*.json`, `*.yaml` and `*.yml` hold a map of facts, `*.txt` lines of `key=value`; executable files are
//! run and print JSON or such lines. Files are read in the order of their names, a later one covers an
//! earlier. A file that cannot be read keeps the facts it gave last, and is a problem to be told.
//!
//! Invariant: reading never fails and never takes longer than [`limits::FACTS_DIR_TIME`] and one program.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{super::clock::Clock, program};
use crate::{
    fact::{self, Facts, Source, Value},
    limits,
};

/// The directory, and what its files said last.
#[derive(Debug)]
pub(crate) struct External {
    directory: PathBuf,
    /// By file name.
    last: BTreeMap<String, Facts>,
    problems: Vec<String>,
}

impl External {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, last: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads the directory again. Problems that were not there the last time are logged.
    pub(crate) fn read(&mut self) -> Facts {
        let mut problems = Vec::new();
        let mut found = BTreeMap::new();
        let clock = Clock::start();
        for (name, path) in self.files(&mut problems) {
            let facts =
                read_file(&self.directory, &path, clock, &mut problems).or_else(|problem| {
                    problems.push(format!("{}: {problem}", path.display()));
                    self.last.get(&name).cloned().ok_or(())
                });
            if let Ok(facts) = facts {
                found.insert(name, facts);
            }
        }
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!("external facts: {problem}");
        }
        self.problems = problems;
        self.last = found;
        let none = Facts::new();
        self.last.values().fold(none, |all, facts| all.covered_by(facts))
    }

    /// What is wrong with the files, a line each.
    #[cfg(test)]
    fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The files that are meant, by name: no hidden ones, no directories, no backups of editors.
    fn files(&self, problems: &mut Vec<String>) -> BTreeMap<String, PathBuf> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            // Nobody has to have the directory.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(error) => {
                problems.push(format!("{}: {error}", self.directory.display()));
                return BTreeMap::new();
            }
        };
        let mut files = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_meant = !name.starts_with('.') && !name.ends_with('~');
            if is_meant && entry.path().is_file() {
                files.insert(name, entry.path());
            }
        }
        if files.len() > limits::FACTS_FILES {
            let (found, max) = (files.len(), limits::FACTS_FILES);
            problems.push(format!(
                "{}: {found} files, at most {max} are read",
                self.directory.display()
            ));
            files = files.into_iter().take(max).collect();
        }
        files
    }
}

/// The facts of one file. Those that cannot be facts are left out.
fn read_file(
    directory: &Path,
    path: &Path,
    clock: Clock,
    problems: &mut Vec<String>,
) -> Result<Facts, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    let given: Vec<(String, Value)> = match path.extension().and_then(OsStr::to_str) {
        Some("json") => json(&text(path)?)?,
        Some("yaml" | "yml") => yaml(&text(path)?)?,
        Some("txt") => pairs(&text(path)?)?,
        _ if metadata.permissions().mode() & 0o111 != 0 => {
            is_trusted(directory, &metadata)?;
            let left = limits::FACTS_DIR_TIME.saturating_sub(clock.now().mono);
            if left == Duration::ZERO {
                return Err("not run, the programs before it took too long".into());
            }
            output(&program::run(path, limits::FACTS_PROGRAM_TIME)?)?
        }
        _ => {
            return Err("is neither .json, .yaml, .txt nor executable; rename it, remove it, \
                        or let its name begin with a dot"
                .into());
        }
    };
    let mut facts = Facts::new();
    for (name, value) in given {
        let checked = fact::settable(&name).and_then(|name| {
            let mut one = Facts::new();
            one.insert(name.clone(), value.clone(), Source::File);
            one.check().map(|()| name)
        });
        match checked {
            Ok(name) => facts.insert(name, value, Source::File),
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(facts)
}

/// A program is run only if nobody but root and we could have put it there.
fn is_trusted(directory: &Path, program: &Metadata) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    let directory = fs::metadata(directory).map_err(|error| error.to_string())?;
    let others = |metadata: &Metadata| metadata.permissions().mode() & 0o022 != 0;
    let owner = |metadata: &Metadata| [0, own].contains(&metadata.uid());
    if !owner(program) || !owner(&directory) {
        return Err("is not run: it and its directory must belong to root or to the user of \
                    this process"
            .into());
    }
    if others(program) || others(&directory) {
        return Err("is not run: others may write to it or to its directory".into());
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(limits::FACTS_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > limits::FACTS_FILE_BYTES {
        return Err(format!("is longer than {} bytes", limits::FACTS_FILE_BYTES));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

fn json(text: &str) -> Result<Vec<(String, Value)>, String> {
    let json = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    of_map(json)
}

fn yaml(text: &str) -> Result<Vec<(String, Value)>, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let json = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("is not YAML: {error}"))?;
    of_map(json)
}

/// The facts of a map; nulls are left out.
fn of_map(json: serde_json::Value) -> Result<Vec<(String, Value)>, String> {
    let serde_json::Value::Object(map) = json else {
        return Err("is not a map of facts by name".into());
    };
    map.into_iter()
        .filter(|(_, json)| !json.is_null())
        .map(|(name, json)| match Value::from_json(&json) {
            Some(value) => Ok((name, value)),
            None => Err(format!("fact `{name}` is no fact: a null or a number out of range")),
        })
        .collect()
}

/// Lines of `key=value`; empty ones and those after a `#` say nothing.
fn pairs(text: &str) -> Result<Vec<(String, Value)>, String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), Value::from_text(value.trim()))),
            None => Err(format!("`{}` is not key=value", line.escape_debug())),
        })
        .collect()
}

/// What a program printed: JSON if it looks so, else lines.
fn output(bytes: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let text = str::from_utf8(bytes).map_err(|_| "did not print UTF-8".to_owned())?;
    if text.trim_start().starts_with('{') { json(text) } else { pairs(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of files; those that begin with `#!` are executable.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        directory
    }

    /// Facts as JSON, and the problems without the paths before them.
    fn read(external: &mut External) -> (String, Vec<String>) {
        let facts = external.read();
        assert!(facts.iter().all(|(_, fact)| fact.source == Source::File));
        let json: serde_json::Map<_, _> =
            facts.iter().map(|(name, fact)| (name.to_string(), fact.value.to_json())).collect();
        let prefix = format!("{}/", external.directory.display());
        let problems = external.problems().iter();
        let problems = problems.map(|p| p.replace(&prefix, "")).collect();
        (serde_json::Value::Object(json).to_string(), problems)
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], facts: &str, problems: &[&str]) {
        let directory = directory(files);
        let found = read(&mut External::new(directory.path().to_owned()));
        assert_eq!(found.0, facts);
        assert_eq!(found.1, problems);
    }

    #[test]
    fn files_of_all_forms_are_read() {
        check(
            &[
                ("a.json", r#"{"rack": 7, "none": null, "row": {"a": [1, true]}}"#),
                ("b.yaml", "tier: gold\nports: [1, 2]\n"),
                ("c.txt", "# where it stands\nroom = 007\n\nssd=True\n"),
                ("d", "#!/bin/sh\necho '{\"printed\": 1.5}'\n"),
                ("e.sh", "#!/bin/sh\necho one=1\necho two=zwei\n"),
                (".hidden.json", "{"),
                ("backup.json~", "{"),
            ],
            r#"{"one":1,"ports":[1,2],"printed":1.5,"rack":7,"room":"007","row":{"a":[1,true]},"ssd":true,"tier":"gold","two":"zwei"}"#,
            &[],
        );
    }

    #[test]
    fn a_later_file_covers_an_earlier_one() {
        check(&[("b.txt", "x=2"), ("a.json", r#"{"x": 1, "y": 1}"#)], r#"{"x":2,"y":1}"#, &[]);
    }

    #[test]
    fn no_directory_is_no_problem() {
        let mut external = External::new("/nonexistent/facts.d".into());
        assert!(external.read().is_empty());
        assert!(external.problems().is_empty());
    }

    #[test]
    fn mistakes_are_told_and_the_rest_is_read() {
        check(
            &[
                ("a.json", "[1]"),
                ("b.json", r#"{"os_dist": "Plan9", "ok": 1}"#),
                ("c.ini", "x=1"),
                ("d.txt", "x"),
                ("e.txt", "fine=1"),
            ],
            r#"{"fine":1,"ok":1}"#,
            &[
                "a.json: is not a map of facts by name",
                "b.json: `os_dist` is collected from the host and cannot be set, choose another name",
                "c.ini: is neither .json, .yaml, .txt nor executable; rename it, remove it, or let its \
                 name begin with a dot",
                "d.txt: `x` is not key=value",
            ],
        );
    }

    #[test]
    fn programs_that_fail_are_told() {
        let long = format!("#!/bin/sh\nyes | head -c {}\n", limits::FACTS_FILE_BYTES + 2);
        check(
            &[
                ("a", "#!/bin/sh\necho x=1\nexit 3\n"),
                ("b", &long),
                ("c", "#!/nonexistent\n"),
                ("d", "#!/bin/sh\necho oops >&2\nkill -9 $$\n"),
            ],
            "{}",
            &[
                "a: ended with exit status: 3",
                "b: printed more than 65536 bytes",
                "c: cannot be run: No such file or directory (os error 2)",
                "d: ended with signal: 9 (SIGKILL): oops",
            ],
        );
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_it_started() {
        let directory = directory(&[("a", "#!/bin/sh\nsleep 1000 &\necho x=1\nsleep 1000\n")]);
        let path = directory.path().join("a");
        let error = program::run(&path, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error, "did not end within 0.3 s");
    }

    #[test]
    fn a_program_that_leaves_others_behind_is_not_waited_for() {
        let directory = directory(&[("a", "#!/bin/sh\nsleep 1000 &\necho x=1\n")]);
        let found = program::run(&directory.path().join("a"), Duration::from_secs(60)).unwrap();
        assert_eq!(found, b"x=1\n");
    }

    #[test]
    fn a_program_that_is_still_written_is_waited_for() {
        let directory = directory(&[("a", "#!/bin/sh\necho x=1\n")]);
        let path = directory.path().join("a");
        let writer = File::options().append(true).open(&path).unwrap();
        let (told, tell) = std::sync::mpsc::channel();
        let found = std::thread::scope(|scope| {
            scope.spawn(move || told.send(program::run(&path, Duration::from_secs(60))));
            // While it is written there is no answer.
            let early = tell.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
            drop(writer);
            tell.recv().unwrap()
        });
        assert_eq!(found.unwrap(), b"x=1\n");
    }

    #[test]
    fn a_program_that_is_written_for_long_is_told() {
        let directory = directory(&[("a", "#!/bin/sh\necho x=1\n")]);
        let path = directory.path().join("a");
        let writer = File::options().append(true).open(&path).unwrap();
        let error = program::run(&path, Duration::from_secs(60)).unwrap_err();
        drop(writer);
        assert_eq!(error, "cannot be run: Text file busy (os error 26)");
    }

    #[test]
    fn a_program_that_others_may_change_is_not_run() {
        let directory = directory(&[("a", "#!/bin/sh\necho x=1\n")]);
        let path = directory.path().join("a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let (facts, problems) = read(&mut External::new(directory.path().to_owned()));
        assert_eq!(facts, "{}");
        assert_eq!(problems, ["a: is not run: others may write to it or to its directory"]);
    }

    #[test]
    fn a_file_that_breaks_keeps_its_last_facts_and_one_that_goes_takes_them_along() {
        let directory = directory(&[("a.json", r#"{"x": 1}"#), ("b.json", r#"{"y": 1}"#)]);
        let mut external = External::new(directory.path().to_owned());
        assert_eq!(read(&mut external).0, r#"{"x":1,"y":1}"#);
        fs::write(directory.path().join("a.json"), "{").unwrap();
        fs::remove_file(directory.path().join("b.json")).unwrap();
        let (facts, problems) = read(&mut external);
        assert_eq!(facts, r#"{"x":1}"#);
        assert_eq!(problems.len(), 1);
        fs::write(directory.path().join("a.json"), "{}").unwrap();
        assert_eq!(read(&mut external), ("{}".into(), Vec::new()));
    }
}
