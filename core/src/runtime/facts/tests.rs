use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::fact::BUILT_IN;

/// Collects from a tree under `fixtures/facts`. Beside its files, `uname` and `addresses` have what
/// only system calls know.
fn fixture(name: &str) -> Facts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/facts").join(name);
    let text = |file| fs::read_to_string(path.join(file)).unwrap();
    let address = |line: &str| {
        let (interface, address) = line.split_once(' ').unwrap();
        InterfaceAddress { interface: interface.to_owned(), address: address.parse().unwrap() }
    };
    let machine = text("uname");
    let addresses = text("addresses").lines().map(address).collect();
    collect(&FactRoot { path, machine, addresses })
}

/// The JSON of one fact, or of one entry of it; null if it is missing.
fn lookup(facts: &Facts, path: &str) -> Json {
    let (name, entry) = path.split_once('.').unwrap_or((path, ""));
    let json = facts.get(name).map_or(Json::Null, |fact| fact.value.to_json());
    if entry.is_empty() { json } else { json.get(entry).cloned().unwrap_or(Json::Null) }
}

#[track_caller]
fn check(name: &str, path: &str, expected: Json) {
    assert_eq!(lookup(&fixture(name), path), expected, "{path} of {name}");
}

/// Checks name, version, release and family of a host with one os-release file and maybe one more.
#[track_caller]
fn check_os(os_release: &str, more: Option<(&str, &str)>, expected: [Option<&str>; 4]) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/os-release"), os_release).unwrap();
    if let Some((file, text)) = more {
        fs::write(root.path().join(file), text).unwrap();
    }
    let facts = collect(&below(root.path()));
    let found = ["os_dist", "os_dist_version", "os_dist_release", "os_family"]
        .map(|name| lookup(&facts, name).as_str().map(str::to_owned));
    assert_eq!(found.each_ref().map(Option::as_deref), expected);
}

fn below(path: &Path) -> FactRoot {
    FactRoot { path: path.to_owned(), machine: String::new(), addresses: Vec::new() }
}

#[test]
fn a_virtual_machine_has_every_built_in_fact() {
    let facts = fixture("debian12-vm");
    // The engine says the first; the processor of this machine has too few features for the other.
    let elsewhere = ["node_name", "processor_level"];
    let found: BTreeSet<_> = facts.iter().map(|(name, _)| name.as_str()).collect();
    let expected: BTreeSet<_> =
        BUILT_IN.iter().copied().filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(found, expected);
    assert!(facts.iter().all(|(_, fact)| fact.source == Source::Host));
    assert_eq!(facts.check(), Ok(()));
}

#[test]
fn the_kind_of_machine_is_told() {
    let check = |path, expected| check("debian12-vm", path, expected);
    check("virtualization_type", json!("kvm"));
    check("virtualization_role", json!("guest"));
    check("product_vendor", json!("QEMU"));
    check("bios_version", json!("1.16.2-debian-1.16.2-1"));
    check("efi", json!(true));
    check("fips", json!(false));
    check("meminstalled", json!(2 * 0x800_0000));
    check("numa_nodes", json!(1));
    check("processor_vcpus", json!(2));
    check("processor_cores", json!(1));
    check("processor_threads_per_core", json!(2));
    check("cgroup_version", json!(2));
    check("service_mgr", json!("systemd"));
    check("pkg_mgr", json!("apt"));
    check("timezone", json!("Europe/Berlin"));
    check("dns_nameservers", json!(["10.0.2.3", "2001:4860:4860::8888"]));
    check("gpus", json!([{"vendor": "nvidia", "device": "20b5"}]));
    check("interfaces.eth0", json!({"macaddress": "52:54:00:12:34:56", "mtu": 1500, "up": true}));
    let shard = lookup(&fixture("debian12-vm"), "shard").as_i64().unwrap();
    assert!((0..100).contains(&shard));
}

