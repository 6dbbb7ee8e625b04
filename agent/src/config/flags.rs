//! Flags and environment variables as a layer of the configuration.

use std::path::PathBuf;

use clap::{ArgMatches, parser::ValueSource};

use super::{ApiLayer, Given, KeyFrom, Layer, Origin, Problems, RawFact};
use crate::args::RunArgs;

/// What flags and environment say. A flag covers its variable.
pub(super) fn layer(args: RunArgs, matches: &ArgMatches, problems: &mut Problems) -> Layer {
    let origin = |id: &str| origin(matches, id);
    let text = |id, value: Option<String>| given(&origin, id, value);
    let path = |id, value: Option<PathBuf>| given(&origin, id, value);
    let tribe = given(&origin, "tribe", args.tribe);
    let enable = tribe.and_then(|given| problems.parse(given, |text| switch(text)));
    let seeds: Vec<_> = args.tribe_seed.into_iter().filter(|seed| !seed.is_empty()).collect();
    Layer {
        log_level: text("log_level", args.log_level),
        log_format: text("log_format", args.log_format),
        socket: path("socket", args.socket),
        api: ApiLayer { listen: text("api_listen", args.api_listen), ..ApiLayer::default() },
        data_dir: path("data_dir", args.data_dir),
        enable,
        name: text("tribe_node_name", args.tribe_node_name),
        bind_addr: text("tribe_addr", args.tribe_addr),
        bind_port: text("tribe_port", args.tribe_port),
        advertise: text("tribe_advertise", args.tribe_advertise),
        seeds: given(&origin, "tribe_seed", (!seeds.is_empty()).then_some(seeds)),
        key: key(
            path("tribe_key_file", args.tribe_key_file),
            given(&origin, "tribe_plaintext", args.tribe_plaintext.then_some(())),
            problems,
        ),
        facts: args
            .fact
            .into_iter()
            .map(|pair| Given { value: RawFact::Pair(pair), origin: origin("fact") })
            .collect(),
        // The rest is in the file alone.
        ..Layer::default()
    }
}

/// Everything that people take for on or off.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn key(
    file: Option<Given<PathBuf>>,
    plaintext: Option<Given<()>>,
    problems: &mut Problems,
) -> Option<Given<KeyFrom>> {
    let file = file.map(|file| Given { value: KeyFrom::File(file.value), origin: file.origin });
    let plain = plaintext.map(|plain| Given { value: KeyFrom::Plaintext, origin: plain.origin });
    match (file, plain) {
        (Some(file), Some(plain)) if matches!(file.origin, Origin::Flag(_)) => {
            let message = format!("{} goes without a key, but there is one", plain.origin);
            problems.add(&file.origin, message, Some("give one of the two"));
            None
        }
        // A flag covers a variable.
        (file, plain) => plain.or(file),
    }
}

fn given<T>(origin: &impl Fn(&str) -> Origin, id: &str, value: Option<T>) -> Option<Given<T>> {
    value.map(|value| Given { value, origin: origin(id) })
}

/// Where an argument came from. The id of an argument gives its flag and its variable.
fn origin(matches: &ArgMatches, id: &str) -> Origin {
    match matches.value_source(id) {
        Some(ValueSource::EnvVariable) => Origin::Env(format!("SNAP_{}", id.to_uppercase())),
        _ => Origin::Flag(format!("--{}", id.replace('_', "-"))),
    }
}
