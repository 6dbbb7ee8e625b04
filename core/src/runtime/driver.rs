//! The loop around the engine: sockets, store and clock in, orders out.
//!
//! One task owns the engine. Each turn reads the clock once, takes what has arrived, runs timers that
//! are due, and carries out what the engine asks for. It never waits for a reader of events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc, oneshot, watch},
};

use super::{
    clock::Clock,
    doorway::Crowded,
    services::{Incoming, ServiceStream, Taker},
    store::{Batch, Store, Stored},
    streams::{self, ConnectionError, Detach, Session, StreamNews, StreamOrder},
    unmet::Unmet,
};
use crate::{
    Caller, CommandError, DialError, Event, KeyId, Keyring, MemberState, Obstacle, ServeOptions,
    ServiceName, Target, View,
    engine::{
        Command, Detached, Engine, Now, Output, Quiet, Reply, Resolved, StreamEvent, StreamId,
        Ticket,
    },
    limits,
    metric::{Metric, counters},
};

/// What the handle sends to the loop.
pub(super) enum Request {
    /// Carry this out.
    Command(Command, oneshot::Sender<Result<Reply, CommandError>>),
    /// Serve this; who dials it goes into the queue.
    Serve {
        service: ServiceName,
        options: ServeOptions,
        queue: mpsc::UnboundedSender<Incoming>,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    /// Nobody reads this queue of a service any more.
    Withdraw(ServiceName, mpsc::UnboundedSender<Incoming>),
    /// Dial this.
    Dial {
        target: Target,
        service: ServiceName,
        reply: oneshot::Sender<Result<ServiceStream, DialError>>,
    },
    /// Stop without a good-bye.
    Stop,
}

/// What the handle and the loop share.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) view: ArcSwap<View>,
    /// All metrics, as of at most a second ago.
    pub(super) metrics: ArcSwap<Vec<Metric>>,
    /// Events that readers missed.
    pub(super) missed: AtomicU64,
}

/// The loop.
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    /// Absent in a node that is alone.
    pub(super) udp: Option<UdpSocket>,
    pub(super) session: Session,
    pub(super) keyring: watch::Sender<Keyring>,
    pub(super) news: mpsc::Receiver<StreamNews>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) seeds: Vec<String>,
    pub(super) store: Option<Store>,
    pub(super) stored: mpsc::UnboundedReceiver<Stored>,
    pub(super) board: Arc<Board>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) stopped: watch::Sender<bool>,
    pub(super) desk: Desk,
}

/// What the loop keeps for itself.
#[derive(Default)]
pub(super) struct Desk {
    streams: BTreeMap<StreamId, mpsc::UnboundedSender<StreamOrder>>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<Reply, CommandError>>>,
    dialling: BTreeMap<Ticket, oneshot::Sender<Result<ServiceStream, DialError>>>,
    /// Who dialled each service.
    queues: BTreeMap<ServiceName, mpsc::UnboundedSender<Incoming>>,
    tickets: u64,
    shown: Option<u64>,
    counts: Counts,
    stopping: bool,
    quiet: Quiet<KeyId>,
    unmet: Unmet,
}

counters! {
    /// What the sockets did.
    struct Counts {
        /// Datagrams received.
        received: "tribe_datagrams_received_total",
        /// Datagrams sent.
        sent: "tribe_datagrams_sent_total",
        /// Datagrams the system did not take.
        unsent: "tribe_datagrams_unsent_total",
        /// Streams of peers that proved the key.
        accepted: "tribe_streams_accepted_total",
        /// Connections that did not prove the key, or did not speak the protocol.
        rejected: "tribe_streams_rejected_total",
        /// Connections turned away because too many had not proved the key.
        crowded: "tribe_streams_crowded_total",
        /// Of the connections turned away, those that had too many others of their own address.
        crowded_source: "tribe_streams_crowded_source_total",
        /// Streams closed because more waited in them than may.
        overfull: "tribe_streams_overfull_total",
    }
}

/// Most datagrams taken in one turn before timers run.
const DATAGRAMS_PER_TURN: usize = 256;
/// Counters, and hold-downs that run down, are shown anew this often.
const SHOW_PERIOD: Duration = Duration::from_secs(1);