#[test]
fn containers_and_hypervisors_are_known_by_their_marks() {
    let check = |files: &[(&str, &str)], expected: Json| {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(lookup(&collect(&below(root.path())), "virtualization_type"), expected);
    };
    let dmi = |vendor, product| {
        [("sys/class/dmi/id/sys_vendor", vendor), ("sys/class/dmi/id/product_name", product)]
    };
    check(&[(".dockerenv", "")], json!("docker"));
    check(&[("run/.containerenv", "")], json!("podman"));
    check(&[("run/systemd/container", "lxc\n")], json!("lxc"));
    check(&[("proc/1/environ", "A=b\0container=systemd-nspawn\0")], json!("systemd-nspawn"));
    check(&dmi("Microsoft Corporation\n", "Virtual Machine\n"), json!("VirtualPC"));
    check(&dmi("Microsoft Corporation\n", "Surface Pro\n"), json!(null));
    check(&dmi("VMware, Inc.\n", "VMware7,1\n"), json!("VMware"));
    check(&dmi("Amazon EC2\n", "m5.large\n"), json!("kvm"));
    check(&dmi("Dell Inc.\n", "PowerEdge R7525\n"), json!(null));
    check(&[], json!(null));
}

#[test]
fn blocks_of_memory_that_are_out_of_use_do_not_count() {
    const BLOCK: usize = 0x800_0000;
    let installed = |present: usize, states: [&str; 3]| {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/devices/system/memory/block_size_bytes", "8000000\n");
        for (at, state) in states.iter().enumerate() {
            write(&format!("sys/devices/system/memory/memory{at}/state"), state);
        }
        let pages = present / rustix::param::page_size();
        let zone = format!("Node 0, zone    DMA\n        spanned  1\n        present  {pages}\n");
        write("proc/zoneinfo", &format!("{zone}Node 0, zone  Movable\n        present  0\n"));
        lookup(&collect(&below(root.path())), "meminstalled").as_i64().unwrap() as usize / BLOCK
    };
    let (all, two) = (["online\n"; 3], ["online\n", "offline\n", "online\n"]);
    assert_eq!(installed(3 * BLOCK - 4096 * 16, all), 3);
    assert_eq!(installed(2 * BLOCK, all), 3);
    assert_eq!(installed(2 * BLOCK, two), 2);
    // More than two are there, so all are in use: none is asked.
    assert_eq!(installed(2 * BLOCK + 4096 * 16, two), 3);
}

#[test]
fn the_distribution_has_its_short_name() {
    check("debian12-vm", "os_dist", json!("Debian"));
    check("debian12-vm", "os_dist_id", json!("debian"));
    check("debian12-vm", "os_dist_like", json!([]));
    check("debian12-vm", "os_dist_version", json!("12.11"));
    check("debian12-vm", "os_dist_release", json!("bookworm"));
    check("debian12-vm", "os_family", json!("Debian"));
    check("ubuntu2204", "os_dist", json!("Ubuntu"));
    check("ubuntu2204", "os_dist_like", json!(["debian"]));
    check("ubuntu2204", "os_dist_version", json!("22.04"));
    check("ubuntu2204", "os_dist_release", json!("jammy"));
    check("ubuntu2204", "os_family", json!("Debian"));
    check("rocky9", "os_dist", json!("Rocky"));
    check("rocky9", "os_dist_like", json!(["rhel", "centos", "fedora"]));
    check("rocky9", "os_dist_version", json!("9.4"));
    check("rocky9", "os_dist_release", json!("Blue Onyx"));
    check("rocky9", "os_family", json!("RedHat"));
    check("alpine-container", "os_dist", json!("Alpine"));
    check("alpine-container", "os_dist_version", json!("3.20.3"));
    check("alpine-container", "os_dist_release", json!(null));
    check("aarch64", "os_dist", json!("Amazon"));
    check("aarch64", "os_dist_version", json!("2023"));
}

