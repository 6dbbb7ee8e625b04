//! What the daemon is told about tasks, checked.

use std::path::{Path, PathBuf};

use super::{Given, Problems, or_default, size};
use crate::task::DEFAULT_SIZE;

/// Where secrets are unless told otherwise.
const DEFAULT_SECRETS_DIR: &str = "/etc/snap/secrets";
/// The smallest space for what publishers do not take.
const LEAST_SPOOL: u64 = 1 << 20;

/// What the daemon is told about tasks.
#[derive(Debug)]
pub(crate) struct TaskSettings {
    /// Directories whose plugins and tasks are loaded at the start.
    pub(crate) discover: Option<Given<Vec<PathBuf>>>,
    /// How much of what publishers do not take is kept, in bytes.
    pub(crate) spool_size: Given<u64>,
    pub(crate) spool_dir: Given<PathBuf>,
    pub(crate) secrets_dir: Given<PathBuf>,
}

/// What the file says of them.
#[derive(Debug, Default)]
pub(super) struct TaskLayer {
    pub(super) discover: Option<Given<String>>,
    pub(super) spool_size: Option<Given<String>>,
    pub(super) spool_dir: Option<Given<PathBuf>>,
    pub(super) secrets_dir: Option<Given<PathBuf>>,
}

pub(super) fn resolve(
    layer: &TaskLayer,
    data_dir: &Path,
    problems: &mut Problems,
) -> Option<TaskSettings> {
    let split = |text: &String| {
        std::env::split_paths(text).filter(|path| !path.as_os_str().is_empty()).collect()
    };
    let discover = layer.discover.clone();
    let discover = discover.map(|given| Given { value: split(&given.value), origin: given.origin });
    let spool_size = or_default(layer.spool_size.clone(), size::show(DEFAULT_SIZE));
    let spool_size = problems.parse(spool_size, |text| parse_size(text))?;
    Some(TaskSettings {
        discover,
        spool_size,
        spool_dir: or_default(layer.spool_dir.clone(), data_dir.join("spool")),
        secrets_dir: or_default(layer.secrets_dir.clone(), DEFAULT_SECRETS_DIR.into()),
    })
}

fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    if bytes < LEAST_SPOOL {
        return Err(format!("`{text}` is too small, use {} or more", size::show(LEAST_SPOOL)));
    }
    Ok(bytes)
}
