//! Loading and unloading plugins, on this node alone or for a tribe.
//!
//! The file becomes a blob, the item names it, and the loop does the rest. On this node alone the plugin
//! is started first: who loads it is told at once what is wrong with it.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use tracing::info;
use tribe::{
    BlobError, BlobId, CommandError, ItemName, MemberState, NameError, NodeId, PutOptions, Written,
};

use super::{
    ItemKey, Kind, PLUGIN, Platform, PluginDocument, PluginFile, Reconciler, Request, Source,
    item_name,
};
use crate::plugin::{LoadError, Plugin, ProgramError, StoredFile, Wanted};

/// How many nodes hold the file of a plugin before whoever loaded it may go.
const COPIES: usize = 3;
/// How long that may take.
const COPY_TIME: Duration = Duration::from_secs(30);

/// An item of a plugin grows with each file that is loaded under its name.
const REPLACE: PutOptions = PutOptions { replace: true, running: None };

/// A file that was received and is held as a blob.
#[derive(Debug)]
pub(crate) struct Staged {
    name: ItemName,
    file: PluginFile,
}

/// What was loaded for a tribe.
#[derive(Debug)]
pub(crate) struct LoadedForTribe {
    pub(crate) written: Written,
    /// Nodes that hold the file.
    pub(crate) holders: Vec<String>,
    /// How many should.
    pub(crate) copies: usize,
}

/// Why a plugin was not loaded, or not unloaded. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AskError {
    /// The user's file has a name that gives none to the plugin.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The plugin's fault, or its file's.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file could not be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The cluster refuses.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The user unloads on this node what a tribe wants here.
    #[error("plugin `{plugin}` is loaded here for tribe `{tribe}`")]
    OfTribe {
        /// The plugin.
        plugin: String,
        /// The tribe.
        tribe: String,
    },
    /// The file is a program on no host. The user's fault.
    #[error("the plugin was not loaded: {0}")]
    Program(ProgramError),
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
}

impl Staged {
    /// What the plugin is called.
    pub(crate) fn name(&self) -> &ItemName {
        &self.name
    }
}

impl Reconciler {
    /// The plugin that runs here for what was loaded on this node under this name.
    pub(crate) fn loaded_as(&self, name: &str) -> Option<Arc<Plugin>> {
        let view = self.node.view();
        let item = Kind::Plugin.item(&view.local_items, name)?;
        let document = PluginDocument::parse(&item.document).ok()?;
        self.running(document.for_this_host().ok()?.blob)
    }

    /// The item of a tribe that runs a plugin here.
    pub(crate) fn item_of(&self, tribe: &str, wanted: &Wanted) -> Option<String> {
        let table = self.table();
        let mut items =
            table.iter().filter(|(key, _)| key.tribe().is_some_and(|of| of.as_str() == tribe));
        let runs = |entry: &super::Entry| entry.plugin.as_ref().is_some_and(|it| wanted.is(it));
        items.find(|(_, entry)| runs(entry)).map(|(key, _)| key.name.to_string())
    }

    /// Keeps a received file as a blob.
    pub(crate) async fn stage(
        &self,
        file: StoredFile,
        signature: Option<String>,
    ) -> Result<Staged, AskError> {
        let file_name = file.name();
        let name = item_name(&file_name)?;
        let platform = Platform::of_file(file.path())?.map_err(AskError::Program)?;
        let (blob, bytes) = self.blobs.add_file(file.path()).await?;
        Ok(Staged { name, file: PluginFile { platform, blob, bytes, file_name, signature } })
    }

