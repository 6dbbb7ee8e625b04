//! Who is there: the failure detector's news, seeds, and names claimed twice.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::json;

use super::{Engine, EventKind, MemberState, Now, Output, timer::Timer};
use crate::{
    Facts, NodeId, NodeName, Placement, TribeName, codec, limits,
    membership::Moved,
    state::{
        Body, Buckets, Form, ItemBody, Key, Kind, Lost, NodeBody, Owner, PolicyBody, TribeBody,
        node_hash,
    },
    swim::SwimOutput,
    wire::{
        frame::Datagram,
        peer::{Identity, Peer},
        seal::SessionId,
    },
};

/// Seeds that are not members are called this often, once the first tries are over.
const SEED_PERIOD: Duration = Duration::from_secs(30);
/// And this often while another node has our name, which may be down before those we call know it.
const NAME_PERIOD: Duration = Duration::from_secs(5);
/// A member that comes back is compared with this soon.
const RETURN_LEAST: Duration = Duration::from_millis(100);
const RETURN_MOST: Duration = Duration::from_millis(1000);
/// So many buckets of members that differ are many.
const MANY_BUCKETS: usize = 16;

impl Engine {
    pub(super) fn start_timers(&mut self, now: Now) {
        let delay = self.jitter(Duration::from_secs(5), Duration::from_secs(10));
        self.timers.set(Timer::Check, now.mono + delay);
        let delay = self.jitter(Duration::from_secs(2), Duration::from_secs(4));
        self.timers.set(Timer::Watch, now.mono + delay);
        self.timers.set(Timer::Horizon, now.mono);
        self.timers.set(Timer::Session, now.mono + super::SESSION_PERIOD);
        if self.config.has_seeds || !self.saved_members.is_empty() {
            self.timers.set(Timer::Seeds, now.mono);
        } else {
            self.set_synced(now);
        }
    }

    /// Takes what the failure detector says.
    pub(super) fn drain_swim(&mut self, now: Now) {
        while let Some(output) = self.swim.poll_output() {
            match output {
                SwimOutput::Send(to, packet) => self.send(to, &Datagram::Swim(packet), now),
                SwimOutput::Up(identity) => self.member_up(identity, now),
                SwimOutput::Down(identity) => self.member_down(identity, now),
                SwimOutput::Renamed(before, after) => self.member_renamed(before, after, now),
                SwimOutput::Rejoined(identity) => {
                    tracing::info!(generation = identity.generation, "declared down, and back");
                }
                SwimOutput::Doubt(suspect, incarnation) => {
                    self.send(suspect.address, &Datagram::Doubt(suspect, incarnation), now);
                }
                SwimOutput::Dial(member, incarnation) => self.ping(member, incarnation, None, now),
                SwimOutput::Ask(suspect, incarnation, others) => {
                    for other in others {
                        self.send(other, &Datagram::Vouch(suspect, incarnation), now);
                    }
                }
                SwimOutput::Broadcast(bytes, from) => self.hear(&bytes, from, now),
            }
        }
    }

    fn member_up(&mut self, identity: Identity, now: Now) {
        let known = self.reachable.get(&identity.id);
        if known.is_some_and(|known| known.generation > identity.generation) {
            return;
        }
        self.reachable.insert(identity.id, identity);
        self.check_soon(now);
        if self.gone.remove(&identity.id) {
            // A split heals, or a node is back: both sides have news.
            self.returned = Some(identity.address);
            let delay = self.jitter(RETURN_LEAST, RETURN_MOST);
            self.timers.set_by(Timer::Check, now.mono + delay);
        }
        self.rev += 1;
        self.tell_presence(identity.id, now);
        self.timers.set_by(Timer::SaveMembers, now.mono + Duration::from_secs(1));
    }

    /// A member that was down stays so until it is told to be up.
    fn member_renamed(&mut self, before: Identity, after: Identity, now: Now) {
        if self.reachable.get(&before.id) != Some(&before) {
            return;
        }
        if before.id != after.id {
            self.member_down(before, now);
        }
        self.member_up(after, now);
    }

    fn member_down(&mut self, identity: Identity, now: Now) {
        if self.reachable.get(&identity.id).is_some_and(|known| *known == identity) {
            self.reachable.remove(&identity.id);
            self.sealer.forget(&identity.address);
            self.gone.insert(identity.id);
            self.check_soon(now);
            self.rev += 1;
            self.member_gone_from_waits(identity.id);
            self.tell_presence(identity.id, now);
            self.call_no_more(identity.id, now);
        }
    }

