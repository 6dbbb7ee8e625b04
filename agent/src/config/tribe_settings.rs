//! What the daemon is told about its cluster, checked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tribe::{ClusterName, Facts, Keyring, NodeName, Source, fact};

use super::{
    Given, KeyFrom, Layer, Origin, Problems, RawFact, all_or_nothing, duration, or_default,
};

/// The port nodes meet at unless told otherwise, as in snap.
const DEFAULT_PORT: u16 = 6000;
/// Where files with facts of this host are, unless told otherwise.
const DEFAULT_FACTS_DIR: &str = "/etc/snap/facts.d";
/// How long a node goes on acting for a tribe it fell out of, unless told otherwise.
const DEFAULT_HOLD_DOWN: Duration = Duration::from_secs(10);

/// What the daemon is told about its cluster.
#[derive(Debug)]
pub(crate) struct TribeSettings {
    /// Tribe mode is on. Without it nothing else here has any effect.
    pub(crate) enable: Given<bool>,
    /// The name of this node; only with tribe mode on is it surely a node name.
    pub(crate) name: Given<String>,
    pub(crate) cluster: Given<ClusterName>,
    pub(crate) bind_addr: Given<IpAddr>,
    pub(crate) bind_port: Given<u16>,
    pub(crate) advertise: Option<Given<SocketAddr>>,
    pub(crate) seeds: Given<Vec<String>>,
    /// `None` with tribe mode off: then no key is read.
    pub(crate) keys: Option<Given<Keys>>,
    pub(crate) facts: Facts,
    pub(crate) facts_dir: Given<PathBuf>,
    pub(crate) hold_down: Given<Duration>,
}

/// What seals the messages of the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    /// Encryption is on.
    Sealed(Keyring),
    /// It is off, as was asked for by name.
    Plaintext,
}

impl Keys {
    /// Fingerprint of the key that seals, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Sealed(keyring) => Some(keyring.sealing_id().to_string()),
            Self::Plaintext => None,
        }
    }

    /// The keyring as the library takes it.
    pub(crate) fn keyring(&self) -> Keyring {
        match self {
            Self::Sealed(keyring) => keyring.clone(),
            Self::Plaintext => Keyring::plaintext(),
        }
    }
}

pub(super) fn resolve(layer: Layer, problems: &mut Problems) -> Option<TribeSettings> {
    let enable = or_default(layer.enable, false);
    let name = or_default(layer.name, hostname());
    let name_is_good = check_name(&name, enable.value, problems);
    let cluster = or_default(layer.cluster, "default".to_owned());
    let cluster = problems.parse(cluster, |text| ClusterName::parse(text));
    let bind_addr = or_default(layer.bind_addr, Ipv4Addr::UNSPECIFIED.to_string());
    let bind_addr = problems.parse(bind_addr, |text| {
        text.parse().map_err(|_| format!("`{text}` is not an IP address"))
    });
    let bind_port = or_default(layer.bind_port, DEFAULT_PORT.to_string());
    let bind_port = problems.parse(bind_port, |text| {
        text.parse().map_err(|_| format!("`{text}` is not a port, use 0 to 65535"))
    });
    let port = bind_port.as_ref().map_or(DEFAULT_PORT, |port| port.value);
    let advertise =
        layer.advertise.map(|given| problems.parse(given, |text| parse_advertise(text, port)));
    let seeds = seeds(or_default(layer.seeds, Vec::new()), problems);
    let facts_dir = or_default(layer.facts_dir, DEFAULT_FACTS_DIR.into());
    let hold_down = or_default(layer.hold_down, duration::show(DEFAULT_HOLD_DOWN));
    let hold_down = problems.parse(hold_down, |text| duration::parse(text));
    let facts = facts(layer.facts, problems);
    let keys = enable.value.then(|| keys(layer.key, &enable, problems));
    name_is_good.then_some(())?;
    Some(TribeSettings {
        enable,
        name,
        cluster: cluster?,
        bind_addr: bind_addr?,
        bind_port: bind_port?,
        advertise: all_or_nothing(advertise)?,
        seeds,
        keys: all_or_nothing(keys)?,
        facts,
        facts_dir,
        hold_down: hold_down?,
    })
}

/// The name of this host, as others may know it.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[must_use]
fn check_name(name: &Given<String>, enabled: bool, problems: &mut Problems) -> bool {
    // A hostname that is no node name hurts only who needs one.
    if name.origin == Origin::Default && !enabled {
        return true;
    }
    let Err(error) = NodeName::parse(&name.value) else { return true };
    match name.origin {
        Origin::Default => {
            let help = "the hostname does not do, name the node with --tribe-node-name";
            problems.add_lack(&name.origin, error, Some(help));
        }
        _ => problems.add(&name.origin, error, None),
    }
    false
}

/// `IP:PORT`, or an IP alone that is reached at the port we listen on.
fn parse_advertise(text: &str, bind_port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address {
            address if address.port() == 0 => {
                Err(format!("`{text}` has port 0, at which nobody reaches this node"))
            }
            address if address.ip().is_unspecified() => {
                Err(format!("`{text}` is no address at which others reach this node"))
            }
            address => Ok(address),
        };
    }
    match text.parse::<IpAddr>() {
        Ok(ip) if bind_port != 0 && !ip.is_unspecified() => Ok(SocketAddr::new(ip, bind_port)),
        _ => Err(format!("`{text}` is not an address, write it as `10.0.0.1:6000`")),
    }
}

