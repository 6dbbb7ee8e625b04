//! What this node says of itself, and the tribes it acts for.

use std::{collections::BTreeMap, time::Duration};

use super::{
    CommandError, Engine, EngineConfig, EventKind, Now, Output, Verdict, persist::Pending,
    timer::Timer,
};
use crate::{
    FactError, FactName, Facts, LEVEL, NodeId, NodeStatus, Offers, Placement, Source, TribeName,
    Value, codec, limits,
    membership::Moved,
    state::{Body, Form, KeysBody, Kind, NodeBody, Owned, Record, Version},
};

/// What this node says of itself.
#[derive(Debug)]
pub(super) struct Own {
    epoch: u64,
    seq: u64,
    host_facts: Facts,
    start_facts: Facts,
    pub(super) runtime_facts: Facts,
    offers: Offers,
    /// Our offers are a record of this epoch.
    offered: bool,
    status: Option<NodeStatus>,
    /// Our keys are a record of this epoch.
    keyed: bool,
    /// When our status was last written.
    status_at: Option<Duration>,
    /// It said good-bye.
    pub(super) left: bool,
    /// Another live node keeps its name.
    pub(super) yielded: bool,
    /// The kinds this epoch began with.
    kinds: Vec<Kind>,
}

/// A change of our own memberships shows in our node record a little later, the later the more members
/// there are: a policy that moves every node must not make every node speak at once.
const PUBLISH_LEAST: Duration = Duration::from_millis(100);
const PUBLISH_PER_MEMBER: Duration = Duration::from_millis(10);
const PUBLISH_MOST: Duration = Duration::from_secs(10);
/// Services and blobs come and go in groups: the others hear of one once this has passed.
const OFFERS_DELAY: Duration = Duration::from_millis(100);
/// Most other members to whom such things are broadcast.
const SPREAD_MOST: usize = 64;

impl Own {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self {
            epoch: config.epoch,
            seq: 0,
            host_facts: config.host_facts.clone(),
            start_facts: config.start_facts.clone(),
            runtime_facts: Facts::new(),
            offers: Offers::default(),
            offered: false,
            status: None,
            keyed: false,
            status_at: None,
            left: false,
            yielded: false,
            kinds: vec![Kind::NODE, Kind::FACTS],
        }
    }

    /// The kinds that a new epoch begins with. The list does not change within the epoch, or others would
    /// hold an epoch that stands for incomplete.
    fn begin_epoch(&mut self) {
        let offers = self.offered.then_some(Kind::OFFERS);
        let status = self.status_at.map(|_| Kind::STATUS);
        let keys = self.keyed.then_some(Kind::KEYS);
        let others = offers.into_iter().chain(status).chain(keys);
        self.kinds = [Kind::NODE, Kind::FACTS].into_iter().chain(others).collect();
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Has this node written so far in this epoch? Anything beyond is someone else with our id, or we
    /// before our disk was lost.
    pub(super) fn wrote(&self, epoch: u64, seq: u64) -> bool {
        (epoch, seq) <= (self.epoch, self.seq)
    }

    fn merged(&self, name: &str) -> Facts {
        self.started_with(name).covered_by(&self.runtime_facts)
    }

    /// Facts of the host and those given at start.
    fn started_with(&self, name: &str) -> Facts {
        let mut facts = self.host_facts.clone();
        if let Ok(node_name) = FactName::parse("node_name") {
            facts.insert(node_name, Value::from(name), Source::Host);
        }
        facts.covered_by(&self.start_facts)
    }
}

/// Do the facts of a node fit its record?
pub(crate) fn check_facts(facts: &Facts) -> Result<Body, FactError> {
    facts.check()?;
    let body = facts.to_body();
    let found = body.bytes.len();
    if found > limits::FACTS_BYTES {
        return Err(FactError::TooManyBytes { found, max: limits::FACTS_BYTES });
    }
    Ok(body)
}

impl Engine {
    /// Writes our facts, if they changed.
    pub(super) fn publish_facts(&mut self, now: Now) -> Option<Version> {
        let name = self.config.name.as_str();
        let body = match (check_facts(&self.own.merged(name)), self.facts_version()) {
            (Ok(body), _) => body,
            (Err(error), Some(_)) => {
                tracing::warn!("facts are not published, the last good ones stand: {error}");
                return None;
            }
            // Without any facts nobody would see this node: those of the start were checked then.
            (Err(error), None) => {
                tracing::warn!("facts set at run time are left out: {error}");
                check_facts(&self.own.started_with(name)).ok()?
            }
        };
        self.publish(Kind::FACTS, body, now)
    }

    /// Writes what we are, if it changed.
    pub(super) fn publish_node(&mut self, now: Now) -> Option<Version> {
        self.publish(Kind::NODE, self.node_body().to_body(), now)
    }

