//! Carrying out commands.
//!
//! A command is checked against what this node knows, becomes records, and goes the way of every
//! record. Its reply waits until they are on disk.

use std::time::Duration;

use super::{
    Command, CommandError, Engine, Now, Output, PolicyCreated, Reply, Ticket, Verdict, Written,
    own::check_facts, persist::Pending, wait::Asked,
};
use crate::{
    FactName, Facts, NodeName, Placement, Policy, PolicyName, TribeName, Value, fact, limits,
    state::{
        Body, EnabledBody, FloorBody, Form, Key, Kind, PlacementBody, PolicyBody, Refusal,
        TribeBody, Version,
    },
    wire::frame::Ask,
};

impl Engine {
    pub(super) fn carry_out(
        &mut self,
        ticket: Ticket,
        command: Command,
        now: Now,
    ) -> Result<(), CommandError> {
        if self.leaving.is_some() {
            return Err(CommandError::Closed);
        }
        if let (Some(holder), true) = (self.name_taken, command.writes()) {
            return Err(self.refusal_of_name(holder));
        }
        match command {
            Command::CreateTribe { tribe, description } => {
                self.create_tribe(ticket, &tribe, description, now)
            }
            Command::DescribeTribe { tribe, description } => {
                self.known_tribe(&tribe)?;
                let version = self.write_description(&tribe, description, now)?;
                self.reply_written(ticket, vec![version]);
                Ok(())
            }
            Command::DeleteTribe { tribe } => self.delete_tribe(ticket, &tribe, now),
            Command::Place { tribe, node, placement } => {
                self.place(ticket, &tribe, &node, placement, now)
            }
            Command::CreatePolicy { policy, text, tribe, options } => {
                let parsed = Policy::parse(&text)?;
                if !options.replace {
                    self.refuse_other(&policy, &parsed, &tribe)?;
                }
                self.create_policy(ticket, &policy, &parsed, &tribe, options.enabled, now)
            }
            Command::DeletePolicy { policy } => self.delete_policy(ticket, &policy, now),
            Command::EnablePolicy { policy, enabled } => {
                self.enable_policy(ticket, &policy, enabled, now)
            }
            Command::PutItem { tribe, kind, name, document, options } => {
                self.put_item(ticket, tribe, (kind, name), document, options, now)
            }
            Command::RemoveItem { tribe, kind, name } => {
                self.remove_item(ticket, tribe, &(kind, name), now)
            }
            Command::RunItem { tribe, kind, name, running } => {
                self.run_item(ticket, tribe, &(kind, name), running, now)
            }
            Command::Serve { service, options } => self.serve(ticket, service, options, now),
            Command::Unserve { service } => {
                self.unserve(ticket, &service, now);
                Ok(())
            }
            Command::Dial { target, service } => {
                self.dial_service(ticket, &target, service, now);
                Ok(())
            }
            Command::SetBlobs(blobs) => {
                self.set_blobs(ticket, blobs, now);
                Ok(())
            }
            Command::SetStatus(status) => {
                self.set_status(status, now)?;
                self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Done)));
                Ok(())
            }
            Command::SetFacts { node, set, unset } => self.set_facts(ticket, node, set, unset, now),
            Command::ObserveFacts(facts) => self.observe(ticket, facts, now),
            Command::Wait { written, timeout_ms } => {
                self.wait_for(ticket, written.versions, Duration::from_millis(timeout_ms), now);
                Ok(())
            }
            Command::InstallKey(key) => self.install_key(ticket, key, now),
            Command::UseKey { key, force } => self.use_key(ticket, key, force, now),
            Command::RemoveKey { key, force } => self.remove_key(ticket, key, force, now),
            Command::Keys => self.report_keys(ticket, now),
            Command::Forget { node } => self.forget_nodes(ticket, node, now),
            Command::Leave => {
                self.leave(ticket, now);
                Ok(())
            }
        }
    }

    fn create_tribe(
        &mut self,
        ticket: Ticket,
        tribe: &TribeName,
        description: String,
        now: Now,
    ) -> Result<(), CommandError> {
        if self.state.reading().tribes.contains_key(tribe) {
            return Err(CommandError::TribeExists(tribe.clone()));
        }
        let versions = self.write_tribe(tribe, description, now)?;
        self.reply_written(ticket, versions);
        Ok(())
    }

    /// The tribe, and apart what it is for: whoever creates it as well, and says nothing, must not take that
    /// back. Of a tribe that comes without a word nothing counts that was said of an earlier one.
    fn write_tribe(
        &mut self,
        tribe: &TribeName,
        description: String,
        now: Now,
    ) -> Result<Vec<Version>, CommandError> {
        let held = self.state.shared_len();
        if held + 2 > limits::SHARED_RECORDS {
            return Err(CommandError::Full(held));
        }
        let apart = match description.is_empty() {
            false => Some(self.write_description(tribe, description.clone(), now)?),
            true if self.state.reading().is_said_apart(tribe.as_str()) => {
                Some(self.write(Key::new(Kind::DESCRIPTION, tribe.as_str()), None, now)?)
            }
            true => None,
        };
        let body = TribeBody { description }.to_body();
        let version = self.write(Key::new(Kind::TRIBE, tribe.as_str()), Some(body), now)?;
        Ok(apart.into_iter().chain([version]).collect())
    }

    fn write_description(
        &mut self,
        tribe: &TribeName,
        description: String,
        now: Now,
    ) -> Result<Version, CommandError> {
        let (found, max) = (description.len(), limits::DESCRIPTION_BYTES);
        if found > max {
            return Err(CommandError::TooLong { what: "the description", found, max });
        }
        let body = TribeBody { description }.to_body();
        self.write(Key::new(Kind::DESCRIPTION, tribe.as_str()), Some(body), now)
    }

    /// Raises the floor: the tribe and all that hangs on it is dead from here on.
    fn delete_tribe(
        &mut self,
        ticket: Ticket,
        tribe: &TribeName,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_tribe(tribe)?;
        let key = Key::new(Kind::FLOOR, tribe.as_str());
        let version = self.write(key, Some(FloorBody {}.to_body()), now)?;
        self.reply_written(ticket, vec![version]);
        Ok(())
    }

    fn place(
        &mut self,
        ticket: Ticket,
        tribe: &TribeName,
        node: &NodeName,
        placement: Placement,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_tribe(tribe)?;
        let key = Key::pair(Kind::PLACEMENT, tribe.as_str(), node.as_str());
        let body = match placement {
            Placement::Automatic => None,
            placement => Some(PlacementBody { placement }.to_body()),
        };
        let version = self.write(key, body, now)?;
        self.reply_written(ticket, vec![version]);
        Ok(())
    }

    /// A policy of this name may exist only as this one.
    fn refuse_other(
        &self,
        policy: &PolicyName,
        parsed: &Policy,
        tribe: &TribeName,
    ) -> Result<(), CommandError> {
        match self.state.reading().policies.get(policy) {
            Some(read) if read.tribe != *tribe || read.text != parsed.as_str() => {
                let tribe = read.tribe.clone();
                Err(CommandError::PolicyExists { policy: policy.clone(), tribe })
            }
            _ => Ok(()),
        }
    }

    fn create_policy(
        &mut self,
        ticket: Ticket,
        policy: &PolicyName,
        parsed: &Policy,
        tribe: &TribeName,
        enabled: Option<bool>,
        now: Now,
    ) -> Result<(), CommandError> {
        let text = parsed.to_string();
        let warnings = parsed.check(self.facts_of_nodes());
        let tribe_created = !self.state.reading().tribes.contains_key(tribe);
        let mut written = Vec::new();
        if tribe_created {
            written = self.write_tribe(tribe, String::new(), now)?;
            self.persist(Pending { versions: written.clone(), ..Pending::default() });
        }
        let reading = self.state.reading();
        let is_new = !reading.policies.contains_key(policy);
        let was_off = !is_new && !reading.is_enabled(policy.as_str());
        let off = enabled.map_or(was_off, |enabled| !enabled);
        let mut versions = Vec::new();
        // Off before the text is there, on only after it.
        match enabled {
            Some(false) if !was_off => versions.push(self.write_switch(policy, false, now)?),
            _ => versions.extend(self.forget_switch(policy, now)?),
        }
        let level = parsed.level();
        let body = PolicyBody { tribe: tribe.clone(), level, text, off }.to_body();
        versions.push(self.write(Key::new(Kind::POLICY, policy.as_str()), Some(body), now)?);
        if was_off && !off {
            versions.push(self.write_switch(policy, true, now)?);
        }
        written.extend(versions.iter().cloned());
        let written = Written { versions: written };
        let reply = Reply::PolicyCreated(PolicyCreated { written, tribe_created, warnings });
        let replies = vec![(ticket, reply)];
        self.persist(Pending { versions, replies, ..Pending::default() });
        Ok(())
    }

    fn write_switch(
        &mut self,
        policy: &PolicyName,
        enabled: bool,
        now: Now,
    ) -> Result<Version, CommandError> {
        let key = Key::new(Kind::POLICY_ENABLED, policy.as_str());
        self.write(key, Some(EnabledBody { enabled }.to_body()), now)
    }

    fn delete_policy(
        &mut self,
        ticket: Ticket,
        policy: &PolicyName,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_policy(policy)?;
        let version = self.write(Key::new(Kind::POLICY, policy.as_str()), None, now)?;
        let switch = self.forget_switch(policy, now)?;
        // In this order: a peer that hears of the switch alone would take the policy for enabled.
        self.reply_written(ticket, [version].into_iter().chain(switch).collect());
        Ok(())
    }

    /// A policy that does not exist has no switch: the next one of its name is born enabled.
    fn forget_switch(
        &mut self,
        policy: &PolicyName,
        now: Now,
    ) -> Result<Option<Version>, CommandError> {
        if self.state.reading().policies.contains_key(policy) || !self.is_switched_off(policy) {
            return Ok(None);
        }
        let key = Key::new(Kind::POLICY_ENABLED, policy.as_str());
        self.write(key, None, now).map(Some)
    }

    fn is_switched_off(&self, policy: &PolicyName) -> bool {
        let switch = self.state.reading().policy_switches.get(policy);
        switch.is_some_and(|switch| !switch.enabled)
    }

    fn enable_policy(
        &mut self,
        ticket: Ticket,
        policy: &PolicyName,
        enabled: bool,
        now: Now,
    ) -> Result<(), CommandError> {
        self.known_policy(policy)?;
        let version = self.write_switch(policy, enabled, now)?;
        self.reply_written(ticket, vec![version]);
        Ok(())
    }

    fn set_facts(
        &mut self,
        ticket: Ticket,
        node: Option<NodeName>,
        set: Vec<(FactName, Value)>,
        unset: Vec<FactName>,
        now: Now,
    ) -> Result<(), CommandError> {
        for name in set.iter().map(|(name, _)| name).chain(&unset) {
            fact::settable(name.as_str())?;
        }
        let node = node.filter(|node| *node != self.config.name);
        let Some(node) = node else {
            let version = self.set_own_facts(set, unset, now)?;
            self.reply_written(ticket, vec![version]);
            return Ok(());
        };
        let Some(holder) = self.memberships.holder(node.as_str()) else {
            return Err(self.unknown_node(node.as_str()));
        };
        let Some(identity) = self.reachable.get(&holder).copied() else {
            return Err(CommandError::Unreachable(node));
        };
        self.dial_ask(identity, Ask::SetFacts { set, unset }, Asked { ticket, node }, now);
        Ok(())
    }

    fn observe(&mut self, ticket: Ticket, facts: Facts, now: Now) -> Result<(), CommandError> {
        check_facts(&facts)?;
        self.observe_facts(facts, now);
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Done)));
        Ok(())
    }

    /// Writes a shared record; it is not spread yet.
    pub(super) fn write(
        &mut self,
        key: Key,
        body: Option<Body>,
        now: Now,
    ) -> Result<Version, CommandError> {
        self.check_clock(now)?;
        let record = self.state.write(key, body, self.config.id, now.wall_ms);
        let version = record.version();
        match self.apply(record, now) {
            Verdict::Fresh | Verdict::Stale => {
                self.horizon.wrote(now);
                Ok(version)
            }
            Verdict::Refused(Refusal::Ahead) => Err(CommandError::ClockBehind),
            Verdict::Refused(_) => Err(CommandError::Full(self.state.shared_len())),
        }
    }

    /// Answers once all of this is on disk.
    pub(super) fn reply_written(&mut self, ticket: Ticket, versions: Vec<Version>) {
        let reply = Reply::Written(Written { versions: versions.clone() });
        self.persist(Pending { versions, replies: vec![(ticket, reply)], ..Pending::default() });
    }

    pub(super) fn known_tribe(&self, tribe: &TribeName) -> Result<(), CommandError> {
        let tribes = &self.state.reading().tribes;
        if tribes.contains_key(tribe) {
            return Ok(());
        }
        let name = tribe.to_string();
        let near = nearest(&name, tribes.keys().map(TribeName::as_str));
        Err(CommandError::UnknownTribe { name, near })
    }

    fn known_policy(&self, policy: &PolicyName) -> Result<(), CommandError> {
        let policies = &self.state.reading().policies;
        if policies.contains_key(policy) {
            return Ok(());
        }
        let name = policy.to_string();
        let near = nearest(&name, policies.keys().map(PolicyName::as_str));
        Err(CommandError::UnknownPolicy { name, near })
    }

    pub(super) fn unknown_node(&self, name: &str) -> CommandError {
        let near = nearest(name, self.holders().map(|(_, _, node)| node.name.as_str()));
        CommandError::UnknownNode { name: name.to_owned(), near }
    }

    /// What all nodes say of themselves.
    fn facts_of_nodes(&self) -> impl Iterator<Item = &Facts> {
        self.holders().map(|(_, owner, _)| &**owner.facts())
    }
}