/// Those that are seeds; each other is a problem.
fn seeds(given: Given<Vec<String>>, problems: &mut Problems) -> Given<Vec<String>> {
    let Given { value, origin } = given;
    let mut seed = |text: String| {
        problems.parse(Given { value: text, origin: origin.clone() }, |text| parse_seed(text))
    };
    let value = value.into_iter().filter_map(|text| Some(seed(text)?.value)).collect();
    Given { value, origin }
}

/// `HOST:PORT`, or a host alone, reached at the default port as in snap.
fn parse_seed(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a seed, write it as `HOST:PORT`");
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        // As in `::1:6000`, which is an address as a whole, and hardly meant as one.
        if let Some((host, port)) = text.rsplit_once(':')
            && let (Ok(host), Ok(port @ 1024..)) = (host.parse::<Ipv6Addr>(), port.parse::<u16>())
        {
            return Err(format!(
                "`{text}` may be `[{host}]:{port}` or `[{text}]:{DEFAULT_PORT}`, write it as one of them"
            ));
        }
        return Ok(SocketAddr::new(ip, DEFAULT_PORT).to_string());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(wrong()) } else { Ok(address.to_string()) };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().map_err(|_| wrong())?),
        None => (text, DEFAULT_PORT),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // A number is a port without its host, or an address without its dots.
    let is_number = host.chars().all(|c| c.is_ascii_digit());
    if is_number || port == 0 || !host.chars().all(is_host) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

fn facts(raw: Vec<Given<RawFact>>, problems: &mut Problems) -> Facts {
    let mut facts = Facts::new();
    for given in raw {
        let parsed = problems.parse(given, |raw| match raw {
            RawFact::Pair(pair) => fact::parse_pair(pair),
            RawFact::Named(name, value) => {
                let mut one = Facts::new();
                let name = fact::settable(name)?;
                one.insert(name.clone(), value.clone(), Source::Start);
                one.check().map(|()| (name, value.clone()))
            }
        });
        if let Some(Given { value: (name, value), .. }) = parsed {
            facts.insert(name, value, Source::Start);
        }
    }
    facts
}

fn keys(
    given: Option<Given<KeyFrom>>,
    enable: &Given<bool>,
    problems: &mut Problems,
) -> Option<Given<Keys>> {
    let Some(Given { value, origin }) = given else {
        let help = "make one with `snapd keygen --out FILE` and give it with --tribe-key-file FILE";
        problems.add_lack(&enable.origin, "tribe mode needs a key, and there is none", Some(help));
        return None;
    };
    let (keys, help) = match value {
        KeyFrom::File(path) => {
            let keys = tribe::read_key_file(&path).map_err(|error| error.to_string());
            (
                keys.map(Keys::Sealed),
                (!path.exists()).then_some("make it with `snapd keygen --out FILE`"),
            )
        }
        KeyFrom::Text(text) => {
            let keys = Keyring::from_text(&text).map_err(|error| error.to_string());
            (keys.map(Keys::Sealed), Some("make a key with `snapd keygen`"))
        }
        KeyFrom::Plaintext => (Ok(Keys::Plaintext), None),
    };
    match keys {
        Ok(value) => Some(Given { value, origin }),
        Err(error) => {
            problems.add(&origin, error, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_seed(text: &str, expected: Result<&str, &str>) {
        let found = parse_seed(text);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_seed_is_a_host_and_a_port() {
        check_seed("10.0.0.2:6001", Ok("10.0.0.2:6001"));
        check_seed("i1.example.com:6000", Ok("i1.example.com:6000"));
        check_seed("[::1]:7000", Ok("[::1]:7000"));
        check_seed(" i1:7000 ", Ok("i1:7000"));
    }

    #[test]
    fn a_host_alone_is_met_at_the_default_port() {
        check_seed("10.0.0.2", Ok("10.0.0.2:6000"));
        check_seed("i1", Ok("i1:6000"));
        check_seed("::1", Ok("[::1]:6000"));
    }

    #[test]
    fn what_is_not_a_seed_says_how_to_write_one() {
        for text in [
            "",
            ":6000",
            "i1:",
            "i1:port",
            "i1:0",
            "10.0.0.2:0",
            "i1:70000",
            "a b:1",
            "1",
            "6000:6000",
        ] {
            check_seed(text, Err(&format!("`{text}` is not a seed, write it as `HOST:PORT`")));
        }
        check_seed(
            "::1:6000",
            Err("`::1:6000` may be `[::1]:6000` or `[::1:6000]:6000`, write it as one of them"),
        );
        check_seed("fe80::1:cafe", Ok("[fe80::1:cafe]:6000"));
        check_seed("2001:db8::5:10", Ok("[2001:db8::5:10]:6000"));
    }

    fn check_advertise(text: &str, bind_port: u16, expected: Option<&str>) {
        let found = parse_advertise(text, bind_port).ok().map(|address| address.to_string());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn an_advertised_address_can_be_reached() {
        check_advertise("10.0.0.1:7000", 6000, Some("10.0.0.1:7000"));
        check_advertise("10.0.0.1", 6000, Some("10.0.0.1:6000"));
        check_advertise("10.0.0.1", 0, None);
        check_advertise("10.0.0.1:0", 6000, None);
        check_advertise("0.0.0.0:6000", 6000, None);
        check_advertise("i1:6000", 6000, None);
    }
}
