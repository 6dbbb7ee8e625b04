//! What the daemon is told: a file, covered by the environment, covered by flags.
//!
//! Each source is read into a [`Layer`] of texts that remember where they stand; laid over each other
//! they are checked once, here, so that a bad value gets the same message wherever it came from, and
//! all bad values are told at once. Lists of a higher source replace those of a lower one; facts, being
//! a map, are covered name by name.
//!
//! Invariant: [`Settings`] are complete and checked; nothing that holds key text is ever shown.

mod api_settings;
mod check;
mod duration;
mod file;
mod flags;
mod left_out;
mod mistake;
mod plugin_section;
mod plugin_settings;
mod size;
mod task_settings;
mod tribe_settings;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use clap::ArgMatches;
use tribe::Value;
use tribe_api::DEFAULT_SOCKET;
use zeroize::Zeroizing;

use self::{api_settings::ApiLayer, plugin_settings::PluginLayer};
pub(crate) use self::{
    api_settings::{ApiSettings, ApiTls},
    check::print,
    plugin_settings::PluginSettings,
    task_settings::TaskSettings,
    tribe_settings::TribeSettings,
};
use crate::{
    args::RunArgs,
    capability::{Capabilities, Patterns, SERVE_CONCURRENCY},
    failure::{Exit, Failure},
    log::{self, LogFormat},
};

/// The file that is read if none is named.
const DEFAULT_FILE: &str = "/etc/snap/snapd.yaml";
/// Where the node keeps what it must not forget, unless told otherwise.
const DEFAULT_DATA_DIR: &str = "/var/lib/snap";
/// Where plugins lie that are loaded by name alone, unless told otherwise.
const DEFAULT_PLUGIN_DIR: &str = "/opt/snap/plugins";

/// Everything the daemon is told, complete and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    pub(crate) log_level: Given<String>,
    pub(crate) log_format: Given<LogFormat>,
    pub(crate) socket: Given<PathBuf>,
    /// The control API over TCP.
    pub(crate) api: ApiSettings,
    pub(crate) data_dir: Given<PathBuf>,
    pub(crate) plugins: PluginSettings,
    /// Where plugins lie that are loaded by name alone.
    pub(crate) plugin_dir: Given<PathBuf>,
    /// What tribes may do on this node.
    pub(crate) capabilities: CapabilitySettings,
    pub(crate) tasks: TaskSettings,
    pub(crate) tribe: TribeSettings,
}

/// What tribes may do on this node, as patterns of names.
#[derive(Debug)]
pub(crate) struct CapabilitySettings {
    pub(crate) load_from_tribes: Given<Patterns>,
    pub(crate) plugins: Given<Patterns>,
    pub(crate) serve_to: Given<Patterns>,
    pub(crate) serve_plugins: Given<Patterns>,
    pub(crate) serve_concurrency: Given<usize>,
}

impl CapabilitySettings {
    /// What is allowed.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            load_from_tribes: self.load_from_tribes.value.clone(),
            plugins: self.plugins.value.clone(),
            serve_to: self.serve_to.value.clone(),
            serve_plugins: self.serve_plugins.value.clone(),
            serve_concurrency: self.serve_concurrency.value,
        }
    }
}

/// A value and where it was given.
#[derive(Debug, Clone)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
    },
    /// In this environment variable.
    Env(String),
    /// With this flag.
    Flag(String),
}

/// What one source says, not yet checked.
#[derive(Debug, Default)]
struct Layer {
    log_level: Option<Given<String>>,
    log_format: Option<Given<String>>,
    socket: Option<Given<PathBuf>>,
    api: ApiLayer,
    data_dir: Option<Given<PathBuf>>,
    /// Only the file says something of them.
    plugins: PluginLayer,
    plugin_dir: Option<Given<PathBuf>>,
    load_from_tribes: Option<Given<Vec<String>>>,
    allowed_plugins: Option<Given<Vec<String>>>,
    serve_to: Option<Given<Vec<String>>>,
    serve_plugins: Option<Given<Vec<String>>>,
    serve_concurrency: Option<Given<u64>>,
    /// Only the file has it.
    tasks: task_settings::TaskLayer,
    enable: Option<Given<bool>>,
    name: Option<Given<String>>,
    cluster: Option<Given<String>>,
    bind_addr: Option<Given<String>>,
    bind_port: Option<Given<String>>,
    advertise: Option<Given<String>>,
    seeds: Option<Given<Vec<String>>>,
    key: Option<Given<KeyFrom>>,
    facts_dir: Option<Given<PathBuf>>,
    hold_down: Option<Given<String>>,
    /// Lower sources first.
    facts: Vec<Given<RawFact>>,
}

