//! Our facts of this host beside those of Facter and Ansible.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value};
use tribe_tests::{Cluster, Ran, binary, say, workspace};

/// How their value is compared with ours.
#[derive(Debug, Clone, Copy)]
enum As {
    /// It is the same, but for a number that they give as text.
    Same,
    /// They count in MiB, rounded down.
    Mib,
    /// They say `"0"` and `"1"`.
    Flag,
    /// In whatever order.
    Set,
    /// In whatever order; they have link-local addresses too.
    Routable,
    /// Ours has the length of the prefix behind it.
    Network,
}

/// What both have, as JSON pointers: ours, Ansible's or Facter's, and how it is compared.
const ANSIBLE: &[(&str, &str, As)] = &[
    ("/architecture", "/ansible_architecture", As::Same),
    ("/all_ipv4_addresses", "/ansible_all_ipv4_addresses", As::Set),
    ("/all_ipv6_addresses", "/ansible_all_ipv6_addresses", As::Routable),
    ("/bios_version", "/ansible_bios_version", As::Same),
    ("/default_ipv4/address", "/ansible_default_ipv4/address", As::Same),
    ("/default_ipv4/gateway", "/ansible_default_ipv4/gateway", As::Same),
    ("/default_ipv4/interface", "/ansible_default_ipv4/interface", As::Same),
    ("/default_ipv4/macaddress", "/ansible_default_ipv4/macaddress", As::Same),
    ("/default_ipv4/mtu", "/ansible_default_ipv4/mtu", As::Same),
    ("/default_ipv4/netmask", "/ansible_default_ipv4/netmask", As::Same),
    ("/default_ipv4/network", "/ansible_default_ipv4/network", As::Network),
    ("/default_ipv6/address", "/ansible_default_ipv6/address", As::Same),
    ("/default_ipv6/gateway", "/ansible_default_ipv6/gateway", As::Same),
    ("/default_ipv6/interface", "/ansible_default_ipv6/interface", As::Same),
    ("/default_ipv6/prefix", "/ansible_default_ipv6/prefix", As::Same),
    ("/dns_nameservers", "/ansible_dns/nameservers", As::Same),
    ("/fips", "/ansible_fips", As::Same),
    ("/hostname", "/ansible_hostname", As::Same),
    ("/kernel", "/ansible_kernel", As::Same),
    ("/kernel_name", "/ansible_system", As::Same),
    ("/memtotal", "/ansible_memtotal_mb", As::Mib),
    ("/os_dist", "/ansible_distribution", As::Same),
    ("/os_dist_release", "/ansible_distribution_release", As::Same),
    ("/os_dist_version", "/ansible_distribution_version", As::Same),
    ("/os_family", "/ansible_os_family", As::Same),
    ("/pkg_mgr", "/ansible_pkg_mgr", As::Same),
    ("/processor_cores", "/ansible_processor_cores", As::Same),
    ("/processor_count", "/ansible_processor_count", As::Same),
    ("/processor_features", "/ansible_flags", As::Set),
    ("/processor_threads_per_core", "/ansible_processor_threads_per_core", As::Same),
    ("/processor_type", "/ansible_processor/2", As::Same),
    ("/processor_vcpus", "/ansible_processor_vcpus", As::Same),
    ("/processor_vendor", "/ansible_processor/1", As::Same),
    ("/product_name", "/ansible_product_name", As::Same),
    ("/product_vendor", "/ansible_system_vendor", As::Same),
    ("/service_mgr", "/ansible_service_mgr", As::Same),
    ("/swaptotal", "/ansible_swaptotal_mb", As::Mib),
    ("/virtualization_role", "/ansible_virtualization_role", As::Same),
    ("/virtualization_type", "/ansible_virtualization_type", As::Same),
];

