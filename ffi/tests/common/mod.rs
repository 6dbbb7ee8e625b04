//! Compiling and running programs against the library.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A language the header must be good for.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) extension: &'static str,
    compiler: &'static str,
    standard: &'static str,
}

pub(crate) const C99: Dialect = Dialect { extension: "c", compiler: "cc", standard: "-std=c99" };
pub(crate) const C11: Dialect = Dialect { extension: "c", compiler: "cc", standard: "-std=c11" };
pub(crate) const CPP17: Dialect =
    Dialect { extension: "cpp", compiler: "c++", standard: "-std=c++17" };

const WARNINGS: &[&str] =
    &["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"];

impl Dialect {
    pub(crate) fn compiler(self) -> Run {
        Run::new(self.compiler)
            .arg(self.standard)
            .args(WARNINGS)
            .arg("-I")
            .arg(crate_path("include"))
    }
}

/// How a program gets the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    Shared,
    Static,
}

/// Programs compiled against the library, and what they need to run.
pub(crate) struct Programs {
    directory: TempDir,
}

impl Programs {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The shared library under the names it is installed with.
        let soname = format!("libtribe.so.{}", soname_version());
        for name in ["libtribe.so", &soname] {
            std::os::unix::fs::symlink(built("libtribe_ffi.so"), directory.path().join(name))
                .unwrap();
        }
        fs::copy(built("libtribe_ffi.a"), directory.path().join("libtribe.a")).unwrap();
        Self { directory }
    }

    /// Compiles a program of this crate with the sanitizers on, and a compiler's every objection.
    pub(crate) fn compile(&self, dialect: Dialect, link: Link, source: &Path) -> PathBuf {
        let stem = source.file_stem().unwrap().to_str().unwrap();
        let program = self.directory.path().join(format!("{stem}-{link:?}"));
        let compiler = dialect
            .compiler()
            .args(["-g", "-fsanitize=address,undefined"])
            .arg("-fno-sanitize-recover=undefined")
            .arg("-o")
            .arg(&program);
        // `-x` makes a C program a C++ one.
        let language = if dialect.extension == "c" { "c" } else { "c++" };
        let compiler = compiler.args(["-x", language]).arg(source).args(["-x", "none"]);
        let compiler = match link {
            Link::Shared => compiler.arg("-L").arg(self.directory.path()).arg("-ltribe"),
            Link::Static => compiler
                .arg(self.directory.path().join("libtribe.a"))
                .args(["-lgcc_s", "-lutil", "-lrt", "-lm", "-ldl"]),
        };
        compiler.arg("-lpthread").succeeds();
        program
    }

    /// Runs a program.
    pub(crate) fn run(&self, program: &Path) -> Run {
        // valgrind, say.
        let run = match env::var("TRIBE_TEST_WRAPPER") {
            Ok(wrapper) => {
                let mut words = wrapper.split_whitespace();
                Run::new(words.next().unwrap()).args(words).arg(program)
            }
            Err(_) => Run::new(program),
        };
        run.env("LD_LIBRARY_PATH", self.directory.path())
            .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    }
}

/// What programs of this version are linked against.
pub(crate) fn soname_version() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => format!("0.{}", env!("CARGO_PKG_VERSION_MINOR")),
        major => major.to_owned(),
    }
}

/// A file of this crate.
pub(crate) fn crate_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A library that cargo built beside this test.
pub(crate) fn built(name: &str) -> PathBuf {
    env::current_exe().unwrap().with_file_name(name)
}

/// A command that says all it can when it fails.
pub(crate) struct Run(Command);

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self(Command::new(program))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// For what needs more than to run and end.
    pub(crate) fn command(self) -> Command {
        self.0
    }

    /// Runs it and gives what it printed.
    pub(crate) fn succeeds(mut self) -> String {
        let Output { status, stdout, stderr } = self.0.output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{:?}: {status}\n{stdout}\n{stderr}", self.0);
        stdout.into_owned()
    }
}