/// Where the key comes from.
#[derive(Clone)]
enum KeyFrom {
    /// This file.
    File(PathBuf),
    /// The configuration file itself.
    Text(Zeroizing<String>),
    /// There is none: no encryption.
    Plaintext,
}

/// A fact as a source says it.
#[derive(Debug, Clone)]
enum RawFact {
    /// `K=V`, or a bare `K`.
    Pair(String),
    /// Name and value.
    Named(String, Value),
}

const NO_FILE: &str =
    "write it, or leave out `--config` and SNAPD_CONFIG: flags and environment do as well";

/// One mistake in the configuration.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// Line and column, if it is in the file.
    at: Option<(u64, u64)>,
    message: String,
    help: Option<String>,
}

/// All mistakes that were found.
#[derive(Debug, Default)]
struct Problems {
    found: Vec<Problem>,
    /// Entries with a mistake were left out: that something lacks another may follow from that.
    partial: bool,
}

/// Reads all sources.
pub(crate) fn load(args: RunArgs, matches: &ArgMatches) -> Result<Settings, Failure> {
    let mut problems = Problems::default();
    let (file, lower) = read_file(args.config.as_deref(), &mut problems)?;
    let upper = flags::layer(args, matches, &mut problems);
    let settings = resolve(file, upper.over(lower), &mut problems);
    problems.into_result()?;
    // Without a problem there are settings.
    settings.ok_or_else(|| Failure::new(Exit::Config, "the configuration is incomplete"))
}

fn read_file(
    path: Option<&Path>,
    problems: &mut Problems,
) -> Result<(Option<PathBuf>, Layer), Failure> {
    let asked = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE));
    match file::read(path, problems) {
        Ok(layer) => Ok((Some(path.to_owned()), layer)),
        Err(error) if !asked && error.kind() == io::ErrorKind::NotFound => {
            Ok((None, Layer::default()))
        }
        Err(error) => {
            let message = format_args!("cannot read {}: {error}", path.display());
            let failure = Failure::new(Exit::Config, message);
            Err(match error.kind() {
                io::ErrorKind::NotFound => failure.help(NO_FILE),
                _ => failure,
            })
        }
    }
}

fn resolve(file: Option<PathBuf>, mut layer: Layer, problems: &mut Problems) -> Option<Settings> {
    let plugins = plugin_settings::resolve(std::mem::take(&mut layer.plugins), problems);
    let api = api_settings::resolve(std::mem::take(&mut layer.api), problems);
    let Layer { log_level, log_format, socket, data_dir, .. } = &layer;
    let log_level = or_default(log_level.clone(), "info".to_owned());
    let log_level = problems.parse(log_level, |text| log::check_level(text).map(|()| text.clone()));
    let log_format = or_default(log_format.clone(), "text".to_owned());
    let log_format = problems.parse(log_format, |text| LogFormat::parse(text));
    let socket = or_default(socket.clone(), DEFAULT_SOCKET.into());
    let data_dir = or_default(data_dir.clone(), DEFAULT_DATA_DIR.into());
    let plugin_dir = or_default(layer.plugin_dir.clone(), DEFAULT_PLUGIN_DIR.into());
    let default = Capabilities::default();
    let concurrency = or_default(
        layer.serve_concurrency.clone(),
        default.serve_concurrency.try_into().unwrap_or(1),
    );
    let serve_concurrency = problems.parse(concurrency, |number| check_concurrency(*number));
    let capabilities = |serve_concurrency| CapabilitySettings {
        load_from_tribes: patterns(layer.load_from_tribes.clone(), &default.load_from_tribes),
        plugins: patterns(layer.allowed_plugins.clone(), &default.plugins),
        serve_to: patterns(layer.serve_to.clone(), &default.serve_to),
        serve_plugins: patterns(layer.serve_plugins.clone(), &default.serve_plugins),
        serve_concurrency,
    };
    let capabilities = serve_concurrency.map(capabilities);
    let tasks = task_settings::resolve(&layer.tasks, &data_dir.value, problems);
    let tribe = tribe_settings::resolve(layer, problems);
    Some(Settings {
        file,
        log_level: log_level?,
        log_format: log_format?,
        socket,
        api: api?,
        data_dir,
        plugins: plugins?,
        plugin_dir,
        capabilities: capabilities?,
        tasks: tasks?,
        tribe: tribe?,
    })
}

fn patterns(given: Option<Given<Vec<String>>>, default: &Patterns) -> Given<Patterns> {
    let read = |Given { value, origin }: Given<Vec<String>>| Given {
        value: Patterns::new(value.iter().map(String::as_str)),
        origin,
    };
    or_default(given.map(read), default.clone())
}

