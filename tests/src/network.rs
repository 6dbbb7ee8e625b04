//! Hosts of their own: network namespaces with loopbacks of their own, joined by a switch that is a
//! namespace as well. Nothing of it is seen from the rest of the machine; only root can make it.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

use rustix::{
    process::{Pid, Signal, geteuid, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    capture::Capture,
    process::{Ran, command},
    relay::Relay,
    wait::say,
};

/// Names of our namespaces begin with this, then comes the id of the process that made them.
const PREFIX: &str = "tribe";
/// Where iproute2 keeps them.
const NAMESPACES: &str = "/run/netns";
/// The name of the one interface of a host.
const INTERFACE: &str = "eth0";
const BRIDGE: &str = "switch";
/// For hosts that are cut off together.
const OTHER_BRIDGE: &str = "other";
/// The last part of the switch's own address.
const GATEWAY: u8 = 254;
static MADE: AtomicU8 = AtomicU8::new(0);

/// Hosts that reach each other. Dropped, they are gone, with all that still runs on them.
#[derive(Debug)]
pub struct Network {
    // The first part of the names of its namespaces.
    name: String,
    // The first three parts of its addresses.
    net: [u8; 3],
    hosts: Vec<String>,
}

/// Where a program runs: here, or on a host of a [`Network`].
#[derive(Debug, Clone, Default)]
pub struct Place {
    namespace: Option<String>,
}

impl Network {
    /// Hosts of these names. None if we are not root, which is said.
    ///
    /// # Panics
    /// If they cannot be made, as without iproute2.
    #[must_use]
    pub fn new(hosts: &[&str]) -> Option<Self> {
        if !geteuid().is_root() {
            say("skipped: only root can make network namespaces");
            return None;
        }
        sweep();
        let (process, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let [_, _, high, low] = process.to_be_bytes();
        // Two networks of one process differ, though they never meet.
        let net = [10, high ^ number, low];
        let name = format!("{PREFIX}-{process}-{number}");
        let mut network = Self { name, net, hosts: Vec::new() };
        let switch = network.switch();
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link set lo up"));
        ip(&format!("-n {switch} link add {BRIDGE} type bridge"));
        let gateway = network.address(GATEWAY);
        ip(&format!("-n {switch} address add {gateway}/24 dev {BRIDGE}"));
        ip(&format!("-n {switch} link set {BRIDGE} up"));
        for host in hosts {
            network.add(host);
        }
        Some(network)
    }

    /// Joins another host to it.
    ///
    /// # Panics
    /// If it cannot be made, or has the name of one that is there.
    pub fn add(&mut self, host: &str) {
        assert!(self.hosts.iter().all(|known| known != host), "two hosts named {host}");
        assert!(self.hosts.len() + 1 < usize::from(GATEWAY), "the network is full");
        self.hosts.push(host.to_owned());
        let (namespace, switch) = (self.namespace(host), self.switch());
        let (port, address, gateway) = (self.port(host), self.ip(host), self.address(GATEWAY));
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link set lo up"));
        let veth = format!("type veth peer name {INTERFACE} netns {namespace}");
        ip(&format!("-n {switch} link add {port} {veth}"));
        ip(&format!("-n {switch} link set {port} master {BRIDGE} up"));
        ip(&format!("-n {namespace} address add {address}/24 dev {INTERFACE}"));
        ip(&format!("-n {namespace} link set {INTERFACE} up"));
        ip(&format!("-n {namespace} route add default via {gateway}"));
    }

    /// The address of a host.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn ip(&self, host: &str) -> Ipv4Addr {
        self.address(self.number(host))
    }

    /// For what shall run on a host.
    #[must_use]
    pub fn place(&self, host: &str) -> Place {
        Place { namespace: Some(self.namespace(host)) }
    }

    /// Does something on a host, such as opening a socket, which stays there.
    ///
    /// # Panics
    /// If there is none of that name, or what is done panics.
    pub fn on<T: Send>(&self, host: &str, act: impl FnOnce() -> T + Send) -> T {
        assert!(self.hosts.iter().any(|known| known == host), "the network has no host {host}");
        within(&self.namespace(host), act)
    }

    /// Hears all that goes from or to these hosts, as the switch does.
    ///
    /// # Panics
    /// If we may not.
    #[must_use]
    pub fn capture(&self, hosts: &[&str]) -> Capture {
        let addresses = hosts.iter().map(|host| self.ip(host)).collect();
        within(&self.switch(), || Capture::start_on_switch(addresses).unwrap())
    }

    /// Pulls the cable of a host.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn unplug(&self, host: &str) {
        ip(&format!("-n {} link set {} down", self.switch(), self.port(host)));
    }

    /// Plugs the cable of a host in again.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn plug(&self, host: &str) {
        ip(&format!("-n {} link set {} up", self.switch(), self.port(host)));
    }

    /// Cuts these hosts off from the others: they reach each other alone.
    ///
    /// # Panics
    /// If there is none of such a name, or some are cut off already.
    pub fn split(&self, hosts: &[&str]) {
        let switch = self.switch();
        ip(&format!("-n {switch} link add {OTHER_BRIDGE} type bridge"));
        ip(&format!("-n {switch} link set {OTHER_BRIDGE} up"));
        for host in hosts {
            ip(&format!("-n {switch} link set {} master {OTHER_BRIDGE}", self.port(host)));
        }
    }

    /// All hosts reach each other again.
    ///
    /// # Panics
    /// If they were not split.
    pub fn heal(&self, hosts: &[&str]) {
        let switch = self.switch();
        for host in hosts {
            ip(&format!("-n {switch} link set {} master {BRIDGE}", self.port(host)));
        }
        ip(&format!("-n {switch} link delete {OTHER_BRIDGE}"));
    }

    /// Puts a relay into the cable of a host that loses so large a share of UDP and TCP, each way.
    ///
    /// # Panics
    /// If there is none of that name, or its cable has a relay.
    #[must_use]
    pub fn make_lossy(&self, host: &str, loss: f64) -> Relay {
        let (switch, port, number) = (self.switch(), self.port(host), self.number(host));
        let (plug, socket) = (format!("plug{number}"), format!("socket{number}"));
        ip(&format!("-n {switch} link add {plug} type veth peer name {socket}"));
        ip(&format!("-n {switch} link set {port} nomaster"));
        ip(&format!("-n {switch} link set {socket} master {BRIDGE} up"));
        ip(&format!("-n {switch} link set {plug} up"));
        Relay::start(&Place { namespace: Some(switch) }, &port, &plug, loss)
    }

    /// The ids and programs of all processes on a host.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn processes(&self, host: &str) -> Vec<(u32, String)> {
        // One that ends meanwhile has no name any more.
        let named = |id: u32| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
            Some((id, name.trim_end().to_owned()))
        };
        process_ids(&self.namespace(host)).into_iter().filter_map(named).collect()
    }

    fn number(&self, host: &str) -> u8 {
        let at = self.hosts.iter().position(|known| known == host);
        let at = at.unwrap_or_else(|| panic!("the network has no host {host}"));
        u8::try_from(at + 1).unwrap()
    }

    fn address(&self, number: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, number)
    }

    /// The end of a host's cable at the switch. Names of interfaces must be short.
    fn port(&self, host: &str) -> String {
        format!("port{}", self.number(host))
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    fn switch(&self) -> String {
        self.namespace(BRIDGE)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            remove(&self.namespace(host));
        }
        remove(&self.switch());
    }
}

