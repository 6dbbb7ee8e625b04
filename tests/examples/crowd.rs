//! Many real agents on one machine: ours, and beside them in the same run those of Debian's `serf`.
//!
//! ```text
//! cargo build --release -p snapd -p snapctl
//! cargo run --release -p tribe-tests --example crowd -- 50 --idle 60 --burst 500
//! ```
//!
//! Needs root, for each crowd has a loopback of its own (a network namespace), and the package `serf`; without that ours
//! are measured alone. Both seal what they send.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program that measures, and ends if it cannot"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tribe_tests::{Network, Place, binary};

const HOST: &str = "crowd";
/// Nothing measured here takes longer.
const LONGEST: Duration = Duration::from_secs(120);
/// The key of the serf crowd: 32 bytes in Base64.
const SERF_KEY: &str = "cg8StVXbQJ0gPvMd9o7yrg8StVXbQJ0gPvMd9o7yrg4=";
const TIMES: usize = 5;
/// After so many changes each agent has heard of one.
const MARKS: usize = 60;

struct Options {
    agents: usize,
    idle: Duration,
    burst: usize,
}

/// What an agent was heard to say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Joined(String),
    Down(String),
    /// A record, or for serf an event.
    Change(String),
}

/// One of both kinds of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snapd,
    Serf,
}

struct Agent {
    child: Child,
    name: String,
}

struct Crowd {
    kind: Kind,
    network: Network,
    place: Place,
    dir: TempDir,
    agents: Vec<Agent>,
    sender: Sender<(usize, Heard, Instant)>,
    heard: Receiver<(usize, Heard, Instant)>,
}

/// What the loopback of a crowd has carried.
#[derive(Debug, Clone, Copy)]
struct Carried {
    bytes: u64,
    packets: u64,
}

fn main() {
    let options = options();
    if !on_path("serf") {
        println!("the package serf is not installed: snapd is measured alone");
    }
    let kinds = if on_path("serf") { vec![Kind::Snapd, Kind::Serf] } else { vec![Kind::Snapd] };
    let mut table: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for kind in &kinds {
        for (what, value) in measure(*kind, &options) {
            table.entry(what).or_default().push(value);
        }
    }
    println!(
        "\n| {} agents | {} |",
        options.agents,
        kinds.iter().map(|kind| kind.program()).collect::<Vec<_>>().join(" | ")
    );
    println!("|---{}|", "|---".repeat(kinds.len()));
    for (what, values) in table {
        println!("| {} | {} |", &what[2..], values.join(" | "));
    }
}

fn options() -> Options {
    let mut options = Options { agents: 50, idle: Duration::from_secs(60), burst: 0 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        match word.as_str() {
            "--idle" => options.idle = Duration::from_secs(number()),
            "--burst" => options.burst = number() as usize,
            agents => options.agents = agents.parse().expect("how many agents"),
        }
    }
    options
}

