//! Someone who follows the events of a node.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tribe_api::Event;

use crate::{
    binaries::binary,
    node::Node,
    process::{Process, command},
    wait::wait_until,
};

/// A fact that is set until the listener hears of it.
const MARK: &str = "heard";

/// `snapctl events --follow` on a node.
#[derive(Debug)]
pub struct Listener {
    output: PathBuf,
    _process: Process,
    _dir: TempDir,
}

impl Listener {
    /// Follows the events of a node. From now on it misses none.
    ///
    /// # Panics
    /// If it hears nothing.
    #[must_use]
    pub fn on(node: &Node) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("events");
        let mut command = command(&binary("snapctl"));
        command.env("SNAP_SOCKET", node.socket()).args(["events", "--follow", "-o", "json"]);
        let process = Process::start(command.stdout(File::create(&output).unwrap()));
        let listener = Self { output, _process: process, _dir: dir };
        let mut marks = 0;
        wait_until("the listener hears", || {
            marks += 1;
            node.types(&format!("fact set {} {MARK}={marks}", node.name()));
            listener.heard().iter().any(|event| event.kind == "fact-changed")
        });
        listener
    }

    /// All it heard so far.
    ///
    /// # Panics
    /// If that is not what `snapctl` promises to print.
    #[must_use]
    pub fn heard(&self) -> Vec<Event> {
        let text = read(&self.output);
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whom the node took for dead.
    ///
    /// # Panics
    /// If it was too slow and missed some events.
    #[must_use]
    pub fn downs(&self) -> Vec<String> {
        let down = |event: &Event| event.kind == "member-left" && cause(event) == Some("down");
        let heard = self.heard();
        assert!(heard.iter().all(|event| event.kind != "missed"), "{heard:?}");
        let heard = heard.into_iter().filter(down);
        heard.map(|event| event.subject).collect()
    }
}

fn cause(event: &Event) -> Option<&str> {
    event.body.get("cause").and_then(Value::as_str)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