const FACTER: &[(&str, &str, As)] = &[
    ("/architecture", "/os/hardware", As::Same),
    ("/bios_version", "/dmi/bios/version", As::Same),
    ("/default_ipv4/address", "/networking/ip", As::Same),
    ("/default_ipv4/macaddress", "/networking/mac", As::Same),
    ("/default_ipv4/mtu", "/networking/mtu", As::Same),
    ("/default_ipv4/netmask", "/networking/netmask", As::Same),
    ("/default_ipv4/network", "/networking/network", As::Network),
    ("/fips", "/fips_enabled", As::Same),
    ("/hostname", "/networking/hostname", As::Same),
    ("/kernel", "/kernelrelease", As::Same),
    ("/kernel_name", "/kernel", As::Same),
    ("/memtotal", "/memory/system/total_bytes", As::Same),
    ("/os_dist", "/os/name", As::Same),
    ("/os_dist_release", "/os/distro/codename", As::Same),
    ("/os_dist_version", "/os/release/full", As::Same),
    ("/os_family", "/os/family", As::Same),
    ("/processor_count", "/processors/physicalcount", As::Same),
    ("/processor_type", "/processors/models/0", As::Same),
    ("/processor_vcpus", "/processors/count", As::Same),
    ("/product_name", "/dmi/product/name", As::Same),
    ("/product_vendor", "/dmi/manufacturer", As::Same),
    ("/swaptotal", "/memory/swap/total_bytes", As::Same),
];

/// Facts of ours that are not compared, and why.
const APART: &[(&str, &str)] = &[
    ("cgroup_version", "neither has it"),
    ("efi", "neither has it"),
    ("gpus", "neither has it"),
    ("meminstalled", "neither has it: theirs is what the kernel leaves"),
    ("node_name", "the node's own name"),
    ("numa_nodes", "neither has it"),
    ("os_dist_id", "neither has it as os-release spells it"),
    ("os_dist_like", "neither has it"),
    ("processor_level", "neither has it"),
    ("shard", "our own"),
    ("timezone", "theirs is an abbreviation, as in `CET`, which says nothing of the place"),
];

