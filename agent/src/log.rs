//! Logging to standard error.

use tracing_subscriber::{EnvFilter, util::TryInitError};

use crate::suggest::nearest;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a text is not a level or a format. The mistake is the user's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// Not one of the levels, nor directives.
    #[error("`{text}` is not a log level, {}", .near.map_or_else(
        || format!("use one of {}", LEVELS.join(", ")),
        |near| format!("did you mean `{near}`?"),
    ))]
    Level {
        /// What the user wrote.
        text: String,
        /// The nearest level.
        near: Option<&'static str>,
    },
    /// Not one of the formats.
    #[error("`{0}` is not a log format, use text or json")]
    Format(String),
}

impl LogFormat {
    /// Reads a format.
    pub(crate) fn parse(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogError::Format(other.to_owned())),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Checks a level, or directives such as `info,tribe=debug`.
pub(crate) fn check_level(text: &str) -> Result<(), LogError> {
    // A bare word that is no level would pass as the name of a module, and silence all others.
    let bad = text
        .split(',')
        .map(|directive| directive.rsplit('=').next().unwrap_or(directive))
        .find(|level| !LEVELS.contains(&level.to_ascii_lowercase().as_str()));
    match bad {
        None if EnvFilter::try_new(text).is_ok() => Ok(()),
        _ => Err(LogError::Level {
            text: bad.unwrap_or(text).to_owned(),
            near: nearest(bad.unwrap_or(text), LEVELS),
        }),
    }
}

/// Starts logging. Once per process.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found = check_level(text).map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    }

    #[test]
    fn levels_and_directives_are_read() {
        for text in ["info", "TRACE", "off", "info,tribe=debug", "warn,snapd::api=trace"] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn a_misspelled_level_names_the_nearest() {
        check("inof", Err("`inof` is not a log level, did you mean `info`?"));
        check("tribe=debgu", Err("`debgu` is not a log level, did you mean `debug`?"));
        check(
            "loud and clear",
            Err(
                "`loud and clear` is not a log level, use one of error, warn, info, debug, trace, off",
            ),
        );
    }
}
