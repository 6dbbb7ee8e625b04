//! Sessions with real plugins, on snap's own library for Python, in processes of their own.

mod guide;
mod pools;
mod replace;
mod settings;
mod streams;
mod trust;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::Parser;
use tempfile::TempDir;

use super::*;

/// Longer than anything here takes on a slow machine.
const LONG: Duration = Duration::from_secs(30);
/// Carries the arguments of a test program that is to become a plugin.
const BECOME: &str = "SNAPD_TEST_BECOME_PLUGIN";

/// The command by which the test program becomes a plugin, as snapd does.
pub(super) fn become_plugin(parent: &str, args: &[&OsStr]) -> tokio::process::Command {
    let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    let all = [&["plugin-exec", "--parent", parent], args.as_slice()].concat();
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.env(BECOME, all.join("\n")).args([
        "--exact",
        "plugin::tests::plugin_exec",
        "--nocapture",
    ]);
    command
}

/// Not a test by itself: what [`become_plugin`] runs.
#[test]
fn plugin_exec() {
    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ExecArgs,
    }

    let Ok(args) = std::env::var(BECOME) else { return };
    panic!("{}", exec(&Command::parse_from(args.lines()).args));
}

#[tokio::test]
async fn a_plugin_that_is_still_open_for_writing_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("plugin");
    fs::write(&path, "#!/bin/sh\necho it runs\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let writer = fs::File::options().append(true).open(&path).unwrap();
    let mut command = become_plugin(&std::process::id().to_string(), &[path.as_ref()]);
    let run = tokio::spawn(async move { command.output().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(writer);
    let output = run.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with("it runs\n"), "{output:?}");
}

/// The interpreter of the environment the plugins run in, made if it is not there.
pub(super) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let target = program.ancestors().nth(3).unwrap();
        let dir = target.join("tmp/snap-plugin-lib-py");
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/setup");
        assert!(Command::new(setup).arg(&dir).status().unwrap().success());
        dir.join("bin/python")
    })
}

/// A plugin on snap's library: `code` ends with the making of it.
pub(crate) fn script(code: &str) -> String {
    format!("#!{}\nimport os, time\nimport snap_plugin.v1 as snap\n{code}", python().display())
}

/// A collector that tells the number of its process, how often it was asked, and what it was told.
pub(super) fn collector(name: &str, version: i64, keywords: &str) -> String {
    let code = format!(
        r#"
class Collector(snap.Collector):
    asked = 0

    def update_catalog(self, config):
        return [snap.Metric(namespace=["pool", "{name}", last], version={version}) for last in ["pid", "asked", "told", "slow"]]

    def collect(self, metrics):
        Collector.asked += 1
        for metric in metrics:
            metric.version = 0
            last = metric.namespace[2].value
            if last == "slow":
                time.sleep(2)
            metric.data = {{"pid": os.getpid(), "asked": Collector.asked, "told": metric.config["told"], "slow": os.getpid()}}[last]
        return metrics

    def get_config_policy(self):
        return snap.ConfigPolicy([("pool",), [("told", snap.StringRule(default="nothing"))]])

Collector("{name}", {version}, {keywords}).start_plugin()
"#
    );
    script(&code)
}

/// A host in a directory of its own.
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(super) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut HostSettings)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut settings = HostSettings {
            node: "i1".into(),
            dir: dir.path().join("plugins"),
            configs: PluginConfigs::default(),
            load_time: LONG,
            max_running: 3,
            tags: ByPrefix::default(),
            limits: Limits::default(),
            trust: Trust::default(),
            tls: None,
        };
        change(&mut settings);
        Self { host: Host::new(settings), dir }
    }

    pub(super) async fn try_load(&self, text: &str) -> Result<Arc<Plugin>, LoadError> {
        let mut upload = self.host.upload("plugin")?;
        upload.write(text.as_bytes()).await?;
        self.host.load(upload, None).await
    }

    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(super) async fn load(&self, text: &str) -> Arc<Plugin> {
        match self.try_load(text).await {
            Ok(plugin) => plugin,
            Err(LoadError::Start(error)) => panic!("{error} {:?}", error.detail()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A collection of one namespace, of plugins that are told this.
pub(super) fn collection(namespace: &str, told: &[(&str, &str)]) -> Collection {
    let mut configs = ConfigTree::default();
    let config = told.iter().map(|(key, text)| ((*key).into(), ConfigValue::Text((*text).into())));
    configs.add("/", config.collect());
    Collection { requests: vec![Request::parse(namespace, None).unwrap()], configs }
}

/// The data of the one metric that comes.
pub(super) async fn one(session: &Session, what: &Collection) -> Data {
    let metrics = session.collect(what).await.unwrap();
    let [metric] = metrics.as_slice() else { panic!("{metrics:?}") };
    metric.data.clone().unwrap()
}

pub(super) fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// Waits until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "not so in time: {what}");
}

/// Runs a program to its good end.
pub(super) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} {}", String::from_utf8_lossy(&output.stderr));
}

/// The processes of a plugin.
pub(super) fn pids(plugin: &Plugin) -> BTreeSet<i32> {
    plugin.pids().into_iter().collect()
}
