use super::*;

/// A collector that tells the limits of its process, the first of them that it can reach.
fn limited() -> String {
    script(
        r#"
import resource

class Collector(snap.Collector):
    def update_catalog(self, config):
        return [snap.Metric(namespace=["limit", last], version=1) for last in ["DATA", "NOFILE", "CPU", "hoard"]]

    def collect(self, metrics):
        for metric in metrics:
            last = metric.namespace[1].value
            if last == "hoard":
                metric.data = len(b"x" * (1 << 30))
            else:
                metric.data = resource.getrlimit(getattr(resource, "RLIMIT_" + last))[1]
        return metrics

    def get_config_policy(self):
        return snap.ConfigPolicy()

Collector("limited", 1).start_plugin()
"#,
    )
}

#[tokio::test]
async fn plugins_run_under_the_limits_of_the_node() {
    let limits =
        Limits { memory: Some(512 << 20), open_files: Some(77), cpu: Some(600), processes: None };
    let place = Place::with(|settings| settings.limits = limits);
    place.load(&limited()).await;
    let session = place.host.session("t");
    for (what, limit) in [("DATA", 512 << 20), ("NOFILE", 77), ("CPU", 600)] {
        let what = collection(&format!("/limit/{what}"), &[]);
        assert_eq!(one(&session, &what).await, Data::Int64(limit));
    }
    let hoard = session.collect(&collection("/limit/hoard", &[])).await.unwrap_err();
    let UseError::Call { error, .. } = hoard else { panic!("{hoard}") };
    assert!(error.detail().unwrap().contains("MemoryError"), "{error:?}");
}

#[tokio::test]
async fn metrics_have_the_tags_of_the_node_and_of_their_namespace() {
    let place = Place::with(|settings| {
        let tags = |name: &str| [(name.to_owned(), format!("{name} of the node"))].into();
        settings.tags.add("/", tags("site"));
        settings.tags.add("/pool/tagged", tags("rack"));
        settings.tags.add("/other", tags("other"));
    });
    place.load(&collector("tagged", 1, "")).await;
    let metrics = place.host.session("t").collect(&collection("/pool/tagged/pid", &[])).await;
    let tags: Vec<_> = metrics.unwrap()[0].tags.clone().into_iter().collect();
    let expected =
        [("plugin_running_on", "i1"), ("rack", "rack of the node"), ("site", "site of the node")];
    assert_eq!(tags, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_plugin_is_told_what_is_meant_for_it_and_a_task_covers_that() {
    let told = |text: &str| Config::from([("told".into(), ConfigValue::Text(text.into()))]);
    let place = Place::with(|settings| {
        settings.configs.all = told("all");
        let identity = Identity::new(Kind::Collector, "told", 2).unwrap();
        settings.configs.versions.insert(identity, told("version 2"));
    });
    let texts = [collector("told", 1, ""), collector("told", 2, "")];
    tokio::join!(place.load(&texts[0]), place.load(&texts[1]));
    let session = place.host.session("t");
    let version = |version| Collection {
        requests: vec![Request::parse("/pool/told/told", Some(version)).unwrap()],
        ..Collection::default()
    };
    assert_eq!(one(&session, &version(1)).await, Data::Text("all".into()));
    assert_eq!(one(&session, &version(2)).await, Data::Text("version 2".into()));
    let by_task = collection("/pool/told/told", &[("told", "task")]);
    assert_eq!(one(&session, &by_task).await, Data::Text("task".into()));
}