    /// Is this node there, as far as we know?
    pub(super) fn presence(&self, id: NodeId) -> MemberState {
        let left =
            self.state.owner(id).and_then(|owner| owner.node()).is_some_and(|node| node.left);
        match self.reachable.contains_key(&id) || id == self.config.id {
            _ if left => MemberState::Left,
            true => MemberState::Alive,
            false => MemberState::Down,
        }
    }

    /// Tells that a node has come or gone, once its name is known.
    fn tell_presence(&mut self, id: NodeId, now: Now) {
        if id == self.config.id {
            return;
        }
        let Some(node) = self.state.owner(id).and_then(|owner| owner.node()).cloned() else {
            return;
        };
        let presence = self.presence(id);
        let announced = self.announced.contains(&id);
        if presence == MemberState::Alive && !announced {
            self.announced.insert(id);
            tracing::info!(node = %node.name, %id, address = %node.address, "member joined");
            let body = json!({"id": id.to_string(), "address": node.address.to_string()});
            self.tell(EventKind::MemberJoined, node.name.as_str(), body);
        } else if presence != MemberState::Alive && announced {
            self.announced.remove(&id);
            tracing::info!(node = %node.name, %id, cause = presence.as_str(), "member left");
            let body = json!({"id": id.to_string(), "cause": presence.as_str()});
            self.tell(EventKind::MemberLeft, node.name.as_str(), body);
        }
        self.settle_name(&node.name, now);
    }

    /// A node record arrived, ours included.
    pub(super) fn follow_node(&mut self, id: NodeId, now: Now) {
        self.tell_presence(id, now);
        let moves = self.memberships.update_name(&self.state, id);
        self.follow_moves(moves, now);
        if self.state.owner(id).is_none() {
            self.memberships.drop_name(id);
        }
    }

    /// Two live nodes may claim our name: the lower id keeps it, the other yields and says so.
    fn settle_name(&mut self, name: &NodeName, now: Now) {
        if *name != self.config.name || self.own.left {
            return;
        }
        let me = self.config.id;
        let rivals: BTreeSet<NodeId> = self
            .state
            .owners()
            .filter(|(id, _)| *id != me && self.presence(*id) == MemberState::Alive)
            .filter(|(_, owner)| {
                owner.node().is_some_and(|node| node.name == *name && !node.yielded)
            })
            .map(|(id, _)| id)
            .collect();
        let yields = rivals.first().is_some_and(|lowest| *lowest < me);
        if let Some(rival) = rivals.first()
            && yields != self.own.yielded
        {
            let keeps = me.min(*rival);
            tracing::warn!(%name, %me, %rival, %keeps, "two live nodes claim one name");
            let body =
                json!({"ids": [me.to_string(), rival.to_string()], "keeps": keeps.to_string()});
            self.tell(EventKind::NameConflict, name.as_str(), body);
        }
        if yields != self.own.yielded {
            self.own.yielded = yields;
            self.name_taken = rivals.first().copied().filter(|_| yields);
            self.timers.set_by(Timer::Publish, now.mono);
        }
    }

    /// All nodes that hold their names, dead ones too: not the ids that hosts had before they were installed
    /// anew.
    pub(super) fn holders(&self) -> impl Iterator<Item = (NodeId, &Owner, &NodeBody)> {
        self.state.owners().filter_map(|(id, owner)| {
            let node = owner.node()?;
            self.memberships.is_holder(&node.name, id).then_some((id, owner, &**node))
        })
    }

    /// A live node other than this one that holds a name.
    pub(super) fn live_holder(&self, name: &NodeName, other_than: NodeId) -> Option<NodeId> {
        if *name == self.config.name && other_than != self.config.id && !self.own.left {
            return Some(self.config.id);
        }
        let holder = self.memberships.holder(name.as_str())?;
        (holder != other_than && self.presence(holder) == MemberState::Alive).then_some(holder)
    }