fn check_concurrency(number: u64) -> Result<usize, String> {
    let allowed = usize::try_from(number).ok().filter(|number| SERVE_CONCURRENCY.contains(number));
    allowed.ok_or_else(|| {
        let (least, most) = (SERVE_CONCURRENCY.start(), SERVE_CONCURRENCY.end());
        format!("`{number}` is no number of batches at a time, use {least} to {most}")
    })
}

fn or_default<T>(given: Option<Given<T>>, default: T) -> Given<T> {
    given.unwrap_or(Given { value: default, origin: Origin::Default })
}

/// `None` if it was given and is wrong.
#[expect(clippy::option_option, reason = "it may be given or not, and be good or not")]
fn all_or_nothing<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    match checked {
        None => Some(None),
        Some(good) => good.map(Some),
    }
}

impl Layer {
    /// This layer, laid over a lower one.
    fn over(self, lower: Self) -> Self {
        let mut facts = lower.facts;
        facts.extend(self.facts);
        Self {
            log_level: self.log_level.or(lower.log_level),
            log_format: self.log_format.or(lower.log_format),
            socket: self.socket.or(lower.socket),
            api: self.api.over(lower.api),
            data_dir: self.data_dir.or(lower.data_dir),
            plugins: lower.plugins,
            plugin_dir: self.plugin_dir.or(lower.plugin_dir),
            load_from_tribes: self.load_from_tribes.or(lower.load_from_tribes),
            allowed_plugins: self.allowed_plugins.or(lower.allowed_plugins),
            serve_to: self.serve_to.or(lower.serve_to),
            serve_plugins: self.serve_plugins.or(lower.serve_plugins),
            serve_concurrency: self.serve_concurrency.or(lower.serve_concurrency),
            tasks: lower.tasks,
            enable: self.enable.or(lower.enable),
            name: self.name.or(lower.name),
            cluster: self.cluster.or(lower.cluster),
            bind_addr: self.bind_addr.or(lower.bind_addr),
            bind_port: self.bind_port.or(lower.bind_port),
            advertise: self.advertise.or(lower.advertise),
            seeds: self.seeds.or(lower.seeds),
            key: self.key.or(lower.key),
            facts_dir: self.facts_dir.or(lower.facts_dir),
            hold_down: self.hold_down.or(lower.hold_down),
            facts,
        }
    }
}

impl Problems {
    fn add(&mut self, origin: &Origin, message: impl fmt::Display, help: Option<&str>) {
        let (at, message) = match origin {
            Origin::Default => (None, message.to_string()),
            Origin::File { line, column, .. } => {
                (Some((*line, *column)), format!("{origin}: {message}"))
            }
            place => (None, format!("{place}: {message}")),
        };
        let problem = Problem { at, message, help: help.map(str::to_owned) };
        // A flag may be repeated, mistake and all.
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Adds that something lacks another, unless that may be what was left out.
    fn add_lack(&mut self, origin: &Origin, message: impl fmt::Display, help: Option<&str>) {
        if !self.partial {
            self.add(origin, message, help);
        }
    }

    /// Adds a mistake whose entry is left out.
    fn leave_out(&mut self, problem: Problem) {
        self.partial = true;
        self.found.push(problem);
    }

    /// Checks one value; a bad one becomes a problem.
    fn parse<T, U, E: fmt::Display>(
        &mut self,
        given: Given<T>,
        parse: impl FnOnce(&T) -> Result<U, E>,
    ) -> Option<Given<U>> {
        match parse(&given.value) {
            Ok(value) => Some(Given { value, origin: given.origin }),
            Err(error) => {
                self.add(&given.origin, error, None);
                None
            }
        }
    }

    fn into_result(self) -> Result<(), Failure> {
        if self.found.is_empty() { Ok(()) } else { Err(self.into_failure()) }
    }

    /// Those of the file as they stand in it, then the others.
    fn into_failure(mut self) -> Failure {
        self.found.sort_by_key(|problem| (problem.at.is_none(), problem.at));
        let reports = self.found.into_iter().map(|problem| (problem.message, problem.help));
        Failure::list(Exit::Config, reports.collect())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::File { path, line, column } => {
                f.pad(&format!("{}:{line}:{column}", path.display()))
            }
            Self::Env(name) | Self::Flag(name) => f.pad(name),
        }
    }
}

impl fmt::Debug for KeyFrom {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text"),
            Self::Plaintext => f.write_str("Plaintext"),
        }
    }
}

#[cfg(test)]
mod tests;
