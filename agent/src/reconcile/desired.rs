//! What is to run on this node: what was asked of it alone, and what the tribes it acts for ask.
//!
//! A pure function of the view and of what this node lets tribes do. It must not know what runs.

use std::{collections::BTreeMap, fmt};

use tribe::{Item, ItemKind, ItemName, TribeName, View};

use super::document::{PluginDocument, PluginFile};
use crate::capability::Capabilities;

/// The kind of an item that is a plugin.
pub(crate) const PLUGIN: &str = "plugin";
/// The kind of an item that is a task.
pub(crate) const TASK: &str = "task";

/// Who asks for an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Someone asked this node alone.
    Local,
    /// A tribe.
    Tribe(TribeName),
}

/// What kind of item it is; others are for other agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A plugin.
    Plugin,
    /// A task.
    Task,
}

/// One item, as this node meets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemKey {
    pub(crate) source: Source,
    pub(crate) kind: Kind,
    pub(crate) name: ItemName,
}

/// What is wanted of an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    /// Grows with every change of the item.
    pub(crate) generation: u64,
    /// Should it run?
    pub(crate) running: bool,
    /// What it is, or why it cannot be done here.
    pub(crate) want: Want,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Want {
    /// This file is to be loaded.
    Plugin(PluginFile),
    /// The task of this manifest.
    Task(String),
    /// This node does not do it.
    Refused(String),
    /// It cannot be done here.
    Impossible(String),
}

/// Everything that is to run on this node. Without tribe mode there is nothing that tribes may do here,
/// and what they asked when it was on is left alone.
pub(crate) fn desired(view: &View, allowed: Option<&Capabilities>) -> BTreeMap<ItemKey, Wish> {
    let local = view.local_items.values().map(|item| (Source::Local, item));
    let acting = view.acting.keys().filter(|_| allowed.is_some());
    let tribes = acting.filter_map(|tribe| view.tribes.get(tribe));
    let of_tribes = tribes.flat_map(|tribe| {
        let items = tribe.items.values();
        items.map(|item| (Source::Tribe(tribe.name.clone()), item))
    });
    local
        .chain(of_tribes)
        .filter_map(|(source, item)| {
            let kind = Kind::of(&item.kind)?;
            let want = want(&source, kind, item, allowed);
            let key = ItemKey { source, kind, name: item.name.clone() };
            let Item { generation, running, .. } = *item;
            Some((key, Wish { generation, running, want }))
        })
        .collect()
}

fn want(source: &Source, kind: Kind, item: &Item, allowed: Option<&Capabilities>) -> Want {
    if let (Source::Tribe(tribe), Some(capabilities)) = (source, allowed) {
        let may = capabilities.check_tribe(tribe).and_then(|()| match kind {
            Kind::Plugin => capabilities.check_plugin(item.name.as_str()),
            Kind::Task => Ok(()),
        });
        if let Err(refusal) = may {
            return Want::Refused(refusal.to_string());
        }
    }
    match kind {
        Kind::Plugin => {
            let document = PluginDocument::parse(&item.document);
            match document.and_then(|document| document.for_this_host().cloned()) {
                Ok(file) => Want::Plugin(file),
                Err(error) => Want::Impossible(error.to_string()),
            }
        }
        Kind::Task => match std::str::from_utf8(&item.document) {
            Ok(manifest) => Want::Task(manifest.to_owned()),
            Err(_) => Want::Impossible("the manifest is no text".to_owned()),
        },
    }
}

impl Kind {
    /// What kind this is, if it is for snapd.
    pub(crate) fn of(kind: &ItemKind) -> Option<Self> {
        [Self::Plugin, Self::Task].into_iter().find(|known| known.as_str() == kind.as_str())
    }

    /// The items of this kind, among those of a tribe or of this node alone.
    pub(crate) fn items(
        self,
        items: &BTreeMap<(ItemKind, ItemName), Item>,
    ) -> impl Iterator<Item = &Item> {
        items.values().filter(move |item| item.kind.as_str() == self.as_str())
    }

    /// The item of this kind and name, among those of a tribe or of this node alone.
    pub(crate) fn item<'a>(
        self,
        items: &'a BTreeMap<(ItemKind, ItemName), Item>,
        name: &str,
    ) -> Option<&'a Item> {
        let kind = ItemKind::parse(self.as_str()).ok()?;
        items.get(&(kind, ItemName::parse(name).ok()?))
    }

    /// The kind as text, as in the key of the item.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => PLUGIN,
            Self::Task => TASK,
        }
    }
}

impl ItemKey {
    /// The id of the task of this item, unique on this node: its name, behind that of its tribe.
    pub(crate) fn task_id(&self) -> String {
        match &self.source {
            Source::Local => self.name.to_string(),
            Source::Tribe(tribe) => format!("{tribe}/{}", self.name),
        }
    }

    /// The tribe that asks, if one does.
    pub(crate) fn tribe(&self) -> Option<&TribeName> {
        match &self.source {
            Source::Local => None,
            Source::Tribe(tribe) => Some(tribe),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this node"),
            Self::Tribe(tribe) => write!(f, "tribe `{tribe}`"),
        }
    }
}
