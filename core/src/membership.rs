//! Who is in which tribe, and why.
//!
//! Membership is a pure function, without memory, of tribes, placements, policies and facts: placed out
//! by hand beats placed in by hand beats any policy that is true. Every node computes it for every
//! node; it never travels. What is kept here is only the last result and who reads what, so that a change
//! recomputes no more than it touches: of the policies those that read a fact that changed, of the nodes
//! those that changed.

use std::collections::{BTreeMap, BTreeSet};

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    FactName, Facts, NodeId, NodeName, Policy, PolicyName, TribeName, Verdict,
    state::{Placement, State},
};

/// Why a node is in a tribe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was placed in by hand.
    Joined,
    /// This policy is true for its facts.
    Policy(PolicyName),
}

impl Reason {
    fn is_rule(&self, rule: &PolicyName) -> bool {
        matches!(self, Self::Policy(name) if name == rule)
    }
}

/// A node that came into a tribe, went out, or is in for other reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) tribe: TribeName,
    pub(crate) node: NodeId,
    /// Reasons before; empty if it was out.
    pub(crate) before: Vec<Reason>,
    /// Reasons now; empty if it is out.
    pub(crate) after: Vec<Reason>,
}

impl Moved {
    /// It went in or out, and not only the reasons changed.
    pub(crate) fn crossed(&self) -> bool {
        self.before.is_empty() != self.after.is_empty()
    }
}

/// The memberships that follow from a state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memberships {
    tribes: BTreeMap<TribeName, BTreeMap<NodeId, Vec<Reason>>>,
    /// The policies that place nodes: those of tribes that exist, switched on and understood here.
    rules: BTreeMap<TribeName, BTreeMap<PolicyName, Policy>>,
    /// The tribes whose rules read a fact. INVARIANT: as `rules` say.
    readers: BTreeMap<FactName, BTreeSet<TribeName>>,
    /// The node that holds each name.
    holders: OrdMap<NodeName, NodeId>,
    /// All that claim it, and the name each node claims.
    claimants: OrdSet<(NodeName, NodeId)>,
    names: OrdMap<NodeId, NodeName>,
}

impl Memberships {
    /// Members of a tribe and why they are in.
    pub(crate) fn of_tribe(
        &self,
        tribe: &TribeName,
    ) -> impl Iterator<Item = (NodeId, &Vec<Reason>)> {
        self.tribes.get(tribe).into_iter().flatten().map(|(id, reasons)| (*id, reasons))
    }

    /// Tribes of a node, by name.
    pub(crate) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &TribeName> {
        self.tribes.iter().filter(move |(_, members)| members.contains_key(&node)).map(|(t, _)| t)
    }

    /// The tribe that this policy places nodes in, as it was last looked at.
    pub(crate) fn tribes_by<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a TribeName> {
        let rules = self.rules.iter();
        rules.filter(move |(_, rules)| rules.contains_key(policy)).map(|(tribe, _)| tribe)
    }

    /// The node that holds a name.
    pub(crate) fn holder(&self, name: &str) -> Option<NodeId> {
        self.holders.get(name).copied()
    }

    /// Does this node hold its own name, or has another taken it over?
    pub(crate) fn is_holder(&self, name: &NodeName, node: NodeId) -> bool {
        self.holders.get(name) == Some(&node)
    }

    /// A tribe, its placements or policies changed.
    pub(crate) fn update_tribe(&mut self, state: &State, tribe: &TribeName) -> Vec<Moved> {
        self.read_rules(state, tribe);
        let exists = state.reading().tribes.contains_key(tribe);
        let after: BTreeMap<NodeId, Vec<Reason>> = self
            .holders
            .iter()
            .filter(|_| exists)
            .filter_map(|(name, id)| {
                let reasons = self.reasons(state, tribe, name, *id, None);
                (!reasons.is_empty()).then_some((*id, reasons))
            })
            .collect();
        let before = if after.is_empty() {
            self.tribes.remove(tribe).unwrap_or_default()
        } else {
            self.tribes.insert(tribe.clone(), after.clone()).unwrap_or_default()
        };
        let nodes: BTreeSet<NodeId> = before.keys().chain(after.keys()).copied().collect();
        let reasons =
            |of: &BTreeMap<NodeId, Vec<Reason>>, node| of.get(node).cloned().unwrap_or_default();
        nodes
            .iter()
            .map(|node| Moved {
                tribe: tribe.clone(),
                node: *node,
                before: reasons(&before, node),
                after: reasons(&after, node),
            })
            .filter(|moved| moved.before != moved.after)
            .collect()
    }

