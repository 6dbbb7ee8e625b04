//! What happened: the hash of all of it, and the last of what matters.

use std::{collections::VecDeque, fmt, hash::Hasher, time::Duration};

use siphasher::sip::SipHasher13;

use crate::EventKind;

/// What happened so far, in order.
#[derive(Debug, Default)]
pub(super) struct Trace {
    hasher: SipHasher13,
    recent: VecDeque<Mark>,
}

/// Something that may explain a failure.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    at: Duration,
    node: usize,
    what: Marked,
}

#[derive(Debug, Clone)]
pub(super) enum Marked {
    Started,
    Stopped,
    Paused(Duration),
    Resumed,
    Dialled(usize),
    Closed(usize, &'static str),
    Told(EventKind, String),
}

/// So many marks are kept.
const MARKS: usize = 200_000;

impl Trace {
    pub(super) fn note(&mut self, at: Duration, what: u8, whom: u64, bytes: &[u8]) {
        self.hasher.write_u64(at.as_nanos() as u64);
        self.hasher.write_u8(what);
        self.hasher.write_u64(whom);
        self.hasher.write(bytes);
    }

    pub(super) fn mark(&mut self, at: Duration, node: usize, what: Marked) {
        if self.recent.len() >= MARKS {
            self.recent.pop_front();
        }
        self.recent.push_back(Mark { at, node, what });
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last marks of one node, or about it by name.
    pub(super) fn about(&self, node: usize, name: &str, most: usize) -> Vec<String> {
        let about = |mark: &&Mark| {
            mark.node == node
                || match &mark.what {
                    Marked::Dialled(of) | Marked::Closed(of, _) => *of == node,
                    Marked::Told(_, subject) => subject == name,
                    _ => false,
                }
        };
        let mut found: Vec<String> =
            self.recent.iter().rev().filter(about).take(most).map(Mark::to_string).collect();
        found.reverse();
        found
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10.3} n{} ", self.at.as_secs_f64(), self.node)?;
        match &self.what {
            Marked::Started => f.write_str("starts"),
            Marked::Stopped => f.write_str("stops"),
            Marked::Paused(time) => write!(f, "is paused for {:.1} s", time.as_secs_f64()),
            Marked::Resumed => f.write_str("runs again"),
            Marked::Dialled(to) => write!(f, "dials n{to}"),
            Marked::Closed(to, reason) => write!(f, "has lost the stream with n{to}: {reason}"),
            Marked::Told(kind, subject) => write!(f, "tells {kind} {subject}"),
        }
    }
}
