//! A real InfluxDB 1.x to publish to.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    address::free_address,
    http,
    network::{Network, Place},
    process::Process,
    wait::wait_until,
};

/// Where Debian's package puts it.
const INFLUXD: &str = "/usr/bin/influxd";
/// Where it is reached on a host that it has to itself.
const PORT: u16 = 8086;

/// One `influxd` with its data in a temporary directory, which it keeps while it does not run.
#[derive(Debug)]
pub struct Influx {
    address: SocketAddr,
    place: Place,
    process: Option<Process>,
    // Last, for the process is dropped first.
    dir: TempDir,
}

impl Influx {
    /// Starts one on an address of its own and waits until it answers.
    ///
    /// # Panics
    /// If it does not, or there is no `influxd`.
    #[must_use]
    pub fn start() -> Self {
        Self::new(free_address(), Place::default())
    }

    /// Starts one on a host and waits until it answers. It is dropped before the network is.
    ///
    /// # Panics
    /// If it does not, or there is no `influxd`.
    #[must_use]
    pub fn start_on(network: &Network, host: &str) -> Self {
        Self::new(SocketAddr::new(network.ip(host).into(), PORT), network.place(host))
    }

    fn new(address: SocketAddr, place: Place) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut influx = Self { address, place, process: None, dir };
        fs::write(influx.file("influxdb.conf"), influx.config()).unwrap();
        influx.run();
        influx
    }

    /// What differs from its defaults: nothing at a fixed place, and nothing for its own sake.
    fn config(&self) -> String {
        let (address, dir) = (self.address, self.dir.path().display());
        let ip = address.ip();
        format!(
            r#"
reporting-disabled = true
bind-address = "{ip}:0"
[meta]
dir = "{dir}/meta"
[data]
dir = "{dir}/data"
wal-dir = "{dir}/wal"
cache-max-memory-size = "64m"
cache-snapshot-memory-size = "4m"
query-log-enabled = false
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
[http]
bind-address = "{address}"
unix-socket-enabled = true
bind-socket = "{dir}/influxd.sock"
log-enabled = false
"#
        )
    }

    /// Starts it again and waits until it answers, with all it knew.
    ///
    /// # Panics
    /// If it runs, or does not answer.
    pub fn run(&mut self) {
        assert!(self.process.is_none(), "influxd runs");
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        let mut command = self.place.command(Path::new(INFLUXD));
        command.args(["run", "-config"]).arg(self.file("influxdb.conf"));
        assert!(Path::new(INFLUXD).exists(), "there is no {INFLUXD}: run `tests/setup` as root");
        let mut process = Process::start(command.stdout(log.try_clone().unwrap()).stderr(log));
        let (socket, log) = (self.socket(), self.file("log"));
        wait_until("influxd answers", || {
            assert_eq!(process.try_ended(), None, "{}", fs::read_to_string(&log).unwrap());
            ask(&socket, "", "SHOW DATABASES").is_some()
        });
        self.process = Some(process);
    }

    /// Ends it as its administrator does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("influxd runs");
        process.signal(Signal::TERM);
        process.ended();
    }

    /// Ends it as a power cut would, `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Where it is written to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a database.
    pub fn create(&self, database: &str) {
        self.query("", &format!("CREATE DATABASE \"{database}\""));
    }

    /// The series that answer a query.
    ///
    /// # Panics
    /// If it is refused, or influxd does not run.
    pub fn query(&self, database: &str, query: &str) -> Vec<Value> {
        let reply = ask(&self.socket(), database, query).expect("influxd answers");
        let result = &reply["results"][0];
        let error = [&reply["error"], &result["error"]].into_iter().find(|error| !error.is_null());
        assert_eq!(error, None, "{query}");
        result["series"].as_array().cloned().unwrap_or_default()
    }

    /// The keys of all series, as `intel/psutil/load/load1,source=i1`. Empty as long as there is no such
    /// database.
    pub fn series(&self, database: &str) -> BTreeSet<String> {
        self.column(database, "SHOW SERIES", 0)
    }

    /// The nodes that have series of which the measurement begins with this.
    ///
    /// # Panics
    /// If influxd does not run.
    pub fn sources(&self, database: &str, measurement: &str) -> BTreeSet<String> {
        let start = measurement.replace('/', "\\/");
        let query = format!("SHOW TAG VALUES FROM /^{start}/ WITH KEY = \"source\"");
        self.column(database, &query, 1)
    }

    /// How many points a measurement has from a node, whatever their other tags.
    ///
    /// # Panics
    /// If influxd does not run.
    pub fn count(&self, database: &str, measurement: &str, source: &str) -> usize {
        self.times(database, measurement, source).len()
    }

    /// The times of the points that a measurement has from a node, in order, in nanoseconds since 1970.
    /// Points of series that differ in other tags have the same time.
    ///
    /// # Panics
    /// If influxd does not run.
    pub fn times(&self, database: &str, measurement: &str, source: &str) -> Vec<i64> {
        if !self.has(database) {
            return Vec::new();
        }
        let query = format!(r#"SELECT "value" FROM "{measurement}" WHERE "source" = '{source}'"#);
        let series = self.query(database, &query);
        let rows = series.iter().flat_map(|series| series["values"].as_array().unwrap());
        rows.map(|row| row[0].as_i64().unwrap()).collect()
    }

    /// The texts in a column of an answer.
    fn column(&self, database: &str, query: &str, column: usize) -> BTreeSet<String> {
        if !self.has(database) {
            return BTreeSet::new();
        }
        let series = self.query(database, query);
        let rows = series.iter().flat_map(|series| series["values"].as_array().unwrap());
        rows.map(|row| row[column].as_str().unwrap().to_owned()).collect()
    }

    fn has(&self, database: &str) -> bool {
        let series = self.query("", "SHOW DATABASES");
        let mut rows = series.iter().filter_map(|series| series["values"].as_array()).flatten();
        rows.any(|row| row[0] == database)
    }

    fn socket(&self) -> PathBuf {
        self.file("influxd.sock")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Asks over the socket, which is reached from every host. None if nobody answers.
fn ask(socket: &Path, database: &str, query: &str) -> Option<Value> {
    let (database, query) = (encoded(database), encoded(query));
    // An answer in HTTP/1.0 is in one piece.
    let head = format!("POST /query?epoch=ns&db={database}&q={query} HTTP/1.0");
    http::send(socket, &head).ok().map(|(_, body)| body)
}

/// A text as it stands in a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