    /// A node's facts changed; these were they before.
    pub(crate) fn update_facts(
        &mut self,
        state: &State,
        node: NodeId,
        before: &Facts,
    ) -> Vec<Moved> {
        let Some(owner) = state.owner(node) else { return Vec::new() };
        let changed: BTreeSet<&FactName> = before.changed(owner.facts()).collect();
        let readers = changed.iter().filter_map(|name| self.readers.get(*name)).flatten();
        let tribes: BTreeSet<TribeName> = readers.cloned().collect();
        self.judge(state, node, tribes, Some(&changed))
    }

    /// Judges a node again for some tribes, by the rules that read what changed, or by all.
    fn judge(
        &mut self,
        state: &State,
        node: NodeId,
        tribes: impl IntoIterator<Item = TribeName>,
        changed: Option<&BTreeSet<&FactName>>,
    ) -> Vec<Moved> {
        let Some(name) = state.owner(node).and_then(|owner| owner.node()).map(|node| &node.name)
        else {
            return Vec::new();
        };
        if !self.is_holder(name, node) {
            return Vec::new();
        }
        let mut moves = Vec::new();
        for tribe in tribes {
            let after = self.reasons(state, &tribe, name, node, changed);
            moves.extend(self.set(&tribe, node, after));
        }
        moves
    }

    /// Reads the rules of a tribe again.
    fn read_rules(&mut self, state: &State, tribe: &TribeName) {
        for policy in self.rules.remove(tribe).iter().flat_map(BTreeMap::values) {
            for fact in policy.reads() {
                if let Some(tribes) = self.readers.get_mut(fact) {
                    tribes.remove(tribe);
                    if tribes.is_empty() {
                        self.readers.remove(fact);
                    }
                }
            }
        }
        let reading = state.reading();
        if !reading.tribes.contains_key(tribe) {
            return;
        }
        let rules: BTreeMap<PolicyName, Policy> = reading
            .policies
            .iter()
            .filter(|(name, read)| read.tribe == *tribe && reading.is_enabled(name.as_str()))
            .filter_map(|(name, read)| Some((name.clone(), read.policy.clone()?)))
            .collect();
        for fact in rules.values().flat_map(Policy::reads) {
            self.readers.entry(fact.clone()).or_default().insert(tribe.clone());
        }
        if !rules.is_empty() {
            self.rules.insert(tribe.clone(), rules);
        }
    }

    /// A node's record changed: its name, or what it claims it with.
    pub(crate) fn update_name(&mut self, state: &State, node: NodeId) -> Vec<Moved> {
        let claim = claim_of(state, node);
        let before = match &claim {
            Some((name, _)) => self.names.insert(node, name.clone()),
            None => self.names.get(&node).cloned(),
        };
        let mut moves = Vec::new();
        let name = claim.map(|(name, _)| name);
        // The name it gave up comes first: with it go the tribes it was in by that name.
        if let Some(before) = before.filter(|before| name.as_ref() != Some(before)) {
            self.claimants.remove(&(before.clone(), node));
            moves.extend(self.settle(state, &before));
        }
        if let Some(name) = name {
            self.claimants.insert((name.clone(), node));
            moves.extend(self.settle(state, &name));
        }
        moves
    }

    /// The name a node claims, or claimed before it was forgotten.
    pub(crate) fn name_of(&self, node: NodeId) -> Option<&NodeName> {
        self.names.get(&node)
    }

    /// A node is forgotten, and nothing more is to be told of it.
    pub(crate) fn drop_name(&mut self, node: NodeId) {
        self.names.remove(&node);
    }

    /// Who holds a name now, and what follows.
    fn settle(&mut self, state: &State, name: &NodeName) -> Vec<Moved> {
        let claimants = (name.clone(), NodeId(0))..=(name.clone(), NodeId(u64::MAX));
        let claims = self.claimants.range(claimants);
        let claims = claims.filter_map(|(_, id)| Some(claim_of(state, *id)?.1));
        let after = claims.max().map(|(_, _, id)| id);
        let before = match after {
            Some(after) => self.holders.insert(name.clone(), after),
            None => self.holders.remove(name),
        };
        if before == after {
            return Vec::new();
        }
        let mut moves = Vec::new();
        if let Some(before) = before {
            let tribes: Vec<TribeName> = self.tribes.keys().cloned().collect();
            moves.extend(tribes.iter().filter_map(|tribe| self.set(tribe, before, Vec::new())));
        }
        if let Some(after) = after {
            let tribes: Vec<TribeName> = state.reading().tribes.keys().cloned().collect();
            moves.extend(self.judge(state, after, tribes, None));
        }
        moves
    }

