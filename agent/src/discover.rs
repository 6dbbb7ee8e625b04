//! `auto_discover_path`: plugins and tasks of directories, loaded when the daemon starts, as snap did.
//!
//! First the plugins, then the tasks, which always start. A file that is no good is warned of and
//! passed by: the daemon starts all the same.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tracing::{info, warn};
use tribe_api::expand_environment;

use crate::{
    plugin::Host,
    task::{Format, Manifest, Origin, Scheduler, TaskSpec, check_name},
};

/// How many plugins start at the same time.
const AT_ONCE: usize = 4;
/// How much of a plugin is read at once, in bytes.
const PART_BYTES: usize = 256 * 1024;
/// Largest file of a task, in bytes.
const TASK_BYTES: u64 = 1024 * 1024;

/// Loads what the directories hold.
pub(crate) async fn run(dirs: &[PathBuf], plugins: &Host, tasks: &Scheduler) {
    let files = files(dirs);
    let (manifests, programs): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| Format::of(path).is_some());
    let loads = programs.iter().map(|path| async move {
        if let Err(error) = load(path, plugins).await {
            warn!(file = %path.display(), error = format!("{error:#}"), "a plugin was not loaded");
        }
    });
    stream::iter(loads).for_each_concurrent(AT_ONCE, |load| load).await;
    for path in manifests {
        match add(&path, tasks) {
            Ok(name) => info!(file = %path.display(), task = name, "a task was found"),
            Err(error) => warn!(file = %path.display(), error, "a task was not created"),
        }
    }
}

/// All files of the directories, by directory and name, but for hidden ones and signatures.
fn files(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in dirs {
        let list = fs::read_dir(dir).and_then(|entries| {
            entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut list = list.unwrap_or_else(|error| {
            warn!(dir = %dir.display(), %error, "cannot look for plugins and tasks");
            Vec::new()
        });
        list.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && !name.ends_with(".asc") && path.is_file()
        });
        list.sort();
        files.extend(list);
    }
    files
}

async fn load(path: &Path, plugins: &Host) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut upload = plugins.upload(&name)?;
    let mut file = tokio::fs::File::open(path).await.context("cannot read it")?;
    let mut part = vec![0; PART_BYTES];
    loop {
        let count = file.read(&mut part).await.context("cannot read it")?;
        match part.get(..count) {
            None | Some([]) => break,
            Some(part) => upload.write(part).await?,
        }
    }
    let mut beside = path.to_owned().into_os_string();
    beside.push(".asc");
    let signature = tokio::fs::read(beside).await.ok();
    plugins.load(upload, signature).await?;
    Ok(())
}

/// Adds the task of a file, and gives its name.
fn add(path: &Path, tasks: &Scheduler) -> Result<String, String> {
    let format = Format::of(path).ok_or("it is neither JSON nor YAML")?;
    let bytes = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > TASK_BYTES {
        return Err(format!("it has {bytes} bytes, at most {TASK_BYTES} are allowed"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = expand_environment(&text, |name| std::env::var(name).ok())
        .map_err(|error| error.to_string())?;
    let manifest = Manifest::parse(&text, format).map_err(|error| error.lines().join("; "))?;
    for warning in &manifest.warnings {
        warn!(file = %path.display(), "{warning}");
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = manifest.name.clone().unwrap_or(stem);
    check_name(&name)?;
    let (id, manifest) = (format!("found-{name}"), Arc::new(manifest));
    let spec = TaskSpec { id, name: name.clone(), manifest, origin: Origin::Local, start: true };
    tasks.add(spec).map_err(|error| error.to_string())?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;
    use tribe::Facts;

    use super::*;
    use crate::{
        plugin::{ByPrefix, HostSettings, Limits, PluginConfigs, Trust},
        task::Spool,
        values::Values,
    };

    #[tokio::test]
    async fn good_tasks_start_and_bad_files_are_passed_by() {
        let dir = TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let workflow = "workflow: {collect: {metrics: {/a/b: }}}";
        write("one.yaml", &format!("schedule: {{type: simple, interval: 1h}}\n{workflow}"));
        write(
            "two.yml",
            &format!("name: second\nschedule: {{type: cron, interval: '@daily'}}\n{workflow}"),
        );
        write("again.yml", &format!("name: second\nschedule: {{type: streaming}}\n{workflow}"));
        write("bad.json", "{}");
        write("unset.yaml", &format!("name: $SNAP_TEST_UNSET\n{workflow}"));
        write(".hidden.yaml", &format!("schedule: {{type: streaming}}\n{workflow}"));
        write("plugin.asc", "a signature");
        write("plugin", "not a program");
        let host = Host::new(HostSettings {
            node: "i1".into(),
            dir: dir.path().join("data"),
            configs: PluginConfigs::default(),
            load_time: Duration::from_secs(1),
            max_running: 1,
            tags: ByPrefix::default(),
            limits: Limits::default(),
            trust: Trust::default(),
            tls: None,
        });
        let values = Values::new(Arc::<Facts>::default, None, None);
        let spool = Spool::new(dir.path().join("spool"), 1 << 20);
        let tasks = Scheduler::new("i1".into(), host.clone(), values, spool, None);
        let missing = dir.path().join("missing");
        run(&[missing, dir.path().to_owned()], &host, &tasks).await;
        let names: Vec<_> = tasks.list().into_iter().map(|task| (task.name, task.state)).collect();
        let running = crate::task::State::Running;
        assert_eq!(names, [("one".to_owned(), running), ("second".to_owned(), running)]);
        assert!(host.plugins().is_empty());
        tasks.close().await;
    }
}
