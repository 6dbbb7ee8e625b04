//! Where a playground lives: a temporary directory with a key, and a port.

use std::{
    fs::{self, DirBuilder},
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    failure::{Exit, Failure},
    keygen,
};

/// How often a free port is looked for.
const PORT_TRIES: usize = 200;

/// What the nodes are told: in a playground tribes may do everything.
const CONFIG: &str = r#"capabilities: {load_from_tribes: ["*"], plugins: ["*"], serve_to: ["*"]}
"#;

/// A directory of our own with a throw-away key. Removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes the directory and the key.
    pub(super) fn make(keep: bool) -> Result<Self, Failure> {
        let place = Self { dir: make_dir().context("cannot make a temporary directory")?, keep };
        keygen::write_file(
            &place.key_file(),
            &tribe::generate_key().context("cannot make a key")?,
        )?;
        fs::write(place.config_file(), CONFIG).context("cannot write the configuration")?;
        Ok(place)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.dir.join("key")
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("snapd.yaml")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // What stays is in the directory for temporary files.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn make_dir() -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    let pid = std::process::id();
    let mut number = 0;
    loop {
        let dir = base.join(format!("snapd-dev-{pid}-{number}"));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            // Left by an earlier process of this id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// A port that is free for UDP and TCP on all addresses of the playground.
pub(super) fn free_port(nodes: u8) -> Result<u16, Failure> {
    (0..PORT_TRIES).find_map(|_| try_port(nodes).ok()).ok_or_else(|| {
        let message = format!("no port is free on all of 127.0.0.1 to 127.0.0.{nodes}");
        Failure::new(Exit::Failed, message)
    })
}

fn try_port(nodes: u8) -> io::Result<u16> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = any.local_addr()?.port();
    for number in 1..=nodes {
        let address = Ipv4Addr::new(127, 0, 0, number);
        UdpSocket::bind((address, port))?;
        if number > 1 {
            TcpListener::bind((address, port))?;
        }
    }
    Ok(port)
}