    fn node_body(&self) -> NodeBody {
        NodeBody {
            name: self.config.name.clone(),
            address: self.config.address,
            version: self.config.version.clone(),
            level: LEVEL,
            left: self.own.left,
            yielded: self.own.yielded,
            memberships: memberships_hash(self.memberships.of_node(self.config.id)),
            kinds: self.own.kinds.clone(),
        }
    }

    /// Our memberships or our claim on our name changed a moment ago. In a large cluster the digest sync
    /// carries it: one policy may move every node.
    pub(super) fn publish_later(&mut self, now: Now) {
        let body = self.node_body();
        let version = self.write_own(Kind::NODE, body.to_body(), now);
        self.persist_own(version);
    }

    /// Keeps a record of ours; in a small cluster it is spread as well.
    fn persist_own(&mut self, version: Option<Version>) {
        let spread = self.reachable.len() <= SPREAD_MOST;
        let versions = version.filter(|_| spread).into_iter().collect();
        self.persist(Pending { versions, ..Pending::default() });
    }

    fn publish(&mut self, kind: Kind, body: Body, now: Now) -> Option<Version> {
        let version = self.write_own(kind, body, now)?;
        self.persist(Pending { versions: vec![version.clone()], ..Pending::default() });
        Some(version)
    }

    pub(super) fn write_own(&mut self, kind: Kind, body: Body, now: Now) -> Option<Version> {
        let (owner, epoch) = (self.config.id, self.own.epoch);
        if let Some(Record::Owned(held)) = self.state.owned(owner, epoch, kind)
            && held.body == body
        {
            return None;
        }
        self.own.seq += 1;
        let record = Record::Owned(Owned { owner, epoch, seq: self.own.seq, kind, body });
        let version = record.version();
        (self.apply(record, now) == Verdict::Fresh).then_some(version)
    }

    /// Someone holds records of ours from an epoch we do not know, or forgot ours: we speak in a later one from
    /// now on.
    pub(super) fn raise_epoch(&mut self, above: u64, now: Now) {
        if above < self.own.epoch {
            return;
        }
        tracing::info!(above, "others know, or forgot, later records of this node: a new epoch");
        self.own.epoch = above.saturating_add(1).max(now.wall_ms);
        self.own.seq = 0;
        self.own.begin_epoch();
        self.store_epoch(self.own.epoch);
        self.publish_node(now);
        self.publish_facts(now);
        if self.own.offered {
            self.publish_offers(now);
        }
        if self.own.status_at.is_some() {
            self.publish_status(now);
        }
        if self.own.keyed {
            self.publish_keys(now);
        }
    }

    /// Services or blobs came or went.
    pub(super) fn set_offers(&mut self, offers: Offers, now: Now) {
        let (offers, left_out) = offers.fitted();
        if left_out > 0 {
            tracing::warn!(left_out, "this node offers more than fits, the rest is not told");
        }
        self.own.offers = offers;
        self.timers.set_by(Timer::Offers, now.mono + OFFERS_DELAY);
    }

    pub(super) fn publish_offers(&mut self, now: Now) {
        if self.own.offered || self.own.offers != Offers::default() {
            self.own.offered = true;
            self.publish(Kind::OFFERS, self.own.offers.to_body(), now);
        }
    }

    /// How far this node is with its items. The first is told at once, later ones not too often.
    pub(super) fn set_status(&mut self, status: NodeStatus, now: Now) -> Result<(), CommandError> {
        let (found, max) = (status.encoded_len(), limits::STATUS_BYTES);
        if found > max {
            return Err(CommandError::TooLong { what: "the status", found, max });
        }
        self.own.status = Some(status);
        let at = self.own.status_at.map_or(now.mono, |last| last + limits::STATUS_PERIOD);
        if at <= now.mono {
            self.publish_status(now);
        } else {
            self.timers.set(Timer::Status, at);
        }
        Ok(())
    }

    /// In a large cluster the digest sync carries it: every node has one.
    pub(super) fn publish_status(&mut self, now: Now) {
        let Some(status) = &self.own.status else { return };
        let Some(version) = self.write_own(Kind::STATUS, status.to_body(), now) else { return };
        self.own.status_at = Some(now.mono);
        self.persist_own(Some(version));
    }

    /// In a large cluster the digest sync carries it: all nodes get a key at one time.
    pub(super) fn publish_own_keys(&mut self, keys: &KeysBody, now: Now) {
        self.own.keyed = true;
        if let Some(version) = self.write_own(Kind::KEYS, keys.to_body(), now) {
            self.persist_own(Some(version));
        }
    }

    /// Host facts were collected again.
    pub(super) fn observe_facts(&mut self, facts: Facts, now: Now) {
        self.own.host_facts = facts;
        self.publish_facts(now);
    }