#[test]
fn distributions_that_say_too_little_are_completed() {
    let debian = "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_CODENAME=trixie\n";
    let sid = Some(("etc/debian_version", "trixie/sid\n"));
    check_os(debian, sid, [Some("Debian"), None, Some("trixie"), Some("Debian")]);
    let raspbian = "NAME=\"Raspbian GNU/Linux\"\nID=raspbian\nID_LIKE=debian\nVERSION_ID=\"11\"\n";
    let minor = Some(("etc/debian_version", "11.9\n"));
    check_os(raspbian, minor, [Some("Debian"), Some("11.9"), None, Some("Debian")]);
    let centos = "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nID=\"centos\"\nVERSION_ID=\"7\"\n";
    let minor = Some(("etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n"));
    check_os(centos, minor, [Some("CentOS"), Some("7.9"), Some("Core"), Some("RedHat")]);
    let stream = "NAME=\"CentOS Stream\"\nVERSION=\"9\"\nID=\"centos\"\nVERSION_ID=\"9\"\n";
    let major = Some(("etc/centos-release", "CentOS Stream release 9\n"));
    check_os(stream, major, [Some("CentOS"), Some("9"), Some("Stream"), Some("RedHat")]);
}

#[test]
fn distributions_have_names_and_families() {
    let check = |text: &str, expected| check_os(text, None, expected);
    check(
        "NAME=\"Red Hat Enterprise Linux Server\"\nVERSION=\"7.7 (Maipo)\"\nID=rhel\n\
         VERSION_ID=7.7",
        [Some("RedHat"), Some("7.7"), Some("Maipo"), Some("RedHat")],
    );
    check(
        "NAME=Fedora\nVERSION=\"40 (Server Edition)\"\nID=fedora\nVERSION_ID=40\n\
         VERSION_CODENAME=\"\"",
        [Some("Fedora"), Some("40"), None, Some("RedHat")],
    );
    check(
        "NAME=\"openSUSE Leap\"\nID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n\
         VERSION_ID=\"15.6\"",
        [Some("openSUSE Leap"), Some("15.6"), None, Some("Suse")],
    );
    check("NAME=SLES\nID=sles\nVERSION_ID=15.6", [Some("SLES"), Some("15.6"), None, Some("Suse")]);
    check(
        "NAME=SLES\nID=sles\nVERSION_ID=15.6\nVARIANT_ID=\"sles-sap\"",
        [Some("SLES_SAP"), Some("15.6"), None, Some("Suse")],
    );
    check(
        "NAME=\"Oracle Linux Server\"\nID=ol\nID_LIKE=fedora\nVERSION_ID=9.3",
        [Some("OracleLinux"), Some("9.3"), None, Some("RedHat")],
    );
    check(
        "NAME=AlmaLinux\nID=almalinux\nVERSION=\"9.4 (Seafoam Ocelot)\"\nVERSION_ID=9.4",
        [Some("AlmaLinux"), Some("9.4"), Some("Seafoam Ocelot"), Some("RedHat")],
    );
    check(
        "NAME=\"Flatcar Container Linux by Kinvolk\"\nID=flatcar\nID_LIKE=coreos\n\
         VERSION_ID=3139.2.0",
        [Some("Flatcar"), Some("3139.2.0"), None, Some("Flatcar")],
    );
    check("NAME=\"Arch Linux\"\nID=arch", [Some("Archlinux"), None, None, Some("Archlinux")]);
    check(
        "NAME=\"Zorin OS\"\nID=zorin\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=17\n\
         UBUNTU_CODENAME=jammy",
        [Some("Zorin OS"), Some("17"), Some("jammy"), Some("Debian")],
    );
    check("ID=plan9", [Some("plan9"), None, None, Some("plan9")]);
    check("", [None; 4]);
}

#[test]
fn the_default_route_is_the_usable_one_with_the_lowest_metric() {
    check(
        "debian12-vm",
        "default_ipv4",
        json!({
            "address": "10.0.0.5", "interface": "eth0", "gateway": "10.0.0.1", "mtu": 1500,
            "netmask": "255.255.255.0", "prefix": 24, "network": "10.0.0.0/24",
            "macaddress": "52:54:00:12:34:56",
        }),
    );
    check(
        "debian12-vm",
        "default_ipv6",
        json!({
            "address": "2001:db8:0:1::5", "interface": "eth0", "gateway": "fe80::1", "mtu": 1500,
            "netmask": "ffff:ffff:ffff:ffff::", "prefix": 64, "network": "2001:db8:0:1::/64",
            "macaddress": "52:54:00:12:34:56",
        }),
    );
    check("ubuntu2204", "default_ipv4.interface", json!("eno1"));
    check("ubuntu2204", "default_ipv4.gateway", json!("192.168.1.254"));
    check("rocky9", "default_ipv4", json!(null));
    check("rocky9", "default_ipv6.interface", json!("bond0"));
    check("rocky9", "default_ipv6.gateway", json!("2001:db8:7::1"));
}

