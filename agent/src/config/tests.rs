use clap::{CommandFactory, FromArgMatches};

use super::*;
use crate::args::Cli;
use crate::plugin::{Config, ConfigValue, Identity, Kind, Limits, TrustLevel};

const PATH: &str = "/etc/snap/snapd.yaml";

/// Reads a file of this text and mode, and then these flags.
fn load_all(text: &str, mode: u32, flags: &[&str]) -> Result<Settings, String> {
    let matches = Cli::command()
        .try_get_matches_from(["snapd"].iter().chain(flags))
        .map_err(|e| e.to_string())?;
    let args = Cli::from_arg_matches(&matches).unwrap().run;
    let mut problems = Problems::default();
    let lower = file::parse(Path::new(PATH), text, mode, &mut problems);
    let upper = flags::layer(args, &matches, &mut problems);
    let settings = resolve(None, upper.over(lower), &mut problems);
    problems.into_result().map(|()| settings.unwrap()).map_err(|failure| failure.to_string())
}

fn load_file(text: &str) -> Result<Settings, String> {
    load_all(text, 0o644, &[])
}

fn check_error(text: &str, expected: &str) {
    let found = load_file(text).map(|settings| print(&settings).unwrap());
    assert_eq!(found.as_deref().map_err(|error| error.trim_end()), Err(expected));
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_what_was_meant() {
    check_error(
        "log_level: info\nloglevel: debug\n",
        "error: /etc/snap/snapd.yaml:2:1: unknown key `loglevel`\n\
         help: did you mean `log_level`?",
    );
    check_error(
        "tribe:\n  enable: true\n  bind_prot: 7000\n",
        "error: /etc/snap/snapd.yaml:3:3: unknown key `bind_prot`\n\
         help: did you mean `bind_port`?",
    );
    check_error(
        "scheduler: []\n",
        "error: /etc/snap/snapd.yaml:1:1: unknown key `scheduler`\n\
         help: keys here are log_level, log_format, socket, api, data_dir, auto_discover_path, plugins, \
         spool, secrets, tags, capabilities, tribe",
    );
}

#[test]
fn all_unknown_keys_are_told_at_once_where_it_is_clear_what_they_hold() {
    let check = |text: &str, places: &[&str]| {
        let error = load_file(text).unwrap_err();
        let errors = error.lines().filter_map(|line| line.strip_prefix("error: "));
        let expected = places.iter().map(|place| format!("{PATH}:{place}"));
        assert_eq!(errors.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{text}");
    };
    check(
        "loglevel: debug  # verbose\nscheduler:\n  a: {b: [1,\n    2]}\n\n  c:\n  - d\ntribe:\n  \
         sed:\n  - a\n  bind_prot: 7000\n  bind_port: []\n",
        &[
            "1:1: unknown key `loglevel`",
            "2:1: unknown key `scheduler`",
            "9:3: unknown key `sed`",
            "11:3: unknown key `bind_prot`",
            "12:14: `bind_port` must be one value, not a list or a map",
        ],
    );
    // A comment ends nothing, wherever it stands, and a line may hold no more of an item than `-`.
    let scheduler = "1:1: unknown key `scheduler`";
    check("scheduler:\n# old & [\n  a: b\nc: 1\n", &[scheduler, "4:1: unknown key `c`"]);
    check("tribe:\n  seds:\n  # - a:1\n  - b:1\n", &["2:3: unknown key `seds`"]);
    check("scheduler:\n-\n  d: 1\n-\n", &[scheduler]);
    // What follows from a key that is missing because it is misspelled is no mistake.
    check("tribe:\n  enable: true\n  key_fiel: /k\n", &["3:3: unknown key `key_fiel`"]);
    check("plugins:\n  tls:\n    caa: /c\n    cert: /d\n", &["3:5: unknown key `caa`"]);
    check("tribe: {sed: a, bind_prot: 1}\n", &["1:9: unknown key `sed`"]);
    check("a: &a /x\nsocket: *a\nb: 1\n", &["1:1: unknown key `a`"]);
    check("a: [\n1\n]\nb: 1\n", &["1:1: unknown key `a`"]);
}

#[test]
fn tribes_may_do_here_what_the_file_says_and_nothing_else() {
    let none = load_file("").unwrap().capabilities.capabilities();
    assert_eq!(none, Capabilities::default());
    let text = "capabilities: {load_from_tribes: [core, 'rack-*'], plugins: ['*']}\n";
    let settings = load_file(text).unwrap();
    let some = settings.capabilities.capabilities();
    let tribe = |name| tribe::TribeName::parse(name).unwrap();
    assert!(some.check_tribe(&tribe("rack-7")).is_ok() && some.check_plugin("psutil").is_ok());
    assert!(some.check_tribe(&tribe("edge")).is_err() && some.serve_to.is_empty());
    let shown = print(&settings).unwrap();
    assert!(shown.contains("  load_from_tribes: [\"core\", \"rack-*\"]"), "{shown}");
    let text = "capabilities: {serve_to: [core], serve_plugins: [influx*], serve_concurrency: 8}\n";
    let some = load_file(text).unwrap().capabilities.capabilities();
    assert!(some.serve_plugins.name("influxdb") && !some.serve_plugins.name("file"));
    assert_eq!(some.serve_concurrency, 8);
    check_error(
        "capabilities:\n  serve_concurrency: 0\n",
        "error: /etc/snap/snapd.yaml:2:22: `0` is no number of batches at a time, use 1 to 10000",
    );
}

#[test]
fn a_value_of_another_shape_is_told_with_its_key_and_not_repeated() {
    let check = |text: &str, expected: &str| {
        check_error(text, &format!("error: /etc/snap/snapd.yaml:{expected}"));
    };
    let list = "must be a list, such as `[a, b]`";
    check("capabilities: {serve_to: {core: 1}}\n", &format!("1:26: `serve_to` {list}"));
    check("capabilities:\n  plugins: [a, [b]]\n", &format!("2:12: `plugins` {list}"));
    check("tribe:\n  seeds: [a:1, null]\n", &format!("2:10: `seeds` {list}"));
    check("tribe: x\n", "1:8: `tribe` must be a map, such as `{a: b}`");
    check("log_level: [a]\n", "1:12: `log_level` must be one value, not a list or a map");
    let number = "must be a whole number from 0 to 18446744073709551615";
    check("plugins:\n  max_running: x\n", &format!("2:16: `max_running` {number}"));
    check("plugins:\n  max_running: -1\n", &format!("2:16: `max_running` {number}"));
    check(
        "plugins:\n  max_running: 18446744073709551616\n",
        &format!("2:16: `max_running` {number}"),
    );
}

#[test]
fn one_text_stands_for_a_list_of_it_wherever_a_list_of_texts_can_stand() {
    let check = |one: &str, list: &str| {
        let shown = |text: &str| print(&load_file(text).unwrap()).unwrap();
        let values = |text: String| -> Vec<String> {
            text.lines().map(|line| line.split(" # ").next().unwrap().trim_end().into()).collect()
        };
        assert_eq!(values(shown(one)), values(shown(list)), "{one}");
        assert_ne!(values(shown(one)), values(shown("")), "{one}");
    };
    check("capabilities: {load_from_tribes: core}", "capabilities: {load_from_tribes: [core]}");
    check("capabilities:\n  plugins: '*'  # all", "capabilities: {plugins: ['*']}");
    check("capabilities:\n  serve_to:\n    on", "capabilities: {serve_to: [on]}");
    check("capabilities: {serve_plugins: 7}", "capabilities: {serve_plugins: [7]}");
    check("plugins: {keyrings: /k}", "plugins: {keyrings: [/k]}");
    check("tribe: {seeds: 'a:1'}", "tribe: {seed: ['a:1']}");
}

#[test]
fn what_plugins_are_told_keeps_its_types_and_is_not_shown() {
    let text = "plugins:\n  config:\n    InfluxDB:\n      host: i1\n      port: 8086\n      \
                ratio: 0.5\n      skip-verify: true\n      password: '7'\n";
    let settings = load_file(text).unwrap();
    let expected = Config::from([
        ("host".into(), ConfigValue::Text("i1".into())),
        ("password".into(), ConfigValue::Text("7".into())),
        ("port".into(), ConfigValue::Int(8086)),
        ("ratio".into(), ConfigValue::Float(0.5)),
        ("skip-verify".into(), ConfigValue::Bool(true)),
    ]);
    assert_eq!(settings.plugins.configs.names, [("influxdb".to_owned(), expected)].into());
    let shown = print(&settings).unwrap();
    let line = "  # config of influxdb: host, password, port, ratio, skip-verify\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn what_plugins_are_told_is_nested_as_in_snap() {
    let text = "plugins:\n  config:\n    all: {a: 1}\n    collector:\n      all: {b: 2}\n      \
                PSutil:\n        all: {c: 3}\n        versions:\n          14: {d: 4}\n    \
                publisher: {file: {e: 5}}\n    influxdb: {f: 6}\n";
    let settings = load_file(text).unwrap();
    let of = |key: &str, value| Config::from([(key.to_owned(), ConfigValue::Int(value))]);
    let configs = &settings.plugins.configs;
    assert_eq!(configs.all, of("a", 1));
    assert_eq!(configs.kinds, [(Kind::Collector, of("b", 2))].into());
    let plugin = |kind, name: &str| (kind, name.to_owned());
    let plugins = [
        (plugin(Kind::Collector, "psutil"), of("c", 3)),
        (plugin(Kind::Publisher, "file"), of("e", 5)),
    ];
    assert_eq!(configs.plugins, plugins.into());
    let identity = Identity::new(Kind::Collector, "psutil", 14).unwrap();
    assert_eq!(configs.versions, [(identity, of("d", 4))].into());
    assert_eq!(configs.names, [("influxdb".to_owned(), of("f", 6))].into());
    let shown = print(&settings).unwrap();
    for whose in ["all plugins: a", "each collector: b", "collector:psutil: c", "influxdb: f"] {
        assert!(shown.contains(&format!("  # config of {whose}\n")), "{shown}");
    }
    assert!(shown.contains("  # config of collector:psutil:14: d\n"), "{shown}");
}

#[test]
fn what_no_plugin_can_be_told_is_told_with_its_place() {
    check_error(
        "plugins:\n  config:\n    influxdb: 7\n",
        "error: /etc/snap/snapd.yaml:3:15: this is a value where plugins are expected\n\
         help: write what a plugin is told as `name: {key: value}`",
    );
    check_error(
        "plugins:\n  config:\n    influxdb: {host: {a: 1}}\n",
        "error: /etc/snap/snapd.yaml:3:22: `host` is no value that a plugin can be told\n\
         help: values are true or false, a number or text",
    );
    check_error(
        "plugins:\n  config:\n    influxdb: {host: [a]}\n",
        "error: /etc/snap/snapd.yaml:3:22: `host` is no value that a plugin can be told\n\
         help: values are true or false, a number or text",
    );
    check_error(
        "plugins:\n  config:\n    collector: {psutil: {versions: {new: {a: 1}}}}\n",
        "error: /etc/snap/snapd.yaml:3:42: `new` is no version of a plugin named `psutil`\n\
         help: versions are whole numbers from 1",
    );
}

#[test]
fn tags_are_text_as_they_are_spelled() {
    let settings = load_file("tags:\n  /intel: {rack: 007, row: '7'}\n  /: {site: x}\n").unwrap();
    let tags = &settings.plugins.tags;
    let of = |namespace: &[&str]| {
        let tags = tags.of(namespace.iter().copied());
        tags.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(of(&["intel", "psutil"]), ["rack=007", "row=7", "site=x"]);
    assert_eq!(of(&["acme"]), ["site=x"]);
    check_error(
        "tags: {/: {plugin_running_on: i1}}\n",
        "error: /etc/snap/snapd.yaml:1:31: the tag `plugin_running_on` is the name of the node \
         always\nhelp: give the tag another name",
    );
    check_error(
        "tags: {intel: {rack: 7}}\n",
        "error: /etc/snap/snapd.yaml:1:22: `intel` is no beginning of a namespace\n\
         help: write it as `/intel/psutil`, or `/` for all",
    );
    check_error(
        "tags: {/: {rack: [7]}}\n",
        "error: /etc/snap/snapd.yaml:1:18: tag `rack` is neither text nor a number",
    );
}

#[test]
fn limits_trust_and_tls_are_read_and_shown() {
    let text = "plugins:\n  limits: {memory: 512MiB, open_files: 256, processes: 64, cpu: 1h}\n  \
                trust: warn\n  keyrings: [/etc/snap/keyrings]\n  \
                tls: {ca: /ca, cert: /cert, key: /key, plugin_cert: /pc, plugin_key: /pk}\n";
    let settings = load_file(text).unwrap();
    let limits = Limits {
        memory: Some(512 << 20),
        open_files: Some(256),
        processes: Some(64),
        cpu: Some(3600),
    };
    assert_eq!(settings.plugins.limits, limits);
    assert_eq!(settings.plugins.trust.value, TrustLevel::Warn);
    let again = load_file(&print(&settings).unwrap()).unwrap().plugins;
    assert_eq!((again.limits, again.keyrings), (limits, settings.plugins.keyrings));
    assert_eq!(again.tls.unwrap().value, settings.plugins.tls.unwrap().value);
}

#[test]
fn what_the_documentation_shows_is_read() {
    let text = include_str!("../../../docs/PLUGINS.md");
    let examples: Vec<_> = text.split("```yaml\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = example.split("```").next().unwrap();
        assert!(load_file(example).is_ok(), "{example} {:?}", load_file(example));
    }
}

#[test]
fn keyrings_turn_trust_on_unless_it_is_off() {
    let trust = |text: &str| load_file(text).unwrap().plugins.trust.value;
    assert_eq!(trust(""), TrustLevel::Off);
    assert_eq!(trust("plugins: {keyrings: [/k]}"), TrustLevel::On);
    assert_eq!(trust("plugins: {keyrings: [/k], trust: off}"), TrustLevel::Off);
    assert_eq!(trust("plugins: {trust: warn}"), TrustLevel::Warn);
    check_error(
        "plugins: {trust: on}\n",
        "error: /etc/snap/snapd.yaml:1:18: plugins must be signed, but there is no keyring to \
         check it with\nhelp: name files or directories with public keys in \
         `plugins: {keyrings: [...]}`",
    );
}

#[test]
fn a_bad_value_is_told_with_its_place() {
    let cases = [
        ("log_level: inof", "1:12: `inof` is not a log level, did you mean `info`?"),
        ("log_format: xml", "1:13: `xml` is not a log format, use text or json"),
        ("plugins:\n  load_timeout: 10", "2:17: `10` has no unit, write `10s` for seconds"),
        (
            "plugins:\n  load_timeout: 1m",
            "2:17: `1m` is not a time a plugin can be given to start, use 1s to 45s",
        ),
        (
            "plugins:\n  max_running: 0",
            "2:16: `0` is no number of instances of a plugin, use 1 to 100",
        ),
        (
            "plugins:\n  limits: {memory: 512}",
            "2:20: `512` is not a size, write it as `100MiB` or `1GiB`",
        ),
        (
            "plugins:\n  limits: {memory: 1MiB}",
            "2:20: `1MiB` is too small a limit of memory, the least is 16MiB",
        ),
        (
            "plugins:\n  limits: {open_files: 3}",
            "2:24: `3` is too small a limit of open files, the least is 16",
        ),
        (
            "plugins:\n  limits: {cpu: 10ms}",
            "2:17: `10ms` is too small a limit of processor time, the least is 1s",
        ),
        (
            "plugins:\n  trust: full",
            "2:10: `full` is not a level of trust, use `off`, `warn` or `on`",
        ),
        ("tribe:\n  bind_addr: here", "2:14: `here` is not an IP address"),
        ("tribe:\n  bind_port: 70000", "2:14: `70000` is not a port, use 0 to 65535"),
        ("tribe:\n  seeds: [a:1, 'b:']", "2:10: `b:` is not a seed, write it as `HOST:PORT`"),
        (
            "tribe:\n  advertise: i1:6000",
            "2:14: `i1:6000` is not an address, write it as `10.0.0.1:6000`",
        ),
        ("tribe:\n  hold_down: 10", "2:14: `10` has no unit, write `10s` for seconds"),
        (
            "tribe:\n  name: a b",
            "2:9: `a b` is not a node name: ` ` is not allowed, use letters, digits, `.`, `_` \
             and `-`, starting with a letter, digit or `_`",
        ),
    ];
    for (text, expected) in cases {
        check_error(text, &format!("error: {PATH}:{expected}"));
    }
}

#[test]
fn broken_yaml_is_told_with_its_place_and_without_its_text() {
    let cases =
        ["tribe:\n  key: [s3cret\n", "tribe: s3cret\n", "s3cret", "tribe:\n key: &s3cret {a: b}\n"];
    for text in cases {
        let error = load_file(text).unwrap_err();
        assert!(error.starts_with("error: /etc/snap/snapd.yaml:"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    check_error(
        "log_level: info\nlog_level: warn\n",
        "error: /etc/snap/snapd.yaml:2:1: key `log_level` is given twice",
    );
}

#[test]
fn all_bad_values_are_told_at_once() {
    let check = |text: &str, places: &[&str]| {
        let error = load_file(text).unwrap_err();
        let errors = error.lines().filter_map(|line| line.strip_prefix("error: "));
        let place = |line: &str| line.split(": ").next().unwrap().to_owned();
        let expected = places.iter().map(|place| format!("{PATH}:{place}"));
        assert_eq!(errors.map(place).collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{error}");
    };
    check("log_level: loud\ntribe: {hold_down: ten}\n", &["1:12", "2:20"]);
    // What is wrong with single values does not hide what is wrong together.
    check(
        "tags: {/: {rack: [7]}}\napi: {listen: x, tls_cert: /c}\nlog_level: loud\ntribe:\n  \
         advertise: x\n  seeds: ['b:', 'c:']\n  facts: {a: null}\n  hold_down: ten\n  \
         enable: true\n",
        &["1:18", "2:15", "2:28", "3:12", "5:14", "6:10", "6:10", "7:14", "8:14", "9:11"],
    );
}

#[test]
fn mistakes_of_all_kinds_are_told_at_once() {
    let check = |text: &str, expected: &[&str]| {
        let error = load_all(text, 0o644, &["--fact=a b", "--fact=a b"]).unwrap_err();
        let errors = error.lines().filter_map(|line| line.strip_prefix("error: "));
        let fact = "--fact: `a b` is not a fact name";
        let expected: Vec<_> =
            expected.iter().map(|told| format!("{PATH}:{told}")).chain([fact.to_owned()]).collect();
        let errors: Vec<_> = errors.collect();
        let is_told = |(error, told): (&&str, &String)| error.starts_with(told.as_str());
        assert_eq!(errors.len(), expected.len(), "{error}");
        assert!(errors.iter().zip(&expected).all(is_told), "{errors:#?} {expected:#?}");
    };
    check(
        "log_level: [debug]\nlogformat: json\ndata_dir:\n  a: 1\n\n  b: 2\napi:\n  listen: 8181\n  \
         tls_crt: /x\n  tls_key: /y\nplugins:\n  max_running: many\n  limits:\n    memory: [1]\n  \
         trust: on\n  keyrings: {}\nspool: {size: 5}\ntags:\n  /intel: rack\ntribe:\n  enable: \
         true\n  key_file: [a,\n    b]\n  seeds: {a: 1}\n  hold_down: soon\n  facts:\n  - a\n",
        &[
            "1:12: `log_level` must be one value",
            "2:1: unknown key `logformat`",
            "4:3: `data_dir` must be one value",
            "8:11: `8181` is not an address",
            "9:3: unknown key `tls_crt`",
            "12:16: `max_running` must be a whole number",
            "14:13: `memory` must be one value",
            "16:13: `keyrings` must be a list",
            "17:15: `5` is not a size",
            "19:11: `/intel` must be a map",
            "22:13: `key_file` must be one value",
            "24:10: `seeds` must be a list",
            "25:14: `soon` is not a time",
            "27:5: `facts` must be a map",
        ],
    );
    // Of a map on one line the first one is told.
    check(
        "tribe: {enable: yess, bind_prot: 3}\napi: {listn: x}\nspool: {size: 1}\n",
        &["1:17: `enable` is true or false", "2:7: unknown key `listn`", "3:15: `1` is not a size"],
    );
    // What is no YAML ends it.
    check("a: 1\nlog_level: \"x\nlog_format: 7\n", &["1:1: unknown key `a`", "2:12: the quote"]);
}

#[test]
fn what_is_no_yaml_is_told_in_our_words() {
    let check = |text: &str, expected: &str| {
        let error = load_file(text).unwrap_err();
        let told = format!("error: {PATH}:{expected}");
        assert!(error.starts_with(&told) && error.contains("\nhelp: "), "{text}: {error}");
    };
    check("tribe:\n\tname: x\n", "2:2: there is a tab");
    check("log_level: \"x\n", "1:12: the quote that begins here has no end");
    check("tribe:\n  name: a\n enable: true\n", "3:2: this line is indented otherwise");
    check("log_level: info\n  x: y\n", "2:4: there is a key within a value");
    check("tribe:\n  seeds: [a, b\n  name: c\n", "3:7: a `[` or `{` is not closed");
    check("tribe:\n  facts: {a: b: c}\n", "2:15: a `[` or `{` is not closed");
    check("tribe: {name: x}}\n", "1:17: this bracket closes nothing");
    check("tribe:\n  facts: {a: *.txt}\n", "2:14: what begins with `*` is no text in YAML");
    check("log_level: @x\n", "1:12: a value cannot begin with this character");
    check("log_level: 'it's'\n", "1:16: there is more after the quote that ends the text");
    check("log_level: \"\\q\"\n", "1:12: there is a `\\` in double quotes that escapes nothing");
    check("log_level: |x\n", "1:12: after `|` or `>` there is nothing more on the line");
    check("tribe: {facts: {a: .inf}}\n", "1:20: this is no finite number");
}

#[test]
fn a_switch_that_the_next_line_is_a_part_of_is_told_with_that() {
    check_error(
        "tribe:\n  enable: true\n   name: x\n",
        "error: /etc/snap/snapd.yaml:2:11: `enable` must be true or false, and the next line is \
         indented as a part of it",
    );
}

#[test]
fn files_of_tls_that_are_missing_are_told_together() {
    check_error(
        "plugins:\n  tls: {ca: /a, cert: /b}\n",
        "error: /etc/snap/snapd.yaml:2:8: `tls` lacks `key`, `plugin_cert`, `plugin_key`\n\
         help: give all five files, or leave out `tls`",
    );
}

#[test]
fn an_empty_file_says_nothing() {
    for text in ["", "\n\n", "# all by default\n", "tribe:\n", "plugins:\n  config:\n    a:\n"] {
        let settings = load_file(text).unwrap();
        assert_eq!(settings.log_level.value, "info");
        assert!(!settings.tribe.enable.value);
    }
}

const PLAIN: &str = "tribe: {enable: true, name: i1, plaintext: true}\n";

#[test]
fn a_key_is_needed_unless_plaintext_is_asked_for_by_name() {
    let help =
        "help: make one with `snapd keygen --out FILE` and give it with --tribe-key-file FILE";
    check_error(
        "tribe: {enable: true, name: i1}\n",
        &format!("error: {PATH}:1:17: tribe mode needs a key, and there is none\n{help}"),
    );
    check_error(
        "tribe: {enable: true, name: i1, plaintext: false}\n",
        &format!("error: {PATH}:1:17: tribe mode needs a key, and there is none\n{help}"),
    );
    let error = load_all("", 0o644, &["--tribe", "--tribe-node-name=i1"]).unwrap_err();
    assert_eq!(
        error,
        format!("error: --tribe: tribe mode needs a key, and there is none\n{help}\n")
    );
    assert!(load_file(PLAIN).is_ok());
    assert!(load_all("", 0o644, &["--tribe", "--tribe-node-name=i1", "--tribe-plaintext"]).is_ok());
}

#[test]
fn only_one_key_can_hold() {
    check_error(
        "tribe: {key_file: /k, plaintext: true}\n",
        "error: /etc/snap/snapd.yaml:1:34: only one of `key_file`, `key` and `plaintext: true` can hold\n\
         help: leave the others out",
    );
    let error = load_all("", 0o644, &["--tribe-plaintext", "--tribe-key-file=/k"]).unwrap_err();
    assert_eq!(
        error,
        "error: --tribe-key-file: --tribe-plaintext goes without a key, but there is one\n\
         help: give one of the two\n"
    );
}

#[test]
fn a_file_that_holds_a_key_is_for_its_owner() {
    let text = "tribe:\n  key: AAAA\n";
    let error = load_all(text, 0o100_644, &[]).unwrap_err();
    assert_eq!(
        error,
        "error: /etc/snap/snapd.yaml:2:8: this file holds a key and has mode 0644: anyone can get at it\n\
         help: run `chmod 600 /etc/snap/snapd.yaml`, or keep the key in a file of its own with `key_file`\n"
    );
    for mode in [0o100_600, 0o100_640, 0o100_400] {
        let settings = load_all(text, mode, &[]).unwrap();
        assert!(!print(&settings).unwrap().contains("AAAA"));
        assert!(!format!("{settings:?}").contains("AAAA"));
    }
}

#[test]
fn a_flag_covers_the_file_and_lists_are_replaced() {
    let text = "socket: /a\ntribe: {bind_port: 1, seeds: ['a:1', 'b:1'], facts: {x: 1, y: 1}}\n";
    let flags = ["--socket=/b", "--tribe-port=2", "--tribe-seed=c:1", "--fact=y=2", "--fact=z"];
    let settings = load_all(text, 0o644, &flags).unwrap();
    assert_eq!(settings.socket.value, Path::new("/b"));
    assert_eq!(settings.socket.origin.to_string(), "--socket");
    assert_eq!(settings.tribe.bind_port.value, 2);
    assert_eq!(settings.tribe.seeds.value, ["c:1"]);
    let facts: Vec<_> =
        settings.tribe.facts.iter().map(|(name, fact)| format!("{name}={}", fact.value)).collect();
    assert_eq!(facts, ["x=1", "y=2", "z=True"]);
}

#[test]
fn a_switch_can_be_turned_off_by_flag() {
    let settings = load_all(PLAIN, 0o644, &["--tribe=false"]).unwrap();
    assert!(!settings.tribe.enable.value);
    assert!(settings.tribe.keys.is_none());
}

#[test]
fn seeds_are_repeated_or_separated_by_commas_or_one_as_in_snap() {
    let flags = ["--tribe-seed=a:1,b:2", "--tribe-seed", "c"];
    let settings = load_all("", 0o644, &flags).unwrap();
    assert_eq!(settings.tribe.seeds.value, ["a:1", "b:2", "c:6000"]);
    let settings = load_file("tribe: {seed: 10.0.0.2}\n").unwrap();
    assert_eq!(settings.tribe.seeds.value, ["10.0.0.2:6000"]);
}

fn check_fact(yaml: &str, expected: &str) {
    let settings = load_file(&format!("tribe:\n  facts:\n    before: '€'\n    f: {yaml}\n"));
    let found = match settings {
        Ok(settings) => {
            let value = &settings.tribe.facts.get("f").unwrap().value;
            format!("{} {value}", value.type_name())
        }
        Err(error) => error,
    };
    assert_eq!(found, expected);
}

#[test]
fn facts_in_the_file_mean_what_they_mean_on_the_command_line() {
    check_fact("True", "bool True");
    check_fact("true", "bool true");
    check_fact("'True'", "bool True");
    check_fact("yes", "text yes");
    check_fact("7", "int 7");
    check_fact("007", "text 007");
    check_fact("1e20", "text 1e20");
    check_fact("9223372036854775808", "text 9223372036854775808");
    check_fact("0x10", "text 0x10");
    check_fact("20.04  # LTS", "text 20.04");
    check_fact("1_000", "text 1_000");
    check_fact("a b", "text a b");
    check_fact("[7, True, x]", r#"list [7,true,"x"]"#);
    check_fact("{a: 007}", r#"map {"a":"007"}"#);
}

#[test]
fn what_is_no_fact_is_told_with_its_place() {
    check_fact(
        "null",
        "error: /etc/snap/snapd.yaml:4:8: fact `f` is null or holds a null\n\
         help: leave it out: a fact that is not there is no error in a policy\n",
    );
    check_error(
        "tribe:\n  facts:\n    os_dist: Plan9\n",
        "error: /etc/snap/snapd.yaml:3:14: `os_dist` is collected from the host and cannot be set, \
         choose another name",
    );
    let error = load_all("", 0o644, &["--fact", "os_dist=Plan9"]).unwrap_err();
    assert!(error.starts_with("error: --fact: `os_dist` is collected"), "{error}");
}

#[test]
fn what_is_printed_has_its_source_and_is_read_again() {
    let text = "log_level: debug\ntribe: {name: i1, facts: {tier: True}, seeds: ['a:1']}\n";
    let printed = print(&load_all(text, 0o644, &["--tribe-port=0"]).unwrap()).unwrap();
    let line = |key: &str| printed.lines().find(|line| line.trim().starts_with(key)).unwrap();
    assert!(line("log_level").ends_with("# /etc/snap/snapd.yaml:1:12"), "{printed}");
    assert!(line("bind_port: 0").ends_with("# --tribe-port"), "{printed}");
    assert!(line("socket").ends_with("# default"), "{printed}");
    let again = print(&load_file(&printed).unwrap()).unwrap();
    let values = |text: &str| {
        text.lines()
            .map(|line| line.split(" #").next().unwrap().trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again)[1..], values(&printed)[1..]);
}
