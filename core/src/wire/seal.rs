//! Sealed datagrams between peers who know each other's session.
//!
//! A datagram is sealed to the session of its receiver, so it is worthless anywhere else and
//! after a restart. Sessions are learned by asking: a *challenge* carries a random token, and its
//! *response*, sealed to the asker's session, brings the token back; the sender of the response
//! is who it says and is there now. A challenge teaches nothing, since it may be a replay, but
//! whoever gets one from a session it does not know asks back.
//!
//! ```text
//! A: send(B)  ──challenge a──▶ B      A holds the datagram
//!             ◀──response a────       B answers,
//!             ◀──challenge b───       and does not know A either
//!             ───data─────────▶       B holds it until A has answered
//!             ───response b───▶       B knows A
//! ```
//!
//! It must not know what it carries. Invariants: a counter is used once, so a nonce is; a datagram
//! is delivered once; a session counts only after a response, or a stream, has proved it.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    datagram::{self, Header, Kind},
    recent::Recent,
    window::Window,
};
use crate::{ClusterName, KeyId, Keyring, limits, metric::counters};

pub(crate) use super::datagram::{OVERHEAD_BYTES, OpenError, SessionId};

#[cfg(test)]
mod tests;

/// Bytes of a token.
const TOKEN_BYTES: usize = 16;
/// Strangers may come in bursts of what is allowed in this many seconds.
const BURST_SECONDS: u64 = 5;

/// What became of a datagram to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Sent {
    /// It is sealed and ready to go.
    Sealed,
    /// The peer's session is unknown: it waits until the peer has answered.
    Held,
    /// It is too large and was dropped. Our own mistake.
    TooLarge,
}

counters! {
    /// How often what happened.
    pub(crate) struct Counters {
        /// Datagrams with content sealed.
        sealed: "tribe_datagrams_sealed_total",
        /// Datagrams with content opened and delivered.
        delivered: "tribe_datagrams_delivered_total",
        /// Challenges sent.
        challenges: "tribe_challenges_sent_total",
        /// Challenges not sent because too many strangers wrote.
        challenges_spared: "tribe_challenges_spared_total",
        /// Challenges answered.
        responses: "tribe_responses_sent_total",
        /// Datagrams held for a peer or of a peer and then dropped.
        held_dropped: "tribe_datagrams_held_dropped_total",
        /// Sessions of peers forgotten because there were too many.
        sessions_forgotten: "tribe_sessions_forgotten_total",
        /// Datagrams too large to send.
        too_large: "tribe_datagrams_too_large_total",
        /// Datagrams dropped because they were shorter than their header.
        too_short: "tribe_datagrams_dropped_too_short_total",
        /// Datagrams dropped because they were longer than any may be.
        too_long: "tribe_datagrams_dropped_too_long_total",
        /// Datagrams dropped because of a version this build does not know.
        unknown_version: "tribe_datagrams_dropped_unknown_version_total",
        /// Datagrams dropped because of a kind this build does not know.
        unknown_kind: "tribe_datagrams_dropped_unknown_kind_total",
        /// Datagrams dropped because they were sealed with a key this node does not have.
        unknown_key: "tribe_datagrams_dropped_unknown_key_total",
        /// Datagrams dropped because they were changed on the way, or are of another cluster.
        unauthentic: "tribe_datagrams_dropped_unauthentic_total",
        /// Datagrams dropped because they were seen before, or are too old to tell.
        replayed: "tribe_datagrams_dropped_replayed_total",
        /// Datagrams dropped because their session was not proved, or is over.
        unknown_session: "tribe_datagrams_dropped_unknown_session_total",
        /// Datagrams dropped because this node sent them itself.
        reflected: "tribe_datagrams_dropped_reflected_total",
        /// Datagrams dropped because they answer a challenge that was not sent.
        unexpected_response: "tribe_datagrams_dropped_unexpected_response_total",
        /// Challenges dropped because too many strangers sent some.
        busy: "tribe_datagrams_dropped_busy_total",
        /// Datagrams dropped because what they hold is not of their kind.
        malformed: "tribe_datagrams_dropped_malformed_total",
    }
}