fn on_path(program: &str) -> bool {
    let found = Command::new(program).arg("version").stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Rows are in the order of their first two letters.
fn measure(kind: Kind, options: &Options) -> Vec<(&'static str, String)> {
    let mut crowd = Crowd::start(kind, options.agents);
    let mut rows = vec![("a all see all after the last start", seconds(crowd.until_met()))];
    crowd.follow();
    let (cpu, before) = (crowd.processor_seconds(), crowd.carried());
    if !options.idle.is_zero() {
        std::thread::sleep(options.idle);
        let time = options.idle.as_secs_f64();
        let agents = options.agents as f64;
        let after = crowd.carried();
        let packets = after.packets - before.packets;
        // Ethernet's 14 bytes, IP's 20 and UDP's 8 are no payload; TCP is rare.
        let bytes = (after.bytes - before.bytes).saturating_sub(42 * packets);
        let cpu = (crowd.processor_seconds() - cpu) / agents / time * 60.0;
        rows.push((
            "b idle: resident memory of an agent",
            format!("{:.1} MiB", crowd.resident_mib()),
        ));
        rows.push(("c idle: processor time of an agent in a minute", format!("{cpu:.3} s")));
        rows.push((
            "d idle: sent by an agent in a second",
            format!(
                "{:.0} B, {:.1} packets",
                bytes as f64 / agents / time,
                packets as f64 / agents / time
            ),
        ));
    }
    let changes: Vec<Duration> = (0..TIMES).map(|time| crowd.change(time)).collect();
    rows.push(("e a change is at all, median and worst of 5", median_and_worst(changes)));
    let (downs_before, kills) = (crowd.agents.len(), 3);
    let deaths: Vec<Duration> = (0..kills).map(|_| crowd.kill_one()).collect();
    rows.push(("f a SIGKILL is known by all, median and worst of 3", median_and_worst(deaths)));
    assert_eq!(crowd.agents.len() + kills, downs_before);
    if options.burst > 0 {
        let (took, downs) = crowd.burst(options.burst);
        rows.push(("g a burst of changes is everywhere", took));
        rows.push(("h and meanwhile taken for dead", downs.to_string()));
    }
    for (what, value) in &rows {
        println!("{}: {}: {value}", kind.program(), &what[2..]);
    }
    rows
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("not in 120 s".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

fn median_and_worst(mut times: Vec<Duration>) -> String {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    format!("{:.2} s, {:.2} s", median.as_secs_f64(), worst.as_secs_f64())
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Snapd => "snapd",
            Self::Serf => "serf",
        }
    }

    /// Where the first agent is reached.
    fn first(self) -> SocketAddr {
        let port = match self {
            Self::Snapd => 6000,
            Self::Serf => 7946,
        };
        SocketAddr::new(address(0).into(), port)
    }

    /// What a line of an agent's log or events says.
    fn read(self, line: &str) -> Option<Heard> {
        match self {
            Self::Snapd => {
                let event: serde_json::Value =
                    serde_json::from_str(line.strip_prefix("data:")?).ok()?;
                let subject = event["subject"].as_str()?.to_owned();
                match event["kind"].as_str()? {
                    "member-joined" => Some(Heard::Joined(subject)),
                    "member-left" => Some(Heard::Down(subject)),
                    "tribe-created" => Some(Heard::Change(subject)),
                    _ => None,
                }
            }
            Self::Serf => {
                let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
                if let Some((_, rest)) = line.split_once("EventMemberJoin: ") {
                    word(rest).map(Heard::Joined)
                } else if let Some((_, rest)) = line.split_once("EventMemberFailed: ") {
                    word(rest).map(Heard::Down)
                } else {
                    let (_, rest) = line.split_once("Received event: user-event: ")?;
                    word(rest).map(Heard::Change)
                }
            }
        }
    }
}

/// A line of snapd's log, which is read until its events can be.
fn read_log(line: &str) -> Option<Heard> {
    let (_, rest) = line.split_once("member joined")?;
    let (_, rest) = rest.split_once("node=")?;
    rest.split_whitespace().next().map(|name| Heard::Joined(name.to_owned()))
}

impl Crowd {
    fn start(kind: Kind, count: usize) -> Self {
        let network = Network::new(&[HOST]).expect("root, to make a network namespace");
        let (sender, heard) = channel();
        let dir = tempfile::tempdir().unwrap();
        let place = network.place(HOST);
        let mut crowd = Self { kind, network, place, dir, agents: Vec::new(), sender, heard };
        if kind == Kind::Snapd {
            let key = crowd.dir.path().join("key");
            let made = Command::new(binary("snapd")).args(["keygen", "--out"]).arg(key).output();
            assert!(made.unwrap().status.success());
        }
        crowd.spawn(0);
        // The others join it, and serf gives up if it is not there yet.
        while !crowd.network.on(HOST, || TcpStream::connect(kind.first()).is_ok()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for number in 1..count {
            crowd.spawn(number);
        }
        crowd
    }

    fn spawn(&mut self, number: usize) {
        let name = format!("n{number}");
        let mut command = match self.kind {
            Kind::Snapd => self.snapd(number),
            Kind::Serf => self.serf(number),
        };
        command.stdin(Stdio::null());
        // snapd logs to its standard error, serf to its standard output.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let read = match self.kind {
            Kind::Snapd => read_log,
            Kind::Serf => |line: &str| Kind::Serf.read(line),
        };
        for lines in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = self.sender.clone();
            listen(number, lines, sender, read);
        }
        self.agents.push(Agent { child, name });
    }

    fn snapd(&self, number: usize) -> Command {
        let dir = self.dir.path();
        let mut command = self.place.command(&binary("snapd"));
        command
            .args(["--config", "/dev/null", "--tribe", "--log-level", "info"])
            .args(["--tribe-node-name", &format!("n{number}")])
            .args(["--tribe-addr", &address(number).to_string(), "--tribe-port", "6000"])
            .arg("--socket")
            .arg(self.socket(number))
            .arg("--data-dir")
            .arg(dir.join(format!("data{number}")))
            .arg("--tribe-key-file")
            .arg(dir.join("key"));
        if number > 0 {
            command.args(["--tribe-seed", &format!("{}:6000", address(0))]);
        }
        command
    }

    fn serf(&self, number: usize) -> Command {
        let mut command = self.place.command(Path::new("serf"));
        command
            .args(["agent", "-log-level=info", "-profile=lan"])
            .arg(format!("-node=n{number}"))
            .arg(format!("-bind={}:7946", address(number)))
            .arg(format!("-rpc-addr={}:7373", address(number)))
            .arg(format!("-encrypt={SERF_KEY}"));
        if number > 0 {
            command.arg(format!("-join={}:7946", address(0)));
        }
        command
    }

    fn socket(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("s{number}"))
    }

    /// How long it takes from the last start until each agent has heard of each.
    fn until_met(&mut self) -> Option<Duration> {
        let start = Instant::now();
        let names: BTreeSet<String> = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let mut seen: Vec<BTreeSet<String>> = names
            .iter()
            .enumerate()
            .map(|(number, _)| BTreeSet::from([format!("n{number}")]))
            .collect();
        self.until(start, |agent, heard, _| {
            if let Heard::Joined(name) = heard {
                seen[agent].insert(name.clone());
            }
            seen.iter().all(|seen| seen.len() == names.len())
        })
    }

    /// Waits until this is satisfied by what is heard. How long that took, if it did not take too long.
    fn until(
        &self,
        start: Instant,
        mut done: impl FnMut(usize, &Heard, Instant) -> bool,
    ) -> Option<Duration> {
        loop {
            let left = LONGEST.checked_sub(start.elapsed())?;
            let (agent, heard, at) = self.heard.recv_timeout(left).ok()?;
            if done(agent, &heard, at) {
                return Some(at.saturating_duration_since(start));
            }
        }
    }

    /// From now on the events of snapd are read, not its log.
    fn follow(&mut self) {
        if self.kind == Kind::Snapd {
            let (sender, heard) = channel();
            (self.sender, self.heard) = (sender, heard);
            for number in 0..self.agents.len() {
                let mut stream = UnixStream::connect(self.socket(number)).unwrap();
                write!(stream, "GET /v3/events HTTP/1.1\r\nhost: snapd\r\n\r\n").unwrap();
                listen(number, stream, self.sender.clone(), |line| Kind::Snapd.read(line));
            }
        }
        // Changes are made until each has heard of one.
        let mut deaf = self.running();
        for mark in 0..MARKS {
            self.type_change(0, &format!("mark{mark}"), "x");
            while let Ok((agent, heard, _)) = self.heard.recv_timeout(Duration::from_secs(1)) {
                if matches!(heard, Heard::Change(_)) {
                    deaf.remove(&agent);
                }
            }
            if deaf.is_empty() {
                return;
            }
        }
        panic!("these agents heard of no change: {deaf:?}");
    }

    fn running(&self) -> BTreeSet<usize> {
        self.agents.iter().filter_map(|agent| agent.name[1..].parse().ok()).collect()
    }

    /// Makes a change on the first agent. The time from when that one has it until all have it.
    fn change(&mut self, time: usize) -> Duration {
        let name = format!("change{time}");
        self.type_change(0, &name, "x");
        let (mut missing, mut first, mut last) = (self.running(), None, None);
        self.until(Instant::now(), |agent, heard, at| {
            if *heard == Heard::Change(name.clone()) && missing.remove(&agent) {
                first = first.min(Some(at)).or(Some(at));
                last = last.max(Some(at));
            }
            missing.is_empty()
        })
        .expect("a change is everywhere in time");
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    fn type_change(&self, agent: usize, name: &str, text: &str) {
        let mut command = match self.kind {
            Kind::Snapd => {
                let mut command = Command::new(binary("snapctl"));
                command.env("SNAP_SOCKET", self.socket(agent));
                command.args(["tribe", "create", name, "--description", text]);
                command
            }
            Kind::Serf => {
                let mut command = self.place.command(Path::new("serf"));
                command.arg("event").arg(format!("-rpc-addr={}:7373", address(agent)));
                // Serf would join events of one name.
                command.args(["-coalesce=false", name, text]);
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    /// Kills the last agent. The time until all others know.
    fn kill_one(&mut self) -> Duration {
        let mut agent = self.agents.pop().unwrap();
        let mut missing = self.running();
        agent.child.kill().unwrap();
        let start = Instant::now();
        let took = self.until(start, |by, heard, _| {
            if *heard == Heard::Down(agent.name.clone()) {
                missing.remove(&by);
            }
            missing.is_empty()
        });
        agent.child.wait().unwrap();
        took.expect("a death is known in time")
    }

    /// So many changes of 200 bytes, as fast as the agents take them: each gets its share over one
    /// connection. How long it takes from the first until all are everywhere, and how many agents
    /// were taken for dead.
    fn burst(&mut self, count: usize) -> (String, usize) {
        let running = self.running();
        let all = (0..count).map(|number| format!("burst{number}"));
        let mut missing: BTreeSet<(usize, String)> =
            all.flat_map(|name| running.iter().map(move |agent| (*agent, name.clone()))).collect();
        let (whole, mut downs) = (missing.len(), 0);
        let start = Instant::now();
        let (took, written) = std::thread::scope(|scope| {
            let shares = running.iter().enumerate().map(|(share, agent)| {
                let names = (share..count).step_by(running.len());
                let names = names.map(|number| format!("burst{number}")).collect::<Vec<_>>();
                let crowd = self.writer(*agent);
                scope.spawn(move || crowd.write_all(&names))
            });
            let shares: Vec<_> = shares.collect();
            let took = self.until(start, |agent, heard, _| {
                match heard {
                    Heard::Change(name) if name.starts_with("burst") => {
                        missing.remove(&(agent, name.clone()));
                    }
                    Heard::Down(_) => downs += 1,
                    _ => {}
                }
                missing.is_empty()
            });
            let written = shares.into_iter().map(|share| share.join().unwrap()).max();
            (took, written.unwrap_or(start).saturating_duration_since(start))
        });
        let written = written.as_secs_f64();
        let what = match took {
            Some(took) => format!(
                "{:.2} s after the first of {count}, written within {written:.1} s",
                took.as_secs_f64()
            ),
            None => format!("not in 120 s: {} of {whole} are missing", missing.len()),
        };
        (what, downs)
    }

    fn writer(&self, agent: usize) -> Writer {
        match self.kind {
            Kind::Snapd => Writer::Snapd(UnixStream::connect(self.socket(agent)).unwrap()),
            Kind::Serf => {
                let to = SocketAddr::from((address(agent), 7373));
                Writer::Serf(self.network.on(HOST, || TcpStream::connect(to).unwrap()))
            }
        }
    }

    fn carried(&self) -> Carried {
        let text =
            self.network.on(HOST, || fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:")).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        Carried { bytes: numbers[0], packets: numbers[1] }
    }

    fn processor_seconds(&self) -> f64 {
        let ticks = |agent: &Agent| -> f64 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", agent.child.id())).unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
        };
        // Linux tells these in hundredths of a second.
        self.agents.iter().map(ticks).sum::<f64>() / 100.0
    }

    fn resident_mib(&self) -> f64 {
        let kib = |agent: &Agent| -> f64 {
            let status = fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        self.agents.iter().map(kib).sum::<f64>() / self.agents.len() as f64 / 1024.0
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            // One that ended already needs no end.
            let _ = agent.child.kill();
            let _ = agent.child.wait();
        }
    }
}

/// Makes changes on one agent over its own socket.
enum Writer {
    Snapd(UnixStream),
    Serf(TcpStream),
}

impl Writer {
    /// Makes these one after the other. When the last was taken.
    fn write_all(self, names: &[String]) -> Instant {
        let text = "x".repeat(200);
        match self {
            Self::Snapd(stream) => {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                for name in names {
                    let body = format!(r#"{{"name":"{name}","description":"{text}"}}"#);
                    let head =
                        "POST /v3/tribes HTTP/1.1\r\nhost: snapd\r\ncontent-type: application/json";
                    let length = body.len();
                    write!(&stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
                    read_reply(&mut lines);
                }
            }
            Self::Serf(mut stream) => {
                // The RPC protocol of serf: MessagePack, a head and a body each.
                let say = |stream: &mut TcpStream, number: u8, command: &str, body: &[u8]| {
                    let head = [&[0x82][..], &packed("Command"), &packed(command), &packed("Seq")];
                    stream.write_all(&[&head.concat()[..], &[number], body].concat()).unwrap();
                };
                say(&mut stream, 0, "handshake", &[&[0x81][..], &packed("Version"), &[1]].concat());
                for name in names {
                    let body = [
                        &[0x83][..],
                        &packed("Name"),
                        &packed(name),
                        &packed("Payload"),
                        &packed(&text),
                        &packed("Coalesce"),
                        &[0xc2],
                    ];
                    say(&mut stream, 1, "event", &body.concat());
                }
                // It answers each with a head of the same size, in order.
                let mut answers = BufReader::new(stream);
                for _ in 0..=names.len() {
                    read_head(&mut answers);
                }
            }
        }
        Instant::now()
    }
}

/// A text in MessagePack, of the old specification as serf has it.
fn packed(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let mut bytes = if length < 32 { vec![0xa0 | length] } else { vec![0xda, 0, length] };
    bytes.extend(text.as_bytes());
    bytes
}

/// Reads one map of MessagePack with `Seq`, a number, and `Error`, a text that must be empty.
fn read_head(from: &mut impl Read) {
    let mut head = [0; 13];
    from.read_exact(&mut head).unwrap();
    let good = [packed("Error"), packed("")].concat();
    assert!(head.windows(good.len()).any(|window| window == good), "{head:?}");
}

/// Reads one reply of HTTP, which must be good.
fn read_reply(from: &mut impl BufRead) {
    let (mut line, mut length) = (String::new(), 0);
    let _ = from.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 2"), "{line}");
    while line.trim() != "" {
        line.clear();
        let _ = from.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    from.read_exact(&mut vec![0; length]).unwrap();
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, (number / 200) as u8, (number % 200) as u8 + 1)
}

/// Reads lines on a thread of its own, until there are no more.
fn listen(
    agent: usize,
    lines: impl Read + Send + 'static,
    sender: Sender<(usize, Heard, Instant)>,
    read: fn(&str) -> Option<Heard>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines() {
            let Ok(line) = line else { return };
            if let Some(heard) = read(&line)
                && sender.send((agent, heard, Instant::now())).is_err()
            {
                return;
            }
        }
    });
}