impl Command {
    /// Does it write what others hear as said by this name?
    pub(super) fn writes(&self) -> bool {
        match self {
            Self::PutItem { tribe, .. }
            | Self::RemoveItem { tribe, .. }
            | Self::RunItem { tribe, .. } => tribe.is_some(),
            Self::ObserveFacts(_)
            | Self::Serve { .. }
            | Self::Unserve { .. }
            | Self::Dial { .. }
            | Self::SetBlobs(_)
            | Self::SetStatus(_)
            | Self::Wait { .. }
            | Self::Keys
            | Self::Leave => false,
            Self::CreateTribe { .. }
            | Self::DescribeTribe { .. }
            | Self::DeleteTribe { .. }
            | Self::Place { .. }
            | Self::CreatePolicy { .. }
            | Self::DeletePolicy { .. }
            | Self::EnablePolicy { .. }
            | Self::Forget { .. }
            | Self::InstallKey(_)
            | Self::UseKey { .. }
            | Self::RemoveKey { .. }
            | Self::SetFacts { .. } => true,
        }
    }
}

/// The name nearest to what someone typed, if any is near: more than half of it is right.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, _)| *distance <= (typed.len() / 3).max(1) && distance * 2 < typed.len())
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_name_is_near_if_more_than_half_of_it_is_right() {
        let check = |typed: &str, names: &[&str], expected: Option<&str>| {
            assert_eq!(nearest(typed, names.iter().copied()).as_deref(), expected, "{typed}");
        };
        check("storge", &["core", "storage"], Some("storage"));
        check("cor", &["core"], Some("core"));
        check("c", &["a"], None);
        check("i5", &["i1", "i2"], None);
        check("", &["a"], None);
    }
}
