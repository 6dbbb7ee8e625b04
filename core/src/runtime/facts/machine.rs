//! What kind of machine this is: firmware, virtualization, memory, init, and the like.

use std::{collections::BTreeMap, fs, hash::Hasher as _};

use siphasher::sip::SipHasher13;

use super::{FactRoot, hexadecimal, record};
use crate::{fact::Value, limits};

/// What firmware says of the machine.
pub(super) fn firmware(root: &FactRoot, field: &str) -> Option<String> {
    // What vendors write who have nothing to say.
    const NOTHING: &[&str] = &["To Be Filled By O.E.M.", "Default string", "Not Specified", "None"];
    root.line(&format!("sys/class/dmi/id/{field}")).filter(|text| !NOTHING.contains(&text.as_str()))
}

/// The kind of container or hypervisor this runs in, by Ansible's names. `None` on bare metal, and where
/// nothing tells.
pub(super) fn virtualization(root: &FactRoot) -> Option<String> {
    container(root).or_else(|| hypervisor(root).map(str::to_owned))
}

fn container(root: &FactRoot) -> Option<String> {
    if root.exists("run/.containerenv") {
        return Some("podman".into());
    }
    if root.exists(".dockerenv") {
        return Some("docker".into());
    }
    let stated = root.line("run/systemd/container").or_else(|| {
        let environment = root.text("proc/1/environ")?;
        let entry = environment.split('\0').find_map(|entry| entry.strip_prefix("container="))?;
        super::tidy(entry)
    });
    stated.filter(|kind| kind != "none")
}

fn hypervisor(root: &FactRoot) -> Option<&'static str> {
    /// Vendors and products of virtual machines.
    const KNOWN: &[(&str, &str)] = &[
        ("VMware", "VMware"),
        ("VirtualBox", "virtualbox"),
        ("innotek", "virtualbox"),
        ("QEMU", "kvm"),
        ("KVM", "kvm"),
        ("Amazon EC2", "kvm"),
        ("Google", "kvm"),
        ("OpenStack", "openstack"),
        ("RHEV", "RHEV"),
        ("Xen", "xen"),
        ("Parallels", "parallels"),
        ("Bochs", "bochs"),
        ("BHYVE", "bhyve"),
    ];
    if root.line("sys/hypervisor/type").as_deref() == Some("xen") {
        return Some("xen");
    }
    let texts = ["product_name", "sys_vendor", "bios_vendor", "board_vendor"]
        .map(|field| firmware(root, field).unwrap_or_default());
    // The same vendor makes machines of metal.
    if texts.iter().any(|text| text == "Virtual Machine")
        && texts.iter().any(|text| text.starts_with("Microsoft"))
    {
        return Some("VirtualPC");
    }
    let known = KNOWN.iter().find(|(word, _)| texts.iter().any(|text| text.contains(word)));
    known.map(|(_, kind)| *kind)
}

/// A field of `/proc/meminfo`, in bytes.
pub(super) fn memory(root: &FactRoot, field: &str) -> Option<i64> {
    let text = root.text("proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<i64>().ok()?.checked_mul(1024)
}

/// All memory that is built in and in use, with what firmware and kernel keep for themselves.
pub(super) fn memory_installed(root: &FactRoot) -> Option<i64> {
    const DIRECTORY: &str = "sys/devices/system/memory";
    let block = i64::from(hexadecimal(&root.line(&format!("{DIRECTORY}/block_size_bytes"))?)?);
    let mut blocks = root.names(DIRECTORY)?;
    blocks.retain(|name| is_numbered(name, "memory"));
    // A terabyte has thousands of blocks: they are asked one by one only if some may be out of use.
    let all = i64::try_from(blocks.len()).ok()?.checked_mul(block)?;
    if memory_present(root).is_none_or(|present| present <= all - block) {
        blocks.retain(|name| {
            root.line(&format!("{DIRECTORY}/{name}/state")).as_deref() == Some("online")
        });
    }
    let bytes = i64::try_from(blocks.len()).ok()?.checked_mul(block)?;
    (bytes > 0).then_some(bytes)
}

/// What of the memory in use the kernel found to be there: all but the holes.
fn memory_present(root: &FactRoot) -> Option<i64> {
    let text = root.text("proc/zoneinfo")?;
    let pages = text.lines().filter_map(|line| line.trim_start().strip_prefix("present "));
    let pages = pages.map(|pages| pages.trim().parse::<i64>().ok());
    let sum = pages.sum::<Option<i64>>()?;
    sum.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)
}

/// NUMA nodes.
pub(super) fn numa_nodes(root: &FactRoot) -> Option<i64> {
    let names = root.names("sys/devices/system/node")?;
    let nodes = names.iter().filter(|name| is_numbered(name, "node"));
    i64::try_from(nodes.count()).ok().filter(|count| *count > 0)
}

