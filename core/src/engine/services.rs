//! Services: who serves what, and who may dial it.
//!
//! The engine knows which services this node serves, admits those who dial them, and chooses whom to
//! dial. Once both sides agree on a stream it lets go of it: what goes over it then, it never sees.
//!
//! ```text
//! dialler              acceptor
//! Hello       ->
//!             <-       Hello
//! Dial        ->
//!             <-       Dialled, or Refuse
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use rand::seq::SliceRandom;

use super::{
    CommandError, Engine, MemberState, Now, Output, Reply, StreamId, Ticket, commands::nearest,
};
use crate::{
    BlobId, NameError, NodeId, NodeName, Offers, ServiceName, TribeName, codec, limits,
    wire::{
        frame::{Frame, Hello, Refuse},
        peer::Identity,
    },
};

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This node.
    Node(NodeName),
    /// Any member of this tribe that offers the service: of those that answer, one with little to do.
    Tribe(TribeName),
}

/// How a service is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Who dials must be a member of one of these tribes; `None` lets any node of the cluster in.
    pub tribes: Option<Vec<TribeName>>,
    /// Most streams at a time; who dials beyond is told that the service is busy.
    pub most: usize,
    /// It is not among what this node offers: only who knows of it dials it, by node.
    pub hidden: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { tribes: None, most: 256, hidden: false }
    }
}

/// The node at the other end of a service's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Where others reach it.
    pub address: SocketAddr,
}

/// Why a service was not reached. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The user names a node that does not exist.
    #[error("there is no node `{name}`{}", suggest(.near))]
    UnknownNode {
        /// What the user typed.
        name: String,
        /// The nearest node there is.
        near: Option<String>,
    },
    /// The user names a tribe that does not exist.
    #[error("there is no tribe `{name}`{}", suggest(.near))]
    UnknownTribe {
        /// What the user typed.
        name: String,
        /// The nearest tribe there is.
        near: Option<String>,
    },
    /// The user's tribe has no living member that offers this.
    #[error("no living member of tribe `{tribe}` offers service `{service}`")]
    NoOffer {
        /// The tribe.
        tribe: TribeName,
        /// The service.
        service: ServiceName,
    },
    /// The user's node does not serve this, or does no more.
    #[error("node `{node}` does not serve `{service}`")]
    NoService {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
    },
    /// The peer does not let this node in: it is not in a tribe that may dial the service.
    #[error(
        "node `{node}` does not let this node dial `{service}`: it is in none of the tribes that may"
    )]
    NotAllowed {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
    },
    /// The peer has as many streams as it takes. Later there may be room.
    #[error("service `{service}` of node `{node}` is busy, try again later")]
    Busy {
        /// The node.
        node: NodeName,
        /// The service.
        service: ServiceName,
    },
    /// The peer is down, or did not answer, or the network does not carry this far.
    #[error("cannot reach node `{node}`: {reason}")]
    Unreachable {
        /// The node.
        node: NodeName,
        /// What happened.
        reason: String,
    },
    /// The user's name of a service is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// This node has left or is shutting down.
    #[error("this node has left the cluster")]
    Closed,
    /// The handle was taken over a fork.
    #[error("this handle was made before fork(), start a new node in the child")]
    Forked,
}

fn suggest(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// A stream that the engine lets go of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detached {
    /// A peer dialled a service of this node. Once the stream is over the engine hears of its end.
    Accepted {
        /// The service.
        service: ServiceName,
        /// Who dialled.
        caller: Caller,
    },
    /// This node dialled.
    Dialled {
        /// The command.
        ticket: Ticket,
        /// Who was reached.
        peer: Caller,
    },
}

/// What this node serves, and the services it dials.
#[derive(Debug, Default)]
pub(super) struct Services {
    served: BTreeMap<ServiceName, ServeOptions>,
    blobs: BTreeSet<BlobId>,
    /// Streams that were let go of, by what they dialled; withdrawn services keep theirs.
    streams: BTreeMap<StreamId, ServiceName>,
    open: BTreeMap<ServiceName, usize>,
    dials: BTreeMap<StreamId, Dial>,
    /// How many streams a service had when it was last dialled.
    loads: BTreeMap<(NodeId, ServiceName), u32>,
}

/// A dial under way.
#[derive(Debug)]
struct Dial {
    ticket: Ticket,
    service: ServiceName,
    /// Who is dialled now.
    node: (NodeId, NodeName),
    /// Who is dialled if that fails, from the last to the first.
    others: Vec<NodeId>,
}

impl Services {
    /// Takes a stream in, if the service takes one more.
    fn open(&mut self, stream: StreamId, service: &ServiceName) {
        self.streams.insert(stream, service.clone());
        *self.open.entry(service.clone()).or_default() += 1;
    }

