//! The built-in facts of a Linux host, from their real sources.
//!
//! Everything is read below one [`FactRoot`], so that tests, and agents that see the host's files
//! under a mount point, can point elsewhere. This module must not know policies or the engine.
//!
//! Invariant: collecting never fails. A source that is missing, unreadable or not as expected
//! leaves its fact out; every name is one of [`fact::BUILT_IN`](crate::fact::BUILT_IN). Facts of the
//! administrator's own files are read by `external`.

mod disk;
pub(crate) mod external;
mod machine;
mod net;
mod os;
mod processor;
mod program;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::PathBuf,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    fact::{Facts, Source, Value},
    limits,
    name::FactName,
};

/// Where facts are collected from: a tree of files, and what only system calls know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactRoot {
    /// The directory that has `etc`, `proc` and `sys`.
    pub(crate) path: PathBuf,
    /// The machine as `uname` names it, empty if it is unknown.
    pub(crate) machine: String,
    /// The addresses of all interfaces, in the system's order.
    pub(crate) addresses: Vec<InterfaceAddress>,
}

/// One address of one network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    /// The name of the interface.
    pub(crate) interface: String,
    /// The address, with the prefix length of its network.
    pub(crate) address: IpNet,
}

impl FactRoot {
    /// This host, as it is now.
    #[must_use]
    pub(crate) fn host() -> Self {
        let uname = rustix::system::uname();
        Self {
            path: PathBuf::from("/"),
            machine: uname.machine().to_string_lossy().into_owned(),
            addresses: addresses_of_host(),
        }
    }