/// Is it this word and a number, as in `node0`?
fn is_numbered(name: &str, word: &str) -> bool {
    name.strip_prefix(word)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Which generation of control groups the host uses.
pub(super) fn cgroup_version(root: &FactRoot) -> Option<i64> {
    if root.exists("sys/fs/cgroup/cgroup.controllers") {
        return Some(2);
    }
    root.exists("sys/fs/cgroup/memory").then_some(1)
}

/// What starts services.
pub(super) fn service_mgr(root: &FactRoot) -> Option<String> {
    if root.exists("run/systemd/system") {
        return Some("systemd".into());
    }
    if root.exists("run/openrc") {
        return Some("openrc".into());
    }
    root.line("proc/1/comm")
}

/// What installs packages, by Ansible's names.
pub(super) fn pkg_mgr(root: &FactRoot) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("usr/bin/dnf5", "dnf5"),
        ("usr/bin/dnf", "dnf"),
        ("usr/bin/yum", "yum"),
        ("usr/bin/apt-get", "apt"),
        ("usr/bin/zypper", "zypper"),
        ("sbin/apk", "apk"),
        ("usr/bin/pacman", "pacman"),
        ("usr/bin/emerge", "portage"),
    ];
    KNOWN.iter().find(|(path, _)| root.exists(path)).map(|(_, name)| *name)
}

/// The name of the time zone, as in `Europe/Berlin`.
pub(super) fn timezone(root: &FactRoot) -> Option<String> {
    let linked = || {
        let target = fs::read_link(root.path.join("etc/localtime")).ok()?;
        let (_, zone) = target.to_str()?.split_once("zoneinfo/")?;
        super::tidy(zone)
    };
    linked().or_else(|| root.line("etc/timezone"))
}

/// 0 to 99, the same for ever and even over all hosts: the first ten of a hundred are a tenth of the hosts.
pub(super) fn shard(root: &FactRoot) -> Option<i64> {
    let id = root.line("etc/machine-id").filter(|id| id != "uninitialized")?;
    // The id itself is not for the world: machine-id(5).
    let mut hasher = SipHasher13::new_with_key(b"tribe: the shard");
    hasher.write(id.as_bytes());
    i64::try_from(hasher.finish() % 100).ok()
}

/// Graphics and other accelerators, by address on the bus.
pub(super) fn gpus(root: &FactRoot) -> Option<Value> {
    const DIRECTORY: &str = "sys/bus/pci/devices";
    const VENDORS: &[(u32, &str)] = &[(0x10de, "nvidia"), (0x1002, "amd"), (0x8086, "intel")];
    let file =
        |name: &str, file: &str| hexadecimal(&root.line(&format!("{DIRECTORY}/{name}/{file}"))?);
    let found = root.names(DIRECTORY)?.into_iter().filter_map(|name| {
        let class = file(&name, "class")?;
        // Display controllers, and processing accelerators.
        if class >> 16 != 0x03 && class >> 8 != 0x1200 {
            return None;
        }
        let vendor = file(&name, "vendor")?;
        let known = VENDORS.iter().find(|(id, _)| *id == vendor).map(|(_, name)| *name);
        let id = |number: u32| Value::from(format!("{number:04x}"));
        Some(record([
            ("vendor", Some(known.map_or_else(|| id(vendor), Value::from))),
            ("device", file(&name, "device").map(id)),
        ]))
    });
    Some(Value::List(found.take(limits::HOST_GPUS).collect()))
}

/// The name servers that the resolver asks.
pub(super) fn name_servers(root: &FactRoot) -> Option<Value> {
    let text = root.text("etc/resolv.conf")?;
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        words.next()?.parse().ok().map(Value::Ip)
    });
    Some(Value::List(servers.take(limits::HOST_ELEMENTS).collect()))
}

/// The network interfaces by name, as many as there is room for; not the loopback interface.
pub(super) fn interfaces(root: &FactRoot) -> Option<Value> {
    let (mut interfaces, mut bytes) = (BTreeMap::new(), 0);
    for name in root.names("sys/class/net")?.into_iter().filter(|name| name != "lo") {
        let file = |file: &str| format!("sys/class/net/{name}/{file}");
        let interface = record([
            (
                "macaddress",
                root.line(&file("address"))
                    .filter(|address| address.bytes().any(|b| !matches!(b, b'0' | b':')))
                    .map(Value::from),
            ),
            ("mtu", root.number(&file("mtu")).map(Value::from)),
            ("up", root.line(&file("operstate")).map(|state| Value::from(state == "up"))),
            // In Mbit/s; -1 is one that the driver does not know.
            ("speed", root.number(&file("speed")).filter(|speed| *speed > 0).map(Value::from)),
        ]);
        bytes += super::encoded_bytes(&name, &interface);
        if bytes > limits::HOST_INTERFACES_BYTES {
            tracing::debug!(told = interfaces.len(), "too many interfaces for the facts");
            break;
        }
        interfaces.insert(name, interface);
    }
    Some(Value::Map(interfaces))
}

/// The addresses of all interfaces, but of loopback and link: the whole world of this host.
pub(super) fn addresses(root: &FactRoot, v4: bool) -> Option<Value> {
    if root.addresses.is_empty() {
        return None;
    }
    let mut found: Vec<_> = root
        .addresses
        .iter()
        .map(|one| one.address.addr())
        .filter(|address| address.is_ipv4() == v4)
        .filter(|address| !address.is_loopback() && !super::net::is_link_local(*address))
        .collect();
    found.sort_unstable();
    found.dedup();
    Some(Value::List(found.into_iter().take(limits::HOST_ADDRESSES).map(Value::Ip).collect()))
}
