use super::*;

#[tokio::test]
async fn instances_come_with_tasks_and_go_with_them() {
    let place = Place::new();
    let plugin = place.load(&collector("lru", 1, "concurrency_count=1")).await;
    let first = pids(&plugin);
    assert_eq!(first.len(), 1);
    let slow = collection("/pool/lru/pid", &[]);
    let sessions: Vec<_> = (0..4).map(|task| place.host.session(&format!("t{task}"))).collect();
    for (task, session) in sessions.iter().enumerate() {
        // Another configuration, so that nothing comes from the cache.
        let what = collection("/pool/lru/pid", &[("told", &task.to_string())]);
        one(session, &what).await;
    }
    until("three instances run", async || pids(&plugin).len() == 3).await;
    let all = pids(&plugin);
    // The one that was used longest ago serves.
    let mut served = BTreeSet::new();
    for round in 0..3 {
        let what = collection("/pool/lru/pid", &[("told", &format!("again {round}"))]);
        if let Data::Int64(pid) = one(&sessions[0], &what).await {
            served.insert(i32::try_from(pid).unwrap());
        }
    }
    assert_eq!(served, all);
    drop(sessions);
    until("one is left", async || all.iter().filter(|pid| is_running(**pid)).count() == 1).await;
    assert_eq!(pids(&plugin).len(), 1);
    // And that one serves.
    one(&place.host.session("t9"), &slow).await;
    place.host.unload(&plugin).await;
    assert!(!all.iter().any(|pid| is_running(*pid)));
}

#[tokio::test]
async fn an_exclusive_plugin_has_one_instance_for_all() {
    let place = Place::new();
    let plugin = place.load(&collector("one", 1, "concurrency_count=1, exclusive=True")).await;
    let sessions: Vec<_> = (0..3).map(|task| place.host.session(&format!("t{task}"))).collect();
    let mut served = BTreeSet::new();
    for (task, session) in sessions.iter().enumerate() {
        let what = collection("/pool/one/pid", &[("told", &task.to_string())]);
        served.insert(format!("{:?}", one(session, &what).await));
    }
    assert_eq!((served.len(), pids(&plugin).len()), (1, 1));
}

#[tokio::test]
async fn a_sticky_plugin_gives_each_task_an_instance_and_a_cache_of_its_own() {
    let place = Place::with(|settings| settings.max_running = 2);
    place.load(&collector("sticky", 1, "routing_strategy=1, cache_ttl=3600000000000")).await;
    let what = collection("/pool/sticky/pid", &[]);
    let (a, b) = (place.host.session("a"), place.host.session("b"));
    let (of_a, of_b) = (one(&a, &what).await, one(&b, &what).await);
    assert_ne!(of_a, of_b);
    assert_eq!(one(&a, &what).await, of_a);
    let third = place.host.session("c").collect(&what).await.unwrap_err().to_string();
    let message = "plugin `collector:sticky:1` wants an instance of its own here, and all 2 it may \
                   have are taken";
    assert_eq!(third, message);
    drop(b);
    let c = place.host.session("c");
    assert_ne!(one(&c, &what).await, of_a);
}

#[tokio::test]
async fn each_configuration_has_an_instance_of_its_own_if_the_plugin_wants_it() {
    let place = Place::new();
    let plugin = place.load(&collector("byconfig", 1, "routing_strategy=2")).await;
    let what = |told| collection("/pool/byconfig/pid", &[("told", told)]);
    let (a, b) = (place.host.session("a"), place.host.session("b"));
    let (red, blue) = (one(&a, &what("red")).await, one(&b, &what("blue")).await);
    assert_ne!(red, blue);
    assert_eq!(one(&b, &what("red")).await, red);
    assert_eq!(pids(&plugin).len(), 2);
}