/// Waits for datagrams; for ever without a socket.
async fn readable(udp: Option<&UdpSocket>) -> std::io::Result<()> {
    match udp {
        Some(udp) => udp.readable().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    /// Runs until the node leaves, stops, or nobody holds it any more.
    pub(super) async fn run(mut self) {
        let (resolved, mut seeds) = mpsc::channel(4);
        let mut buffer = vec![0; limits::DATAGRAM_BYTES + 1];
        let mut show = tokio::time::interval(SHOW_PERIOD);
        show.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.carry_out(&resolved);
        while !self.desk.stopping {
            let deadline = self.clock.deadline(self.engine.poll_timeout());
            tokio::select! {
                ready = readable(self.udp.as_ref()) => {
                    if let Err(error) = ready {
                        tracing::warn!(%error, "cannot wait for datagrams");
                    }
                }
                Some(news) = self.news.recv() => self.take_news(news),
                request = self.requests.recv() => self.take_request(request),
                Some(stored) = self.stored.recv() => self.take_stored(stored),
                Some(addresses) = seeds.recv() => {
                    let now = self.clock.now();
                    self.engine.handle_seeds(addresses, now);
                }
                _ = show.tick() => {
                    self.desk.shown = None;
                    let now = self.clock.now();
                    self.desk.quiet.forget(now.mono);
                    self.miss_seeds(now);
                }
                () = tokio::time::sleep_until(deadline) => {}
            }
            let now = self.clock.now();
            // Before any timer: an answer that waits in the socket is not a missing answer.
            self.take_datagrams(&mut buffer, now);
            if self.engine.poll_timeout() <= now.mono {
                self.engine.handle_timeout(now);
            }
            self.carry_out(&resolved);
        }
        self.close().await;
    }

    fn take_datagrams(&mut self, buffer: &mut [u8], now: Now) {
        let Some(udp) = &self.udp else { return };
        for _ in 0..DATAGRAMS_PER_TURN {
            match udp.try_recv_from(buffer) {
                Ok((length, from)) => {
                    self.desk.counts.received += 1;
                    if let Some(bytes) = buffer.get(..length) {
                        self.engine.handle_datagram(from, bytes, now);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // On Linux, the echo of a datagram we sent to a closed port.
                Err(_) => {}
            }
        }
    }

    fn take_news(&mut self, news: StreamNews) {
        let now = self.clock.now();
        match news {
            StreamNews::Accepted(accepted) => {
                self.desk.counts.accepted += 1;
                self.desk.streams.insert(accepted.stream, accepted.orders);
                let event = StreamEvent::Accepted(accepted.stream, accepted.from, accepted.agreed);
                self.engine.handle_stream(event, now);
            }
            StreamNews::Event(event) => {
                if let StreamEvent::Closed(stream, _) = &event {
                    self.desk.streams.remove(stream);
                }
                self.engine.handle_stream(event, now);
            }
            StreamNews::Rejected(from, error) => {
                self.desk.counts.rejected += 1;
                match self.may_name_other_key(&error, now).unwrap_or(false) {
                    true => tracing::warn!(%from, "refused a stream: {error}"),
                    false => tracing::debug!(%from, "refused a stream: {error}"),
                }
            }
            StreamNews::Unopened(stream, to, error) => {
                let is_strange = matches!(error, ConnectionError::Noise(_));
                match self.may_name_other_key(&error, now).unwrap_or(is_strange) {
                    true => tracing::warn!(%to, "cannot open a stream: {error}"),
                    false => tracing::debug!(%to, "cannot open a stream: {error}"),
                }
                if let Some(theirs) = error.other_key() {
                    self.engine.handle_stream(StreamEvent::OtherKey(stream, theirs), now);
                }
                let closed = StreamEvent::Closed(stream, error.to_string());
                self.take_news(StreamNews::Event(closed));
            }
            StreamNews::Crowded(cause) => {
                self.desk.counts.crowded += 1;
                self.desk.counts.crowded_source += u64::from(cause == Crowded::Source);
            }
            StreamNews::Overfull => self.desk.counts.overfull += 1,
        }
    }

    /// If the peer has another key: may that be named in the log now?
    fn may_name_other_key(&mut self, error: &ConnectionError, now: Now) -> Option<bool> {
        error.other_key().map(|theirs| self.desk.quiet.may_name(theirs, now.mono))
    }

    fn take_request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Command(command, reply)) => {
                let ticket = self.command(command);
                self.desk.waiting.insert(ticket, reply);
            }
            Some(Request::Serve { service, options, queue, reply }) => {
                // One that was dropped a moment ago is withdrawn before the next of its name.
                if self.desk.queues.get(&service).is_some_and(mpsc::UnboundedSender::is_closed) {
                    self.withdraw(&service);
                }
                self.desk.queues.entry(service.clone()).or_insert(queue);
                let ticket = self.command(Command::Serve { service, options });
                self.desk.waiting.insert(ticket, reply);
            }
            Some(Request::Withdraw(service, queue)) => {
                if self.desk.queues.get(&service).is_some_and(|of| of.same_channel(&queue)) {
                    self.withdraw(&service);
                }
            }
            Some(Request::Dial { target, service, reply }) => {
                let ticket = self.command(Command::Dial { target, service });
                self.desk.dialling.insert(ticket, reply);
            }
            Some(Request::Stop) | None => self.desk.stopping = true,
        }
    }

    /// Has the engine carry out a command; what comes of it is not yet taken from it.
    fn command(&mut self, command: Command) -> Ticket {
        self.desk.tickets += 1;
        let ticket = Ticket(self.desk.tickets);
        let now = self.clock.now();
        self.engine.handle_command(ticket, command, now);
        ticket
    }

    fn withdraw(&mut self, service: &ServiceName) {
        self.desk.queues.remove(service);
        self.command(Command::Unserve { service: service.clone() });
    }

    fn take_stored(&mut self, stored: Stored) {
        match stored {
            Stored::Upto(upto) => {
                let now = self.clock.now();
                self.engine.handle_persisted(upto, now);
            }
            Stored::Failed(reason) => {
                tracing::error!(reason, "cannot write to the data directory");
                let now = self.clock.now();
                self.engine.handle_store_failed(&reason, now);
            }
        }
    }

    /// Carries out all that the engine asks for. Readers are told after the view shows the change.
    fn carry_out(&mut self, resolved: &mpsc::Sender<Resolved>) {
        let (mut replies, mut events) = (Vec::new(), Vec::new());
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { to, bytes } => self.send(to, &bytes),
                Output::Dial { stream, to, key, seed, detachable } => {
                    let session = self.session.clone();
                    let orders = streams::dial(stream, to, key, seed, detachable, session);
                    self.desk.streams.insert(stream, orders);
                }
                Output::Message { stream, bytes } => {
                    self.order(stream, StreamOrder::Message(bytes))
                }
                Output::Close { stream } => {
                    self.order(stream, StreamOrder::Close);
                    self.desk.streams.remove(&stream);
                }
                Output::Detach { stream, last, to } => self.detach(stream, last, to),
                Output::Connect { stream, ticket, service, peer } => {
                    self.connect(stream, ticket, &service, &peer);
                }
                Output::DialFailed(ticket, error) => self.dial_failed(ticket, error),
                Output::Persist { upto, urgent, writes } => {
                    self.persist(Batch { upto, urgent, writes });
                }
                Output::Keys(keyring) => {
                    self.keyring.send_replace(keyring);
                }
                Output::Reply(ticket, result) => replies.push((ticket, result)),
                Output::Event(event) => events.push(event),
                Output::Resolve => self.resolve(resolved.clone()),
                Output::Stopped => self.desk.stopping = true,
            }
        }
        self.show();
        for event in events {
            // Without subscribers there is nobody to tell.
            let _ = self.events.send(event);
        }
        for (ticket, result) in replies {
            if let Some(reply) = self.desk.waiting.remove(&ticket) {
                // Who asked may have given up.
                let _ = reply.send(result);
            } else if result.is_err() {
                // A node that leaves dials nobody.
                self.dial_failed(ticket, DialError::Closed);
            }
        }
    }

    fn dial_failed(&mut self, ticket: Ticket, error: DialError) {
        if let Some(reply) = self.desk.dialling.remove(&ticket) {
            // Who asked may have given up.
            let _ = reply.send(Err(error));
        }
    }

    /// A stream becomes a user's. If nobody waits for it, it closes as its orders end.
    fn detach(&mut self, stream: StreamId, last: Option<Vec<u8>>, to: Detached) {
        let Some(orders) = self.desk.streams.remove(&stream) else { return };
        let (taker, peer) = match to {
            Detached::Accepted { service, caller } => {
                (self.desk.queues.get(&service).cloned().map(Taker::Service), caller)
            }
            Detached::Dialled { ticket, peer } => {
                (self.desk.dialling.remove(&ticket).map(Taker::Dialler), peer)
            }
        };
        if let Some(taker) = taker {
            // A stream that is over says so itself.
            let _ = orders.send(StreamOrder::Detach(Box::new(Detach { last, peer, taker })));
        }
    }

    /// A stream within this node.
    fn connect(&mut self, stream: StreamId, ticket: Ticket, service: &ServiceName, peer: &Caller) {
        let (theirs, ours, over) = ServiceStream::pair(peer);
        if let Some(queue) = self.desk.queues.get(service).cloned() {
            // A service that was dropped a moment ago drops it, which the dialler sees.
            Taker::Service(queue).give(theirs);
        }
        if let Some(reply) = self.desk.dialling.remove(&ticket) {
            Taker::Dialler(reply).give(ours);
        }
        let news = self.session.news.clone();
        tokio::spawn(async move {
            // It ends by being dropped.
            let _ = over.await;
            let closed = StreamEvent::Closed(stream, "over".to_owned());
            let _ = news.send(StreamNews::Event(closed)).await;
        });
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        match self.udp.as_ref().map(|udp| udp.try_send_to(bytes, to)) {
            Some(Ok(_)) => self.desk.counts.sent += 1,
            // Datagrams may be lost; the failure detector and digest sync expect it.
            Some(Err(_)) | None => self.desk.counts.unsent += 1,
        }
    }

    fn order(&mut self, stream: StreamId, order: StreamOrder) {
        if let Some(orders) = self.desk.streams.get(&stream) {
            // A stream that is over says so itself.
            let _ = orders.send(order);
        }
    }

    fn persist(&mut self, batch: Batch) {
        match &self.store {
            Some(store) => store.write(batch),
            // An ephemeral node keeps nothing, so nothing has to wait.
            None => {
                let now = self.clock.now();
                self.engine.handle_persisted(batch.upto, now);
            }
        }
    }

    fn resolve(&self, resolved: mpsc::Sender<Resolved>) {
        let seeds = self.seeds.clone();
        tokio::spawn(async move {
            let mut all = Resolved::default();
            for seed in seeds {
                match tokio::net::lookup_host(&seed).await {
                    Ok(found) => all.addresses.extend(found),
                    Err(error) => {
                        all.unresolved += 1;
                        tracing::warn!(seed, %error, "cannot resolve a seed");
                    }
                }
            }
            // The loop may have ended meanwhile.
            let _ = resolved.send(all).await;
        });
    }

    /// Says that no seed has answered, if there are any and it is time.
    fn miss_seeds(&mut self, now: Now) {
        let view = self.board.view.load();
        let alive = view.members.values().filter(|member| member.state == MemberState::Alive);
        // This node is one of them.
        let met = self.seeds.is_empty() || view.synced || alive.count() > 1;
        // A seed that refuses the name of this node has answered, and the log says so.
        let met = met || matches!(view.obstacle, Some(Obstacle::NameTaken { .. }));
        if self.desk.unmet.is_due(met, now.mono) {
            let seeds = self.seeds.join(", ");
            tracing::warn!(
                seeds,
                "no seed has answered yet: is a node up there, with the key and the cluster name of this \
                 one, and do UDP and TCP reach it?"
            );
        }
    }

    fn show(&mut self) {
        if self.desk.shown == Some(self.engine.rev()) {
            return;
        }
        let counted = self.desk.shown.is_none();
        self.desk.shown = Some(self.engine.rev());
        self.board.view.store(Arc::new(self.engine.view(self.clock.now())));
        if counted {
            self.board.metrics.store(Arc::new(self.metrics()));
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let missed = Metric::counter(
            "tribe_events_missed_total",
            "Events that readers of this node were too slow for.",
            self.board.missed.load(Ordering::Relaxed),
        );
        self.desk.counts.metrics().chain([missed]).chain(self.engine.metrics()).collect()
    }

    /// Nobody may hold a lock of the store, or wait for an answer, once the node is said to be stopped.
    async fn close(mut self) {
        for (_, reply) in std::mem::take(&mut self.desk.waiting) {
            let _ = reply.send(Err(CommandError::Closed));
        }
        if let Some(store) = self.store.take() {
            let closed = tokio::task::spawn_blocking(move || store.close()).await;
            if let Err(error) = closed {
                tracing::warn!(%error, "the store did not close");
            }
        }
        self.stopped.send_replace(true);
    }
}
