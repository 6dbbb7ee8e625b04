//! One and the same agent in every language: the examples `echo`, which serve an echo and dial others.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    Program,
    binaries::{binary, workspace},
    process::{Ran, command},
    program::{compile_c, interpreter, name_library},
};

/// What an agent is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C, over `tribe.h`.
    C,
    /// Go, over the package in `ffi/go`.
    Go,
    /// Python with asyncio.
    Python,
    /// Rust, over the library itself.
    Rust,
}

impl Language {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::C, Self::Go, Self::Python, Self::Rust];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Go => "go",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }
}

/// The agents, compiled.
#[derive(Debug)]
pub struct Echoes {
    dir: TempDir,
}

impl Echoes {
    /// Compiles those that must be.
    ///
    /// # Panics
    /// If one does not compile.
    #[must_use]
    pub fn compile() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("lib");
        fs::create_dir(&library).unwrap();
        name_library(&library);
        compile_c("ffi/examples/echo.c", &library, &dir.path().join("c"));
        compile_go(&library, &dir.path().join("go"));
        Self { dir }
    }

    /// Starts one of them.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(&self, language: Language, name: &str, args: &[&str]) -> Program {
        let mut command = match language {
            Language::C | Language::Go => command(&self.dir.path().join(language.name())),
            Language::Rust => command(&binary("examples").join("echo")),
            Language::Python => {
                let mut python = command(&interpreter());
                python.arg(workspace().join("examples/echo.py"));
                python
            }
        };
        command.env("LD_LIBRARY_PATH", self.dir.path().join("lib")).arg(name).args(args);
        Program::start(name, &mut command)
    }
}

fn compile_go(library: &Path, program: &Path) {
    let found = fs::read_to_string(workspace().join("ffi/tribe.pc.in")).unwrap();
    let found = found
        .replace("@LIBDIR@", library.to_str().unwrap())
        .replace("@PREFIX@", library.to_str().unwrap())
        .replace("@INCLUDEDIR@", workspace().join("ffi/include").to_str().unwrap())
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    fs::write(library.join("tribe.pc"), found).unwrap();
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(program)
        .arg("./examples/echo")
        .current_dir(workspace().join("ffi/go"))
        .env("PKG_CONFIG_PATH", library)
        // Go's cache knows a package by this, not by what pkg-config says.
        .env("CGO_LDFLAGS", format!("-L{}", library.display()));
    Ran::new(&mut go).done();
}
