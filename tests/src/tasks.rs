//! Tasks and plugins of tribes: clusters that run them, and what their nodes tell of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tribe_api::{ItemStatus, Task, TribeStatus};

use crate::{cluster::Cluster, node::Node, wait::wait_until};

/// What tribes may do on the nodes: everything.
const ALL: &str = "capabilities: {load_from_tribes: ['*'], plugins: ['*'], serve_to: ['*']}\n";

impl Cluster {
    /// A cluster of these nodes, all in the tribe `core`, which may do everything on them. Each has the fact
    /// `out`, which is [`Cluster::out`], and this in its configuration.
    #[must_use]
    pub fn of_core(nodes: &[&str], yaml: &str) -> Self {
        let mut cluster = Self::new();
        for node in nodes {
            cluster.add_to_core(node, yaml);
        }
        cluster.run(nodes);
        cluster.wait_until_met();
        let first = &cluster[nodes[0]];
        first.types("tribe create core");
        for node in nodes {
            first.types(&format!("tribe join core {node}"));
        }
        cluster.wait_for_tribes(&[("core", nodes)]);
        cluster
    }

    /// Plans such a node. It does not run yet, and is in no tribe yet.
    pub fn add_to_core(&mut self, node: &str, yaml: &str) {
        let out = format!("out={}", self.out(node).display());
        self.add(node, &["--fact", &out]);
        self[node].configure(&format!("{ALL}{yaml}"));
    }

    /// Where tasks of a node may publish to.
    #[must_use]
    pub fn out(&self, node: &str) -> PathBuf {
        self.dir().join(format!("{node}.out"))
    }

    /// The batches that a node has published there, oldest first.
    ///
    /// # Panics
    /// If it holds something else.
    #[must_use]
    pub fn published(&self, node: &str) -> Vec<Vec<Value>> {
        // Nothing yet.
        let text = fs::read_to_string(self.out(node)).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Writes a manifest to a file of this name. Its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn manifest(&self, name: &str, manifest: &Value) -> PathBuf {
        let path = self.dir().join(name).with_extension("json");
        fs::write(&path, manifest.to_string()).unwrap();
        path
    }
}

impl Node {
    /// Has a tribe load a plugin.
    pub fn load(&self, file: &Path, tribe: &str) {
        self.types(&format!("plugin load {} --tribe {tribe}", file.display()));
    }

    /// Has a tribe run a task.
    pub fn create(&self, manifest: &Path, tribe: &str) {
        self.types(&format!("task create -t {} --tribe {tribe}", manifest.display()));
    }

    /// Waits until all members do all that a tribe asks.
    pub fn wait_until_applied(&self, tribe: &str) {
        wait_until("all is done that the tribe asks", || self.tribe_status(tribe).applied);
    }

    /// A task as it is on this node, whoever wants it; none if there is no such task, or not yet.
    #[must_use]
    pub fn find_task(&self, name: &str) -> Option<Task> {
        self.tasks().into_iter().find(|task| task.name == name)
    }

    /// A task as it is on this node, whoever wants it.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn task(&self, name: &str) -> Task {
        self.find_task(name).expect("a task of that name")
    }

    /// All tasks as they are on this node.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        serde_json::from_value(self.get("/v3/tasks")).unwrap()
    }

    /// How what a tribe wants stands on all its members, as this node learns it.
    ///
    /// # Panics
    /// If it knows none of that name.
    #[must_use]
    pub fn tribe_status(&self, tribe: &str) -> TribeStatus {
        serde_json::from_value(self.get(&format!("/v3/tribes/{tribe}/status"))).unwrap()
    }

    /// How an item of a tribe stands on a member, as this node learns it.
    #[must_use]
    pub fn item(&self, tribe: &str, member: &str, item: &str) -> Option<ItemStatus> {
        let members = self.tribe_status(tribe).members;
        let member = members.into_iter().find(|known| known.name == member)?;
        member.items.into_iter().find(|known| known.name == item)
    }

    /// The plugins that run here: the id of each process, and the name of its file.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn plugin_processes(&self) -> Vec<(u32, String)> {
        children(self.pid())
    }
}

/// Does a process run? One that has ended and that nobody has looked at does not.
#[must_use]
pub fn runs(id: u32) -> bool {
    parent_and_name(id).is_some()
}

/// The processes that a process has started and that still run, and their names.
fn children(parent: u32) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_parent = |id: u32| {
        let (of, name) = parent_and_name(id)?;
        (of == parent).then_some((id, name))
    };
    ids.filter_map(of_parent).collect()
}

/// Who started a process that runs, and its name.
fn parent_and_name(id: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (start, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let name = start.split_once('(')?.1.to_owned();
    (state != "Z").then_some((parent, name))
}
