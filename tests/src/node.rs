//! One `snapd` and the people who type on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;
use tribe_api::{Member, MemberState, NodeInfo, Tribe, TribeSummary};

use crate::{
    binaries::binary,
    cluster::Tribes,
    http::{self, Asked},
    network::Place,
    process::{Process, Ran},
    snapctl,
    wait::wait_until,
};

/// Lines of a log that a failed test shows.
const LAST_LINES: usize = 80;

/// One `snapd` of a [`Cluster`](crate::Cluster). It keeps its name, address and data while it does not run.
#[derive(Debug)]
pub struct Node {
    pub(crate) name: String,
    address: SocketAddr,
    dir: PathBuf,
    key: Option<PathBuf>,
    options: Vec<String>,
    /// Where its process runs.
    pub(crate) place: Place,
    pub(crate) seeds: Vec<SocketAddr>,
    pub(crate) process: Option<Process>,
}

impl Node {
    pub(crate) fn new(
        name: &str,
        address: SocketAddr,
        cluster_dir: &Path,
        key: Option<&Path>,
        options: &[&str],
    ) -> Self {
        let dir = cluster_dir.join(name);
        fs::create_dir(&dir).unwrap();
        Self {
            name: name.to_owned(),
            address,
            dir,
            key: key.map(Path::to_owned),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            place: Place::default(),
            seeds: Vec::new(),
            process: None,
        }
    }

    /// Gives it this configuration file, which it reads when it is started.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configure(&self, yaml: &str) {
        fs::write(self.config_path(), yaml).unwrap();
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let config = self.config_path();
        let config = if config.exists() { config } else { PathBuf::from("/dev/null") };
        let mut command = self.place.command(&binary("snapd"));
        command
            .arg("--config")
            .arg(config)
            .args(["--log-level", "info,tribe=debug", "--tribe"])
            .args(["--tribe-node-name", &self.name])
            .args(["--tribe-addr", &self.address.ip().to_string()])
            .args(["--tribe-port", &self.address.port().to_string()])
            .arg("--socket")
            .arg(self.socket())
            .arg("--data-dir")
            .arg(self.dir.join("data"))
            .args(self.seeds.iter().flat_map(|seed| ["--tribe-seed".into(), seed.to_string()]))
            .args(&self.options)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        match &self.key {
            Some(key) => command.arg("--tribe-key-file").arg(key),
            None => command.arg("--tribe-plaintext"),
        };
        self.process = Some(Process::start(&mut command));
    }

    /// Waits until the process answers.
    pub(crate) fn wait_until_ready(&mut self) {
        let socket = self.socket();
        let process = self.process.as_mut().expect("the node was started");
        wait_until("snapd answers or ends", || {
            http::get(&socket, "/v3/version").is_ok() || process.try_ended().is_some()
        });
        assert_eq!(process.try_ended(), None, "{} ended early", self.name);
    }

    /// Is there a process?
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where other nodes reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of its process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    /// Ends it as a power cut would, `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the node runs").signal(signal);
    }

    /// All it has logged, in all its runs.
    ///
    /// # Panics
    /// If it was never started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    /// The socket of its control API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("snapd.sock")
    }

    /// The file that holds what it must not forget.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.dir.join("data/state.redb")
    }

    /// Types a line on it, without the `snapctl` before it.
    #[must_use]
    pub fn tries(&self, line: &str) -> Ran {
        snapctl::run(&self.socket(), line)
    }

    /// Types a line on it that succeeds. What that printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn types(&self, line: &str) -> String {
        self.tries(line).done()
    }

    /// Types a line on it, for a `snapctl` that gets no more memory than this.
    #[must_use]
    pub fn tries_within(&self, line: &str, kib: usize) -> Ran {
        snapctl::run_within(&self.socket(), line, kib)
    }

    /// Types a line on it, and does not wait for its end.
    #[must_use]
    pub fn starts(&self, line: &str) -> Process {
        snapctl::start(&self.socket(), line)
    }

    /// Asks its control API. Status and body of the answer.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn asks(&self, path: &str) -> (u16, Value) {
        http::get(&self.socket(), path).unwrap()
    }

    /// Asks its control API with this method, type of body and body, and does not wait for the
    /// answer.
    ///
    /// # Panics
    /// If it cannot be reached.
    #[must_use]
    pub fn begins(&self, method: &str, path: &str, media: &str, body: &str) -> Asked {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: snapd\r\nconnection: close\r\n\
             content-type: {media}\r\ncontent-length: {length}"
        );
        Asked::new(&self.socket(), &head, body).unwrap()
    }

    /// Asks its control API.
    ///
    /// # Panics
    /// If the answer is not 200.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.asks(path);
        assert_eq!(status, 200, "{}: GET {path}: {body}", self.name);
        body
    }

    /// What it says of itself.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        serde_json::from_value(self.get("/v3/node")).unwrap()
    }

    /// All nodes it knows.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        serde_json::from_value(self.get("/v3/members")).unwrap()
    }

    /// The nodes it knows and what it thinks of them.
    #[must_use]
    pub fn states(&self) -> BTreeMap<String, MemberState> {
        self.members().into_iter().map(|member| (member.name, member.state)).collect()
    }

    /// The nodes that are there, as far as it knows.
    #[must_use]
    pub fn alive(&self) -> BTreeSet<String> {
        let alive = self.states().into_iter().filter(|(_, state)| *state == MemberState::Alive);
        alive.map(|(name, _)| name).collect()
    }

    /// One tribe as it sees it.
    ///
    /// # Panics
    /// If it knows none of that name.
    #[must_use]
    pub fn tribe(&self, name: &str) -> Tribe {
        serde_json::from_value(self.get(&format!("/v3/tribes/{name}"))).unwrap()
    }

    /// All tribes and who is in them, as it sees it.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn tribes(&self) -> Tribes {
        let tribes: Vec<TribeSummary> = serde_json::from_value(self.get("/v3/tribes")).unwrap();
        let names = |tribe: Tribe| tribe.members.into_iter().map(|member| member.name).collect();
        tribes
            .into_iter()
            .map(|tribe| (tribe.name.clone(), names(self.tribe(&tribe.name))))
            .collect()
    }

    /// The value of a fact, as it sees it.
    ///
    /// # Panics
    /// If it does not know the node.
    #[must_use]
    pub fn fact(&self, node: &str, name: &str) -> Option<Value> {
        let facts = self.get(&format!("/v3/members/{node}/facts"));
        let fact = facts.as_array().unwrap().iter().find(|fact| fact["name"] == name)?;
        Some(fact["value"].clone())
    }

    /// What it has counted.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.get("/v3/counters")).unwrap()
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("snapd.yaml")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() && self.log_path().exists() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LAST_LINES);
            println!("---- log of {} ({skipped} lines left out)", self.name);
            for line in log.lines().skip(skipped) {
                println!("{line}");
            }
        }
    }
}
