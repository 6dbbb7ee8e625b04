use super::*;

/// A streaming collector that counts, and tells with each number what it was told.
fn streamer() -> String {
    script(
        r#"
class Stream(snap.StreamCollector):
    number = 0

    def stream(self, metrics):
        time.sleep(0.05)
        Stream.number += 1
        told = metrics[0].config
        return [snap.Metric(namespace=["stream", "number"], version=0, data=Stream.number,
            tags={key: str(told[key]) for key in ["told", "max-collect-duration", "max-metrics-buffer"]})]

    def update_catalog(self, config):
        return [snap.Metric(namespace=["stream", "number"], version=3)]

    def get_config_policy(self):
        return snap.ConfigPolicy([("stream",), [("told", snap.StringRule(default="nothing"))]])

Stream("counter", 3).start_plugin()
"#,
    )
}

async fn next(
    receiver: &mut tokio::sync::mpsc::Receiver<Result<Vec<Metric>, UseError>>,
) -> Result<Vec<Metric>, String> {
    let next = tokio::time::timeout(LONG, receiver.recv()).await.expect("something comes");
    next.unwrap().map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_streaming_collector_streams_and_begins_again_when_it_was_killed() {
    let place = Place::new();
    let plugin = place.load(&streamer()).await;
    assert_eq!(plugin.identity.to_string(), "streaming-collector:counter:3");
    let session = place.host.session("t");
    let what = collection("/stream/*", &[("told", "red")]);
    let options =
        StreamOptions { max_collect_duration: Duration::from_millis(1500), max_metrics_buffer: 2 };
    let mut stream = session.stream(&what, options).await.unwrap();
    let batch = next(&mut stream).await.unwrap();
    assert_eq!(batch.len(), 2, "{batch:?}");
    assert_eq!((&batch[0].data, batch[0].version), (&Some(Data::Int64(1)), 3));
    let tags = &batch[0].tags;
    assert_eq!((&*tags["told"], &*tags["plugin_running_on"]), ("red", "i1"));
    assert_eq!((&*tags["max-collect-duration"], &*tags["max-metrics-buffer"]), ("2", "2"));

    let pid = *pids(&plugin).first().unwrap();
    let victim = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    // What was sent before still comes.
    let mut error = next(&mut stream).await;
    while error.is_ok() {
        error = next(&mut stream).await;
    }
    let message = "plugin `streaming-collector:counter:3` failed: it does not answer: ";
    assert!(error.as_ref().unwrap_err().starts_with(message), "{error:?}");
    // A new process counts from 1.
    let mut batch = next(&mut stream).await;
    while batch.is_err() {
        batch = next(&mut stream).await;
    }
    assert_eq!(batch.unwrap()[0].data, Some(Data::Int64(1)));

    // The end of the stream is that of its instance; the plugin stays.
    let pid = *pids(&plugin).first().unwrap();
    drop(stream);
    until("the instance ends", async || !is_running(pid)).await;
    until("another waits", async || pids(&plugin).len() == 1).await;
    let mut second = session.stream(&what, options).await.unwrap();
    assert_eq!(next(&mut second).await.unwrap()[0].data, Some(Data::Int64(1)));
    place.host.unload(&plugin).await;
    let mut gone = next(&mut second).await;
    while gone.is_ok() || gone.as_ref().is_err_and(|error| !error.contains("no metric")) {
        gone = next(&mut second).await;
    }
}

#[tokio::test]
async fn two_streams_have_two_instances() {
    let place = Place::new();
    let plugin = place.load(&streamer()).await;
    let session = |task, told| {
        let what = collection("/stream/*", &[("told", told)]);
        (place.host.session(task), what)
    };
    let ((a, red), (b, blue)) = (session("a", "red"), session("b", "blue"));
    let mut red = a.stream(&red, StreamOptions::default()).await.unwrap();
    let mut blue = b.stream(&blue, StreamOptions::default()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut red).await.unwrap()[0].tags["told"], "red");
        assert_eq!(next(&mut blue).await.unwrap()[0].tags["told"], "blue");
    }
    assert_eq!(pids(&plugin).len(), 2);
}

#[tokio::test]
async fn collecting_and_streaming_are_not_mistaken_for_each_other() {
    let place = Place::new();
    let (stream, collector) = (streamer(), collector("plain", 1, ""));
    tokio::join!(place.load(&stream), place.load(&collector));
    let session = place.host.session("t");
    let (streamed, collected) = (collection("/stream/number", &[]), collection("/pool/*", &[]));
    let streams = "plugin `streaming-collector:counter:3` streams: its metrics come in tasks with \
                   a streaming schedule only";
    assert_eq!(session.collect(&streamed).await.unwrap_err().to_string(), streams);
    assert_eq!(session.check(&streamed).unwrap_err().to_string(), streams);
    let error =
        async |what| session.stream(what, StreamOptions::default()).await.unwrap_err().to_string();
    let plain = "plugin `collector:plain:1` does not stream: its metrics come in tasks without a \
                 streaming schedule";
    assert_eq!(error(&collected).await, plain);
    let mut both = streamed.clone();
    both.requests.extend(collected.requests.clone());
    let several = "a stream has the metrics of one plugin, these are of `collector:plain:1` and \
                   `streaming-collector:counter:3`";
    assert_eq!(error(&both).await, several);
    let none = "a stream has the metrics of one plugin, these are of none";
    assert_eq!(error(&Collection::default()).await, none);
}
