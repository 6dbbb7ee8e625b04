//! A cluster that stands already, for simulations of so many nodes that they cannot first meet.

use std::time::Duration;

use imbl::{OrdMap, OrdSet};

use super::{Engine, Now, persist::Store};
use crate::{
    NodeId,
    membership::Memberships,
    state::{Applied, State, What},
    wire::peer::Identity,
};

/// What each node of a cluster knows. Nodes that are given the same keep it once, and copy of it
/// only what changes.
#[derive(Debug)]
pub struct Standing {
    state: State,
    memberships: Memberships,
    members: OrdMap<NodeId, Identity>,
    ids: OrdSet<NodeId>,
}

impl Standing {
    /// Of these nodes, of which each has only just started.
    #[must_use]
    pub fn of<'a>(engines: impl IntoIterator<Item = &'a Engine>, now: Now) -> Self {
        let (mut state, mut memberships) = (State::new(), Memberships::default());
        let (mut members, mut ids) = (OrdMap::new(), OrdSet::new());
        for engine in engines {
            ids.insert(engine.id());
            members.insert(engine.id(), engine.swim.identity());
            for record in engine.state.records() {
                let Applied::Fresh(changes) = state.apply(record, now.wall_ms) else { continue };
                for change in changes {
                    if let What::Node(id) = change.what {
                        // There are no tribes yet that a node could come into.
                        let _ = memberships.update_name(&state, id);
                    }
                }
            }
        }
        Self { state, memberships, members, ids }
    }
}

impl Engine {
    /// From now on this node, which has only just started, is one of a cluster that stands. Its failure
    /// detector begins that much later.
    pub fn stand(&mut self, standing: &Standing, later: Duration, now: Now) {
        let me = self.config.id;
        self.state = standing.state.clone();
        self.memberships = standing.memberships.clone();
        self.reachable = standing.members.without(&me);
        self.announced = standing.ids.without(&me);
        self.swim.stand(self.reachable.values().copied(), now.mono + later);
        self.set_synced(now);
        // The others have heard of it.
        self.store = Store::default();
        self.outputs.clear();
        self.rev += 1;
    }
}