    /// Loads a plugin on this node alone, in place of an earlier file of the same name.
    pub(crate) async fn load_here(&self, staged: Staged) -> Result<Arc<Plugin>, AskError> {
        let Staged { name, file } = staged;
        let key = ItemKey { source: Source::Local, kind: Kind::Plugin, name: name.clone() };
        let view = self.node.view();
        let item = Kind::Plugin.item(&view.local_items, name.as_str());
        let document = item.and_then(|item| PluginDocument::parse(&item.document).ok());
        let before = document.as_ref().and_then(|document| document.for_this_host().ok());
        let old = before.and_then(|before| self.running(before.blob));
        if let Some(running) = self.running(file.blob) {
            return Err(LoadError::Loaded(running.identity.clone()).into());
        }
        let path = self.blobs.fetch(file.blob, file.bytes).await?;
        let signature = file.signature.clone().map(String::into_bytes);
        let plugin = match &old {
            Some(old) => self.host.replace(old, &path, &file.file_name, signature).await?,
            None => self.host.load_file(&path, &file.file_name, signature).await?,
        };
        let (over, adopted) = oneshot::channel();
        let request = Request::Adopt(key, file.blob, Arc::clone(&plugin), over);
        let stopped = || AskError::Load(LoadError::Closed);
        self.requests.send(request).await.map_err(|_| stopped())?;
        adopted.await.map_err(|_| stopped())?;
        let document = document.unwrap_or_default().with(file).to_bytes();
        self.node.put_local_item(PLUGIN, name.as_str(), document, REPLACE).await?;
        // Its item is seen from now on.
        self.look().await;
        Ok(plugin)
    }

    /// Has a tribe load a plugin; comes back when enough nodes hold the file.
    pub(crate) async fn load_for_tribe(
        &self,
        tribe: &str,
        staged: Staged,
    ) -> Result<LoadedForTribe, AskError> {
        let Staged { name, file } = staged;
        let view = self.node.view();
        let known = view.known_tribe(tribe)?;
        let item = Kind::Plugin.item(&known.items, name.as_str());
        let document = item.and_then(|item| PluginDocument::parse(&item.document).ok());
        let blob = file.blob;
        let document = document.unwrap_or_default().with(file).to_bytes();
        let written = self.node.put_item(tribe, PLUGIN, name.as_str(), document, REPLACE).await?;
        let alive = view.members.values().filter(|member| member.state == MemberState::Alive);
        let copies = COPIES.min(alive.count());
        let members: Vec<NodeId> = known.members.iter().map(|member| member.id).collect();
        let holders = self.blobs.replicate(blob, copies, &members, COPY_TIME).await;
        let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
        info!(tribe, plugin = %name, %blob, holders = holders.join(" "), "a plugin was loaded for a tribe");
        Ok(LoadedForTribe { written, holders, copies })
    }

    /// Unloads a plugin that was loaded on this node alone; comes back when it has ended, unless a tribe
    /// wants it here as well.
    pub(crate) async fn unload_here(&self, plugin: &Arc<Plugin>) -> Result<(), AskError> {
        let sha256 = plugin.file().sha256();
        let text = plugin.identity.to_string();
        let view = self.node.view();
        let mut items = Kind::Plugin.items(&view.local_items);
        let found = items.find_map(|item| Some((&item.name, referred_to(item, sha256)?)));
        let Some((name, blob)) = found else {
            if let Some(tribe) = self.tribe_of(plugin) {
                return Err(AskError::OfTribe { plugin: text, tribe });
            }
            // It was found in a directory.
            self.host.unload(plugin).await;
            return Ok(());
        };
        self.node.remove_local_item(PLUGIN, name.as_str()).await?;
        let (over, unloaded) = oneshot::channel();
        if self.requests.send(Request::Unload(blob, over)).await.is_ok() {
            // An error means that the daemon stops.
            let _ = unloaded.await;
        }
        Ok(())
    }

    /// A tribe for which a plugin runs here.
    pub(crate) fn tribe_of(&self, plugin: &Plugin) -> Option<String> {
        self.table().iter().find_map(|(key, entry)| {
            let is = entry.plugin.as_ref() == Some(&plugin.identity);
            key.tribe().filter(|_| is).map(ToString::to_string)
        })
    }

    /// The plugin that runs from a file.
    fn running(&self, blob: BlobId) -> Option<Arc<Plugin>> {
        let sha256 = blob.to_string();
        self.host.plugins().into_iter().find(|plugin| plugin.file().sha256() == sha256)
    }
}

/// The file of this hash, if a plugin's item refers to it.
fn referred_to(item: &tribe::Item, sha256: &str) -> Option<BlobId> {
    let files = PluginDocument::parse(&item.document).ok()?.files;
    files.into_iter().map(|file| file.blob).find(|blob| blob.to_string() == sha256)
}
