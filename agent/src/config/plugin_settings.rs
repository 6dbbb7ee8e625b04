//! What the daemon is told about its plugins, checked.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{Given, Origin, Problems, duration, or_default, size};
use crate::plugin::{ByPrefix, Limits, PluginConfigs, TlsFiles, TrustLevel};

/// How long a plugin may take to start, unless told otherwise. Those in Python take a second or two.
const DEFAULT_LOAD_TIMEOUT: &str = "10s";
/// What it may be told. Clients do not wait longer for an answer.
const LOAD_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(45);
/// How many instances of one plugin may run, unless told otherwise. As in snap.
const DEFAULT_MAX_RUNNING: u64 = 3;
/// What it may be told.
const MAX_RUNNINGS: RangeInclusive<u64> = 1..=100;
/// The least memory a plugin can do with.
const LEAST_MEMORY: u64 = 16 * 1024 * 1024;
/// The fewest files and processes.
const FEWEST_FILES: u64 = 16;

/// What the daemon is told about its plugins.
#[derive(Debug)]
pub(crate) struct PluginSettings {
    /// How long a plugin may take to start.
    pub(crate) load_timeout: Given<Duration>,
    /// How many instances of one plugin may run.
    pub(crate) max_running: Given<usize>,
    /// What one instance may use.
    pub(crate) limits: Limits,
    /// Whose plugins may be loaded.
    pub(crate) trust: Given<TrustLevel>,
    /// Files and directories with the keys of those who sign plugins.
    pub(crate) keyrings: Vec<PathBuf>,
    /// How connections to plugins are sealed, if they are.
    pub(crate) tls: Option<Given<TlsFiles>>,
    /// What plugins are told. May hold passwords.
    pub(crate) configs: PluginConfigs,
    /// What all metrics of this node are tagged with.
    pub(crate) tags: ByPrefix<String>,
}

/// What the file says about plugins, not yet checked.
#[derive(Debug, Default)]
pub(super) struct PluginLayer {
    pub(super) load_timeout: Option<Given<String>>,
    pub(super) max_running: Option<Given<u64>>,
    pub(super) limits: LimitLayer,
    pub(super) trust: Option<Given<String>>,
    pub(super) keyrings: Option<Given<Vec<PathBuf>>>,
    pub(super) tls: Option<Given<TlsFiles>>,
    pub(super) configs: PluginConfigs,
    pub(super) tags: ByPrefix<String>,
}

/// What the file says about limits.
#[derive(Debug, Default)]
pub(super) struct LimitLayer {
    pub(super) memory: Option<Given<String>>,
    pub(super) open_files: Option<Given<u64>>,
    pub(super) processes: Option<Given<u64>>,
    pub(super) cpu: Option<Given<String>>,
}

pub(super) fn resolve(layer: PluginLayer, problems: &mut Problems) -> Option<PluginSettings> {
    let load_timeout = or_default(layer.load_timeout, DEFAULT_LOAD_TIMEOUT.to_owned());
    let load_timeout = problems.parse(load_timeout, |text| parse_load_timeout(text));
    let max_running = or_default(layer.max_running, DEFAULT_MAX_RUNNING);
    let max_running = problems.parse(max_running, |number| check_max_running(*number));
    let limits = layer.limits.resolve(problems);
    let keyrings = layer.keyrings.map(|given| given.value).unwrap_or_default();
    let trust = resolve_trust(layer.trust, &keyrings, problems);
    Some(PluginSettings {
        load_timeout: load_timeout?,
        max_running: max_running?,
        limits,
        trust: trust?,
        keyrings,
        tls: layer.tls,
        configs: layer.configs,
        tags: layer.tags,
    })
}

/// With keyrings signatures are needed unless told otherwise; without them they cannot be checked.
fn resolve_trust(
    trust: Option<Given<String>>,
    keyrings: &[PathBuf],
    problems: &mut Problems,
) -> Option<Given<TrustLevel>> {
    let Some(trust) = trust else {
        let value = if keyrings.is_empty() { TrustLevel::Off } else { TrustLevel::On };
        return Some(Given { value, origin: Origin::Default });
    };
    let trust = problems.parse(trust, |text| {
        TrustLevel::parse(text)
            .ok_or_else(|| format!("`{text}` is not a level of trust, use `off`, `warn` or `on`"))
    })?;
    if trust.value == TrustLevel::On && keyrings.is_empty() {
        let message = "plugins must be signed, but there is no keyring to check it with";
        let help = "name files or directories with public keys in `plugins: {keyrings: [...]}`";
        problems.add_lack(&trust.origin, message, Some(help));
    }
    Some(trust)
}

