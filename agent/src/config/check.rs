//! `snapd config check`: the configuration as it was read, each value with its source.

use std::fmt::{self, Display, Write as _};

use super::{Given, Origin, Settings, duration};

/// Everything that was read, as YAML with the sources as comments. Of a key only the fingerprint, and
/// of what plugins are told only the names.
pub(crate) fn print(settings: &Settings) -> Result<String, fmt::Error> {
    let mut out = String::new();
    match &settings.file {
        Some(path) => writeln!(out, "# {} is good", path.display())?,
        None => writeln!(out, "# no configuration file")?,
    }
    let Settings {
        log_level,
        log_format,
        socket,
        data_dir,
        load_timeout,
        plugin_configs,
        tribe,
        ..
    } = settings;
    line(&mut out, "log_level", &log_level.value, &log_level.origin)?;
    line(&mut out, "log_format", log_format.value.as_str(), &log_format.origin)?;
    line(&mut out, "socket", socket.value.display(), &socket.origin)?;
    line(&mut out, "data_dir", data_dir.value.display(), &data_dir.origin)?;
    writeln!(out, "plugins:")?;
    let time = duration::show(load_timeout.value);
    line(&mut out, "  load_timeout", time, &load_timeout.origin)?;
    for (name, config) in plugin_configs {
        // Without the values, among which passwords may be.
        let keys: Vec<_> = config.keys().map(String::as_str).collect();
        writeln!(out, "  # config of {name}: {}", keys.join(", "))?;
    }
    writeln!(out, "tribe:")?;
    line(&mut out, "  enable", tribe.enable.value, &tribe.enable.origin)?;
    line(&mut out, "  name", &tribe.name.value, &tribe.name.origin)?;
    line(&mut out, "  cluster", &tribe.cluster.value, &tribe.cluster.origin)?;
    line(&mut out, "  bind_addr", tribe.bind_addr.value, &tribe.bind_addr.origin)?;
    line(&mut out, "  bind_port", tribe.bind_port.value, &tribe.bind_port.origin)?;
    if let Some(advertise) = &tribe.advertise {
        line(&mut out, "  advertise", advertise.value, &advertise.origin)?;
    }
    let seeds = format!("[{}]", tribe.seeds.value.join(", "));
    line(&mut out, "  seeds", seeds, &tribe.seeds.origin)?;
    let hold_down = duration::show(tribe.hold_down.value);
    line(&mut out, "  hold_down", hold_down, &tribe.hold_down.origin)?;
    line(&mut out, "  facts_dir", tribe.facts_dir.value.display(), &tribe.facts_dir.origin)?;
    if let Some(Given { value, origin }) = &tribe.keys {
        match value.fingerprint() {
            Some(fingerprint) => writeln!(out, "  # key {fingerprint} from {origin}")?,
            None => line(&mut out, "  plaintext", true, origin)?,
        }
    }
    if !tribe.facts.is_empty() {
        writeln!(out, "  facts:")?;
    }
    for (name, fact) in tribe.facts.iter() {
        writeln!(out, "    {name}: {}", fact.value)?;
    }
    Ok(out)
}

fn line(out: &mut String, key: &str, value: impl Display, origin: &Origin) -> fmt::Result {
    writeln!(out, "{:<40} # {origin}", format!("{key}: {value}"))
}
