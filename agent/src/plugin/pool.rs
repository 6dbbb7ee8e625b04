//! The instances of one plugin: as many as its tasks need, one at least.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::info;

use super::{
    instance::{Busy, Health, Instance},
    launch::Launch,
    seats::{Number, Seat, Seats, SessionId},
    start::{Program, Started},
    traits::Traits,
};

/// The instances of one plugin.
#[derive(Debug)]
pub(super) struct Pool {
    program: Arc<Program>,
    launch: Arc<Launch>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seats: Seats,
    instances: BTreeMap<Number, Instance>,
    /// No instance is started any more.
    closed: bool,
}

/// Why a call got no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// All are taken, and there are so many.
    Full(usize),
    /// The plugin is unloaded.
    Closed,
}

impl Pool {
    /// A pool that begins with an instance that was started.
    pub(super) fn new(
        started: Started,
        traits: &Traits,
        program: Arc<Program>,
        launch: Arc<Launch>,
    ) -> Self {
        let mut seats = Seats::new(traits, launch.max_running);
        let first = Instance::keep(started, Arc::clone(&program), Arc::clone(&launch));
        let instances = BTreeMap::from([(seats.add(), first)]);
        let state = Mutex::new(State { seats, instances, closed: false });
        Self { program, launch, state }
    }

    /// A task begins to use the plugin: what it needs is started.
    pub(super) fn enter(&self, session: SessionId) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.seats.enter(session);
        for _ in 0..state.seats.missing() {
            self.start(&mut state);
        }
    }

    /// A task does not use the plugin any more: what only it needed ends, after its calls.
    pub(super) fn leave(&self, session: SessionId) {
        let mut state = self.lock();
        state.seats.leave(session);
        self.shrink(&mut state);
    }

    /// The instance for a call.
    pub(super) fn take(
        &self,
        session: SessionId,
        config: impl Fn() -> Vec<u8>,
    ) -> Result<(Number, Busy), NoSeat> {
        let mut guard = self.lock();
        let state = &mut *guard;
        loop {
            if state.closed {
                return Err(NoSeat::Closed);
            }
            let State { seats, instances, .. } = state;
            let ready = |number| instances.get(&number).is_some_and(Instance::is_running);
            match seats.pick(session, &config, ready) {
                Seat::Use(number) => match instances.get(&number).and_then(Instance::enter) {
                    Some(busy) => return Ok((number, busy)),
                    // It ends: forget it.
                    None => drop(self.remove(state, number)),
                },
                Seat::Start => self.start(state),
                Seat::Full => return Err(NoSeat::Full(seats.most())),
            }
        }
    }

    /// Replaces an instance that must not be used again.
    pub(super) fn renew(&self, number: Number) {
        let mut state = self.lock();
        drop(self.remove(&mut state, number));
        if !state.closed && state.instances.is_empty() {
            self.start(&mut state);
        }
    }

    /// How the first instance is; the restarts are those of all.
    pub(super) fn health(&self) -> Health {
        let state = self.lock();
        let all: Vec<_> = state.instances.values().map(Instance::health).collect();
        let restarts = all.iter().map(|health| health.restarts).sum();
        let failure = all.iter().find_map(|health| health.failure.clone());
        let running = all.into_iter().find_map(|health| health.running);
        Health { running, restarts, failure }
    }

    /// The numbers of all processes.
    #[cfg(test)]
    pub(super) fn pids(&self) -> Vec<i32> {
        self.lock().instances.values().filter_map(|instance| instance.health().pid()).collect()
    }

    /// Is the plugin unloaded?
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends all instances at once, and comes back when they have ended.
    pub(super) async fn stop(&self) {
        let instances = self.close();
        futures_util::future::join_all(instances.values().map(Instance::stop)).await;
    }

    /// Ends all instances, each after its calls.
    pub(super) fn retire(&self) {
        drop(self.close());
    }

    fn close(&self) -> BTreeMap<Number, Instance> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.instances)
    }

    fn start(&self, state: &mut State) {
        let number = state.seats.add();
        let instance = Instance::start(Arc::clone(&self.program), Arc::clone(&self.launch));
        state.instances.insert(number, instance);
        let running = state.instances.len();
        info!(plugin = %self.program.identity, running, "another instance is started");
    }

    fn shrink(&self, state: &mut State) {
        while let Some(number) = state.seats.surplus() {
            drop(self.remove(state, number));
            let running = state.instances.len();
            info!(plugin = %self.program.identity, running, "an instance is not needed any more");
        }
    }

    fn remove(&self, state: &mut State, number: Number) -> Option<Instance> {
        state.seats.remove(number);
        state.instances.remove(&number)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