impl LimitLayer {
    fn resolve(self, problems: &mut Problems) -> Limits {
        let mut at_least = |given: Option<Given<u64>>, least: u64, what: &str| {
            let checked = problems.parse(given?, |number| {
                if *number >= least {
                    return Ok(*number);
                }
                Err(format!("`{number}` is too small a limit of {what}, the least is {least}"))
            });
            checked.map(|given| given.value)
        };
        let open_files = at_least(self.open_files, FEWEST_FILES, "open files");
        let processes = at_least(self.processes, 1, "processes");
        let memory = self.memory.and_then(|given| problems.parse(given, |text| parse_memory(text)));
        let cpu = self.cpu.and_then(|given| problems.parse(given, |text| parse_cpu(text)));
        Limits {
            memory: memory.map(|given| given.value),
            open_files,
            processes,
            cpu: cpu.map(|given| given.value),
        }
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    if bytes < LEAST_MEMORY {
        let least = size::show(LEAST_MEMORY);
        return Err(format!("`{text}` is too small a limit of memory, the least is {least}"));
    }
    Ok(bytes)
}

fn parse_cpu(text: &str) -> Result<u64, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) {
        return Err(format!("`{text}` is too small a limit of processor time, the least is 1s"));
    }
    Ok(time.as_secs())
}

fn parse_load_timeout(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    if LOAD_TIMEOUTS.contains(&time) {
        return Ok(time);
    }
    let (least, most) =
        (duration::show(*LOAD_TIMEOUTS.start()), duration::show(*LOAD_TIMEOUTS.end()));
    Err(format!("`{text}` is not a time a plugin can be given to start, use {least} to {most}"))
}

fn check_max_running(number: u64) -> Result<usize, String> {
    usize::try_from(number).ok().filter(|_| MAX_RUNNINGS.contains(&number)).ok_or_else(|| {
        let (least, most) = (MAX_RUNNINGS.start(), MAX_RUNNINGS.end());
        format!("`{number}` is no number of instances of a plugin, use {least} to {most}")
    })
}

/// Prints what was read, with the sources as comments; of what plugins are told only the names.
pub(super) fn print(
    settings: &PluginSettings,
    out: &mut String,
    line: impl Fn(&mut String, &str, String, &Origin) -> fmt::Result,
) -> fmt::Result {
    use fmt::Write as _;

    let PluginSettings { load_timeout, max_running, limits, trust, keyrings, tls, configs, tags } =
        settings;
    writeln!(out, "plugins:")?;
    let time = duration::show(load_timeout.value);
    line(out, "  load_timeout", time, &load_timeout.origin)?;
    line(out, "  max_running", max_running.value.to_string(), &max_running.origin)?;
    line(out, "  trust", trust.value.as_str().to_owned(), &trust.origin)?;
    if !keyrings.is_empty() {
        let paths: Vec<_> = keyrings.iter().map(|path| format!("'{}'", path.display())).collect();
        writeln!(out, "  keyrings: [{}]", paths.join(", "))?;
    }
    let limits: Vec<_> = [
        limits.memory.map(|bytes| format!("memory: {}", size::show(bytes))),
        limits.open_files.map(|number| format!("open_files: {number}")),
        limits.processes.map(|number| format!("processes: {number}")),
        limits.cpu.map(|seconds| format!("cpu: {seconds}s")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !limits.is_empty() {
        writeln!(out, "  limits: {{{}}}", limits.join(", "))?;
    }
    if let Some(Given { value, origin }) = tls {
        writeln!(out, "  tls:{:<35} # {origin}", "")?;
        let TlsFiles { ca, cert, key, plugin_cert, plugin_key } = value;
        let files = [
            ("ca", ca),
            ("cert", cert),
            ("key", key),
            ("plugin_cert", plugin_cert),
            ("plugin_key", plugin_key),
        ];
        for (name, path) in files {
            writeln!(out, "    {name}: '{}'", path.display())?;
        }
    }
    for (whose, config) in whose(configs) {
        // Without the values, among which passwords may be.
        let keys: Vec<_> = config.keys().map(String::as_str).collect();
        writeln!(out, "  # config of {whose}: {}", keys.join(", "))?;
    }
    let mut tags = tags.iter().peekable();
    if tags.peek().is_some() {
        writeln!(out, "tags:")?;
    }
    for (prefix, tags) in tags {
        writeln!(out, "  '{prefix}':")?;
        for (name, value) in tags {
            writeln!(out, "    {name}: '{}'", value.replace('\'', "''"))?;
        }
    }
    Ok(())
}

/// What is told, and to whom.
fn whose(configs: &PluginConfigs) -> Vec<(String, &crate::plugin::Config)> {
    let PluginConfigs { all, kinds, names, plugins, versions } = configs;
    let all = (!all.is_empty()).then(|| ("all plugins".to_owned(), all));
    let mut whose: Vec<_> = all.into_iter().collect();
    whose.extend(kinds.iter().map(|(kind, config)| (format!("each {}", kind.as_str()), config)));
    whose.extend(names.iter().map(|(name, config)| (name.clone(), config)));
    let plugins = plugins.iter();
    whose.extend(
        plugins.map(|((kind, name), config)| (format!("{}:{name}", kind.as_str()), config)),
    );
    whose.extend(versions.iter().map(|(identity, config)| (identity.to_string(), config)));
    whose
}