    fn closed(&mut self, stream: StreamId) {
        let Some(service) = self.streams.remove(&stream) else { return };
        if let Some(open) = self.open.get_mut(&service) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&service);
            }
        }
    }

    fn load(&self, service: &ServiceName) -> u32 {
        let open = self.open.get(service).copied().unwrap_or_default();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    fn remember(&mut self, node: NodeId, service: ServiceName, load: u32) {
        let full = self.loads.len() >= limits::SERVICE_LOADS;
        if full && !self.loads.contains_key(&(node, service.clone())) {
            self.loads.pop_first();
        }
        self.loads.insert((node, service), load);
    }
}

impl Engine {
    pub(super) fn serve(
        &mut self,
        ticket: Ticket,
        service: ServiceName,
        options: ServeOptions,
        now: Now,
    ) -> Result<(), CommandError> {
        if self.services.served.contains_key(&service) {
            return Err(CommandError::ServiceExists(service));
        }
        self.services.served.insert(service, options);
        self.services_changed(now);
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Done)));
        Ok(())
    }

    pub(super) fn unserve(&mut self, ticket: Ticket, service: &ServiceName, now: Now) {
        if self.services.served.remove(service).is_some() {
            self.services_changed(now);
        }
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Done)));
    }

    pub(super) fn set_blobs(&mut self, ticket: Ticket, blobs: BTreeSet<BlobId>, now: Now) {
        if self.services.blobs != blobs {
            self.services.blobs = blobs;
            self.services_changed(now);
        }
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Done)));
    }

    fn services_changed(&mut self, now: Now) {
        let served = self.services.served.iter().filter(|(_, options)| !options.hidden);
        let services = served.map(|(service, _)| service.clone()).collect();
        self.set_offers(Offers { services, blobs: self.services.blobs.clone() }, now);
    }

    /// Dials a service, or one member after the other that offers it.
    pub(super) fn dial_service(
        &mut self,
        ticket: Ticket,
        target: &Target,
        service: ServiceName,
        now: Now,
    ) {
        self.counters.dials += 1;
        match self.dial_candidates(target, &service) {
            Ok(candidates) => self.dial_next(ticket, service, candidates, None, now),
            Err(error) => self.dial_failed(ticket, error),
        }
    }

    /// Who may be dialled, from the last to the first.
    fn dial_candidates(
        &mut self,
        target: &Target,
        service: &ServiceName,
    ) -> Result<Vec<NodeId>, DialError> {
        match target {
            Target::Node(node) if *node == self.config.name => Ok(vec![self.config.id]),
            Target::Node(node) => match self.memberships.holder(node.as_str()) {
                Some(holder) => Ok(vec![holder]),
                None => {
                    let names = self.holders().map(|(_, _, node)| node.name.as_str());
                    let near = nearest(node.as_str(), names);
                    Err(DialError::UnknownNode { name: node.to_string(), near })
                }
            },
            Target::Tribe(tribe) => self.dial_members(tribe, service),
        }
    }

    fn dial_members(
        &mut self,
        tribe: &TribeName,
        service: &ServiceName,
    ) -> Result<Vec<NodeId>, DialError> {
        let tribes = &self.state.reading().tribes;
        if !tribes.contains_key(tribe) {
            let near = nearest(tribe.as_str(), tribes.keys().map(TribeName::as_str));
            return Err(DialError::UnknownTribe { name: tribe.to_string(), near });
        }
        let members = self.memberships.of_tribe(tribe).map(|(id, _)| id);
        let mut offering: Vec<NodeId> = members
            .filter(|id| self.presence(*id) == MemberState::Alive && self.offers_of(*id, service))
            .collect();
        if offering.is_empty() {
            let (tribe, service) = (tribe.clone(), service.clone());
            return Err(DialError::NoOffer { tribe, service });
        }
        offering.shuffle(&mut self.rng);
        let load = |id: &NodeId| match *id == self.config.id {
            true => self.services.load(service),
            false => self.services.loads.get(&(*id, service.clone())).copied().unwrap_or_default(),
        };
        // The one with the least to do last: it is taken first.
        offering.sort_by_cached_key(|id| std::cmp::Reverse(load(id)));
        Ok(offering)
    }

    fn offers_of(&self, id: NodeId, service: &ServiceName) -> bool {
        if id == self.config.id {
            return self.services.served.get(service).is_some_and(|options| !options.hidden);
        }
        self.state.owner(id).is_some_and(|owner| owner.offers().services.contains(service))
    }

    /// Dials the next candidate; without one the dial has failed, for the last reason.
    fn dial_next(
        &mut self,
        ticket: Ticket,
        service: ServiceName,
        mut others: Vec<NodeId>,
        failed: Option<DialError>,
        now: Now,
    ) {
        let mut last = failed.unwrap_or(DialError::Closed);
        while let Some(id) = others.pop() {
            let owner = self.state.owner(id).and_then(|owner| owner.node());
            let Some(node) = owner.map(|node| node.name.clone()) else { continue };
            if id == self.config.id {
                match self.dial_ourselves(ticket, &service) {
                    Ok(()) => return,
                    Err(refuse) => last = refused(&refuse, node, service.clone()),
                }
                continue;
            }
            let Some(Identity { address, .. }) = self.reachable.get(&id).copied() else {
                last = DialError::Unreachable { node, reason: "it is down".to_owned() };
                continue;
            };
            let stream = self.dial_for_service(address, id, service.clone(), now);
            let dial = Dial { ticket, service, node: (id, node), others };
            self.services.dials.insert(stream, dial);
            return;
        }
        self.dial_failed(ticket, last);
    }

    /// A service of our own is reached without any network.
    fn dial_ourselves(&mut self, ticket: Ticket, service: &ServiceName) -> Result<(), Refuse> {
        self.admit(self.config.id, service)?;
        let stream = self.new_stream();
        self.services.open(stream, service);
        let (name, address) = (self.config.name.clone(), self.config.address);
        let peer = Caller { id: self.config.id, name, address };
        self.outputs.push_back(Output::Connect { stream, ticket, service: service.clone(), peer });
        Ok(())
    }

    fn dial_failed(&mut self, ticket: Ticket, error: DialError) {
        self.counters.dials_failed += 1;
        self.outputs.push_back(Output::DialFailed(ticket, error));
    }

    /// Who we dialled lets us in: from here on the stream is the user's.
    pub(super) fn dialled(&mut self, id: StreamId, hello: Hello, load: u32) {
        let Some(dial) = self.services.dials.remove(&id) else { return };
        self.services.remember(hello.identity.id, dial.service, load);
        let address = hello.identity.address;
        let peer = Caller { id: hello.identity.id, name: hello.name, address };
        let to = Detached::Dialled { ticket: dial.ticket, peer };
        self.outputs.push_back(Output::Detach { stream: id, last: None, to });
    }

    /// A stream was over before it reached the service.
    pub(super) fn dial_ended(
        &mut self,
        id: StreamId,
        refuse: Option<&Refuse>,
        reason: &str,
        now: Now,
    ) {
        let Some(dial) = self.services.dials.remove(&id) else { return };
        let Dial { ticket, service, node: (_, node), others } = dial;
        let error = match refuse {
            Some(refuse) => refused(refuse, node, service.clone()),
            None => DialError::Unreachable { node, reason: reason.to_owned() },
        };
        self.dial_next(ticket, service, others, Some(error), now);
    }

    /// A peer dials a service: the stream is the service's, or why not.
    pub(super) fn accept_dial(
        &mut self,
        id: StreamId,
        caller: Hello,
        service: ServiceName,
    ) -> Result<(), Refuse> {
        self.admit(caller.identity.id, &service)?;
        self.services.open(id, &service);
        let load = self.services.load(&service);
        let last = Some(codec::encode(&Frame::Dialled { load }));
        let Hello { name, identity: Identity { id: node, address, .. }, .. } = caller;
        let to = Detached::Accepted { service, caller: Caller { id: node, name, address } };
        self.outputs.push_back(Output::Detach { stream: id, last, to });
        Ok(())
    }

    fn admit(&mut self, caller: NodeId, service: &ServiceName) -> Result<(), Refuse> {
        let Some(options) = self.services.served.get(service) else {
            return Err(Refuse::NoService);
        };
        let known = self.state.owner(caller).is_some_and(|owner| owner.node().is_some());
        let mut of = self.memberships.of_node(caller);
        let tribes = options.tribes.as_ref();
        if !known || !tribes.is_none_or(|tribes| of.any(|tribe| tribes.contains(tribe))) {
            return Err(Refuse::NotAllowed);
        }
        let open = self.services.open.get(service).copied().unwrap_or_default();
        if open >= options.most || self.services.streams.len() >= limits::SERVICE_STREAMS {
            self.counters.service_streams_busy += 1;
            return Err(Refuse::ServiceBusy);
        }
        self.counters.service_streams += 1;
        Ok(())
    }

    /// A stream that was let go of is over.
    pub(super) fn service_stream_closed(&mut self, id: StreamId) {
        self.services.closed(id);
    }
}

fn refused(refuse: &Refuse, node: NodeName, service: ServiceName) -> DialError {
    match refuse {
        Refuse::NoService => DialError::NoService { node, service },
        Refuse::NotAllowed => DialError::NotAllowed { node, service },
        Refuse::ServiceBusy | Refuse::Busy => DialError::Busy { node, service },
        Refuse::NameTaken(_) => {
            let reason = "it takes this node's name for another's".to_owned();
            DialError::Unreachable { node, reason }
        }
        Refuse::EpochBehind { .. } => {
            let reason = "it knows this node by a later start".to_owned();
            DialError::Unreachable { node, reason }
        }
    }
}
