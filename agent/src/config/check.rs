//! `snapd config check`: the configuration as it was read, each value with its source.

use std::fmt::{self, Display, Write as _};

use super::{Given, Origin, Settings, duration, plugin_settings};

/// Everything that was read, as YAML with the sources as comments. Of a key only the fingerprint, and
/// of what plugins are told only the names.
pub(crate) fn print(settings: &Settings) -> Result<String, fmt::Error> {
    let mut out = String::new();
    match &settings.file {
        Some(path) => writeln!(out, "# {} is good", path.display())?,
        None => writeln!(out, "# no configuration file")?,
    }
    let Settings { log_level, log_format, socket, data_dir, plugins, tribe, .. } = settings;
    line(&mut out, "log_level", &log_level.value, &log_level.origin)?;
    line(&mut out, "log_format", log_format.value.as_str(), &log_format.origin)?;
    line(&mut out, "socket", socket.value.display(), &socket.origin)?;
    line(&mut out, "data_dir", data_dir.value.display(), &data_dir.origin)?;
    plugin_settings::print(plugins, &mut out, line)?;
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
