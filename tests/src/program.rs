//! Members of a cluster that are no `snapd`: the examples in C and Python.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    binaries::{binary, workspace},
    process::{Process, Ran, command},
    wait::wait_until,
};

/// The example in C, compiled against the library.
#[derive(Debug)]
pub struct CProgram {
    dir: TempDir,
}

impl CProgram {
    /// Compiles it.
    ///
    /// # Panics
    /// If it does not compile.
    #[must_use]
    pub fn compile() -> Self {
        let dir = tempfile::tempdir().unwrap();
        name_library(dir.path());
        compile_c("ffi/examples/member.c", dir.path(), &dir.path().join("member"));
        Self { dir }
    }

    /// Starts it.
    #[must_use]
    pub fn start(&self, name: &str, args: &[&str]) -> Program {
        let mut command = command(&self.dir.path().join("member"));
        command.env("LD_LIBRARY_PATH", self.dir.path()).args(["--name", name]).args(args);
        Program::start(name, &mut command)
    }
}

/// The library under the names that programs are linked against.
pub(crate) fn name_library(dir: &Path) {
    let library = binary("libtribe_ffi.so");
    // The name programs look for at run time is in the library.
    let headers = Ran::new(Command::new("readelf").arg("-d").arg(&library)).done();
    let soname = headers.split("soname: [").nth(1).and_then(|rest| rest.split(']').next());
    for name in ["libtribe.so", soname.expect("the library has a soname")] {
        symlink(&library, dir.join(name)).unwrap();
    }
}

/// Compiles a program of the workspace against the library in a directory.
pub(crate) fn compile_c(source: &str, library: &Path, program: &Path) {
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(workspace().join("ffi/include"))
        .arg(workspace().join(source))
        .arg("-o")
        .arg(program)
        .arg("-L")
        .arg(library)
        .args(["-ltribe", "-lpthread"]);
    Ran::new(&mut compiler).done();
}

/// Starts the example in Python.
#[must_use]
pub fn python(name: &str, args: &[&str]) -> Program {
    let mut command = command(&interpreter());
    command.arg(workspace().join("examples/member.py")).arg(name).args(args);
    Program::start(name, &mut command)
}

/// The Python of the virtual environment that `python/run-tests` makes, with the package as it is now.
pub(crate) fn interpreter() -> PathBuf {
    let venv = workspace().join(".venv");
    let python = venv.join("bin/python");
    // Tests of other processes want it as well.
    let lock = File::create(binary("").join("tribe-tests-venv.lock")).unwrap();
    lock.lock().unwrap();
    if !python.exists() || module_time() < source_time() {
        // Makes the environment and the package; pytest then has nothing to do.
        let mut make = command(&workspace().join("python/run-tests"));
        Ran::new(make.arg("--version").current_dir(workspace())).done();
    }
    python
}

/// When the compiled module in the package was built.
fn module_time() -> Option<SystemTime> {
    let files = fs::read_dir(workspace().join("python/tribe")).unwrap().map(Result::unwrap);
    let modules = files.filter(|file| file.path().extension() == Some(OsStr::new("so")));
    modules.map(|file| file.metadata().unwrap().modified().unwrap()).max()
}

/// When its source changed last.
fn source_time() -> Option<SystemTime> {
    ["core/src", "python/src"].iter().filter_map(|dir| newest(&workspace().join(dir))).max()
}

fn newest(dir: &Path) -> Option<SystemTime> {
    let time = |file: fs::DirEntry| match file.file_type().unwrap().is_dir() {
        true => newest(&file.path()),
        false => file.metadata().unwrap().modified().ok(),
    };
    fs::read_dir(dir).unwrap().filter_map(|file| time(file.unwrap())).max()
}

/// A running member that prints what happens, one JSON object a line. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub process: Process,
    name: String,
    stdin: ChildStdin,
    lines: Arc<Mutex<Vec<Value>>>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(command);
        let stdin = process.child.stdin.take().unwrap();
        let lines = collect(process.child.stdout.take().unwrap(), |line| {
            serde_json::from_str(&line).unwrap_or(Value::String(line))
        });
        let errors = collect(process.child.stderr.take().unwrap(), |line| line);
        Self { process, name: name.to_owned(), stdin, lines, errors }
    }

    /// Gives it a command.
    ///
    /// # Panics
    /// If it has ended.
    pub fn say(&self, line: &str) {
        writeln!(&self.stdin, "{line}").unwrap();
    }

    /// All it has printed.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// All it has said on standard error.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until it has printed an event of this kind and subject whose body has this, or a line of this
    /// kind with such fields.
    pub fn hears(&self, kind: &str, subject: &str, part: &Value) -> Value {
        let mut heard = None;
        wait_until(&format!("{} hears {kind} of {subject} with {part}", self.name), || {
            heard = self.heard(kind, subject, part);
            heard.is_some()
        });
        heard.unwrap_or_default()
    }

    /// Waits until it knows a node: it was there when it began to listen, or it joined later.
    pub fn meets(&self, node: &str) {
        wait_until(&format!("{} meets {node}", self.name), || {
            let known = self.heard("known", node, &json!({})).is_some();
            known || self.heard("member-joined", node, &json!({})).is_some()
        });
    }

    /// Waits until it knows a node as member of a tribe: it was when it began to listen, or came later.
    pub fn meets_in(&self, tribe: &str, node: &str) {
        let became = json!({"node": node, "member": true});
        wait_until(&format!("{} meets {node} in {tribe}", self.name), || {
            let lines = self.lines();
            let known = lines.iter().any(|line| {
                let tribes = line["body"]["tribes"].as_array();
                line["kind"] == "known"
                    && line["subject"] == node
                    && tribes.is_some_and(|tribes| tribes.iter().any(|name| name == tribe))
            });
            known || self.heard("membership-changed", tribe, &became).is_some()
        });
    }

    fn heard(&self, kind: &str, subject: &str, part: &Value) -> Option<Value> {
        self.lines().into_iter().find(|line| {
            let told = line["kind"] == kind && line["subject"] == subject;
            told && includes(&line["body"], part)
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- what {} said", self.name);
            self.lines().iter().for_each(|line| println!("{line}"));
            self.errors().iter().for_each(|line| println!("{line}"));
        }
    }
}

/// Has the one value all fields of the other?
fn includes(value: &Value, part: &Value) -> bool {
    match part {
        Value::Object(fields) => fields.iter().all(|(name, part)| includes(&value[name], part)),
        part => value == part,
    }
}

/// Reads lines on a thread that ends with the process.
fn collect<T: Send + 'static>(
    source: impl std::io::Read + Send + 'static,
    read: impl Fn(String) -> T + Send + 'static,
) -> Arc<Mutex<Vec<T>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            shared.lock().unwrap().push(read(line));
        }
    });
    lines
}
