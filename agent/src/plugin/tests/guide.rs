//! The examples of docs/PLUGINS.md.

use super::{super::metric::Time, *};

#[tokio::test]
async fn the_smallest_collector_tells_when_it_collected() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PLUGINS.md"));
    let guide = guide.unwrap();
    let (_, code) = guide.split_once("```python\n#!/opt/snap/venv/bin/python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let place = Place::new();
    place.load(&script(code)).await;
    let session = place.host.session("t");
    let mut last = None;
    for round in ["one", "two"] {
        // The library rounds to whole seconds, so the next round is in another one.
        until("a second is over", async || last.is_none_or(|last| Time::now().sec > last)).await;
        // Another configuration, so that nothing comes from the cache.
        let what = collection("/acme/rand", &[("round", round)]);
        let before = Time::now();
        let metrics = session.collect(&what).await.unwrap();
        let [metric] = metrics.as_slice() else { panic!("{metrics:?}") };
        assert!(metric.timestamp.sec >= before.sec, "{metric:?} of {before:?}");
        last = Some(metric.timestamp.sec);
    }
}
