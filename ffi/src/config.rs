//! What a node is started with.

use std::{mem::MaybeUninit, net::SocketAddr, path::Path, time::Duration};

use tribe::{ClusterName, FactName, Facts, Keyring, NodeName, Source, Value, fact};

use crate::{
    Error, Status, Str,
    fact::{float_value, json_value},
    handle::{Required, call, call_or},
};

/// What a node is started with: a name, and what was set. All else is by default.
#[derive(Debug)]
pub struct Config {
    name: NodeName,
    keyring: Option<Keyring>,
    cluster: Option<ClusterName>,
    bind: Option<SocketAddr>,
    advertise: Option<SocketAddr>,
    seeds: Vec<String>,
    facts: Facts,
    collect_facts: Option<bool>,
    data_dir: Option<String>,
    hold_down: Option<Duration>,
    version: Option<String>,
}

impl Config {
    fn new(name: NodeName) -> Self {
        Self {
            name,
            keyring: None,
            cluster: None,
            bind: None,
            advertise: None,
            seeds: Vec::new(),
            facts: Facts::new(),
            collect_facts: None,
            data_dir: None,
            hold_down: None,
            version: None,
        }
    }

    pub(crate) fn build(&self) -> Result<tribe::Config, Error> {
        let keyring = self.keyring.clone().ok_or_else(|| {
            Error::new(Status::NoKey, "no key is set, set one, or ask for plaintext by name")
        })?;
        let mut config = tribe::Config::new(self.name.as_str(), keyring)?;
        config.advertise = self.advertise;
        config.seeds.clone_from(&self.seeds);
        config.facts = self.facts.clone();
        config.data_dir = self.data_dir.as_ref().map(Into::into);
        set(&mut config.cluster, self.cluster.as_ref());
        set(&mut config.bind, self.bind.as_ref());
        set(&mut config.collect_facts, self.collect_facts.as_ref());
        set(&mut config.hold_down, self.hold_down.as_ref());
        set(&mut config.version, self.version.as_ref());
        Ok(config)
    }

    fn set_fact(&mut self, name: FactName, value: Value) -> Result<(), Error> {
        let mut one = Facts::new();
        one.insert(name, value, Source::Start);
        one.check()?;
        self.facts = self.facts.covered_by(&one);
        Ok(())
    }
}

fn set<T: Clone>(default: &mut T, chosen: Option<&T>) {
    if let Some(chosen) = chosen {
        default.clone_from(chosen);
    }
}

fn address(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| {
        let message = format!("`{text}` is not an address, expected IP:PORT or [IP]:PORT");
        Error::new(Status::Address, message)
    })
}

/// Begins a configuration for a node of this name, which must be unique in the cluster. Free it with
/// tribe_config_free(). Name and key alone have no default.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_new(
    name: Str,
    out: Option<&mut MaybeUninit<Box<Config>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        out.write(Box::new(Config::new(NodeName::parse(name.read("name")?)?)));
        Ok(())
    })
}

/// Where to listen, UDP and TCP alike: `IP:PORT`. Port 0 takes any free one. Default `0.0.0.0:6000`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_bind(
    config: Option<&mut Config>,
    bind: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.bind = Some(address(bind.read("bind")?)?);
        Ok(())
    })
}

/// Where others reach this node: `IP:PORT`. Default: the bound address, or that of the default route if
/// all addresses are bound.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_advertise(
    config: Option<&mut Config>,
    advertise: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.advertise = Some(address(advertise.read("advertise")?)?);
        Ok(())
    })
}

/// Adds a node to meet the cluster through: `HOST:PORT`. The host is resolved at every try; seeds are
/// tried for ever.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_add_seed(
    config: Option<&mut Config>,
    seed: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.seeds.push(seed.read("seed")?.to_owned());
        Ok(())
    })
}

/// Reads the keys of the cluster from a file, now: one base64 key a line, the first seals, all open. The
/// file must be readable by its owner alone (0600 or 0400).
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_key_file(
    config: Option<&mut Config>,
    path: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.keyring = Some(tribe::read_key_file(Path::new(path.read("path")?))?);
        Ok(())
    })
}

/// Gives the keys of the cluster as text: 32 random bytes in base64, one key a line. The library wipes
/// its own copies; yours is yours to wipe.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_key(
    config: Option<&mut Config>,
    key: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.keyring = Some(Keyring::from_text(key.read("key")?)?);
        Ok(())
    })
}

/// Seals nothing: anyone on the network reads and joins. For tests.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_plaintext(
    config: Option<&mut Config>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.keyring = Some(Keyring::plaintext());
        Ok(())
    })
}

/// Where id, keyring, records and known members are kept. Without one the node is ephemeral: a new id at
/// each start.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_data_dir(
    config: Option<&mut Config>,
    path: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.data_dir = Some(path.read("path")?.to_owned());
        Ok(())
    })
}

/// The cluster's name; nodes of different clusters never mix. Default `default`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_cluster(
    config: Option<&mut Config>,
    cluster: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.cluster = Some(ClusterName::parse(cluster.read("cluster")?)?);
        Ok(())
    })
}

/// Gives the node a fact that is a text, whatever it looks like.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_str(
    config: Option<&mut Config>,
    name: Str,
    value: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.set_fact(fact::settable(name.read("name")?)?, value.read("value")?.into())
    })
}

/// Gives the node a fact that is a whole number.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_i64(
    config: Option<&mut Config>,
    name: Str,
    value: i64,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.set_fact(fact::settable(name.read("name")?)?, value.into())
    })
}

/// Gives the node a fact that is a finite number.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_f64(
    config: Option<&mut Config>,
    name: Str,
    value: f64,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.set_fact(fact::settable(name.read("name")?)?, float_value(value)?)
    })
}

/// Gives the node a fact that is a yes or no.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_bool(
    config: Option<&mut Config>,
    name: Str,
    value: bool,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.set_fact(fact::settable(name.read("name")?)?, value.into())
    })
}

/// Gives the node a fact from JSON: a list, a map, or any other value but null.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_json(
    config: Option<&mut Config>,
    name: Str,
    json: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        config.set_fact(fact::settable(name.read("name")?)?, json_value(json.read("json")?)?)
    })
}

/// Gives the node a fact as a command line does: `key=value`, where `True` is a yes, `7` a number and
/// all else a text; or a bare `key`, which is a yes.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_fact_text(
    config: Option<&mut Config>,
    pair: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let config = config.required("config")?;
        let (name, value) = fact::parse_pair(pair.read("pair")?)?;
        config.set_fact(name, value)
    })
}

/// Collect the facts of this host? Default yes.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_collect_facts(
    config: Option<&mut Config>,
    collect: bool,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.collect_facts = Some(collect);
        Ok(())
    })
}

/// How long this node goes on acting for a tribe it fell out of by policy. Default 10,000 ms.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_hold_down_ms(
    config: Option<&mut Config>,
    hold_down_ms: u64,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.hold_down = Some(Duration::from_millis(hold_down_ms));
        Ok(())
    })
}

/// Name and version of your software, shown to others, such as `my-agent/1.2`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_config_set_version(
    config: Option<&mut Config>,
    version: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        config.required("config")?.version = Some(version.read("version")?.to_owned());
        Ok(())
    })
}

/// Frees a configuration. Nodes started with it are not touched. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_config_free(config: Option<Box<Config>>) {
    call_or((), || drop(config));
}
