//! Commands that wait until a new node has met its cluster.
//!
//! A node that has never met its cluster knows nothing of what is there: what it wrote of tribes,
//! policies and items would replace what others wrote, unseen. So what concerns all waits for the
//! first full exchange, and is checked against what it brought. A node that met its cluster in an
//! earlier run knows enough to go on alone.

use std::{collections::VecDeque, time::Duration};

use super::{Command, CommandError, Engine, Now, Output, Ticket, timer::Timer};
use crate::limits;

/// They wait in the order they came.
#[derive(Debug, Default)]
pub(super) struct Held(VecDeque<(Duration, Ticket, Command)>);

impl Engine {
    /// Is this command to wait for the cluster?
    pub(super) fn must_wait(&self, command: &Command) -> bool {
        let name = &self.config.name;
        let own_facts = matches!(command, Command::SetFacts { node, .. }
            if node.as_ref().is_none_or(|node| node == name));
        self.has_yet_to_meet() && self.name_taken.is_none() && command.writes() && !own_facts
    }

    /// There is a cluster, which it has never met, in no run.
    pub(super) fn has_yet_to_meet(&self) -> bool {
        self.config.has_seeds && !self.synced && self.horizon.is_new()
    }

    pub(super) fn hold(&mut self, ticket: Ticket, command: Command, now: Now) {
        if self.held.0.len() >= limits::HELD_COMMANDS {
            return self.outputs.push_back(Output::Reply(ticket, Err(CommandError::NotSynced)));
        }
        let until = now.mono + limits::HELD_COMMAND_TIME;
        self.held.0.push_back((until, ticket, command));
        self.timers.set_by(Timer::Held, until);
    }

    /// The cluster was met.
    pub(super) fn carry_out_held(&mut self, now: Now) {
        for (_, ticket, command) in std::mem::take(&mut self.held.0) {
            self.handle_command(ticket, command, now);
        }
    }

    /// Those that have waited for long are given up.
    pub(super) fn expire_held(&mut self, now: Now) {
        let error =
            self.name_taken.map_or(CommandError::NotSynced, |holder| self.refusal_of_name(holder));
        while let Some((_, ticket, _)) = self.held.0.pop_front_if(|(until, ..)| *until <= now.mono)
        {
            self.outputs.push_back(Output::Reply(ticket, Err(error.clone())));
        }
        if let Some((until, ..)) = self.held.0.front() {
            self.timers.set(Timer::Held, *until);
        }
    }
}