#[test]
fn the_default_address_is_the_one_to_send_from() {
    // Beside the gateway, not the first one.
    check("ubuntu2204", "default_ipv4.address", json!("192.168.1.21"));
    // A link-local address is no way out.
    check("ubuntu2204", "default_ipv6", json!(null));
    // Neither local, deprecated, temporary nor a duplicate.
    check("rocky9", "default_ipv6.address", json!("2001:db8:7::7"));
    // An unnumbered interface borrows the address of the loopback interface.
    check(
        "aarch64",
        "default_ipv4",
        json!({
            "address": "10.255.0.9", "interface": "ens5", "mtu": 9001,
            "netmask": "255.255.255.255", "prefix": 32, "network": "10.255.0.9/32",
        }),
    );
}

#[test]
fn addresses_and_networks_have_their_types() {
    let facts = fixture("debian12-vm");
    let Value::Map(route) = &facts.get("default_ipv4").unwrap().value else { panic!() };
    let types = ["address", "gateway", "netmask", "network", "prefix", "interface"]
        .map(|key| route[key].type_name());
    assert_eq!(types, ["ip", "ip", "ip", "net", "int", "text"]);
}

#[test]
fn devices_are_whole_disks_with_a_medium() {
    check(
        "debian12-vm",
        "devices",
        json!({"vda": {
            "size": 21_474_836_480_u64, "rotational": true, "removable": false, "virtual": false,
            "logical_block_size": 512, "vendor": "0x1af4",
        }}),
    );
    let facts = fixture("ubuntu2204");
    let devices = lookup(&facts, "devices");
    let names: Vec<_> = devices.as_object().unwrap().keys().collect();
    assert_eq!(names, ["dm-0", "loop0", "nvme0n1", "sda", "sdb"]);
    assert_eq!(devices["nvme0n1"]["model"], json!("SAMSUNG MZQL2960HCJR-00A07"));
    assert_eq!(devices["nvme0n1"]["rotational"], json!(false));
    assert_eq!(devices["sda"]["size"], json!(18_000_207_937_536_u64));
    assert_eq!(devices["sda"]["logical_block_size"], json!(4096));
    assert_eq!(devices["sda"]["vendor"], json!("ATA"));
    assert_eq!(devices["sdb"]["removable"], json!(true));
    assert_eq!(devices["dm-0"]["virtual"], json!(true));
    check("alpine-container", "devices", json!(null));
}

#[test]
fn processors_are_described() {
    check("debian12-vm", "processor_type", json!("Intel Xeon Processor (Skylake, IBRS)"));
    check("debian12-vm", "processor_vendor", json!("GenuineIntel"));
    check("debian12-vm", "processor_count", json!(1));
    check(
        "debian12-vm",
        "processor_features",
        json!(["aes", "avx2", "fpu", "hypervisor", "sse2", "vme"]),
    );
    check("ubuntu2204", "processor_count", json!(2));
    check("rocky9", "processor_count", json!(2));
    check("aarch64", "processor_type", json!("Neoverse-N1"));
    check("aarch64", "processor_vendor", json!("ARM"));
    check("aarch64", "processor_count", json!(1));
    check(
        "aarch64",
        "processor_features",
        json!(["aes", "asimd", "atomics", "crc32", "evtstrm", "fp"]),
    );
    check("alpine-container", "processor_type", json!(null));
    check("alpine-container", "processor_count", json!(null));
}

#[test]
fn only_features_of_every_processor_count() {
    // One processor lacks `sev`.
    check("ubuntu2204", "processor_features", json!(["aes", "avx2", "fpu", "sse2"]));
}