    /// Why a node would be in a tribe; empty if it is out. What rules say that read nothing that changed
    /// is known.
    fn reasons(
        &self,
        state: &State,
        tribe: &TribeName,
        name: &NodeName,
        node: NodeId,
        changed: Option<&BTreeSet<&FactName>>,
    ) -> Vec<Reason> {
        let Some(owner) = state.owner(node) else { return Vec::new() };
        let placements = state.reading().placements.get(tribe);
        let placement = placements.and_then(|placements| placements.get(name));
        if placement == Some(&Placement::Left) {
            return Vec::new();
        }
        let before = self.tribes.get(tribe).and_then(|members| members.get(&node));
        let is_true = |rule: &PolicyName, policy: &Policy| match changed {
            Some(changed) if !policy.reads().any(|fact| changed.contains(fact)) => {
                before.is_some_and(|reasons| reasons.iter().any(|reason| reason.is_rule(rule)))
            }
            _ => policy.evaluate(owner.facts()) == Verdict::True,
        };
        let joined = (placement == Some(&Placement::Joined)).then_some(Reason::Joined);
        let rules = self.rules.get(tribe).into_iter().flatten();
        let by_rule = rules
            .filter(|(rule, policy)| is_true(rule, policy))
            .map(|(rule, _)| Reason::Policy(rule.clone()));
        joined.into_iter().chain(by_rule).collect()
    }

    fn set(&mut self, tribe: &TribeName, node: NodeId, after: Vec<Reason>) -> Option<Moved> {
        let before = if after.is_empty() {
            let members = self.tribes.get_mut(tribe)?;
            let before = members.remove(&node)?;
            if members.is_empty() {
                self.tribes.remove(tribe);
            }
            before
        } else {
            let members = self.tribes.entry(tribe.clone()).or_default();
            members.insert(node, after.clone()).unwrap_or_default()
        };
        let moved = Moved { tribe: tribe.clone(), node, before, after };
        (moved.before != moved.after).then_some(moved)
    }
}

