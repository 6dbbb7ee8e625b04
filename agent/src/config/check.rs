//! `snapd config check`: the configuration as it was read, each value with its source.

use std::fmt::{self, Display, Write as _};

use super::{
    ApiSettings, CapabilitySettings, Given, Origin, Settings, duration, plugin_settings, size,
};

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
        api,
        data_dir,
        plugins,
        plugin_dir,
        capabilities,
        tasks,
        tribe,
        ..
    } = settings;
    line(&mut out, "log_level", &log_level.value, &log_level.origin)?;
    line(&mut out, "log_format", log_format.value.as_str(), &log_format.origin)?;
    line(&mut out, "socket", socket.value.display(), &socket.origin)?;
    print_api(api, &mut out)?;
    line(&mut out, "data_dir", data_dir.value.display(), &data_dir.origin)?;
    if let Some(Given { value, origin }) = &tasks.discover {
        let paths: Vec<_> = value.iter().map(|path| path.display().to_string()).collect();
        line(&mut out, "auto_discover_path", paths.join(":"), origin)?;
    }
    writeln!(out, "spool:")?;
    let size = size::show(tasks.spool_size.value);
    line(&mut out, "  size", size, &tasks.spool_size.origin)?;
    line(&mut out, "  dir", tasks.spool_dir.value.display(), &tasks.spool_dir.origin)?;
    writeln!(out, "secrets:")?;
    line(&mut out, "  dir", tasks.secrets_dir.value.display(), &tasks.secrets_dir.origin)?;
    plugin_settings::print(plugins, &mut out, line)?;
    line(&mut out, "  dir", plugin_dir.value.display(), &plugin_dir.origin)?;
    writeln!(out, "capabilities:")?;
    let CapabilitySettings {
        load_from_tribes,
        plugins,
        serve_to,
        serve_plugins,
        serve_concurrency,
    } = capabilities;
    line(&mut out, "  load_from_tribes", &load_from_tribes.value, &load_from_tribes.origin)?;
    line(&mut out, "  plugins", &plugins.value, &plugins.origin)?;
    line(&mut out, "  serve_to", &serve_to.value, &serve_to.origin)?;
    line(&mut out, "  serve_plugins", &serve_plugins.value, &serve_plugins.origin)?;
    line(&mut out, "  serve_concurrency", serve_concurrency.value, &serve_concurrency.origin)?;
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

fn print_api(api: &ApiSettings, out: &mut String) -> fmt::Result {
    let ApiSettings { listen, tls, password_file } = api;
    if listen.is_none() && tls.is_none() && password_file.is_none() {
        return Ok(());
    }
    writeln!(out, "api:")?;
    if let Some(Given { value, origin }) = listen {
        line(out, "  listen", value, origin)?;
    }
    let tls = tls.iter().flat_map(|tls| [("  tls_cert", &tls.cert), ("  tls_key", &tls.key)]);
    let files = tls.chain(password_file.iter().map(|file| ("  password_file", file)));
    for (key, Given { value, origin }) in files {
        line(out, key, value.display(), origin)?;
    }
    Ok(())
}

fn line(out: &mut String, key: &str, value: impl Display, origin: &Origin) -> fmt::Result {
    writeln!(out, "{:<40} # {origin}", format!("{key}: {value}"))
}