impl Counters {
    fn count(&mut self, error: &OpenError) {
        *match error {
            OpenError::TooShort(_) => &mut self.too_short,
            OpenError::TooLong(_) => &mut self.too_long,
            OpenError::UnknownVersion(_) => &mut self.unknown_version,
            OpenError::UnknownKind(_) => &mut self.unknown_kind,
            OpenError::UnknownKey { .. } => &mut self.unknown_key,
            OpenError::Unauthentic => &mut self.unauthentic,
            OpenError::Replayed => &mut self.replayed,
            OpenError::UnknownSession => &mut self.unknown_session,
            OpenError::Reflected => &mut self.reflected,
            OpenError::UnexpectedResponse => &mut self.unexpected_response,
            OpenError::Busy => &mut self.busy,
            OpenError::Malformed => &mut self.malformed,
        } += 1;
    }
}

/// Seals datagrams to peers and opens theirs.
pub(crate) struct Sealer {
    keyring: Keyring,
    cluster: ClusterName,
    rng: StdRng,
    own: SessionId,
    /// Our session before the last renewal: what is sealed to it still opens.
    previous: Option<SessionId>,
    // INVARIANT: the last counter used under `own`; it only grows.
    counter: u64,
    /// The session each peer has proved.
    peers: Recent<SocketAddr, SessionId>,
    /// What was seen of each session, whatever address it came from.
    windows: Recent<SessionId, Window>,
    /// A window of our present session was given up for lack of room. From then on what a
    /// stranger sent before it proved its session cannot be told from a replay.
    forgot: bool,
    /// How many peers are remembered.
    sessions: usize,
    /// Peers who were challenged and have not answered.
    asked: Recent<SocketAddr, Asked>,
    /// The key each peer was last heard with, since the key that seals changed: it opens what is sealed
    /// with that.
    heard: Recent<SocketAddr, KeyId>,
    challenges: Allowance,
    responses: Allowance,
    counters: Counters,
}

impl Sealer {
    /// A sealer with a session of its own. The seed must be random and never used before: only
    /// a simulation may choose it.
    pub(crate) fn new(keyring: Keyring, cluster: ClusterName, seed: [u8; 32]) -> Self {
        Self::with_room(keyring, cluster, seed, limits::SESSIONS)
    }