    /// Another node holds our name: it was told to us when we called.
    pub(super) fn name_is_taken(&mut self, holder: NodeId) {
        self.name_told();
        // Two that took one name during a split settle it once both are known.
        if self.synced {
            return;
        }
        self.let_in = false;
        if self.name_taken == Some(holder) {
            return;
        }
        self.name_taken = Some(holder);
        self.rev += 1;
        let (name, me) = (self.config.name.clone(), self.config.id);
        tracing::warn!(%name, %holder, "a live node holds the name of this node, which is not let in until one of the two is renamed or gone");
        let body =
            json!({"ids": [me.to_string(), holder.to_string()], "keeps": holder.to_string()});
        self.tell(EventKind::NameConflict, name.as_str(), body);
    }

    /// Time to look for seeds that are not members.
    pub(super) fn try_seeds(&mut self, now: Now) {
        if self.leaving.is_some() {
            return;
        }
        self.drop_old_obstacles();
        self.outputs.push_back(Output::Resolve);
        let alone = self.swim.active_len() == 0;
        if alone {
            for member in self.saved_members.clone() {
                self.call(member, now);
            }
        }
        self.seed_tries += 1;
        let wait = if alone || !self.synced {
            let most = if self.name_taken.is_some() { NAME_PERIOD } else { SEED_PERIOD };
            Duration::from_millis(500 << self.seed_tries.min(6)).min(most)
        } else {
            SEED_PERIOD
        };
        let delay = self.jitter(wait / 2, wait);
        self.timers.set_by(Timer::Seeds, now.mono + delay);
    }

    /// Calls all seeds that are not members.
    pub(super) fn call_seeds(&mut self, now: Now) {
        let members: BTreeSet<SocketAddr> =
            self.reachable.values().map(|identity| identity.address).collect();
        for seed in self.seeds.clone() {
            if !members.contains(&seed) {
                self.call(seed, now);
            }
        }
    }

    /// Was this node never let in? Members that look for one who was at its address before would make it
    /// one of them, whatever its name: it answers none of them, and calls, to be let in or refused.
    pub(super) fn is_outside(&self) -> bool {
        self.has_yet_to_meet() && !self.let_in
    }

    pub(super) fn call(&mut self, to: SocketAddr, now: Now) {
        if to != self.config.address && !self.streams.is_calling(to) {
            self.dial_sync(to, now);
        }
    }

    /// The buckets of members, by what can be compared between nodes: who is up, as which identity.
    pub(super) fn member_buckets(&self) -> Buckets {
        let revision = self.swim.revision();
        let mut sums = self.member_sums.borrow_mut();
        match &*sums {
            Some((at, buckets)) if *at == revision => buckets.clone(),
            _ => sums.insert((revision, self.sum_members())).1.clone(),
        }
    }

    fn sum_members(&self) -> Buckets {
        let mut buckets = Buckets::default();
        let me = self.swim.identity();
        for identity in self.swim.active().chain(std::iter::once(me)) {
            let body = Body { version: 2, bytes: codec::encode(&identity).into() };
            buckets.add(node_hash(identity.id), body.hash());
        }
        buckets
    }

    /// Without the sessions of those it hears of, a newcomer would have to ask each for its own.
    /// When many members differ, the cluster forms or heals: then it hears of all that we know.
    pub(super) fn sessions_for(
        &self,
        unequal: &[u8],
        peers: &[Peer],
    ) -> Vec<(SocketAddr, SessionId)> {
        let session = |at: SocketAddr| Some((at, self.sealer.session_of(&at)?));
        if unequal.len() < MANY_BUCKETS {
            let active = peers.iter().filter(|peer| peer.is_active());
            return active.filter_map(|peer| session(peer.identity.address)).collect();
        }
        let all = self.reachable.values().map(|identity| identity.address);
        all.filter_map(session).take(limits::SESSIONS_TOLD).collect()
    }

    pub(super) fn take_sessions(&mut self, sessions: Vec<(SocketAddr, SessionId)>, now: Now) {
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        for (peer, session) in sessions.into_iter().take(limits::SESSIONS) {
            let before = opened.len();
            self.sealer.learn_of(peer, session, super::now_ms(now), &mut sealed, &mut opened);
            let held = opened.split_off(before);
            self.take_opened(peer, held, now);
        }
        self.outputs.extend(sealed.into_iter().map(|(to, bytes)| Output::Send { to, bytes }));
    }

    /// Members in these buckets, dead ones too.
    pub(super) fn peers_in(&self, buckets: &[u8]) -> Vec<Peer> {
        self.swim
            .members()
            .filter(|peer| buckets.contains(&((node_hash(peer.identity.id) & 0xff) as u8)))
            .collect()
    }

