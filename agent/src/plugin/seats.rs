//! Who is served by which instance of a plugin: the arithmetic of a pool, without processes.
//!
//! Tasks enter and leave; each call is given an instance. Where calls of one task, or of one
//! configuration, must always meet the same instance, they are pinned to it until the last task that
//! made such calls has left.
//!
//! Invariant: there is never more than [`Seats::most`] instances, and no pin to one that is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::traits::{Routing, Traits};

/// A session of a task. Unique while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionId(pub(super) u64);

/// An instance of one plugin. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u64);

/// What calls are pinned by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pin {
    Session(SessionId),
    Config(Vec<u8>),
}

#[derive(Debug)]
struct Pinned {
    instance: Number,
    by: BTreeSet<SessionId>,
}

/// Which instance is to serve a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Seat {
    /// This one.
    Use(Number),
    /// A new one, which is to be added; then ask again.
    Start,
    /// None: all are pinned by others, and there are as many as there may be.
    Full,
}

/// The seats of one plugin.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    concurrency: usize,
    routing: Routing,
    sessions: BTreeSet<SessionId>,
    pins: BTreeMap<Pin, Pinned>,
    /// All instances, and when each was used last.
    used: BTreeMap<Number, u64>,
    /// Counts uses.
    clock: u64,
    next: u64,
}

impl Seats {
    /// Seats for a plugin of which at most so many instances may run.
    pub(super) fn new(traits: &Traits, most: usize) -> Self {
        let concurrency = match traits.routing {
            Routing::Sticky => 1,
            Routing::LeastRecentlyUsed | Routing::ByConfig => traits.concurrency.max(1),
        };
        Self {
            most: if traits.exclusive { 1 } else { most.max(1) },
            concurrency,
            routing: traits.routing,
            sessions: BTreeSet::new(),
            pins: BTreeMap::new(),
            used: BTreeMap::new(),
            clock: 0,
            next: 1,
        }
    }

    /// How many may run.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Adds an instance.
    pub(super) fn add(&mut self) -> Number {
        let number = Number(self.next);
        self.next += 1;
        self.used.insert(number, 0);
        number
    }

    /// Removes an instance, and what was pinned to it.
    pub(super) fn remove(&mut self, number: Number) {
        self.used.remove(&number);
        self.pins.retain(|_, pinned| pinned.instance != number);
    }