    fn with_room(keyring: Keyring, cluster: ClusterName, seed: [u8; 32], sessions: usize) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            keyring,
            cluster,
            own: SessionId(random(&mut rng)),
            rng,
            previous: None,
            counter: 0,
            peers: Recent::new(sessions),
            windows: Recent::new(2 * sessions),
            forgot: false,
            sessions,
            asked: Recent::new(limits::STRANGERS),
            heard: Recent::new(sessions),
            challenges: Allowance::new(limits::CHALLENGES_PER_SECOND),
            responses: Allowance::new(limits::RESPONSES_PER_SECOND),
            counters: Counters::default(),
        }
    }

    /// Our session, to be told to peers over a stream.
    pub(crate) fn session(&self) -> SessionId {
        self.own
    }

    /// How many peers have proved their session.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// How often what happened.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Uses other keys from now on.
    pub(crate) fn set_keyring(&mut self, keyring: Keyring) {
        if self.keyring.sealing_id() != keyring.sealing_id() {
            self.heard = Recent::new(self.sessions);
        }
        self.keyring = keyring;
    }

    /// A peer spoke with this key, or is known to hold it and not the one that seals.
    pub(crate) fn hear(&mut self, peer: SocketAddr, key: KeyId) {
        if self.heard.peek(&peer) != Some(&key) {
            self.heard.insert(peer, key);
        }
    }

    /// The key that seals toward a peer: the first one, unless the peer is known to speak with another.
    pub(crate) fn key_toward(&self, peer: &SocketAddr) -> KeyId {
        let heard = self.heard.peek(peer).copied().filter(|key| self.keyring.opens(*key));
        heard.unwrap_or_else(|| self.keyring.sealing_id())
    }

    /// Begins a new session, as is done now and then. What is still sealed to the old one opens
    /// until the next renewal, and tells its sender of the new one. After a fork, a gap in the
    /// clock or a copied machine make a new sealer instead. The seed must be random and unused.
    pub(crate) fn renew(&mut self, seed: [u8; 32]) {
        self.rng = StdRng::from_seed(seed);
        let previous = std::mem::replace(&mut self.own, SessionId(random(&mut self.rng)));
        // What was forgotten could be replayed to a session that is still open.
        self.previous = (!self.forgot).then_some(previous);
        self.forgot = false;
        self.counter = 0;
        // Of these nothing was taken in a session that is still open, so nothing can be replayed;
        // and who is written to again is asked anew.
        let (_windows, _peers) = (self.windows.age(), self.peers.age());
        // Who did not answer for so long is asked anew on need, and what waited for the answer is late.
        let late = self.asked.age().iter().map(Asked::held).sum::<usize>();
        self.counters.held_dropped += late as u64;
        // That someone has another key is remembered; the others are heard again when they speak.
        let (peers, ring) = (&self.peers, &self.keyring);
        self.heard.retain(|peer, key| {
            peers.peek(peer).is_some() || (ring.opens(*key) && *key != ring.sealing_id())
        });
    }

    /// Seals a datagram, or holds it and asks for the peer's session. What has to go out is
    /// added to `out`.
    pub(crate) fn send(
        &mut self,
        to: SocketAddr,
        plaintext: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
    ) -> Sent {
        if plaintext.len() + OVERHEAD_BYTES > limits::DATAGRAM_BYTES {
            self.counters.too_large += 1;
            return Sent::TooLarge;
        }
        if let Some(session) = self.peers.get(&to).copied() {
            self.seal(Kind::Data, self.key_toward(&to), to, &session, plaintext, out);
            return Sent::Sealed;
        }
        self.challenge(to, now_ms, out);
        if let Some(asked) = self.asked.get(&to) {
            asked.held_out.push_back((now_ms, plaintext.to_vec()));
            if asked.held_out.len() > limits::HELD_DATAGRAMS {
                asked.held_out.pop_front();
                self.counters.held_dropped += 1;
            }
        }
        Sent::Held
    }

    /// Takes a datagram from the network. What has to go out is added to `out`, contents to
    /// `deliver`: they are authentic, and delivered once.
    ///
    /// # Errors
    /// [`OpenError`] says why the datagram was dropped, or is held. `out` may have a challenge.
    pub(crate) fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) -> Result<(), OpenError> {
        let result = self.open(from, bytes, now_ms, out, deliver);
        if let Err(error) = &result {
            self.counters.count(error);
        }
        result
    }

    /// Takes note of a peer's session that was told over a stream, sends what was held for the
    /// peer and delivers what was held of it.
    pub(crate) fn learn(
        &mut self,
        peer: SocketAddr,
        session: SessionId,
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) {
        // A session whose window was forgotten has to be proved by a response: only that says
        // which of its counters are old.
        let told = !self.forgot || self.windows.peek(&session).is_some();
        if told && !self.is_own(&session) {
            self.establish(peer, session, None, now_ms, out, deliver);
        }
    }

    /// The session a peer has proved, or was told to have.
    pub(crate) fn session_of(&self, peer: &SocketAddr) -> Option<SessionId> {
        self.peers.peek(peer).copied()
    }

    /// Takes note of a session that another member told of over a stream, unless we know better. Should
    /// it be wrong, the peer says so when we write to it.
    pub(crate) fn learn_of(
        &mut self,
        peer: SocketAddr,
        session: SessionId,
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) {
        if self.peers.peek(&peer).is_none() {
            self.learn(peer, session, now_ms, out, deliver);
        }
    }

    /// Forgets what is known of this address and held for it. It is learned anew on need.
    pub(crate) fn forget(&mut self, peer: &SocketAddr) {
        self.peers.remove(peer);
        self.heard.remove(peer);
        self.asked.remove(peer);
    }

    /// What a datagram to this sealer says, without taking it.
    #[cfg(all(test, feature = "sim"))]
    pub(crate) fn unsealed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let header = Header::parse(bytes).ok()?;
        let any = || datagram::open(&self.keyring, &self.cluster, &header, &SessionId::ANY, bytes);
        match header.kind {
            Kind::Challenge => any(),
            _ => self.unseal(&header, bytes).map(|(plain, _)| plain),
        }
    }

    fn open(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) -> Result<(), OpenError> {
        let header = Header::parse(bytes)?;
        if !self.keyring.opens(header.key) {
            let ours = self.keyring.sealing_id();
            return Err(OpenError::UnknownKey { theirs: header.key, ours });
        }
        if self.is_own(&header.session) {
            return Err(OpenError::Reflected);
        }
        match header.kind {
            Kind::Data => self.on_data(from, &header, bytes, now_ms, out, deliver),
            Kind::Challenge => self.on_challenge(from, &header, bytes, now_ms, out),
            Kind::Response => self.on_response(from, &header, bytes, now_ms, out, deliver),
        }
    }

    fn on_data(
        &mut self,
        from: SocketAddr,
        header: &Header,
        bytes: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) -> Result<(), OpenError> {
        let Some((plaintext, addressed)) = self.unseal(header, bytes) else {
            // It may be sealed to an earlier life of ours: a challenge tells of this one.
            self.challenge_stranger(from, now_ms, out);
            return Err(OpenError::Unauthentic);
        };
        if self.knows(&from, &header.session) {
            self.accept(header)?;
            self.peers.get(&from);
            self.hear(from, header.key);
            self.counters.delivered += 1;
            deliver.push(plaintext);
            if addressed == Addressed::Previous {
                self.challenge_stranger(from, now_ms, out);
            }
            return Ok(());
        }
        let asked = self.challenge_stranger(from, now_ms, out);
        let told_apart = !self.forgot || self.windows.peek(&header.session).is_some();
        if asked && told_apart && addressed == Addressed::Current {
            self.hold(from, header, plaintext, now_ms);
        }
        Err(OpenError::UnknownSession)
    }

    fn on_challenge(
        &mut self,
        from: SocketAddr,
        header: &Header,
        bytes: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
    ) -> Result<(), OpenError> {
        let any = SessionId::ANY;
        let token = datagram::open(&self.keyring, &self.cluster, header, &any, bytes)
            .ok_or(OpenError::Unauthentic)?;
        if token.len() != TOKEN_BYTES {
            return Err(OpenError::Malformed);
        }
        let known = self.knows(&from, &header.session);
        if known {
            self.accept(header)?;
        } else if !self.responses.take(now_ms) {
            return Err(OpenError::Busy);
        }
        self.seal(Kind::Response, header.key, from, &header.session, &token, out);
        if !known {
            self.challenge_stranger(from, now_ms, out);
        }
        Ok(())
    }

    fn on_response(
        &mut self,
        from: SocketAddr,
        header: &Header,
        bytes: &[u8],
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) -> Result<(), OpenError> {
        let (token, _) = self.unseal(header, bytes).ok_or(OpenError::Unauthentic)?;
        let token = <[u8; TOKEN_BYTES]>::try_from(token).map_err(|_| OpenError::Malformed)?;
        let asked = self.asked.peek(&from).ok_or(OpenError::UnexpectedResponse)?;
        if asked.token != token || asked.is_expired(now_ms) {
            return Err(OpenError::UnexpectedResponse);
        }
        self.hear(from, header.key);
        self.establish(from, header.session, Some(header.counter), now_ms, out, deliver);
        Ok(())
    }

    /// The peer's session is proved, by a response with this counter or by a stream.
    fn establish(
        &mut self,
        peer: SocketAddr,
        session: SessionId,
        counter: Option<u64>,
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
        deliver: &mut Vec<Vec<u8>>,
    ) {
        if self.windows.peek(&session).is_none() {
            let window = match counter {
                Some(counter) if self.forgot => Window::after(counter),
                _ => Window::default(),
            };
            self.forgot |= self.windows.insert(session, window) > 0;
        }
        if let (Some(counter), Some(window)) = (counter, self.windows.get(&session)) {
            let _ = window.accept(counter);
        }
        self.counters.sessions_forgotten += self.peers.insert(peer, session) as u64;
        let Some(asked) = self.asked.remove(&peer) else { return };
        for (since_ms, plaintext) in asked.held_out {
            if is_younger(since_ms, limits::HELD_TIME, now_ms) {
                let key = self.key_toward(&peer);
                self.seal(Kind::Data, key, peer, &session, &plaintext, out);
            } else {
                self.counters.held_dropped += 1;
            }
        }
        for held in asked.held_in {
            let young = is_younger(held.since_ms, limits::HELD_TIME, now_ms);
            if young && held.header.session == session && self.accept(&held.header).is_ok() {
                self.counters.delivered += 1;
                deliver.push(held.plaintext);
            } else {
                self.counters.held_dropped += 1;
            }
        }
    }

    /// Asks a peer for its session, unless it was asked just now.
    fn challenge(&mut self, peer: SocketAddr, now_ms: u64, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        if self.asked.peek(&peer).is_none() {
            self.asked.insert(peer, Asked::new(random(&mut self.rng), now_ms));
        }
        let Some(asked) = self.asked.get(&peer) else { return };
        if !asked.is_due(now_ms) {
            return;
        }
        asked.sent_ms = Some(now_ms);
        if asked.is_expired(now_ms) {
            asked.token = random(&mut self.rng);
            asked.made_ms = now_ms;
        }
        let (token, tries) = (asked.token, asked.tries);
        asked.tries = tries.wrapping_add(1);
        let key = self.key_asking(&peer, tries);
        self.seal(Kind::Challenge, key, peer, &SessionId::ANY, &token, out);
    }

    /// The key that a challenge is sealed with. A stranger may hold any of ours: they take turns.
    fn key_asking(&self, peer: &SocketAddr, tries: usize) -> KeyId {
        if self.heard.peek(peer).is_some_and(|key| self.keyring.opens(*key)) {
            return self.key_toward(peer);
        }
        let turn = tries % self.keyring.ids().len().max(1);
        self.keyring.ids().nth(turn).unwrap_or_else(|| self.keyring.sealing_id())
    }

    /// Asks whoever wrote to us, if there are not too many of them. Was it asked, now or just
    /// now?
    fn challenge_stranger(
        &mut self,
        from: SocketAddr,
        now_ms: u64,
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
    ) -> bool {
        if self.asked.peek(&from).is_some_and(|asked| !asked.is_due(now_ms)) {
            return true;
        }
        if !self.challenges.take(now_ms) {
            self.counters.challenges_spared += 1;
            return false;
        }
        self.challenge(from, now_ms, out);
        true
    }

    /// Keeps what a stranger sent us until it has proved its session.
    fn hold(&mut self, from: SocketAddr, header: &Header, plaintext: Vec<u8>, now_ms: u64) {
        let Some(asked) = self.asked.get(&from) else { return };
        if asked.held_in.len() < limits::HELD_DATAGRAMS {
            asked.held_in.push(HeldIn { since_ms: now_ms, header: *header, plaintext });
        } else {
            self.counters.held_dropped += 1;
        }
    }

    fn seal(
        &mut self,
        kind: Kind,
        key: KeyId,
        to: SocketAddr,
        receiver: &SessionId,
        plaintext: &[u8],
        out: &mut Vec<(SocketAddr, Vec<u8>)>,
    ) {
        // 2^64 datagrams do not fit a session, and without a fresh nonce nothing is sealed.
        let Some(counter) = self.counter.checked_add(1) else { return };
        self.counter = counter;
        let header = Header { kind, key, session: self.own, counter };
        let sealed = datagram::seal(&self.keyring, &self.cluster, &header, receiver, plaintext);
        debug_assert!(sealed.is_some(), "the key is in the keyring");
        out.extend(sealed.map(|bytes| (to, bytes)));
        *match kind {
            Kind::Data => &mut self.counters.sealed,
            Kind::Challenge => &mut self.counters.challenges,
            Kind::Response => &mut self.counters.responses,
        } += 1;
    }

    fn unseal(&self, header: &Header, bytes: &[u8]) -> Option<(Vec<u8>, Addressed)> {
        let open = |own| datagram::open(&self.keyring, &self.cluster, header, own, bytes);
        if let Some(plaintext) = open(&self.own) {
            return Some((plaintext, Addressed::Current));
        }
        Some((open(self.previous.as_ref()?)?, Addressed::Previous))
    }

    fn accept(&mut self, header: &Header) -> Result<(), OpenError> {
        let window = self.windows.get(&header.session).ok_or(OpenError::UnknownSession)?;
        if window.accept(header.counter) { Ok(()) } else { Err(OpenError::Replayed) }
    }

    fn knows(&self, peer: &SocketAddr, session: &SessionId) -> bool {
        self.peers.peek(peer) == Some(session) && self.windows.peek(session).is_some()
    }

    fn is_own(&self, session: &SessionId) -> bool {
        *session == self.own || Some(*session) == self.previous
    }
}

