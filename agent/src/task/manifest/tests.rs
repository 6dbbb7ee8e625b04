use super::*;
use crate::fuzz::{chance, hostile, read_within, runs};

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text, Format::Json)
}

/// A manifest whose part `collect` has these keys besides `metrics`.
fn with_collect(more: &str) -> String {
    format!(
        r#"{{"schedule": {{"type": "simple", "interval": "1s"}},
            "workflow": {{"collect": {{"metrics": {{"/a/b": {{}}}}{more}}}}}}}"#
    )
}

fn with_schedule(schedule: &str) -> String {
    format!(
        r#"{{"schedule": {schedule}, "workflow": {{"collect": {{"metrics": {{"/a/b": {{}}}}}}}}}}"#
    )
}

fn with_top(more: &str) -> String {
    format!(
        r#"{{{more}, "schedule": {{"type": "simple", "interval": "1s"}},
            "workflow": {{"collect": {{"metrics": {{"/a/b": {{}}}}}}}}}}"#
    )
}

/// All lines of the refusal.
fn check_refused(text: &str, expected: &[&str]) {
    let found = parse(text).map(|manifest| manifest.to_json().to_string());
    let lines = found.map_err(|error| error.lines());
    assert_eq!(lines, Err(expected.iter().map(|&line| line.to_owned()).collect()), "{text}");
}

#[test]
fn a_manifest_with_everything_is_read_and_printed_as_it_was_written() {
    let yaml = r#"
version: 1
name: everything
start: true
deadline: 1500ms
max-failures: 3
schedule:
  type: windowed
  interval: 1h30m
  start_timestamp: 2026-10-27T16:39:57+01:00
  stop_timestamp: 2026-10-28T16:39:57+01:00
workflow:
  collect:
    metrics:
      /intel/psutil/load/load1: {}
      /intel/psutil/load/load5:
      "|intel|disk|(sda;sdb)|*": {version: 3}
      /intel/psutil/vm/free: {version: 0}
    config:
      /intel/disk:
        user: root
        password: ${secret:disk}
        ratio: 1.0
        part: 0.5
        on: true
    tags:
      /intel: {rack: r1, "row": "7"}
    process:
      - plugin_name: Tag
        plugin_version: 2
        config: {colour: "{{rack}}"}
        process: null
        publish:
          - plugin_name: file
            target: i4
    publish:
      - plugin_name: influxdb
        plugin_version: -1
        tribe: storage
"#;
    let manifest = Manifest::parse(yaml, Format::Yaml).unwrap();
    assert_eq!(manifest.warnings, Vec::<String>::new());
    let expected = json!({
        "version": 1,
        "name": "everything",
        "start": true,
        "deadline": "1s500ms",
        "max-failures": 3,
        "schedule": {
            "type": "windowed",
            "interval": "1h30m",
            "start_timestamp": "2026-10-27T15:39:57Z",
            "stop_timestamp": "2026-10-28T15:39:57Z",
        },
        "workflow": { "collect": {
            "metrics": {
                "/intel/psutil/load/load1": {},
                "/intel/psutil/load/load5": {},
                "/intel/psutil/vm/free": {},
                "|intel|disk|(sda;sdb)|*": { "version": 3 },
            },
            "config": { "/intel/disk": {
                "user": "root",
                "password": "${secret:disk}",
                "ratio": 1,
                "part": 0.5,
                "on": true,
            } },
            "tags": { "/intel": { "rack": "r1", "row": "7" } },
            "process": [{
                "plugin_name": "tag",
                "plugin_version": 2,
                "config": { "colour": "{{rack}}" },
                "publish": [{ "plugin_name": "file", "target": "i4" }],
            }],
            "publish": [{ "plugin_name": "influxdb", "tribe": "storage" }],
        } },
    });
    assert_eq!(manifest.to_json(), expected);
    assert_eq!(parse(&manifest.to_json().to_string()).unwrap(), manifest);
}