    pub(super) fn tell_facts(&mut self, id: NodeId, before: &Facts) {
        let Some(after) = self.state.owner(id).map(|owner| owner.facts().clone()) else { return };
        let mut set = serde_json::Map::new();
        for (name, fact) in after.iter() {
            if before.get(name.as_str()).is_none_or(|old| old.value != fact.value) {
                set.insert(name.to_string(), fact.value.to_json());
            }
        }
        let unset: Vec<&str> = before
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| after.get(name).is_none())
            .collect();
        let body = json!({"set": set, "unset": unset});
        let name = self.member_name(id);
        self.tell(EventKind::FactChanged, &name, body);
    }

    pub(super) fn tell_offers(&mut self, id: NodeId) {
        let Some(offers) = self.state.owner(id).map(|owner| owner.offers().clone()) else { return };
        let body = json!({"services": offers.services, "blobs": offers.blobs.len()});
        let name = self.member_name(id);
        self.tell(EventKind::OffersChanged, &name, body);
    }

    pub(super) fn tell_moved(&mut self, moved: &Moved) {
        let node = self.member_name(moved.node);
        let member = !moved.after.is_empty();
        tracing::info!(tribe = %moved.tribe, %node, member, "membership changed");
        let body = json!({"node": node, "member": member, "reasons": moved.after});
        self.tell(EventKind::MembershipChanged, moved.tribe.as_str(), body);
    }

    pub(super) fn tell_conflict(&mut self, key: &Key, lost: &Lost) {
        let reading = self.state.reading();
        let text = match key.kind {
            Kind::POLICY => PolicyBody::from_body(&lost.body).map(|body| body.text),
            // What it is for is said apart, and lost there if at all.
            Kind::TRIBE if reading.is_said_apart(&key.name) => return,
            Kind::TRIBE | Kind::DESCRIPTION => {
                let text = TribeBody::from_body(&lost.body).map(|body| body.description);
                let said = text.as_deref().unwrap_or("");
                // Both created it, and nothing that was said is gone.
                let silent = key.kind == Kind::TRIBE && said.is_empty();
                if silent || Some(said) == reading.description(&key.name) {
                    return;
                }
                text
            }
            Kind::ITEM => ItemBody::from_body(&lost.body)
                .and_then(|body| String::from_utf8(body.document.to_vec()).ok()),
            _ => None,
        };
        let winner = self.member_name(lost.winner);
        tracing::warn!(of = %key, %winner, "a write made here lost to a concurrent one");
        self.tell(EventKind::Conflict, &key.name, json!({"lost": text, "winner": winner}));
    }

    pub(super) fn tell_shared(&mut self, key: &Key) {
        let reading = self.state.reading();
        let name = &*key.name;
        let (kind, subject, body) = match key.kind {
            Kind::DESCRIPTION if !reading.counts_apart(name) => return,
            Kind::TRIBE | Kind::DESCRIPTION => match reading.description(name) {
                Some(description) => {
                    (EventKind::TribeCreated, name, json!({"description": description}))
                }
                None if key.kind == Kind::TRIBE => (EventKind::TribeDeleted, name, json!({})),
                None => return,
            },
            Kind::POLICY | Kind::POLICY_ENABLED => match reading.policies.get(name) {
                Some(policy) => {
                    let enabled = reading.is_enabled(name);
                    let body =
                        json!({"tribe": policy.tribe, "text": policy.text, "enabled": enabled});
                    (EventKind::PolicyChanged, name, body)
                }
                None if key.kind == Kind::POLICY => (EventKind::PolicyDeleted, name, json!({})),
                None => return,
            },
            Kind::ITEM | Kind::ITEM_RUNNING => return self.tell_item_record(key),
            Kind::PLACEMENT => {
                let Some((tribe, node)) = name.split_once('/') else { return };
                let placement = TribeName::parse(tribe)
                    .ok()
                    .and_then(|tribe| reading.placements.get(&tribe)?.get(node))
                    .copied()
                    .unwrap_or(Placement::Automatic);
                (EventKind::PlacementChanged, tribe, json!({"node": node, "placement": placement}))
            }
            _ => return,
        };
        let subject = subject.to_owned();
        self.tell(kind, &subject, body);
    }
}
