//! What one instance of a plugin may use.

use std::{fmt, io, str::FromStr};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Limits of the system, each absent if there is none. In one argument of a command:
/// `memory=536870912,open_files=256`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory of its own. What a program merely reserves, as those in Go do, does not
    /// count.
    pub(crate) memory: Option<u64>,
    /// Files and connections.
    pub(crate) open_files: Option<u64>,
    /// Processes and threads of its user, on all of the host. Not for root.
    pub(crate) processes: Option<u64>,
    /// Seconds of processor time, after which it is killed and started again.
    pub(crate) cpu: Option<u64>,
}

/// Why a text is not limits. Our own fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a limit")]
pub(crate) struct LimitsError(String);

impl Limits {
    fn named(&self) -> [(&'static str, Resource, Option<u64>); 4] {
        [
            ("memory", Resource::Data, self.memory),
            ("open_files", Resource::Nofile, self.open_files),
            ("processes", Resource::Nproc, self.processes),
            ("cpu", Resource::Cpu, self.cpu),
        ]
    }

    /// Puts this process under the limits, and what it becomes.
    pub(super) fn apply(&self) -> io::Result<()> {
        for (name, resource, limit) in self.named() {
            let Some(limit) = limit else { continue };
            let rlimit = Rlimit { current: Some(limit), maximum: Some(limit) };
            setrlimit(resource, rlimit).map_err(|error| {
                io::Error::other(format!("the limit `{name}` of {limit} cannot be set: {error}"))
            })?;
        }
        Ok(())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.named().into_iter().filter_map(|(name, _, limit)| Some((name, limit?)));
        let texts: Vec<_> = set.map(|(name, limit)| format!("{name}={limit}")).collect();
        f.write_str(&texts.join(","))
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let error = || LimitsError(part.to_owned());
            let (name, number) = part.split_once('=').ok_or_else(error)?;
            let limit = Some(number.parse().map_err(|_| error())?);
            match name {
                "memory" => limits.memory = limit,
                "open_files" => limits.open_files = limit,
                "processes" => limits.processes = limit,
                "cpu" => limits.cpu = limit,
                _ => return Err(error()),
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_survive_being_an_argument() {
        for limits in [
            Limits::default(),
            Limits { memory: Some(1 << 30), ..Limits::default() },
            Limits { memory: Some(1), open_files: Some(2), processes: Some(3), cpu: Some(4) },
        ] {
            assert_eq!(limits.to_string().parse::<Limits>().unwrap(), limits);
        }
        for text in ["memory", "memory=x", "disk=7"] {
            assert!(text.parse::<Limits>().is_err(), "{text}");
        }
    }
}
