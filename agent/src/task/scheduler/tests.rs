use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;
use tribe::Facts;

use super::{
    super::{
        document::Format,
        report::StepReport,
        script::{Script, metric, number},
    },
    *,
};
use crate::plugin::{ByPrefix, HostSettings, Limits, PluginConfigs, Trust, Wanted};

const SECOND: Duration = Duration::from_secs(1);

/// A scheduler whose plugins are of a play.
struct Play {
    dir: TempDir,
    script: Arc<Script>,
    scheduler: Scheduler,
}

impl Play {
    fn new() -> Self {
        Self::in_dir(TempDir::new().unwrap())
    }

    fn in_dir(dir: TempDir) -> Self {
        let script = Arc::new(Script::default());
        let host = Host::new(HostSettings {
            node: "i1".into(),
            dir: dir.path().join("plugins"),
            configs: PluginConfigs::default(),
            load_time: SECOND,
            max_running: 1,
            tags: ByPrefix::default(),
            limits: Limits::default(),
            trust: Trust::default(),
            tls: None,
        });
        let secrets = dir.path().join("secrets");
        let values = Values::new(Arc::<Facts>::default, Some(secrets), None);
        let spool = Spool::new(dir.path().join("spool"), 1024 * 1024);
        let mut scheduler = Scheduler::new("i1".into(), host, values, spool, None);
        let shared = Arc::get_mut(&mut scheduler.0).unwrap();
        shared.context.script = Some(Arc::clone(&script));
        Self { dir, script, scheduler }
    }

    /// Ends everything, as a signal 9 does, and starts anew on the same directory.
    async fn crash(self) -> Self {
        let mut tasks = std::mem::take(&mut self.scheduler.lock().tasks);
        for known in tasks.values_mut() {
            for delivery in known.deliveries.drain(..) {
                delivery.abort();
                assert!(delivery.await.is_err());
            }
            known.task.stop();
        }
        drop(tasks);
        let Self { dir, scheduler, .. } = self;
        drop(scheduler);
        // A thread that syncs may have it for a moment yet.
        while Spool::new(dir.path().join("spool"), 0).attach("probe").is_err() {
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        Self::in_dir(dir)
    }

    /// Starts a task of these steps that fires each second.
    fn start(&self, origin: Origin, more: &serde_json::Value) {
        self.scheduler.add(spec(origin, more)).unwrap();
    }

    fn report(&self) -> TaskReport {
        self.scheduler.one("t").unwrap()
    }

    fn step(&self, path: &str) -> StepReport {
        let steps = self.report().steps;
        steps.into_iter().find(|step| step.path == path).unwrap()
    }

    fn counts(&self) -> (State, u64, u64, u64) {
        let report = self.report();
        (report.state, report.hits, report.misses, report.failures)
    }
}

/// A task of these keys, and of these below `collect`.
fn spec(origin: Origin, more: &serde_json::Value) -> TaskSpec {
    let mut json = json!({
        "schedule": { "type": "simple", "interval": "1s" },
        "workflow": { "collect": { "metrics": { "/a/b": {} } } },
    });
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "process" | "publish" | "tags" | "config" => {
                json["workflow"]["collect"][key] = value.clone();
            }
            _ => json[key] = value.clone(),
        }
    }
    let manifest = Manifest::parse(&json.to_string(), Format::Json).unwrap();
    let (id, name, manifest) = ("t".to_owned(), "task".to_owned(), Arc::new(manifest));
    TaskSpec { id, name, manifest, origin, start: true }
}

fn publish() -> serde_json::Value {
    json!({ "publish": [{ "plugin_name": "file" }] })
}

fn tribe() -> Origin {
    Origin::Tribe("core".into())
}