    /// A whole file, or what [`limits::HOST_FILE_BYTES`] allows of it.
    fn text(&self, path: &str) -> Option<String> {
        let file = File::open(self.path.join(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(limits::HOST_FILE_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file that holds one value, if it holds any.
    fn line(&self, path: &str) -> Option<String> {
        tidy(&self.text(path)?)
    }

    /// A file that holds one number.
    fn number(&self, path: &str) -> Option<i64> {
        self.line(path)?.parse().ok()
    }

    /// A file that holds `0` or `1`.
    fn flag(&self, path: &str) -> Option<bool> {
        Some(self.number(path)? != 0)
    }

    fn exists(&self, path: &str) -> bool {
        self.path.join(path).exists()
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Option<Vec<String>> {
        let mut names: Vec<_> = fs::read_dir(self.path.join(path))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort_unstable();
        Some(names)
    }
}

impl Facts {
    /// The built-in facts of this host, as a node collects them when it starts.
    ///
    /// This reads files, a few per block device and processor: call it from a thread that may block.
    #[must_use]
    pub fn of_host() -> Self {
        collect(&FactRoot::host())
    }
}

fn addresses_of_host() -> Vec<InterfaceAddress> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!(%error, "the addresses of this host cannot be read");
        Vec::new()
    });
    let address = |of: &if_addrs::IfAddr| match of {
        if_addrs::IfAddr::V4(v4) => Ipv4Net::new(v4.ip, v4.prefixlen).map(IpNet::V4).ok(),
        if_addrs::IfAddr::V6(v6) => Ipv6Net::new(v6.ip, v6.prefixlen).map(IpNet::V6).ok(),
    };
    found
        .into_iter()
        .filter_map(|interface| {
            // Further IPv4 addresses may be labelled `eth0:1`; routes say `eth0`.
            let name = interface.name.split(':').next()?;
            Some(InterfaceAddress {
                interface: name.to_owned(),
                address: address(&interface.addr)?,
            })
        })
        .collect()
}

/// Collects the built-in facts below a root. Facts without a source are missing.
///
/// This reads files, a few per block device and processor: call it from a thread that may block.
#[must_use]
pub(crate) fn collect(root: &FactRoot) -> Facts {
    let os = os::Distribution::read(root);
    let processors = processor::Processors::read(root);
    let level = processor::level(processors.features.as_ref());
    let virtualization = machine::virtualization(root);
    let found = [
        ("all_ipv4_addresses", machine::addresses(root, true)),
        ("all_ipv6_addresses", machine::addresses(root, false)),
        ("architecture", architecture(&root.machine)),
        ("bios_version", machine::firmware(root, "bios_version").map(Value::from)),
        ("cgroup_version", machine::cgroup_version(root).map(Value::from)),
        ("default_ipv4", net::default_ipv4(root)),
        ("default_ipv6", net::default_ipv6(root)),
        ("devices", disk::devices(root)),
        ("dns_nameservers", machine::name_servers(root)),
        (
            "efi",
            root.exists("sys/firmware").then(|| root.exists("sys/firmware/efi")).map(Value::from),
        ),
        ("fips", root.flag("proc/sys/crypto/fips_enabled").map(Value::from)),
        ("gpus", machine::gpus(root)),
        ("hostname", root.line("proc/sys/kernel/hostname").map(Value::from)),
        ("interfaces", machine::interfaces(root)),
        ("kernel", root.line("proc/sys/kernel/osrelease").map(Value::from)),
        ("kernel_name", root.line("proc/sys/kernel/ostype").map(Value::from)),
        ("meminstalled", machine::memory_installed(root).map(Value::from)),
        ("memtotal", machine::memory(root, "MemTotal").map(Value::from)),
        ("numa_nodes", machine::numa_nodes(root).map(Value::from)),
        ("os_dist", os.name.map(Value::from)),
        ("os_dist_id", os.id.map(Value::from)),
        ("os_dist_like", os.like.map(list)),
        ("os_dist_release", os.release.map(Value::from)),
        ("os_dist_version", os.version.map(Value::from)),
        ("os_family", os.family.map(Value::from)),
        ("pkg_mgr", machine::pkg_mgr(root).map(Value::from)),
        ("processor_cores", processors.cores.map(Value::from)),
        ("processor_count", processors.sockets.map(Value::from)),
        ("processor_features", processors.features.map(list)),
        ("processor_level", level.map(Value::from)),
        ("processor_threads_per_core", processors.threads_per_core.map(Value::from)),
        ("processor_type", processors.model.map(Value::from)),
        ("processor_vcpus", processors.vcpus.map(Value::from)),
        ("processor_vendor", processors.vendor.map(Value::from)),
        ("product_name", machine::firmware(root, "product_name").map(Value::from)),
        ("product_vendor", machine::firmware(root, "sys_vendor").map(Value::from)),
        ("service_mgr", machine::service_mgr(root).map(Value::from)),
        ("shard", machine::shard(root).map(Value::from)),
        ("swaptotal", machine::memory(root, "SwapTotal").map(Value::from)),
        ("timezone", machine::timezone(root).map(Value::from)),
        ("virtualization_role", virtualization.as_ref().map(|_| Value::from("guest"))),
        ("virtualization_type", virtualization.map(Value::from)),
    ];
    let mut facts = Facts::new();
    for (name, value) in found {
        if let (Ok(name), Some(value)) = (FactName::parse(name), value) {
            facts.insert(name, value, Source::Host);
        }
    }
    facts
}

/// The machine, with one name for all 32-bit x86.
fn architecture(machine: &str) -> Option<Value> {
    let machine = tidy(machine)?;
    Some(match machine.as_str() {
        "i386" | "i486" | "i586" | "i686" => Value::from("i386"),
        other => Value::from(other),
    })
}

/// A number in base 16, with `0x` before it or not.
fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// How many bytes a part of a fact takes in the record of the facts.
fn encoded_bytes(name: &str, value: &Value) -> usize {
    bincode::serde::encode_to_vec((name, value), bincode::config::standard())
        .map_or(limits::FACTS_BYTES, |bytes| bytes.len())
}

fn list(texts: impl IntoIterator<Item = String>) -> Value {
    Value::List(texts.into_iter().take(limits::HOST_ELEMENTS).map(Value::from).collect())
}

/// A map of what is present.
fn record<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Map(present.collect::<BTreeMap<_, _>>())
}

/// The text without the padding that firmware and kernels put around it, cut to
/// [`limits::HOST_TEXT_BYTES`]. Nothing is left of an empty one.
fn tidy(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let text = text.get(..text.floor_char_boundary(limits::HOST_TEXT_BYTES))?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
