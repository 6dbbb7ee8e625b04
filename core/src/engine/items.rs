//! Items: what the nodes of a tribe should have, and what this node alone should have.
//!
//! What an item means is for the embedding agent to know. An item of a tribe is a shared record, its
//! switch another, so that to stop an item and to replace it at the same time does not conflict. An item
//! of this node alone is in its own table and never leaves the node.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    CommandError, Engine, EventKind, Item, Now, PutOptions, Reply, Ticket, commands::nearest,
    persist::Pending,
};
use crate::{
    ItemKind, ItemName, TribeName, codec, limits,
    state::{Clock, Form, ItemBody, ItemKey, Key, Kind, Reading, RunningBody, Stamp, Version},
};

/// Items of this node alone.
#[derive(Debug, Default)]
pub(super) struct LocalItems {
    items: BTreeMap<ItemKey, LocalItem>,
    clock: Clock,
}

/// An item of this node alone, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LocalItem {
    document: Bytes,
    running: bool,
    /// When it was last written, as in a stamp.
    time: u64,
}

/// Before kind and name in the store's local table.
const LOCAL_PREFIX: &str = "item/";

impl Engine {
    pub(super) fn put_item(
        &mut self,
        ticket: Ticket,
        tribe: Option<TribeName>,
        item: ItemKey,
        document: Bytes,
        options: PutOptions,
        now: Now,
    ) -> Result<(), CommandError> {
        if let Some(tribe) = &tribe {
            self.known_tribe(tribe)?;
        }
        let (found, max) = (document.len(), limits::ITEM_BYTES);
        if found > max {
            return Err(CommandError::TooLong { what: "the document", found, max });
        }
        let exists = self.has_item(tribe.as_ref(), &item);
        if exists && !options.replace {
            let (kind, name) = item;
            return Err(CommandError::ItemExists { kind, name, tribe });
        }
        let Some(tribe) = tribe else {
            return self.put_local(ticket, item, document, options.running, now);
        };
        let switched = self.put_switch(&tribe, &item, options.running, now)?;
        let key = Key::item(Kind::ITEM, &tribe, &item);
        let stopped = options.running == Some(false);
        let written = self.write(key, Some(ItemBody { document, stopped }.to_body()), now)?;
        self.reply_written(ticket, switched.into_iter().chain([written]).collect());
        Ok(())
    }

    pub(super) fn remove_item(
        &mut self,
        ticket: Ticket,
        tribe: Option<TribeName>,
        item: &ItemKey,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_item(tribe.as_ref(), item)?;
        let Some(tribe) = tribe else {
            self.local_items.items.remove(item);
            self.tell_item(None, item);
            self.store_local_item(ticket, item);
            return Ok(());
        };
        let written = self.write(Key::item(Kind::ITEM, &tribe, item), None, now)?;
        let switch = self.forget_item_switch(&tribe, item, now)?;
        self.reply_written(ticket, switch.into_iter().chain([written]).collect());
        Ok(())
    }

    pub(super) fn run_item(
        &mut self,
        ticket: Ticket,
        tribe: Option<TribeName>,
        item: &ItemKey,
        running: bool,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_item(tribe.as_ref(), item)?;
        let Some(tribe) = tribe else {
            let time = self.local_items.clock.tick(now.wall_ms);
            if let Some(local) = self.local_items.items.get_mut(item) {
                (local.running, local.time) = (running, time);
            }
            self.tell_item(None, item);
            self.store_local_item(ticket, item);
            return Ok(());
        };
        let key = Key::item(Kind::ITEM_RUNNING, &tribe, item);
        let written = self.write(key, Some(RunningBody { running }.to_body()), now)?;
        self.reply_written(ticket, vec![written]);
        Ok(())
    }

    /// Makes the switch of an item that is about to be put say whether it should run.
    fn put_switch(
        &mut self,
        tribe: &TribeName,
        item: &ItemKey,
        running: Option<bool>,
        now: Now,
    ) -> Result<Option<Version>, CommandError> {
        let reading = self.state.reading();
        let before = reading.running(tribe, item).map(|(running, _)| running);
        let said = reading.switch(tribe, item).and_then(|switch| switch.running);
        let running = running.or(before).unwrap_or(true);
        if before.is_none() && running {
            return self.forget_item_switch(tribe, item, now);
        }
        // Where nothing was said it runs.
        if before == Some(running) && said.unwrap_or(true) == running {
            return Ok(None);
        }
        let key = Key::item(Kind::ITEM_RUNNING, tribe, item);
        self.write(key, Some(RunningBody { running }.to_body()), now).map(Some)
    }

    /// An item that does not exist has no switch: the next one of its name is born running.
    fn forget_item_switch(
        &mut self,
        tribe: &TribeName,
        item: &ItemKey,
        now: Now,
    ) -> Result<Option<Version>, CommandError> {
        let reading = self.state.reading();
        let stopped =
            reading.switch(tribe, item).is_some_and(|switch| switch.running == Some(false));
        if !stopped {
            return Ok(None);
        }
        self.write(Key::item(Kind::ITEM_RUNNING, tribe, item), None, now).map(Some)
    }