#[test]
fn every_documented_form_of_a_schedule_is_read() {
    let check = |schedule: &str, shown: &str| {
        let manifest = parse(&with_schedule(schedule)).unwrap();
        assert_eq!(manifest.schedule.to_string(), shown);
        assert_eq!(manifest.warnings, Vec::<String>::new());
        assert_eq!(parse(&manifest.to_json().to_string()).unwrap(), manifest);
    };
    check(r#"{"type": "simple", "interval": "1s"}"#, "every 1s");
    check(r#"{"type": "simple", "interval": "1s", "count": 0}"#, "every 1s");
    check(r#"{"type": "windowed", "interval": "1.5s", "count": 4}"#, "every 1s500ms");
    check(
        r#"{"type": "simple", "interval": "1s", "start_timestamp": "2026-10-27T16:39:57Z"}"#,
        "every 1s",
    );
    check(r#"{"type": "cron", "interval": "0 30 * * * *"}"#, "cron 0 30 * * * *");
    check(r#"{"type": "cron", "interval": "@every 5s"}"#, "cron @every 5s");
    check(r#"{"type": "streaming"}"#, "streaming");
}

#[test]
fn what_snap_took_without_effect_is_taken_with_a_warning() {
    let check = |text: &str, expected: &str| {
        assert_eq!(parse(text).unwrap().warnings, [expected.to_owned()]);
    };
    let cron =
        |interval: &str| with_schedule(&format!(r#"{{"type": "cron", "interval": "{interval}"}}"#));
    check(
        &cron("*/5 * * * *"),
        "cron `*/5 * * * *` runs every 5 seconds: the first field is seconds; by the minute it is \
         `0 */5 * * * *`",
    );
    check(
        &cron("30 8 * * *"),
        "cron `30 8 * * *` runs at second 30: the first field is seconds; by the minute it is \
         `0 30 8 * * *`",
    );
    check(
        &with_schedule(
            r#"{"type": "simple", "interval": "1s", "count": 3,
                "stop_timestamp": "2026-10-27T16:39:57Z"}"#,
        ),
        "`schedule.count` does not count beside `schedule.stop_timestamp`",
    );
    check(
        &with_schedule(r#"{"type": "streaming", "interval": "1s"}"#),
        "a streaming task has no interval, timestamps or count",
    );
    check(
        &with_top(r#""max-metrics-buffer": 10"#),
        "`max-collect-duration` and `max-metrics-buffer` count in streaming tasks only",
    );
}

#[test]
fn nothing_and_empty_lists_are_no_steps() {
    for more in [r#", "process": null, "publish": null"#, r#", "process": [], "config": {}"#] {
        assert_eq!(parse(&with_collect(more)).unwrap().collect.steps, Steps::default());
    }
    let more = r#", "publish": [{"plugin_name": "file", "config": null, "target": ""}]"#;
    let manifest = parse(&with_collect(more)).unwrap();
    assert_eq!(manifest.collect.steps.publish[0].place, Place::Here);
}

#[test]
fn failures_are_counted_as_snap_counted_them() {
    let check = |written: &str, most: Option<u32>| {
        let manifest = parse(&with_top(&format!(r#""max-failures": {written}"#))).unwrap();
        assert_eq!(manifest.max_failures.most(), most);
    };
    check("0", Some(10));
    check("null", Some(10));
    check("1", Some(1));
    check("-1", None);
    check_refused(
        &with_top(r#""max-failures": -2"#),
        &["max-failures: -2 is not a number of failures, use 1 or more, or -1"],
    );
}

#[test]
fn an_unknown_key_is_told_with_its_path_and_what_was_meant() {
    check_refused(
        &with_collect(r#", "publish": [{"plugin_nmae": "file"}]"#),
        &[
            "workflow.collect.publish[0].plugin_name: it is missing",
            "workflow.collect.publish[0].plugin_nmae: unknown key, did you mean `plugin_name`?",
        ],
    );
    check_refused(
        &with_collect(r#", "processs": []"#),
        &["workflow.collect.processs: unknown key, did you mean `process`?"],
    );
    check_refused(
        &with_top(r#""owner": "me""#),
        &["owner: unknown key, the keys here are version, name, start, deadline, max-failures, \
           max-collect-duration, max-metrics-buffer, schedule, workflow"],
    );
    check_refused(
        r#"{"schedule": {"type": "simple", "interval": "1s"},
            "workflow": {"collect": {"metrics": {"/a/b": {"verison": 1}}}}}"#,
        &[r#"workflow.collect.metrics["/a/b"].verison: unknown key, did you mean `version`?"#],
    );
}

#[test]
fn a_key_given_twice_is_refused() {
    check_refused(&with_top(r#""name": "a", "name": "b""#), &["name: it is given twice"]);
    let yaml = "version: 1\nversion: 1\nschedule: {type: streaming}\n\
                workflow: {collect: {metrics: {/a/b: , /a/b: }}}\n";
    let error = Manifest::parse(yaml, Format::Yaml).unwrap_err();
    let expected =
        ["version: it is given twice", r#"workflow.collect.metrics["/a/b"]: it is given twice"#];
    assert_eq!(error.lines(), expected);
    assert_eq!(error.to_string(), "version: it is given twice (and 1 more)");
}

#[test]
fn what_is_missing_is_told() {
    check_refused("{}", &["schedule: it is missing", "workflow: it is missing"]);
    check_refused(
        r#"{"schedule": {}, "workflow": {}}"#,
        &["schedule.type: it is missing", "workflow.collect: it is missing"],
    );
    check_refused(
        r#"{"schedule": {"type": "simple"}, "workflow": {"collect": {"metrics": {}}}}"#,
        &[
            "schedule.interval: it is missing",
            "workflow.collect.metrics: it must name at least one metric",
        ],
    );
    check_refused(
        r#"{"schedule": {"type": "streaming"}, "workflow": {"collect": {}}}"#,
        &["workflow.collect.metrics: it is missing"],
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_path() {
    check_refused("[]", &["it must be a map, not a list"]);
    check_refused(
        &with_top(r#""version": 2"#),
        &["version: manifests have version 1, 2 is not known"],
    );
    check_refused(
        &with_top(r#""version": "1""#),
        &["version: it must be a whole number, not text"],
    );
    check_refused(
        &with_top(r#""name": 7"#),
        &["name: it must be text, perhaps in quotes, not a number"],
    );
    check_refused(&with_top(r#""name": "a/b""#), &["name: '/' cannot be in the name of a task"]);
    check_refused(&with_top(r#""start": "yes""#), &["start: it must be true or false, not text"]);
    check_refused(
        &with_top(r#""deadline": "5""#),
        &["deadline: `5` has no unit, write `5s` for seconds"],
    );
    check_refused(
        &with_collect(r#", "config": {"/a": {"list": [1], "none": null, "map": {}}}"#),
        &[
            r#"workflow.collect.config["/a"].list: it must be text, a number, true or false, not a list"#,
            r#"workflow.collect.config["/a"].map: it must be text, a number, true or false (in YAML a `{{fact}}` needs quotes), not a map"#,
            r#"workflow.collect.config["/a"].none: it must be text, a number, true or false, not nothing"#,
        ],
    );
    check_refused(
        &with_collect(r#", "config": {"/a": {"k": "{{x"}}"#),
        &[r#"workflow.collect.config["/a"].k: `{{` without `}}`, write `{{{{` for two braces"#],
    );
    check_refused(
        &with_collect(r#", "tags": {"/a": {"rack": 7}}"#),
        &[r#"workflow.collect.tags["/a"].rack: it must be text, perhaps in quotes, not a number"#],
    );
    check_refused(
        &with_collect(r#", "publish": {"plugin_name": "file"}"#),
        &["workflow.collect.publish: it must be a list, not a map"],
    );
    check_refused(
        &with_collect(r#", "publish": [{"plugin_name": "file", "plugin_version": 1.5}]"#),
        &["workflow.collect.publish[0].plugin_version: 1.5 is not a whole number"],
    );
    check_refused(
        r#"{"schedule": {"type": "streaming"}, "workflow": {"collect": {"metrics": {"a/b": {}}}}}"#,
        &[
            r#"workflow.collect.metrics["a/b"]: `a/b` is no namespace, write it as `/intel/psutil/load/load1`"#,
        ],
    );
}

#[test]
fn a_bad_schedule_is_told_with_its_path() {
    let check =
        |schedule: &str, expected: &str| check_refused(&with_schedule(schedule), &[expected]);
    check(
        r#"{"type": "simpel", "interval": "1s"}"#,
        "schedule.type: `simpel` is not a type of schedule, did you mean `simple`?",
    );
    check(
        r#"{"type": "daily"}"#,
        "schedule.type: `daily` is not a type of schedule, they are simple, windowed, cron, streaming",
    );
    check(
        r#"{"type": "simple", "interval": "0s"}"#,
        "schedule.interval: the shortest interval is 10ms",
    );
    check(
        r#"{"type": "simple", "interval": "1 day"}"#,
        "schedule.interval: `1 day` is not a time, write it as `500ms`, `10s`, `1h30m`",
    );
    check(
        r#"{"type": "cron", "interval": "* *"}"#,
        "schedule.interval: `* *` is not a cron expression: it has 2 fields, not 6: second, \
         minute, hour, day, month, weekday",
    );
    check(
        r#"{"type": "simple", "interval": "1s", "count": -1}"#,
        "schedule.count: -1 is below zero",
    );
    check(
        r#"{"type": "simple", "interval": "1s", "stop_timestamp": "tomorrow"}"#,
        "schedule.stop_timestamp: `tomorrow` is not a time, write it as `2026-10-27T16:39:57+01:00`",
    );
    check(
        r#"{"type": "simple", "interval": "1s", "start_timestamp": "2026-10-27T16:39:57Z",
            "stop_timestamp": "2026-10-27T16:39:57Z"}"#,
        "schedule.stop_timestamp: the task would stop before it starts",
    );
    check(
        r#"{"type": "simple", "interval": "1s", "intervall": 1}"#,
        "schedule.intervall: unknown key, did you mean `interval`?",
    );
}

#[test]
fn a_time_that_has_passed_matters_to_whoever_creates_a_task() {
    let schedule =
        r#"{"type": "simple", "interval": "1s", "stop_timestamp": "2026-10-27T16:39:57Z"}"#;
    let manifest = parse(&with_schedule(schedule)).unwrap();
    assert_eq!(manifest.stale("2026-10-27T16:39:56Z".parse().unwrap()), None);
    let problem = manifest.stale("2026-10-27T16:39:57Z".parse().unwrap()).unwrap();
    assert_eq!(problem.to_string(), "schedule.stop_timestamp: 2026-10-27T16:39:57Z has passed");
}

#[test]
fn a_step_names_a_tribe_or_a_node_and_no_address() {
    let check = |place: &str, expected: &str| {
        let step = format!(r#", "process": [{{"plugin_name": "x", {place}}}]"#);
        check_refused(&with_collect(&step), &[expected]);
    };
    check(
        r#""target": "10.0.0.1:8082""#,
        "workflow.collect.process[0].target: `10.0.0.1:8082` is an address, as snap had it: name a \
         node with `target: NODE`, or with `tribe: NAME` a tribe, any member of which that has \
         the plugin will do",
    );
    check(
        r#""tribe": "a", "target": "b""#,
        "workflow.collect.process[0].target: a step has a `tribe` or a `target`, not both",
    );
    assert!(
        parse(&with_collect(r#", "process": [{"plugin_name": "x", "tribe": "a b"}]"#)).is_err()
    );
    assert!(
        parse(&with_collect(r#", "process": [{"plugin_name": "x", "target": "::1"}]"#)).is_err()
    );
}

#[test]
fn limits_are_told() {
    let step = r#"{"plugin_name": "x"}"#;
    let many = vec![step; 101].join(",");
    check_refused(
        &with_collect(&format!(r#", "publish": [{many}]"#)),
        &["workflow.collect.publish: a task may have at most 100 steps"],
    );
    let deep = (0..21)
        .fold(String::new(), |inner, _| format!(r#"{{"plugin_name": "x", "process": [{inner}]}}"#));
    let error = parse(&with_collect(&format!(r#", "process": [{deep}]"#))).unwrap_err();
    assert!(error.to_string().ends_with("steps may nest at most 20 deep"), "{error}");
    let long = "x".repeat(MANIFEST_BYTES);
    let error = parse(&with_top(&format!(r#""name": "{long}""#))).unwrap_err();
    assert!(matches!(error, ManifestError::TooLarge(_)));
    check_refused(
        &with_top(&format!(r#""name": "{}""#, "x".repeat(129))),
        &["name: it has 129 bytes, at most 128 are allowed"],
    );
}

#[test]
fn what_is_neither_json_nor_yaml_is_told_with_its_place() {
    let error = parse("{\"a\": }").unwrap_err().to_string();
    assert!(error.starts_with("line 1, column 7: "), "{error}");
    let error = Manifest::parse("a: [\n", Format::Yaml).unwrap_err().to_string();
    assert!(error.starts_with("line "), "{error}");
    assert!(Manifest::parse("", Format::Yaml).is_err());
}

#[test]
fn passwords_are_printed_for_machines_and_hidden_from_eyes() {
    let more = r#", "publish": [{"plugin_name": "x", "config": {"password": "p", "user": "u"}}]"#;
    let manifest = parse(&with_collect(more)).unwrap();
    let config = |json: Json| json["workflow"]["collect"]["publish"][0]["config"].clone();
    assert_eq!(config(manifest.to_json()), json!({ "password": "p", "user": "u" }));
    assert_eq!(config(manifest.to_json_redacted()), json!({ "password": "***", "user": "u" }));
}

#[test]
fn the_manifests_of_the_documentation_are_read() {
    let text = include_str!("../../../../docs/TASKS.md");
    let mut found = 0;
    for (mark, format) in [("```yaml\n", Format::Yaml), ("```json\n", Format::Json)] {
        for block in text.split(mark).skip(1) {
            let block = block.split("```").next().unwrap();
            if block.starts_with("# snapd.yaml") {
                continue;
            }
            let manifest = Manifest::parse(block, format).map_err(|error| error.lines()).unwrap();
            assert_eq!(manifest.warnings, Vec::<String>::new());
            found += 1;
        }
    }
    assert_eq!(found, 6);
}

/// The manifests of tribes come from other nodes, in JSON.
#[test]
fn no_manifest_makes_reading_panic_or_hold_more_than_it_may_cost() {
    let good = [
        with_collect(r#", "publish": [{"plugin_name": "x", "config": {"password": "p"}}]"#),
        with_collect(
            r#", "process": [{"plugin_name": "y", "tribe": "t", "publish": [{"plugin_name": "x"}]}]"#,
        ),
        with_schedule(r#"{"type": "cron", "interval": "0 30 * * * *"}"#),
        with_schedule(
            r#"{"type": "windowed", "interval": "1s", "start_timestamp": "2026-10-27T16:39:57+01:00"}"#,
        ),
        with_top(r#""deadline": "5s", "max-failures": -1, "name": "load", "start": true"#),
    ];
    assert!(good.iter().all(|text| parse(text).is_ok()));
    let (mut rng, good) = (chance(), good.map(String::into_bytes));
    let (mut manifests, mut refused) = (0, 0);
    for _ in 0..runs(20_000) {
        let bytes = hostile(&mut rng, &good);
        let text = String::from_utf8_lossy(&bytes);
        match read_within(text.as_bytes(), |_| parse(&text)) {
            Ok(manifest) => {
                assert!(parse(&manifest.to_json().to_string()).is_ok(), "{text}");
                manifests += 1;
            }
            Err(error) => {
                assert!(!error.lines().is_empty(), "{text}");
                refused += 1;
            }
        }
    }
    assert!(manifests > 100 && refused > 100, "{manifests} manifests and {refused} refused");
}
