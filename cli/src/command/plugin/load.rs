//! `snapctl plugin load`: a file on its way to snapd, or the name of one that snapd has.

use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use tribe_api::{LoadNamed, LoadQuery, PluginLoaded, client::Upload};

use crate::{command::name, exit::Exit, failure::Failure, session::Session};

/// Load a plugin and keep it running, on this node or on all members of a tribe
///
///   snapctl plugin load ./snap-plugin-collector-psutil
///   snapctl plugin load influxdb --tribe core
///
/// A path with a `/`, or a file that is there, is sent to snapd, and so is the
/// signature `FILE.asc` beside it. Any other word is the name of a plugin in the
/// plugin directory of snapd.
///
/// With --tribe any node may be asked, in the tribe or not: the members fetch the
/// file, now and whenever they come, and `snapctl tribe status` tells how far they
/// are. It is done when enough nodes hold the file, so that the one it came from
/// may go.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Load {
    /// A file of this host, or the name of a plugin in the plugin directory of snapd
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// Have the members of this tribe load it [default: the node behind the socket]
    #[arg(long, value_parser = name())]
    tribe: Option<String>,
    /// The armored signature of the file [default: FILE.asc, if it is there]
    #[arg(long, value_name = "FILE", alias = "plugin-asc", short_alias = 'a')]
    signature: Option<PathBuf>,
}

pub(super) async fn load(load: Load, session: &Session) -> Result<Exit, Failure> {
    let Load { file, tribe, signature } = load;
    let loaded = if is_path(&file) {
        send(&file, tribe, signature.as_deref(), session).await?
    } else if signature.is_some() {
        return Err(Failure::usage("`--signature` is for a file of this host")
            .or_help("snapd takes the signature of a plugin from its plugin directory as well"));
    } else {
        let load = LoadNamed { name: file.to_string_lossy().into_owned(), tribe };
        let loaded = session.snapd.load_named(&load, session.wait);
        session.attend_if(load.tribe.is_some(), loaded).await?
    };
    session.note(loaded.note.as_deref());
    session.written(&loaded, &loaded.missing, &loaded_text(&loaded))
}

fn is_path(file: &Path) -> bool {
    file.as_os_str().as_encoded_bytes().contains(&b'/') || file.is_file()
}

async fn send(
    file: &Path,
    tribe: Option<String>,
    signature: Option<&Path>,
    session: &Session,
) -> Result<PluginLoaded, Failure> {
    let file_name = file.file_name().ok_or_else(|| cannot(file, &"it is not a file"))?;
    let signature = read_signature(file, signature)?;
    let upload = Upload::open(file).await.map_err(|error| cannot(file, &error))?;
    let query = LoadQuery { file: file_name.to_string_lossy().into_owned(), tribe };
    let signature = signature.as_deref();
    let loaded = session.snapd.load_plugin(&query, upload, signature, session.wait);
    Ok(session.attend_if(query.tribe.is_some(), loaded).await?)
}

/// The signature that was named, or the one beside the file if there is one.
fn read_signature(file: &Path, named: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(named) = named {
        return fs::read(named).map(Some).map_err(|error| cannot(named, &error));
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".asc");
    match fs::read(&beside) {
        Ok(signature) => Ok(Some(signature)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(Path::new(&beside), &error)),
    }
}

fn cannot(path: &Path, reason: &dyn Display) -> Failure {
    Failure::new(format!("cannot read `{}`: {reason}", path.display()))
}

fn loaded_text(loaded: &PluginLoaded) -> String {
    let PluginLoaded { name, plugin, tribe, holders, .. } = loaded;
    match (tribe, plugin) {
        (Some(tribe), _) if holders.is_empty() => format!("tribe `{tribe}` loads plugin `{name}`"),
        (Some(tribe), _) => {
            format!("tribe `{tribe}` loads plugin `{name}`, held by {}", holders.join(", "))
        }
        (None, Some(plugin)) => format!("loaded plugin `{}`", plugin.id()),
        (None, None) => format!("loaded plugin `{name}`"),
    }
}
