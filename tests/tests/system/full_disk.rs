//! A data directory that cannot be written to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;
use tribe_tests::{Cluster, Ran, binary, say, wait_until};

/// A small disk of its own, until this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` without root: only root may mount.
    fn mount(at: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            say("skipped: only root can mount a disk");
            return None;
        }
        fs::create_dir_all(at).unwrap();
        mount(&["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs"], at);
        Some(Self(at.to_owned()))
    }

    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}")], &self.0);
    }

    /// Leaves no room on it.
    fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        for size in [64 << 10, 4 << 10, 512] {
            let mut more = fs::File::options().append(true).create(true).open(&file).unwrap();
            while std::io::Write::write_all(&mut more, &vec![1; size]).is_ok() {}
        }
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed has said so already.
        let _ = Ran::new(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn mount(options: &[&str], at: &Path) {
    Ran::new(Command::new("mount").args(options).arg(at)).done();
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_before_and_after_survives_a_power_cut() {
    let mut cluster = Cluster::new();
    cluster.add("i1", &[]);
    let Some(disk) = Disk::mount(cluster["i1"].state_file().parent().unwrap()) else { return };
    cluster.run(&["i1"]);
    let i1 = &cluster["i1"];
    i1.types("tribe create before");

    let filler = disk.fill();
    let mut refused = 0;
    wait_until("the disk is full", || {
        refused += 1;
        let ran =
            i1.tries(&format!("tribe create full{refused} --description {}", "x".repeat(900)));
        if ran.code == Some(0) {
            return false;
        }
        assert!(ran.stderr.starts_with("error: cannot write to the data directory: "), "{ran:?}");
        assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
        true
    });
    assert!(i1.tribes().contains_key("before"));
    let acknowledged: Vec<String> = (1..refused).map(|number| format!("full{number}")).collect();

    fs::remove_file(filler).unwrap();
    wait_until("it takes writes again by itself", || {
        i1.tries("tribe create after").code == Some(0)
    });
    cluster.kill_all();
    cluster.run(&["i1"]);
    let tribes = cluster["i1"].tribes();
    let expected = acknowledged.iter().map(String::as_str).chain(["before", "after"]);
    for name in expected {
        assert!(tribes.contains_key(name), "{name}: {tribes:?}");
    }
    cluster.kill_all();
    drop(disk);
}

#[test]
fn a_disk_that_became_read_only_is_told() {
    let mut cluster = Cluster::new();
    cluster.add("i1", &[]);
    let Some(disk) = Disk::mount(cluster["i1"].state_file().parent().unwrap()) else { return };
    cluster.run(&["i1"]);
    cluster["i1"].types("tribe create before");
    cluster.kill_all();
    disk.remount("ro");
    let mut snapd = Command::new(binary("snapd"));
    snapd.args([
        "--config",
        "/dev/null",
        "--tribe",
        "--tribe-plaintext",
        "--tribe-addr",
        "127.0.0.1",
    ]);
    snapd.args(["--tribe-port", "0", "--socket"]).arg(cluster.dir().join("socket"));
    let start = Ran::new(snapd.arg("--data-dir").arg(&disk.0));
    assert_eq!(start.code, Some(1), "{start:?}");
    assert!(start.stderr.contains(disk.0.to_str().unwrap()), "{start:?}");
    assert!(start.stderr.contains("Read-only file system"), "{start:?}");
    disk.remount("rw");
    cluster.run(&["i1"]);
    assert!(cluster["i1"].tribes().contains_key("before"));
    cluster.kill_all();
    drop(disk);
}