    /// A task begins to use the plugin.
    pub(super) fn enter(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    /// A task does not use the plugin any more.
    pub(super) fn leave(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.pins.retain(|_, pinned| {
            pinned.by.remove(&session);
            !pinned.by.is_empty()
        });
    }

    /// How many more instances the tasks need.
    pub(super) fn missing(&self) -> usize {
        self.wanted().saturating_sub(self.used.len())
    }

    /// An instance that is not needed any more. One always is.
    pub(super) fn surplus(&self) -> Option<Number> {
        if self.used.len() <= self.wanted() {
            return None;
        }
        self.used.keys().rev().copied().find(|number| !self.is_pinned(*number))
    }

    fn wanted(&self) -> usize {
        let wanted = match self.routing {
            Routing::LeastRecentlyUsed => self.sessions.len().div_ceil(self.concurrency),
            // These are started when the first call comes.
            Routing::Sticky | Routing::ByConfig => self.pins.len(),
        };
        wanted.clamp(1, self.most)
    }

    /// The instance for a call of this task with this configuration; better one that is ready.
    pub(super) fn pick(
        &mut self,
        session: SessionId,
        config: impl FnOnce() -> Vec<u8>,
        ready: impl Fn(Number) -> bool,
    ) -> Seat {
        let pin = match self.routing {
            Routing::LeastRecentlyUsed => None,
            Routing::Sticky => Some(Pin::Session(session)),
            Routing::ByConfig => Some(Pin::Config(config())),
        };
        let Some(pin) = pin else { return self.free(ready, |_| true) };
        if let Some(pinned) = self.pins.get_mut(&pin) {
            pinned.by.insert(session);
            return Seat::Use(pinned.instance);
        }
        let taken: BTreeSet<_> = self.pins.values().map(|pinned| pinned.instance).collect();
        let seat = self.free(ready, |number| !taken.contains(&number));
        if let Seat::Use(instance) = seat {
            self.pins.insert(pin, Pinned { instance, by: BTreeSet::from([session]) });
        }
        seat
    }

    /// The instance that was used longest ago among these, of those that are ready if any is.
    fn free(&mut self, ready: impl Fn(Number) -> bool, may: impl Fn(Number) -> bool) -> Seat {
        let free = self.used.iter().filter(|(number, _)| may(**number));
        let best = free.min_by_key(|(number, used)| (!ready(**number), **used));
        let Some(number) = best.map(|(number, _)| *number) else {
            return if self.used.len() < self.most { Seat::Start } else { Seat::Full };
        };
        self.clock += 1;
        self.used.insert(number, self.clock);
        Seat::Use(number)
    }

    fn is_pinned(&self, number: Number) -> bool {
        self.pins.values().any(|pinned| pinned.instance == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(concurrency: usize, exclusive: bool, routing: Routing) -> Seats {
        let traits = Traits { concurrency, exclusive, routing, ..Traits::default() };
        let mut seats = Seats::new(&traits, 3);
        seats.add();
        seats
    }

    /// Enters so many tasks, starts what is missing, and gives the number of instances.
    fn instances(seats: &mut Seats, tasks: u64) -> usize {
        for task in 0..tasks {
            seats.enter(SessionId(task));
            for _ in 0..seats.missing() {
                seats.add();
            }
        }
        seats.used.len()
    }

    fn call(seats: &mut Seats, session: u64, config: &str) -> Option<u64> {
        loop {
            match seats.pick(SessionId(session), || config.into(), |_| true) {
                Seat::Use(number) => return Some(number.0),
                Seat::Start => drop(seats.add()),
                Seat::Full => return None,
            }
        }
    }

    #[test]
    fn more_tasks_than_one_instance_serves_start_another_up_to_the_most() {
        let check = |concurrency, exclusive, tasks, expected| {
            let mut seats = seats(concurrency, exclusive, Routing::LeastRecentlyUsed);
            assert_eq!(instances(&mut seats, tasks), expected, "{concurrency} {tasks}");
        };
        check(2, false, 0, 1);
        check(2, false, 2, 1);
        check(2, false, 3, 2);
        check(2, false, 5, 3);
        check(2, false, 9, 3);
        check(2, true, 9, 1);
        check(200, false, 200, 1);
    }

    #[test]
    fn tasks_that_leave_take_what_was_started_for_them_but_the_last() {
        let mut seats = seats(1, false, Routing::LeastRecentlyUsed);
        assert_eq!(instances(&mut seats, 3), 3);
        for (task, left) in [(0, 2), (1, 1), (2, 1)] {
            seats.leave(SessionId(task));
            while let Some(number) = seats.surplus() {
                seats.remove(number);
            }
            assert_eq!(seats.used.len(), left);
        }
    }

    #[test]
    fn calls_go_to_the_instance_that_was_used_longest_ago() {
        let mut seats = seats(1, false, Routing::LeastRecentlyUsed);
        instances(&mut seats, 3);
        let found: Vec<_> = (0..6).filter_map(|_| call(&mut seats, 0, "")).collect();
        assert_eq!(found, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn an_instance_that_is_not_ready_is_passed_over() {
        let mut seats = seats(1, false, Routing::LeastRecentlyUsed);
        instances(&mut seats, 2);
        for _ in 0..3 {
            let seat = seats.pick(SessionId(0), Vec::new, |number| number == Number(2));
            assert_eq!(seat, Seat::Use(Number(2)));
        }
        assert_eq!(seats.pick(SessionId(0), Vec::new, |_| false), Seat::Use(Number(1)));
    }

    #[test]
    fn a_sticky_instance_belongs_to_one_task() {
        let mut seats = seats(5, false, Routing::Sticky);
        for session in 0..3 {
            seats.enter(SessionId(session));
        }
        let calls = [0, 1, 0, 2, 1].map(|session| call(&mut seats, session, "").unwrap());
        assert_eq!(calls, [1, 2, 1, 3, 2]);
        assert_eq!(call(&mut seats, 3, ""), None);
        seats.leave(SessionId(1));
        assert_eq!(call(&mut seats, 3, ""), Some(2));
    }

    #[test]
    fn an_exclusive_sticky_plugin_serves_one_task() {
        let mut seats = seats(1, true, Routing::Sticky);
        assert_eq!(call(&mut seats, 0, ""), Some(1));
        assert_eq!(call(&mut seats, 1, ""), None);
    }

    #[test]
    fn an_instance_belongs_to_one_configuration_as_long_as_a_task_has_it() {
        let mut seats = seats(5, false, Routing::ByConfig);
        let calls = [(0, "a"), (1, "b"), (2, "a"), (0, "c"), (1, "a")];
        let calls = calls.map(|(session, config)| call(&mut seats, session, config).unwrap());
        assert_eq!(calls, [1, 2, 1, 3, 1]);
        assert_eq!(call(&mut seats, 3, "d"), None);
        seats.leave(SessionId(0));
        // Only `c` was that task's alone.
        assert_eq!(seats.surplus(), Some(Number(3)));
        assert_eq!(call(&mut seats, 3, "d"), Some(3));
        assert_eq!(call(&mut seats, 3, "a"), Some(1));
    }

    #[test]
    fn what_is_pinned_to_an_instance_that_is_gone_finds_another() {
        let mut seats = seats(1, false, Routing::Sticky);
        assert_eq!(call(&mut seats, 0, ""), Some(1));
        seats.remove(Number(1));
        assert_eq!(call(&mut seats, 0, ""), Some(2));
    }
}