/// So many tenths of a second, which nobody waits for.
async fn tenths(tenths: u32) {
    sleep(SECOND / 10 * tenths).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_fires_at_once_and_then_each_interval() {
    let play = Play::new();
    play.start(Origin::Local, &publish());
    tenths(25).await;
    assert_eq!(play.counts(), (State::Running, 3, 0, 0));
    assert_eq!(play.script.published("publish[0]"), [0, 1, 2]);
    let step = play.step("publish[0]");
    assert_eq!((step.passes, step.failures), (3, 0));
    let ran = step.last_run.unwrap();
    assert_eq!((ran.node.as_str(), ran.metrics), ("i1", 2));
    assert!(step.queue.is_some_and(|queue| queue.waiting == 0 && queue.bytes == 0));
    assert_eq!(play.step("collect").passes, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_takes_too_long_for_is_missed() {
    let play = Play::new();
    play.script.collecting_takes(SECOND * 5 / 2);
    play.start(Origin::Local, &publish());
    tenths(60).await;
    // At 0 s and at 3 s; those at 1 s, 2 s, 4 s and 5 s are missed.
    assert_eq!(play.counts(), (State::Running, 2, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn tags_come_from_the_node_and_are_covered_by_those_of_the_task() {
    let play = Play::new();
    let mut more = publish();
    more["tags"] = json!({ "/a/b": { "rack": "b" }, "/": { "rack": "all", "task": "yes" } });
    play.start(Origin::Local, &more);
    tenths(1).await;
    let metrics = play.script.last("publish[0]").unwrap();
    let tags = |index: usize| {
        let tags = metrics[index].tags.iter().map(|(key, value)| format!("{key}={value}"));
        tags.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(tags(0), "rack=b task=yes");
    assert_eq!(tags(1), "rack=all task=yes");
}

#[tokio::test(start_paused = true)]
async fn a_process_step_that_fails_skips_what_is_below_it_and_nothing_else() {
    let play = Play::new();
    let below = json!([{ "plugin_name": "file" }]);
    let more = json!({
        "process": [
            { "plugin_name": "bad", "publish": below },
            { "plugin_name": "x", "process": [{ "plugin_name": "y", "publish": below }] },
        ],
        "publish": below,
    });
    play.script.step_fails("process[0]", Some("no"));
    play.script.step_takes("process[0]", SECOND / 4);
    play.script.step_takes("process[1]", SECOND / 4);
    play.start(Origin::Local, &more);
    tenths(3).await;
    assert!(play.script.published("process[0].publish[0]").is_empty());
    assert_eq!(play.script.published("publish[0]"), [0]);
    // Both took a quarter of a second, at the same time.
    assert_eq!(play.script.published("process[1].process[0].publish[0]"), [0]);
    let seen = play.script.last("process[1].process[0].publish[0]").unwrap();
    assert_eq!(seen[0].tags["seen"], "xy");
    let report = play.report();
    assert_eq!((report.hits, report.failures, report.failed_in_a_row), (1, 1, 1));
    assert_eq!(report.last_failure.unwrap().text, "process[0]: no");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_would_begin_after_the_deadline_does_not() {
    let play = Play::new();
    let more = json!({
        "deadline": "500ms",
        "process": [{ "plugin_name": "x", "process": [{ "plugin_name": "y" }] }],
    });
    play.script.step_takes("process[0]", SECOND * 6 / 10);
    play.start(Origin::Local, &more);
    tenths(7).await;
    let failure = play.step("process[0].process[0]").last_failure.unwrap();
    assert_eq!(failure.text, "it was to begin within 0.5 s");
}

#[tokio::test(start_paused = true)]
async fn a_slow_publisher_delays_neither_firing_nor_stop() {
    let play = Play::new();
    play.script.step_takes("publish[0]", SECOND * 8);
    play.start(Origin::Local, &publish());
    tenths(45).await;
    assert_eq!(play.counts(), (State::Running, 5, 0, 0));
    let stopped = play.scheduler.stop("t").unwrap();
    assert_eq!(stopped.state, State::Stopping);
    tenths(40).await;
    // The batch on its way was not called back.
    assert_eq!(play.script.published("publish[0]"), [0]);
    assert_eq!((play.counts().0, play.counts().1), (State::Stopping, 5));
    tenths(300).await;
    // The rest waits, for it takes too long.
    assert_eq!(play.counts().0, State::Stopped);
    let waiting = play.step("publish[0]").queue.unwrap().waiting;
    assert_eq!(play.script.published("publish[0]").len() + waiting, 5);
    assert!(waiting > 0);
    play.scheduler.start("t").unwrap();
    tenths(1).await;
    assert_eq!(play.counts().0, State::Running);
}

#[tokio::test(start_paused = true)]
async fn stop_delivers_what_was_collected() {
    let play = Play::new();
    play.script.step_takes("publish[0]", SECOND * 3 / 10);
    play.start(Origin::Local, &publish());
    tenths(11).await;
    assert_eq!(play.scheduler.stop("t").unwrap().state, State::Stopping);
    assert!(play.scheduler.stop("t").is_err());
    tenths(5).await;
    assert_eq!(play.counts().0, State::Stopped);
    assert_eq!(play.script.published("publish[0]"), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_every_interval_is_delivered_in_order() {
    let play = Play::new();
    play.start(Origin::Local, &publish());
    tenths(15).await;
    play.script.step_fails("publish[0]", Some("connection refused"));
    tenths(600).await;
    let report = play.report();
    assert_eq!((report.state, report.hits), (State::Running, 62));
    assert_eq!(report.last_failure.unwrap().text, "publish[0]: connection refused");
    let step = play.step("publish[0]");
    assert_eq!(step.queue.as_ref().unwrap().waiting, 60);
    assert!(step.again_in.is_some());
    play.script.step_fails("publish[0]", None);
    tenths(60).await;
    let published = play.script.published("publish[0]");
    assert_eq!(published, (0..published.len() as i64).collect::<Vec<_>>());
    assert_eq!(published.len() as u64, play.report().hits);
    assert_eq!(play.step("publish[0]").queue.unwrap().set_aside, 0);
    assert_eq!(play.scheduler.0.spool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_collected_outlives_a_kill() {
    let play = Play::new();
    play.start(tribe(), &publish());
    tenths(5).await;
    play.script.step_fails("publish[0]", Some("down"));
    tenths(50).await;
    let play = play.crash().await;
    play.script.step_fails("publish[0]", Some("down"));
    play.start(tribe(), &publish());
    tenths(35).await;
    assert_eq!(play.step("publish[0]").queue.unwrap().waiting, 5 + 4);
    play.script.step_fails("publish[0]", None);
    tenths(60).await;
    let published = play.script.published("publish[0]");
    // The second snapd counts from 0 again.
    assert_eq!(published[..9], [1, 2, 3, 4, 5, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_on_its_way_outlives_a_kill() {
    let play = Play::new();
    play.script.step_takes("publish[0]", SECOND * 9);
    play.start(Origin::Local, &publish());
    tenths(5).await;
    let play = play.crash().await;
    play.start(Origin::Local, &publish());
    tenths(1).await;
    assert_eq!(play.script.published("publish[0]"), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_while_others_pass_is_set_aside() {
    let play = Play::new();
    play.script.poison(2);
    play.start(Origin::Local, &publish());
    tenths(200).await;
    let queue = play.step("publish[0]").queue.unwrap();
    assert_eq!((queue.waiting, queue.set_aside, queue.dropped), (0, 1, 0));
    assert_eq!(queue.aside[0].metrics, 2);
    let failure = queue.aside[0].failure.as_deref();
    assert_eq!(failure, Some("the database does not like it"));
    assert!(queue.bytes > 0);
    let published = play.script.published("publish[0]");
    let expected: Vec<i64> = (0..20).filter(|number| *number != 2).collect();
    assert_eq!(published, expected);
    // It is there after a crash.
    let play = play.crash().await;
    play.start(Origin::Local, &publish());
    tenths(5).await;
    assert_eq!(play.step("publish[0]").queue.unwrap().set_aside, 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_this_node_that_fails_too_often_is_disabled() {
    let play = Play::new();
    play.script.collecting_fails(Some("no disk"));
    play.start(Origin::Local, &json!({ "max-failures": 3 }));
    tenths(50).await;
    assert_eq!(play.counts(), (State::Disabled, 3, 0, 3));
    let reason = "it failed 3 times in a row, the last time: collect: no disk";
    assert_eq!(play.report().reason.as_deref(), Some(reason));
    let refused = play.scheduler.start("t").unwrap_err().to_string();
    assert_eq!(refused, "task `task` is Disabled, enable it first");
    assert_eq!(play.scheduler.enable("t").unwrap().state, State::Stopped);
    play.script.collecting_fails(None);
    play.scheduler.start("t").unwrap();
    tenths(5).await;
    assert_eq!(play.counts(), (State::Running, 4, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_firing_that_passes_begins_the_count_anew() {
    let play = Play::new();
    play.script.collecting_fails(Some("no disk"));
    play.start(Origin::Local, &json!({}));
    tenths(85).await;
    play.script.collecting_fails(None);
    tenths(10).await;
    play.script.collecting_fails(Some("no disk"));
    tenths(90).await;
    assert_eq!(play.report().failed_in_a_row, 9);
    assert_eq!(play.counts().0, State::Running);
    tenths(10).await;
    assert_eq!(play.counts().0, State::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_counts_if_the_manifest_says_how_many_failures_are_too_many() {
    let play = Play::new();
    play.script.step_fails("publish[0]", Some("down"));
    let mut more = publish();
    play.start(Origin::Local, &more);
    tenths(300).await;
    assert_eq!(play.counts().0, State::Running);
    more["max-failures"] = json!(5);
    play.scheduler.replace(spec(Origin::Local, &more)).unwrap();
    tenths(100).await;
    let report = play.report();
    assert_eq!(report.state, State::Disabled);
    assert!(report.hits <= 6, "{report:?}");
    assert_eq!(
        report.reason.unwrap(),
        "it failed 5 times in a row, the last time: publish[0]: down"
    );
}

#[tokio::test(start_paused = true)]
async fn minus_one_is_never_too_often() {
    let play = Play::new();
    play.script.collecting_fails(Some("no disk"));
    play.start(Origin::Local, &json!({ "max-failures": -1 }));
    tenths(505).await;
    assert_eq!(play.counts(), (State::Running, 51, 0, 51));
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_tribe_backs_off_and_says_why() {
    let play = Play::new();
    play.script.collecting_fails(Some("no disk"));
    play.start(tribe(), &json!({ "max-failures": 2 }));
    tenths(15).await;
    let report = play.report();
    assert_eq!((report.state, report.hits), (State::Running, 2));
    assert!(report.pause.is_some());
    let reason = "it failed 2 times in a row, the last time: collect: no disk";
    assert_eq!(report.reason.as_deref(), Some(reason));
    tenths(3000).await;
    let before = play.report().hits;
    tenths(1800).await;
    // A minute each, to the second that follows.
    assert!((2..=3).contains(&(play.report().hits - before)), "{:?}", play.report());
    play.script.collecting_fails(None);
    // Whoever has loaded a plugin says so.
    play.scheduler.wake();
    tenths(12).await;
    let report = play.report();
    assert_eq!((report.failed_in_a_row, report.reason, report.pause), (0, None, None));
    let hits = report.hits;
    tenths(30).await;
    assert_eq!(play.report().hits, hits + 3);
}

#[tokio::test(start_paused = true)]
async fn a_count_ends_a_task_and_all_is_delivered() {
    let play = Play::new();
    play.script.step_fails("publish[0]", Some("down"));
    let mut more = publish();
    more["schedule"] = json!({ "type": "simple", "interval": "1s", "count": 3 });
    play.start(Origin::Local, &more);
    tenths(100).await;
    assert_eq!((play.counts().0, play.counts().1), (State::Ended, 3));
    play.script.step_fails("publish[0]", None);
    tenths(60).await;
    assert_eq!(play.script.published("publish[0]"), [0, 1, 2]);
    assert_eq!(play.scheduler.start("t").unwrap().state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_task_takes_what_comes_and_connects_again() {
    let play = Play::new();
    let first = play.script.add_stream();
    let mut more = publish();
    more["schedule"] = json!({ "type": "streaming" });
    play.start(Origin::Local, &more);
    first.send(Ok(vec![metric("/a/b", 1)])).await.unwrap();
    first.send(Ok(vec![metric("/a/b", 2)])).await.unwrap();
    tenths(1).await;
    assert_eq!(play.script.published("publish[0]"), [1, 2]);
    assert_eq!(play.counts(), (State::Running, 2, 0, 0));
    drop(first);
    let second = play.script.add_stream();
    tenths(31).await;
    second.send(Ok(vec![metric("/a/b", 3)])).await.unwrap();
    tenths(1).await;
    assert_eq!(play.script.published("publish[0]"), [1, 2, 3]);
    let report = play.report();
    assert_eq!((report.failures, report.failed_in_a_row), (1, 0));
    assert_eq!(report.last_failure.unwrap().text, "collect: the stream has ended");
    play.scheduler.stop("t").unwrap();
    tenths(1).await;
    assert!(second.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_stream_is_a_failure_and_the_stream_goes_on() {
    let play = Play::new();
    let stream = play.script.add_stream();
    let mut more = publish();
    more["schedule"] = json!({ "type": "streaming" });
    play.start(Origin::Local, &more);
    let unknown = UseError::Unknown(Wanted::parse("collector:x").unwrap());
    stream.send(Err(unknown)).await.unwrap();
    tenths(1).await;
    assert_eq!(play.report().failed_in_a_row, 1);
    stream.send(Ok(vec![metric("/a/b", 1)])).await.unwrap();
    tenths(1).await;
    assert_eq!(play.script.published("publish[0]"), [1]);
    assert_eq!(play.report().failed_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn who_watches_sees_what_comes_out_of_each_step() {
    let play = Play::new();
    let more = json!({ "process": [{ "plugin_name": "x" }], "publish": [{ "plugin_name": "f" }] });
    play.start(Origin::Local, &more);
    let mut flow = play.scheduler.watch("t").unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Flow { step, metrics, .. } = flow.recv().await.unwrap();
        assert_eq!(number(&metrics), 0);
        seen.push(step.to_string());
    }
    seen.sort();
    assert_eq!(seen, ["collect", "process[0]", "publish[0]"]);
    play.scheduler.stop("t").unwrap();
    tenths(1).await;
    play.scheduler.remove("t").unwrap();
    while flow.recv().await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_never_in_what_a_task_says() {
    use std::os::unix::fs::PermissionsExt;
    let play = Play::new();
    let secrets = play.dir.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("db"), "hunter2\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(secrets.join("db"), private).unwrap();
    let config = json!({ "password": "${secret:db}" });
    let more = json!({ "publish": [{ "plugin_name": "f", "config": config }] });
    play.script.step_fails("publish[0]", Some("cannot log in with hunter2"));
    play.start(Origin::Local, &more);
    tenths(15).await;
    let report = play.report();
    let text = &report.last_failure.as_ref().unwrap().text;
    assert_eq!(text, "publish[0]: cannot log in with ***");
    assert!(!format!("{report:?}").contains("hunter2"));
    std::fs::remove_file(secrets.join("db")).unwrap();
    tenths(30).await;
    let text = play.report().last_failure.unwrap().text;
    assert!(
        text.starts_with("publish[0]: config `password`: this node has no secret `db`"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_leaves_nothing_and_what_is_replaced_leaves_what_waits() {
    let play = Play::new();
    play.script.step_fails("publish[0]", Some("down"));
    play.start(Origin::Local, &publish());
    tenths(25).await;
    assert!(play.scheduler.remove("t").is_err());
    assert!(play.scheduler.add(spec(Origin::Local, &publish())).is_err());
    play.scheduler.replace(spec(Origin::Local, &publish())).unwrap();
    tenths(5).await;
    assert_eq!(play.step("publish[0]").queue.unwrap().waiting, 4);
    play.scheduler.replace(spec(Origin::Local, &json!({}))).unwrap();
    assert_eq!(play.scheduler.0.spool.used(), 0);
    play.scheduler.replace(spec(Origin::Local, &publish())).unwrap();
    tenths(25).await;
    assert!(play.scheduler.0.spool.used() > 0);
    play.scheduler.stop("t").unwrap();
    play.scheduler.remove("t").unwrap();
    assert!(play.scheduler.list().is_empty());
    tenths(200).await;
    assert_eq!(play.scheduler.0.spool.used(), 0);
    let left = std::fs::read_dir(play.dir.path().join("spool")).unwrap();
    assert_eq!(left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["lock"]);
}

#[tokio::test(start_paused = true)]
async fn close_delivers_and_keeps_the_rest() {
    let play = Play::new();
    play.script.step_takes("publish[0]", SECOND / 2);
    play.start(Origin::Local, &publish());
    tenths(12).await;
    play.scheduler.close().await;
    assert_eq!(play.script.published("publish[0]"), [0, 1]);
    assert!(matches!(play.scheduler.add(spec(Origin::Local, &publish())), Err(TaskError::Closed)));
    assert!(play.scheduler.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_this_node_lacks_is_told_by_path() {
    let play = Play::new();
    let more = json!({
        "config": { "/a": { "k": "{{disk}}" } },
        "process": [{ "plugin_name": "x", "publish": [{ "plugin_name": "f", "tribe": "core" }] }],
    });
    let problems = play.scheduler.check(&spec(Origin::Local, &more).manifest);
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        lines,
        [
            r#"workflow.collect.metrics["/a/b"]: there is no metric `/a/b`"#,
            r#"workflow.collect.config["/a"].k: this node has no fact `disk`"#,
            "workflow.collect.process[0].plugin_name: plugin `processor:x` is not loaded",
        ]
    );
}