    fn put_local(
        &mut self,
        ticket: Ticket,
        item: ItemKey,
        document: Bytes,
        running: Option<bool>,
        now: Now,
    ) -> Result<(), CommandError> {
        let local = &mut self.local_items;
        let before = local.items.get(&item);
        if before.is_none() && local.items.len() >= limits::LOCAL_ITEMS {
            return Err(CommandError::TooManyItems(local.items.len()));
        }
        let running = running.unwrap_or_else(|| before.is_none_or(|before| before.running));
        let time = local.clock.tick(now.wall_ms);
        local.items.insert(item.clone(), LocalItem { document, running, time });
        self.tell_item(None, &item);
        self.store_local_item(ticket, &item);
        Ok(())
    }

    /// Stores an item of this node alone as it is now, and answers once it is on disk.
    fn store_local_item(&mut self, ticket: Ticket, item: &ItemKey) {
        let key = format!("{LOCAL_PREFIX}{}/{}", item.0, item.1);
        let value = self.local_items.items.get(item).map(codec::encode);
        self.store_local(key.as_bytes(), value);
        self.persist(Pending { replies: vec![(ticket, Reply::Done)], ..Pending::default() });
    }

    fn has_item(&self, tribe: Option<&TribeName>, item: &ItemKey) -> bool {
        match tribe {
            Some(tribe) => self.state.reading().item(tribe, item).is_some(),
            None => self.local_items.items.contains_key(item),
        }
    }

    fn known_item(&self, tribe: Option<&TribeName>, item: &ItemKey) -> Result<(), CommandError> {
        if let Some(tribe) = tribe {
            self.known_tribe(tribe)?;
        }
        if self.has_item(tribe, item) {
            return Ok(());
        }
        let of_tribe = tribe.and_then(|tribe| self.state.reading().items.get(tribe));
        let there: Vec<&ItemKey> = match tribe {
            Some(_) => of_tribe.into_iter().flat_map(BTreeMap::keys).collect(),
            None => self.local_items.items.keys().collect(),
        };
        let (kind, name) = (item.0.clone(), item.1.to_string());
        let alike = there.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str());
        let near = nearest(&name, alike);
        Err(CommandError::UnknownItem { kind, name, tribe: tribe.cloned(), near })
    }

    /// Tells that an item, or its switch, has changed.
    pub(super) fn tell_item(&mut self, tribe: Option<&TribeName>, item: &ItemKey) {
        let subject = tribe.map_or("", TribeName::as_str).to_owned();
        if tribe.is_none() {
            self.rev += 1;
        }
        let (kind, name) = item;
        let found = match tribe {
            Some(tribe) => view_item(self.state.reading(), tribe, item),
            None => self.local_items.items.get(item).map(|local| self.view_local(item, local)),
        };
        let Some(found) = found else {
            let body = json!({"kind": kind, "name": name});
            return self.tell(EventKind::ItemRemoved, &subject, body);
        };
        let body = json!({
            "kind": kind,
            "name": name,
            "generation": found.generation,
            "running": found.running,
        });
        self.tell(EventKind::ItemChanged, &subject, body);
    }

    /// A record of an item changed.
    pub(super) fn tell_item_record(&mut self, key: &Key) {
        let Some((tribe, item)) = key.as_item() else { return };
        // The switch of what is not there means nothing.
        if key.kind == Kind::ITEM || self.has_item(Some(&tribe), &item) {
            self.tell_item(Some(&tribe), &item);
        }
    }

    pub(super) fn view_local_items(&self) -> BTreeMap<ItemKey, Item> {
        let items = self.local_items.items.iter();
        items.map(|(key, local)| (key.clone(), self.view_local(key, local))).collect()
    }

    fn view_local(&self, key: &ItemKey, local: &LocalItem) -> Item {
        let stamp = Stamp { time: local.time, node: self.config.id };
        shown(key, local.document.clone(), local.running, stamp)
    }
}

impl LocalItems {
    /// Takes what was stored, if it is an item; `None` if it is something else.
    pub(super) fn load(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Option<Result<(), codec::DecodeError>> {
        let name = std::str::from_utf8(key).ok()?.strip_prefix(LOCAL_PREFIX)?;
        let (kind, name) = name.split_once('/')?;
        let item = (ItemKind::parse(kind).ok()?, ItemName::parse(name).ok()?);
        Some(codec::decode::<LocalItem>(value).map(|local| {
            self.clock.observe(local.time);
            self.items.insert(item, local);
        }))
    }
}

/// An item of a tribe, if there is one.
pub(super) fn view_item(reading: &Reading, tribe: &TribeName, key: &ItemKey) -> Option<Item> {
    let document = reading.item(tribe, key)?.document.clone();
    let (running, written) = reading.running(tribe, key)?;
    Some(shown(key, document, running, written))
}

fn shown(key: &ItemKey, document: Bytes, running: bool, written: Stamp) -> Item {
    Item {
        kind: key.0.clone(),
        name: key.1.clone(),
        document,
        running,
        generation: written.time,
        written_ms: written.wall_ms(),
        writer: written.node,
    }
}