/// Which of our sessions a datagram was sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addressed {
    Current,
    Previous,
}

/// A peer that was challenged.
struct Asked {
    token: [u8; TOKEN_BYTES],
    made_ms: u64,
    sent_ms: Option<u64>,
    tries: usize,
    /// What we want to send it.
    held_out: VecDeque<(u64, Vec<u8>)>,
    /// What it sent us.
    held_in: Vec<HeldIn>,
}

struct HeldIn {
    since_ms: u64,
    header: Header,
    plaintext: Vec<u8>,
}

impl Asked {
    fn new(token: [u8; TOKEN_BYTES], now_ms: u64) -> Self {
        let (held_out, held_in) = (VecDeque::new(), Vec::new());
        Self { token, made_ms: now_ms, sent_ms: None, tries: 0, held_out, held_in }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.sent_ms.is_none_or(|sent_ms| !is_younger(sent_ms, limits::CHALLENGE_REPEAT, now_ms))
    }

    /// How many datagrams wait for the answer.
    fn held(&self) -> usize {
        self.held_out.len() + self.held_in.len()
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        !is_younger(self.made_ms, limits::CHALLENGE_LIFE, now_ms)
    }
}

/// So much per second, and some seconds' worth at once.
struct Allowance {
    per_second: u64,
    thousandths: u64,
    since_ms: u64,
}

impl Allowance {
    fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, thousandths: per_second * BURST_SECONDS * 1000, since_ms: 0 }
    }

    fn take(&mut self, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.since_ms).min(BURST_SECONDS * 1000);
        self.since_ms = self.since_ms.max(now_ms);
        let full = self.per_second * BURST_SECONDS * 1000;
        self.thousandths = full.min(self.thousandths + elapsed_ms * self.per_second);
        match self.thousandths.checked_sub(1000) {
            Some(rest) => {
                self.thousandths = rest;
                true
            }
            None => false,
        }
    }
}

fn is_younger(since_ms: u64, age: Duration, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) < age.as_millis()
}

fn random<const N: usize>(rng: &mut StdRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
