//! The Unix socket of the control API: who may open it, and whose it is.
//!
//! Invariant: the socket is never open to others than owner and group, not even for a moment; a socket
//! that someone answers on is never taken away; at the end only our own socket is removed.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket};

/// Owner and group.
const MODE: u32 = 0o660;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// Why there is no socket. Nothing was changed, except that a stale socket may be gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Someone answers on it.
    #[error("`{0}` is in use by a running snapd")]
    InUse(PathBuf),
    /// There is a file of another type.
    #[error("`{0}` is not a socket and is not replaced")]
    Occupied(PathBuf),
    /// The system refuses.
    #[error("cannot listen on `{path}`")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SocketError {
    /// What the user can do.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::InUse(_) => "stop it, or give this one a socket of its own with --socket PATH",
            Self::Occupied(_) => "remove it, or choose another path with --socket PATH",
            Self::Io { .. } => "choose a path in a directory you can write to with --socket PATH",
        }
    }
}

/// A socket file of ours, removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own socket there since.
    identity: Option<(u64, u64)>,
    group: u32,
}

impl SocketFile {
    /// The group that may open it.
    pub(crate) fn group(&self) -> u32 {
        self.group
    }
}

/// Listens on a path with mode 0660, in place of the socket of a dead process if there is one. Needs a
/// tokio runtime.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    clear(path)?;
    let socket = UnixSocket::new_stream().map_err(failed)?;
    // The file is born with the mode of the socket less the umask, so there is no moment when it is open
    // to others; the second chmod gives back to the group what the umask took.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(MODE)).map_err(|error| failed(error.into()))?;
    socket.bind(path).map_err(failed)?;
    let group = fs::symlink_metadata(path).map_err(failed)?.gid();
    let file = SocketFile { path: path.to_owned(), identity: identity(path), group };
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    Ok((listener, file))
}

/// Removes the socket of a process that is gone.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !kind.is_socket() {
        return Err(SocketError::Occupied(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // At worst a stale socket stays, which the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net;

    use super::*;

    fn check(prepare: impl FnOnce(&Path), expected: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapd.sock");
        prepare(&path);
        let shown = bind(&path).map(|_| ()).map_err(|error| error.to_string());
        let expected = expected.map_err(|text| text.replace("PATH", &path.display().to_string()));
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_replaced() {
        check(|_| {}, Ok(()));
        check(|path| drop(net::UnixListener::bind(path).unwrap()), Ok(()));
    }

    #[tokio::test]
    async fn a_live_socket_and_a_file_stay() {
        let mut live = None;
        check(
            |path| live = Some(net::UnixListener::bind(path).unwrap()),
            Err("`PATH` is in use by a running snapd"),
        );
        check(
            |path| fs::write(path, "precious").unwrap(),
            Err("`PATH` is not a socket and is not replaced"),
        );
    }

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_and_goes_with_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/snapd.sock");
        let (_listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapd.sock");
        let (_listener, file) = bind(&path).unwrap();
        fs::rename(&path, dir.path().join("old.sock")).unwrap();
        let _successor = net::UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