#[test]
fn kernel_and_memory_are_described() {
    check("debian12-vm", "architecture", json!("x86_64"));
    check("alpine-container", "architecture", json!("i386"));
    check("aarch64", "architecture", json!("aarch64"));
    check("ubuntu2204", "hostname", json!("i1"));
    check("ubuntu2204", "kernel", json!("6.8.0-45-generic"));
    check("ubuntu2204", "kernel_name", json!("Linux"));
    check("ubuntu2204", "memtotal", json!(131_886_052_u64 * 1024));
}

#[test]
fn an_empty_root_has_no_facts() {
    let root = tempfile::tempdir().unwrap();
    assert!(collect(&below(root.path())).is_empty());
    assert!(collect(&below(&root.path().join("missing"))).is_empty());
}

#[test]
fn a_host_with_many_devices_keeps_its_physical_ones_and_fits() {
    let root = tempfile::tempdir().unwrap();
    let device = |name: &str| {
        let path = root.path().join("sys/block").join(name);
        fs::create_dir_all(path.join("device")).unwrap();
        fs::write(path.join("size"), "35156656128\n").unwrap();
        fs::write(path.join("device/model"), "ST18000NM000J-2T").unwrap();
    };
    for number in 0..500 {
        device(&format!("dm-{number}"));
        let twin = root.path().join("sys/devices/virtual/block").join(format!("dm-{number}"));
        fs::create_dir_all(twin).unwrap();
    }
    (0..24).for_each(|number| device(&format!("sd{number}")));
    let facts = collect(&below(root.path()));
    let devices = lookup(&facts, "devices");
    let names: Vec<_> = devices.as_object().unwrap().keys().collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("sd")).count(), 24);
    assert!(names.len() < 500);
    let encoded = bincode::serde::encode_to_vec(&facts, bincode::config::standard()).unwrap();
    assert!(encoded.len() < limits::FACTS_BYTES);
}

#[test]
fn strange_texts_are_made_fit() {
    assert_eq!(tidy(" ATA  \0\n").as_deref(), Some("ATA"));
    assert_eq!(tidy(" \n"), None);
    assert_eq!(tidy(&"x".repeat(5000)).unwrap().len(), limits::HOST_TEXT_BYTES);
    assert_eq!(tidy(&format!("x{}", "é".repeat(500))).unwrap().len(), limits::HOST_TEXT_BYTES - 1);
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
    fs::write(root.path().join("proc/sys/kernel/hostname"), b"h\xffst\n").unwrap();
    assert_eq!(lookup(&collect(&below(root.path())), "hostname"), json!("h\u{fffd}st"));
}

#[test]
fn this_host_says_what_every_linux_host_says() {
    let facts = collect(&FactRoot::host());
    assert!(facts.get("architecture").is_some());
    assert!(lookup(&facts, "memtotal").as_i64() > Some(0));
    assert!(facts.get("os_dist").is_some() || !Path::new("/etc/os-release").exists());
    assert!(facts.iter().all(|(name, _)| BUILT_IN.contains(&name.as_str())));
    assert_eq!(facts.check(), Ok(()));
}

/// The files that are read as a whole, with a line that is right.
const FILES: [(&str, &str); 6] = [
    ("etc/os-release", "ID=debian\nVERSION=\"12 (bookworm)\"\n"),
    ("proc/cpuinfo", "processor\t: 0\nflags\t: fpu sse\nCPU part\t: 0xd0c\n"),
    ("proc/meminfo", "MemTotal:  99 kB\n"),
    ("proc/net/route", "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
    (
        "proc/net/ipv6_route",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
         fe800000000000000000000000000001 00000400 00000005 00000000 00450003 eth0\n",
    ),
    ("proc/net/if_inet6", "20010db8000000010000000000000005 02 40 00 80     eth0\n"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_the_collector_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in FILES {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.extend_from_slice(&tail);
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let addresses = ["10.0.0.5/24", "2001:db8:0:1::5/64"]
            .map(|text| InterfaceAddress {
                interface: "eth0".to_owned(),
                address: text.parse().unwrap(),
            });
        let facts = collect(&FactRoot { addresses: addresses.into(), ..below(root.path()) });
        prop_assert_eq!(facts.check(), Ok(()));
    }
}
