//! What a person types.

use std::{path::Path, process::Stdio};

use crate::{
    binaries::binary,
    process::{Process, Ran, command},
};

/// Runs a line as it stands in the RFC, without the `snapctl` before it.
pub(crate) fn run(socket: &Path, line: &str) -> Ran {
    let words = words(line);
    Ran::new(command(&binary("snapctl")).env("SNAP_SOCKET", socket).args(words))
}

/// Runs a line with no more memory than this.
pub(crate) fn run_within(socket: &Path, line: &str, kib: usize) -> Ran {
    let limited = format!("ulimit -d {kib}; exec \"$@\"");
    let mut shell = command(Path::new("/bin/sh"));
    shell.args(["-c", &limited, "sh"]).arg(binary("snapctl")).args(words(line));
    Ran::new(shell.env("SNAP_SOCKET", socket))
}

/// Starts to run a line, of which nobody wants to hear.
pub(crate) fn start(socket: &Path, line: &str) -> Process {
    let mut snapctl = command(&binary("snapctl"));
    snapctl.env("SNAP_SOCKET", socket).args(words(line));
    Process::start(snapctl.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// The words of a line; what is in double quotes is one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (Vec::new(), false);
    for part in line.split('"') {
        if quoted {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
        quoted = !quoted;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_one_word() {
        let line = r#"tribe policy create p  "{{a}} == b" --tribe core"#;
        let expected = ["tribe", "policy", "create", "p", "{{a}} == b", "--tribe", "core"];
        assert_eq!(words(line), expected);
    }
}
