//! Who is at the other end of a connection, and whether it may ask at all.
//!
//! On the Unix socket the kernel says who it is: root, the user of snapd and the group of the socket may
//! ask, whatever the mode of the file has become. Over TCP it is an address, which may have to give a
//! password ([`gate`](super::gate)).

use std::{net::SocketAddr, path::Path};

use tokio::net::unix::UCred;

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// A user of this host who may ask.
    Local,
    /// A user of this host who may not.
    Stranger(u32),
    /// Someone at this address.
    Remote(SocketAddr),
}

/// Who may use the Unix socket, beside root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owners {
    user: u32,
    group: u32,
}

impl Owners {
    /// The user of this process, and the group of the socket.
    pub(super) fn new(group: u32) -> Self {
        Self { user: rustix::process::geteuid().as_raw(), group }
    }

    /// Who it is that connected.
    pub(super) fn judge(self, credentials: UCred) -> Peer {
        let groups = || groups(credentials.pid()?, credentials.uid());
        let (user, group) = (credentials.uid(), credentials.gid());
        let may = user == 0
            || user == self.user
            || group == self.group
            || groups().is_some_and(|groups| groups.contains(&self.group));
        if may { Peer::Local } else { Peer::Stranger(user) }
    }
}

/// The further groups of a process, which the credentials of a socket do not tell. Should another process
/// have its number by now, it is at least one of the same user.
fn groups(process: i32, user: u32) -> Option<Vec<u32>> {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    parse_groups(&status.ok()?, user)
}

fn parse_groups(status: &str, user: u32) -> Option<Vec<u32>> {
    let field = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    let users = field("Uid:")?;
    // Real, effective, saved, of the file system.
    (!users.is_empty() && users.iter().all(|found| *found == user)).then(|| field("Groups:"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_process_are_those_of_the_user_who_connected() {
        let status = "Name:\tsnapctl\nUid:\t1000\t1000\t1000\t1000\nGroups:\t4 27 1000 \n";
        let check = |status: &str, user, expected: Option<&[u32]>| {
            assert_eq!(parse_groups(status, user).as_deref(), expected, "{status}");
        };
        check(status, 1000, Some(&[4, 27, 1000]));
        check(status, 1001, None);
        check("Uid:\t1000\t0\t0\t0\nGroups:\t4\n", 1000, None);
        check("Uid:\t7\t7\t7\t7\nGroups:\t\n", 7, Some(&[]));
        check("Uid:\t7\t7\t7\t7\n", 7, None);
        check("", 7, None);
    }
}