/// A node's name, and what it claims it with. Of several nodes that claim one, those hold it that have not
/// yielded it, and of these the one started last: a reinstalled host takes its name over from the id it
/// had before.
fn claim_of(state: &State, id: NodeId) -> Option<(NodeName, (bool, u64, NodeId))> {
    let owner = state.owner(id)?;
    let node = owner.node()?;
    Some((node.name.clone(), (!node.yielded, owner.epoch(), id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Source, Value,
        state::{
            Applied, Form as _, Key, Kind, NodeBody, Owned, PlacementBody, PolicyBody, Record,
            Shared, TribeBody, What,
        },
    };

    const NOW_MS: u64 = 1_000_000_000;

    /// Applies a record, and lets memberships follow as the engine does.
    fn apply(state: &mut State, memberships: &mut Memberships, record: Record) {
        let Applied::Fresh(changes) = state.apply(record, NOW_MS) else { return };
        for change in changes {
            match change.what {
                What::Facts(id, before) => {
                    let _ = memberships.update_facts(state, id, &before);
                }
                What::Node(id) => {
                    let _ = memberships.update_name(state, id);
                }
                What::Shared(key) => {
                    let named = match key.kind {
                        Kind::TRIBE => vec![TribeName::parse(&key.name).unwrap()],
                        Kind::PLACEMENT => {
                            vec![TribeName::parse(key.name.split('/').next().unwrap()).unwrap()]
                        }
                        _ => {
                            let now = state.reading().policies.get(&*key.name);
                            let now = now.map(|read| read.tribe.clone());
                            memberships.tribes_by(&key.name).cloned().chain(now).collect()
                        }
                    };
                    for tribe in named {
                        let _ = memberships.update_tribe(state, &tribe);
                    }
                }
                _ => {}
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Tribe(u8, bool),
        Policy(u8, Option<(u8, u8)>),
        Placement(u8, u8, Option<Placement>),
        Node(u8, u8),
        Facts(u8, [Option<u8>; 3]),
    }

    const TEXTS: [&str; 6] =
        ["true", "{{a}} == 1", "{{b}} > 1", "{{a}} == {{b}}", "not exists({{c}})", "{{c}} != 2"];

    fn any_step() -> impl Strategy<Value = Step> {
        let placement = prop::sample::select(vec![
            None,
            Some(Placement::Joined),
            Some(Placement::Left),
            Some(Placement::Automatic),
        ]);
        prop_oneof![
            1 => (0..2_u8, prop::bool::weighted(0.8)).prop_map(|(t, is)| Step::Tribe(t, is)),
            2 => (0..3_u8, prop::option::weighted(0.8, (0..2_u8, 0..6_u8)))
                .prop_map(|(name, body)| Step::Policy(name, body)),
            1 => (0..2_u8, 0..3_u8, placement).prop_map(|(t, n, p)| Step::Placement(t, n, p)),
            1 => (0..3_u8, 0..3_u8).prop_map(|(id, name)| Step::Node(id, name)),
            4 => (0..3_u8, prop::array::uniform3(prop::option::of(0..3_u8)))
                .prop_map(|(id, facts)| Step::Facts(id, facts)),
        ]
    }

    fn record(at: usize, step: &Step) -> Record {
        let shared = |key, body| {
            let stamp = crate::state::Stamp { time: (at as u64 + 1) << 16, node: NodeId(9) };
            Record::Shared(Shared { key, stamp, base: None, body })
        };
        let owned = |id: u8, kind, body| {
            let seq = at as u64 + 1;
            Record::Owned(Owned { owner: NodeId(id.into()), epoch: 1, seq, kind, body })
        };
        match step {
            Step::Tribe(tribe, is) => {
                let body = is.then(|| TribeBody { description: String::new() }.to_body());
                shared(Key::new(Kind::TRIBE, &format!("t{tribe}")), body)
            }
            Step::Policy(name, body) => {
                let body = body.map(|(tribe, text)| {
                    let tribe = TribeName::parse(&format!("t{tribe}")).unwrap();
                    let text = TEXTS[usize::from(text)].into();
                    PolicyBody { tribe, level: 1, text, off: false }.to_body()
                });
                shared(Key::new(Kind::POLICY, &format!("p{name}")), body)
            }
            Step::Placement(tribe, node, placement) => {
                let key = Key::pair(Kind::PLACEMENT, &format!("t{tribe}"), &format!("n{node}"));
                let body = placement.map(|placement| PlacementBody { placement }.to_body());
                shared(key, body)
            }
            Step::Node(id, name) => {
                let body = NodeBody {
                    name: NodeName::parse(&format!("n{name}")).unwrap(),
                    address: "10.0.0.1:6000".parse().unwrap(),
                    version: String::new(),
                    level: 1,
                    left: false,
                    yielded: false,
                    memberships: 0,
                    kinds: vec![Kind::NODE, Kind::FACTS],
                };
                owned(*id, Kind::NODE, body.to_body())
            }
            Step::Facts(id, values) => {
                let mut facts = Facts::new();
                for (name, value) in ["a", "b", "c"].into_iter().zip(values) {
                    if let Some(value) = value {
                        let value = Value::from(i64::from(*value));
                        facts.insert(FactName::parse(name).unwrap(), value, Source::Start);
                    }
                }
                owned(*id, Kind::FACTS, facts.to_body())
            }
        }
    }

    proptest! {
        /// Whatever changed, memberships are as if all were computed anew.
        #[test]
        fn what_is_recomputed_is_all_that_changed(
            steps in prop::collection::vec(any_step(), 1..40),
        ) {
            let (mut state, mut memberships) = (State::new(), Memberships::default());
            for (at, step) in steps.iter().enumerate() {
                apply(&mut state, &mut memberships, record(at, step));
                let mut anew = Memberships::default();
                for (id, _) in state.owners() {
                    let _ = anew.update_name(&state, id);
                }
                for tribe in state.reading().tribes.keys() {
                    let _ = anew.update_tribe(&state, tribe);
                }
                prop_assert_eq!(&memberships.tribes, &anew.tribes, "{:?}", step);
                prop_assert_eq!(&memberships.rules, &anew.rules, "{:?}", step);
                prop_assert_eq!(&memberships.readers, &anew.readers, "{:?}", step);
            }
        }
    }
}
