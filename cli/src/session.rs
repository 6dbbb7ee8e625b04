//! What every command has at hand: snapd, the format of the output, and the time to wait.

use std::{pin::pin, time::Duration};

use serde::Serialize;
use tokio::time::sleep;
use tribe_api::client::{Client, Remote, RemoteError};

use crate::{
    args::{Format, Global, Seconds},
    exit::Exit,
    failure::Failure,
    output, sanitize,
};

/// A request that takes longer than this may be held until the cluster is met.
const AT_ONCE: Duration = Duration::from_millis(500);
const WAITS: &str = "\
note: this node has not met its cluster yet, for which snapd waits up to 10 s
help: `snapctl tribe status` says what keeps it";
const PART_ONLY: &str = "\
note: this node has not met its cluster yet, so there may be more than it knows
help: `snapctl tribe status` says what keeps it";

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// The daemon.
    pub(crate) snapd: Client,
    /// How to write data.
    pub(crate) format: Format,
    /// How long writes wait for the other nodes.
    pub(crate) wait: Option<Duration>,
}

impl Session {
    /// A session as the command line has it.
    ///
    /// # Errors
    /// The URL, or what belongs to it, is of no use.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let (password, trusted) = (global.password_file.as_deref(), global.cacert.as_deref());
        let snapd = match &global.url {
            None => Client::new(&global.socket),
            Some(url) => Client::remote(
                Remote::new(url, password, trusted)
                    .map_err(|error| unusable(&error, global.url_is_typed))?,
            ),
        };
        let snapd = match global.timeout {
            None => snapd,
            Some(Seconds(time)) => snapd.answered_within(time),
        };
        Ok(Self { snapd, format: global.output, wait: global.wait.map(|wait| wait.0) })
    }

    /// The node that was named, or the one behind the socket.
    ///
    /// # Errors
    /// snapd cannot be asked for its name.
    pub(crate) async fn node_or_own(&self, node: Option<String>) -> Result<String, Failure> {
        match node {
            Some(node) => Ok(node),
            None => Ok(self.snapd.node().await?.name),
        }
    }

    /// Writes a reply to stdout.
    ///
    /// # Errors
    /// stdout is full or closed.
    pub(crate) fn show<T: Serialize>(
        &self,
        reply: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        output::show(self.format, reply, text).map(|()| Exit::Success)
    }

    /// Writes what the cluster has to stdout, and tells on stderr if the node may know a part of it only.
    ///
    /// # Errors
    /// stdout is full or closed.
    pub(crate) async fn show_known<T: Serialize>(
        &self,
        reply: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        let exit = self.show(reply, text)?;
        if self.is_unsynced().await {
            output::tell(PART_ONLY);
        }
        Ok(exit)
    }

    /// Waits for a request that snapd holds until the node has met its cluster. If that takes a
    /// while, it is told on stderr.
    pub(crate) async fn attend<T>(&self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        let unsynced = async {
            sleep(AT_ONCE).await;
            self.is_unsynced().await
        };
        tokio::select! {
            biased;
            unsynced = unsynced => if unsynced {
                output::tell(WAITS);
            },
            done = &mut request => return done,
        }
        request.await
    }

    /// Waits for a request as `attend` does, if snapd holds what it asks at all.
    pub(crate) async fn attend_if<T>(&self, held: bool, request: impl Future<Output = T>) -> T {
        match held {
            true => self.attend(request).await,
            false => request.await,
        }
    }

    /// Has the node not met its cluster yet? A snapd that cannot say is asked no more.
    pub(crate) async fn is_unsynced(&self) -> bool {
        self.snapd.node().await.is_ok_and(|node| node.tribe && !node.synced)
    }

    /// Tells on stderr what snapd wants the writer to know.
    pub(crate) fn note<'a>(&self, notes: impl IntoIterator<Item = &'a str>) {
        for note in notes {
            output::tell(&sanitize::line(&format!("note: {note}")));
        }
    }

    /// Ends a write: the reply to stdout if it is for machines, what was done and who is missing to stderr.
    ///
    /// # Errors
    /// stdout is full or closed.
    pub(crate) fn written(
        &self,
        reply: &impl Serialize,
        missing: &[String],
        done: &str,
    ) -> Result<Exit, Failure> {
        if self.format == Format::Json {
            output::show(self.format, reply, |_| String::new())?;
        }
        output::tell(&sanitize::line(done));
        if missing.is_empty() {
            return Ok(Exit::Success);
        }
        output::tell(&missing_text(missing, self.wait.unwrap_or_default()));
        Ok(Exit::PartlyDone)
    }
}

/// Why a URL is of no use. One that was not typed is told with where it is from.
fn unusable(error: &RemoteError, typed: bool) -> Failure {
    let of_url = match error {
        RemoteError::Url(_) | RemoteError::PasswordInUrl | RemoteError::InTheClear(_) => !typed,
        _ => false,
    };
    Failure::usage(if of_url { format!("SNAP_URL: {error}") } else { error.to_string() })
}

fn missing_text(missing: &[String], wait: Duration) -> String {
    let seconds = wait.as_secs_f64();
    let mut text = match missing.len() {
        1 => format!("warning: 1 live node did not say within {seconds} s that it holds this:"),
        count => {
            format!(
                "warning: {count} live nodes did not say within {seconds} s that they hold this:"
            )
        }
    };
    for node in missing {
        text = format!("{text}\n  {}", sanitize::line(node));
    }
    format!(
        "{text}\nhelp: it is written and will reach them, `snapctl member list` shows who is there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_answer_is_listed() {
        assert_eq!(
            missing_text(&["i3".into(), "i4\u{7}".into()], Duration::from_millis(1500)),
            "warning: 2 live nodes did not say within 1.5 s that they hold this:\n  i3\n  i4\\u{7}\n\
             help: it is written and will reach them, `snapctl member list` shows who is there",
        );
        let one = missing_text(&["i3".into()], Duration::from_secs(10));
        assert!(one.starts_with(
            "warning: 1 live node did not say within 10 s that it holds this:\n  i3\n"
        ));
    }
}
