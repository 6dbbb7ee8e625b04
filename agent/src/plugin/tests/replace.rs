use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test]
async fn a_newer_version_takes_over_while_a_task_collects() {
    let place = Place::new();
    let old = place.file("old", &collector("up", 1, ""));
    let new = place.file("new", &collector("up", 2, ""));
    let first = place.host.load_file(&old, "up", None).await.unwrap();
    assert_eq!(first.file().path().file_name().unwrap(), "up");
    fs::remove_file(&old).unwrap();
    let session = place.host.session("t");
    let done = AtomicBool::new(false);
    // Each time another configuration, so that nothing comes from the cache.
    let collect = async {
        let mut versions = Vec::new();
        for time in 0.. {
            let what = collection("/pool/up/pid", &[("told", &time.to_string())]);
            let metrics = session.collect(&what).await.unwrap();
            versions.push(metrics[0].version);
            if done.load(Ordering::Relaxed) && versions.last() == Some(&2) {
                break;
            }
        }
        versions
    };
    let replace = async {
        // A call that takes longer than the change is still answered by the old one.
        let slow_session = place.host.session("slow");
        let slow = collection("/pool/up/slow", &[]);
        let (second, slow) =
            tokio::join!(place.host.replace(&first, &new, "up", None), slow_session.collect(&slow));
        done.store(true, Ordering::Relaxed);
        (second.unwrap(), slow.unwrap())
    };
    let (versions, (second, slow)) = tokio::join!(collect, replace);
    assert!(versions.is_sorted() && versions.first() == Some(&1), "{versions:?}");
    assert_eq!(slow[0].version, 1);
    assert_eq!(second.identity.to_string(), "collector:up:2");
    let all: Vec<_> = place.host.plugins().iter().map(|plugin| plugin.identity.version).collect();
    assert_eq!(all, [2]);
    let Some(Data::Int64(pid)) = slow[0].data else { panic!("{slow:?}") };
    until("the old one ends", async || !is_running(i32::try_from(pid).unwrap())).await;
    let path = first.file().path().to_owned();
    drop((first, session));
    until("its file goes", async || !path.exists()).await;
}

#[tokio::test]
async fn what_cannot_take_over_leaves_the_old_one_as_it_was() {
    let place = Place::new();
    let first = place.load(&collector("up", 1, "")).await;
    let broken = place.file("broken", "#!/bin/sh\necho no disk >&2\nexit 1\n");
    let error = place.host.replace(&first, &broken, "up", None).await.unwrap_err();
    let message = "the plugin was not loaded: it ended before it said what it is (exit status: 1)";
    assert_eq!(error.to_string(), message);
    assert!(error.detail().unwrap().ends_with("\n  no disk"), "{error:?}");
    let other = place.file("other", &collector("down", 1, ""));
    let error = place.host.replace(&first, &other, "down", None).await.unwrap_err().to_string();
    let message = "the file is plugin `collector:down:1`, which cannot take the place of \
                   `collector:up:1`";
    assert_eq!(error, message);
    one(&place.host.session("t"), &collection("/pool/up/pid", &[])).await;
    assert_eq!(place.host.plugins().len(), 1);
}

#[tokio::test]
async fn versions_stand_side_by_side_and_a_task_without_one_has_the_newest() {
    let place = Place::new();
    let (one_text, two_text) = (collector("side", 1, ""), collector("side", 2, ""));
    let (_, second) = tokio::join!(place.load(&one_text), place.load(&two_text));
    let session = place.host.session("t");
    let version = async |wanted| {
        let request = Request::parse("/pool/side/pid", wanted).unwrap();
        let what = Collection { requests: vec![request], configs: ConfigTree::default() };
        session.collect(&what).await.unwrap()[0].version
    };
    assert_eq!(version(None).await, 2);
    assert_eq!(version(Some(1)).await, 1);
    place.host.unload(&second).await;
    assert_eq!(version(None).await, 1);
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_started_again() {
    let place = Place::new();
    let plugin = place.load(&collector("changed", 1, "")).await;
    fs::write(plugin.file().path(), "#!/bin/sh\necho stolen\n").unwrap();
    let pid = rustix::process::Pid::from_raw(*pids(&plugin).first().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the start fails", async || {
        plugin
            .health()
            .failure
            .is_some_and(|text| text == "its file was changed since it was loaded")
    })
    .await;
}