impl Place {
    /// A command that runs a program there, with the process id the command has.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let Some(namespace) = &self.namespace else {
            return command(program);
        };
        let mut ip = command(Path::new("ip"));
        ip.args(["netns", "exec", namespace]).arg(program);
        ip
    }
}

/// Does something in a namespace, on a thread of its own: it does not come back from there.
fn within<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> T {
    let there = File::open(Path::new(NAMESPACES).join(namespace)).unwrap();
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        });
        done.join().unwrap()
    })
}

fn ip(line: &str) {
    let ran = Ran::new(Command::new("ip").args(line.split(' ')));
    assert_eq!(ran.code, Some(0), "ip {line}: {}", ran.stderr);
}

fn process_ids(namespace: &str) -> Vec<u32> {
    let ran = Ran::new(Command::new("ip").args(["netns", "pids", namespace]));
    ran.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Ends what runs on a host, and the host. Someone else may be doing it as well.
fn remove(namespace: &str) {
    for id in process_ids(namespace) {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        let _ = id.map(|id| kill_process(id, Signal::KILL));
    }
    let _ = Ran::new(Command::new("ip").args(["netns", "delete", namespace]));
}

/// Removes what test processes that were killed have left.
fn sweep() {
    let Ok(namespaces) = fs::read_dir(NAMESPACES) else { return };
    for namespace in namespaces.flatten() {
        let name = namespace.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        let Some(maker) = maker.and_then(|id| id.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{maker}")).exists() {
            remove(&name);
        }
    }
}
