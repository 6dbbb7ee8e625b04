//! A cable that loses some of what it carries: a program between two interfaces of the switch.

use std::{fs, path::Path, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{network::Place, process::Process, random::Random, wait::wait_until};

/// The bad cable of a host. Dropped, nothing goes over it any more.
#[derive(Debug)]
pub struct Relay {
    counts: PathBuf,
    _process: Process,
    _dir: TempDir,
}

/// Frames of UDP and TCP in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Datagrams that came through.
    pub udp: u64,
    /// Segments that came through.
    pub tcp: u64,
    /// Both, lost.
    pub lost: u64,
}

impl Carried {
    /// The share that was lost.
    #[must_use]
    pub fn loss(self) -> f64 {
        self.lost as f64 / (self.lost + self.udp + self.tcp).max(1) as f64
    }
}

impl Relay {
    /// A relay between these interfaces of a place, that loses so large a share each way.
    pub(crate) fn start(place: &Place, inner: &str, outer: &str, loss: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let counts = dir.path().join("counts");
        let seed = Random::new().number();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/relay.py");
        let mut command = place.command(Path::new("python3"));
        command.arg(script).args([inner, outer, &loss.to_string(), &seed.to_string()]).arg(&counts);
        let process = Process::start(&mut command);
        wait_until("the relay runs", || counts.exists());
        Self { counts, _process: process, _dir: dir }
    }

    /// What went from its host.
    #[must_use]
    pub fn sent(&self) -> Carried {
        self.carried("out")
    }

    /// What went to its host.
    #[must_use]
    pub fn received(&self) -> Carried {
        self.carried("in")
    }

    fn carried(&self, way: &str) -> Carried {
        let counts: Value =
            serde_json::from_str(&fs::read_to_string(&self.counts).unwrap()).unwrap();
        let count = |name: &str| counts[way][name].as_u64().unwrap();
        let lost = count("udp_lost") + count("tcp_lost");
        Carried { udp: count("udp"), tcp: count("tcp"), lost }
    }
}