#[test]
fn facts_of_the_host_are_those_that_ansible_and_facter_collect() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let ours = ours(&cluster);
    let (ansible, facter) = (ansible(cluster.dir()), facter());
    let mut differences = Vec::new();
    let mut compared = BTreeSet::new();
    let interface = ours.pointer("/default_ipv4/interface").and_then(Value::as_str);
    let rows = ANSIBLE.iter().map(|row| ("Ansible", &ansible, row));
    let rows = rows.chain(FACTER.iter().map(|row| ("Facter", &facter, row)));
    for (who, theirs, (name, pointer, how)) in rows {
        compare(&ours, theirs, (name, pointer, *how), &mut compared, &mut differences, who);
    }
    let devices = ours.pointer("/devices").and_then(Value::as_object);
    for device in devices.into_iter().flat_map(Map::keys) {
        for (theirs, field, pointer, how) in [
            (&ansible, "rotational", format!("/ansible_devices/{device}/rotational"), As::Flag),
            (&ansible, "removable", format!("/ansible_devices/{device}/removable"), As::Flag),
            (&facter, "size", format!("/disks/{device}/size_bytes"), As::Same),
        ] {
            let row = (&*format!("/devices/{device}/{field}"), &*pointer, how);
            compare(&ours, theirs, row, &mut compared, &mut differences, "of a device");
        }
    }
    // Other interfaces come and go with other tests.
    if let Some(name) = interface {
        let at = name.replace(['-', '.'], "_");
        for (theirs, field, pointer) in [
            (&ansible, "macaddress", format!("/ansible_{at}/macaddress")),
            (&ansible, "mtu", format!("/ansible_{at}/mtu")),
            (&ansible, "up", format!("/ansible_{at}/active")),
            (&facter, "macaddress", format!("/networking/interfaces/{name}/mac")),
            (&facter, "mtu", format!("/networking/interfaces/{name}/mtu")),
        ] {
            let row = (&*format!("/interfaces/{name}/{field}"), &*pointer, As::Same);
            compare(&ours, theirs, row, &mut compared, &mut differences, "of an interface");
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    // What was not compared has a reason; what both lack here was asked for above.
    let asked = ANSIBLE.iter().chain(FACTER).map(|(name, ..)| *name);
    let asked: BTreeSet<&str> = asked.map(top).chain(["devices", "interfaces"]).collect();
    let apart: BTreeSet<&str> = APART.iter().map(|(name, _)| *name).collect();
    for name in ours.as_object().unwrap().keys() {
        assert!(
            asked.contains(&**name) != apart.contains(&**name),
            "`{name}` is compared or has a reason not to be, not both"
        );
    }
    say(&format!("{} values are those of Ansible and Facter", compared.len()));
    assert!(compared.len() >= 25, "{compared:?}");
}

/// The name of the fact that a pointer leads into.
fn top(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap()
}

fn compare(
    ours: &Value,
    theirs: &Value,
    (name, pointer, how): (&str, &str, As),
    compared: &mut BTreeSet<String>,
    differences: &mut Vec<String>,
    who: &str,
) {
    let known = |value: &&Value| !matches!(value, Value::Null) && **value != "NA" && **value != "";
    let (Some(our), Some(their)) = (ours.pointer(name), theirs.pointer(pointer).filter(known))
    else {
        return;
    };
    compared.insert(format!("{name} {pointer}"));
    if !equal(our, their, how) {
        differences.push(format!("{who} {pointer}: {their}, ours {name}: {our}"));
    }
}

fn equal(ours: &Value, theirs: &Value, how: As) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let set = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    match how {
        As::Same => text(ours) == text(theirs),
        As::Mib => ours.as_u64().map(|bytes| bytes >> 20) == theirs.as_u64(),
        As::Flag => ours.as_bool() == Some(theirs == "1"),
        As::Set => set(ours) == set(theirs),
        As::Routable => {
            let routable = set(theirs).into_iter().filter(|address| !address.starts_with("fe80:"));
            set(ours) == routable.collect()
        }
        As::Network => text(ours).split('/').next() == theirs.as_str(),
    }
}

fn ours(cluster: &Cluster) -> Value {
    let list: Value = serde_json::from_str(&cluster["i1"].types("-o json fact list")).unwrap();
    let facts = list.as_array().unwrap().iter();
    let of_host = facts.filter(|fact| fact["source"] == "host");
    of_host.map(|fact| (fact["name"].as_str().unwrap().to_owned(), fact["value"].clone())).collect()
}

/// What Ansible's module `setup` collects, but for what other programs collect for it.
fn ansible(dir: &Path) -> Value {
    let environment = environment();
    let tree = dir.join("ansible");
    let mut command = Command::new(environment.join("bin/ansible"));
    command.args(["localhost", "-i", "localhost,", "-c", "local", "-m", "ansible.builtin.setup"]);
    command.args(["-a", "gather_subset=all,!facter,!ohai"]);
    command
        .arg("-e")
        .arg(format!("ansible_python_interpreter={}", environment.join("bin/python").display()));
    command.arg("-t").arg(&tree);
    command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_HOME", dir.join("ansible-home"));
    Ran::new(&mut command).done();
    let collected: Value =
        serde_json::from_str(&fs::read_to_string(tree.join("localhost")).unwrap()).unwrap();
    collected["ansible_facts"].clone()
}

fn facter() -> Value {
    // It fails if it cannot collect one fact, and prints the others.
    serde_json::from_str(&Ran::new(Command::new("facter").arg("--json")).stdout).unwrap()
}

/// Where Ansible is.
fn environment() -> PathBuf {
    let dir = binary("").join("../tmp/ansible-core");
    Ran::new(Command::new(workspace().join("tests/facts/setup")).arg(&dir)).done();
    dir
}