#[tokio::test]
async fn tasks_share_what_was_collected_but_not_with_another_configuration() {
    let place = Place::new();
    // For ever, in the unit of the library.
    place.load(&collector("cache", 14, "cache_ttl=3600000000000")).await;
    let (a, b) = (place.host.session("a"), place.host.session("b"));
    let asked = collection("/pool/cache/asked", &[]);
    // The plugin answers without a version, and the cache has it all the same.
    let first = a.collect(&asked).await.unwrap();
    assert_eq!((first[0].version, first[0].data.clone()), (14, Some(Data::Int64(1))));
    assert_eq!(first[0].tags["plugin_running_on"], "i1");
    assert_eq!(b.collect(&asked).await.unwrap(), first);
    let told = |text| collection("/pool/cache/told", &[("told", text)]);
    assert_eq!(one(&a, &told("red")).await, Data::Text("red".into()));
    assert_eq!(one(&b, &told("blue")).await, Data::Text("blue".into()));
    assert_eq!(one(&b, &told("red")).await, Data::Text("red".into()));
    // Three calls so far: what is there already is not asked for again.
    let both = a.collect(&collection("/pool/cache/(asked;pid)", &[])).await.unwrap();
    assert_eq!(both, [first[0].clone(), both[1].clone()]);
    let other = collection("/pool/cache/asked", &[("told", "green")]);
    assert_eq!(one(&a, &other).await, Data::Int64(5));
}

#[tokio::test]
async fn tasks_that_ask_the_same_at_the_same_time_share_one_call() {
    let place = Place::new();
    place.load(&collector("flight", 1, "concurrency_count=10")).await;
    let what = collection("/pool/flight/(slow;asked)", &[]);
    let sessions: Vec<_> = (0..5).map(|task| place.host.session(&format!("t{task}"))).collect();
    let all = sessions.iter().map(|session| session.collect(&what));
    let all = futures_util::future::try_join_all(all).await.unwrap();
    assert!(all.iter().all(|metrics| *metrics == all[0]), "{all:?}");
}

#[tokio::test]
async fn a_killed_instance_is_started_again_within_seconds_while_others_serve() {
    let place = Place::new();
    let plugin = place.load(&collector("killed", 1, "concurrency_count=1")).await;
    let sessions = [place.host.session("a"), place.host.session("b")];
    for (task, session) in sessions.iter().enumerate() {
        one(session, &collection("/pool/killed/pid", &[("told", &task.to_string())])).await;
    }
    until("two instances run", async || pids(&plugin).len() == 2).await;
    let before = pids(&plugin);
    let victim = rustix::process::Pid::from_raw(*before.first().unwrap()).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    until("its death is known", async || pids(&plugin).len() == 1).await;
    one(&sessions[0], &collection("/pool/killed/pid", &[("told", "meanwhile")])).await;
    until("two run again", async || pids(&plugin).len() == 2).await;
    assert_eq!(plugin.health().restarts, 1);
    assert!(plugin.health().failure.unwrap().starts_with("it ended (signal: 9 (SIGKILL))"));
}

#[tokio::test]
async fn what_a_task_needs_is_checked_before_it_runs() {
    let place = Place::new();
    place.load(&collector("check", 1, "")).await;
    let session = place.host.session("t");
    let error = |what: &Collection| session.check(what).map_err(|error| error.to_string());
    assert_eq!(error(&collection("/pool/check/*", &[])), Ok(()));
    let missing = "there is no metric `/pool/other`";
    assert_eq!(error(&collection("/pool/other", &[])), Err(missing.into()));
    let mut configs = ConfigTree::default();
    configs.add("/pool/check", Config::from([("told".into(), ConfigValue::Int(7))]));
    let wrong = Collection { configs, ..collection("/pool/check/pid", &[]) };
    let message = "plugin `collector:check:1`: `told` must be text, not 7";
    assert_eq!(error(&wrong), Err(message.into()));
    let none = Wanted::of(Kind::Publisher, "file").unwrap();
    let unknown = session.check_step(&none, &Config::new()).unwrap_err().to_string();
    assert_eq!(unknown, "plugin `publisher:file` is not loaded");
}

#[tokio::test]
async fn a_task_does_not_keep_what_was_unloaded() {
    let place = Place::new();
    let plugin = place.load(&collector("gone", 1, "")).await;
    let (session, what) = (place.host.session("t"), collection("/pool/gone/pid", &[]));
    one(&session, &what).await;
    let path = plugin.file().path().to_owned();
    place.host.unload(&plugin).await;
    drop(plugin);
    let missing = session.collect(&what).await.unwrap_err().to_string();
    assert_eq!(missing, "there is no metric `/pool/gone/pid`");
    until("its file goes", async || !path.exists()).await;
    // Loaded again it serves the same task.
    place.load(&collector("gone", 1, "")).await;
    one(&session, &what).await;
}