    /// Sets and unsets run-time facts of this node.
    pub(super) fn set_own_facts(
        &mut self,
        set: Vec<(FactName, Value)>,
        unset: Vec<FactName>,
        now: Now,
    ) -> Result<Version, CommandError> {
        let before = self.own.runtime_facts.clone();
        for (name, value) in set {
            if crate::fact::is_built_in(name.as_str()) {
                self.own.runtime_facts = before;
                return Err(FactError::BuiltIn(name).into());
            }
            self.own.runtime_facts.insert(name, value, Source::Runtime);
        }
        for name in unset {
            if self.own.runtime_facts.remove(&name).is_none() {
                self.own.runtime_facts = before;
                return Err(CommandError::NotSet(name));
            }
        }
        if let Err(error) = check_facts(&self.own.merged(self.config.name.as_str())) {
            self.own.runtime_facts = before;
            return Err(error.into());
        }
        self.store_facts();
        let version = self.publish_facts(now).or_else(|| self.facts_version());
        version.ok_or(CommandError::Closed)
    }

    fn facts_version(&self) -> Option<Version> {
        let record = self.state.owned(self.config.id, self.own.epoch, Kind::FACTS)?;
        Some(record.version())
    }

    /// This node came into a tribe, or went out.
    pub(super) fn follow_own_move(&mut self, moved: &Moved, now: Now) {
        if moved.crossed() {
            let members = u32::try_from(self.reachable.len()).unwrap_or(u32::MAX);
            let most =
                PUBLISH_PER_MEMBER.saturating_mul(members).clamp(PUBLISH_LEAST, PUBLISH_MOST);
            let delay = self.jitter(PUBLISH_LEAST, most);
            self.timers.set_by(Timer::Publish, now.mono + delay);
        }
        self.act(&moved.tribe, now);
    }

    /// A tribe this node acts for has changed. It may be gone, or this node placed out of it by hand,
    /// after the node fell out by policy.
    pub(super) fn act_on(&mut self, tribe: &TribeName, now: Now) {
        if self.acting.contains_key(tribe) {
            self.act(tribe, now);
        }
    }

    /// Begins or ends acting for all tribes: the view is complete for the first time.
    pub(super) fn act_for_all(&mut self, now: Now) {
        let tribes: Vec<TribeName> = self.memberships.of_node(self.config.id).cloned().collect();
        for tribe in tribes {
            self.act(&tribe, now);
        }
    }

    fn act(&mut self, tribe: &TribeName, now: Now) {
        if !self.synced {
            return;
        }
        let member = self.memberships.of_node(self.config.id).any(|of| of == tribe);
        let acting = self.acting.get(tribe).copied();
        if member {
            self.acting.insert(tribe.clone(), None);
            if acting.is_none() {
                self.tell(EventKind::TribeEntered, tribe.as_str(), serde_json::json!({}));
            }
            return;
        }
        if acting.is_none() {
            return;
        }
        let reading = self.state.reading();
        let by_hand = reading.placements.get(tribe).and_then(|of| of.get(&self.config.name))
            == Some(&Placement::Left);
        if by_hand || !reading.tribes.contains_key(tribe) {
            self.stop_acting(tribe);
        } else if acting == Some(None) {
            let until = now.mono + self.config.hold_down;
            self.acting.insert(tribe.clone(), Some(until));
            self.timers.set_by(Timer::HoldDown, until);
        }
    }

    fn stop_acting(&mut self, tribe: &TribeName) {
        self.acting.remove(tribe);
        self.rev += 1;
        self.tell(EventKind::TribeExited, tribe.as_str(), serde_json::json!({}));
    }

    pub(super) fn end_hold_downs(&mut self, now: Now) {
        let ending: BTreeMap<TribeName, Duration> = self
            .acting
            .iter()
            .filter_map(|(tribe, until)| Some((tribe.clone(), (*until)?)))
            .collect();
        for (tribe, until) in ending {
            if until <= now.mono {
                self.stop_acting(&tribe);
            } else {
                self.timers.set_by(Timer::HoldDown, until);
            }
        }
    }

    /// We are complete: all of a peer's records, and ours at the peer's.
    pub(super) fn set_synced(&mut self, now: Now) {
        if self.synced {
            return;
        }
        self.synced = true;
        self.rev += 1;
        let name = self.config.name.to_string();
        self.tell(EventKind::Synced, &name, serde_json::json!({}));
        self.act_for_all(now);
        self.carry_out_held(now);
    }

    pub(super) fn tell(&mut self, kind: EventKind, subject: &str, body: serde_json::Value) {
        let event = super::Event { rev: self.rev, kind, subject: subject.to_owned(), body };
        self.outputs.push_back(Output::Event(event));
    }
}

/// The hash of a node's tribes, by which two nodes notice that they derive differently.
pub(super) fn memberships_hash<'a>(tribes: impl Iterator<Item = &'a TribeName>) -> u64 {
    let names: Vec<&TribeName> = tribes.collect();
    Body { version: 0, bytes: codec::encode(&names).into() }.hash()
}

/// The version of our own records that an id may have.
pub(super) fn is_own(version: &Version, id: NodeId) -> bool {
    matches!(version, Version::Owned(owner, ..) if *owner == id)
}
