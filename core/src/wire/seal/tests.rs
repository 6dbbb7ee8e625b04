use proptest::prelude::*;

use super::*;
use crate::{Key, KeyId};

/// Some sealers, each at its own address, and what they sent each other.
struct Net {
    keyring: Keyring,
    nodes: Vec<Sealer>,
    lives: u8,
    now_ms: u64,
    /// All that was sent: from, to, bytes.
    wire: Vec<(usize, usize, Vec<u8>)>,
    /// What was delivered to each node.
    delivered: Vec<Vec<Vec<u8>>>,
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(node).unwrap()], 6000))
}

fn node_at(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]),
        std::net::IpAddr::V6(_) => unreachable!(),
    }
}

fn cluster() -> ClusterName {
    ClusterName::parse("test").unwrap()
}

impl Net {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, Keyring::new(Key::from_bytes([7; 32])))
    }

    fn with(nodes: usize, keyring: Keyring) -> Self {
        let mut net = Self {
            keyring,
            nodes: Vec::new(),
            lives: 0,
            now_ms: 1000,
            wire: Vec::new(),
            delivered: vec![Vec::new(); nodes],
        };
        for _ in 0..nodes {
            let node = net.life();
            net.nodes.push(node);
        }
        net
    }

    fn seed(&mut self) -> [u8; 32] {
        self.lives += 1;
        [self.lives; 32]
    }

    fn life(&mut self) -> Sealer {
        let seed = self.seed();
        Sealer::new(self.keyring.clone(), cluster(), seed)
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node] = self.life();
    }

    fn renew(&mut self, node: usize) {
        let seed = self.seed();
        self.nodes[node].renew(seed);
    }

    /// Sends, without carrying. Returns where in `wire` the new datagrams begin.
    fn send(&mut self, from: usize, to: usize, text: &str) -> usize {
        let (mut out, at) = (Vec::new(), self.wire.len());
        let _ = self.nodes[from].send(address(to), text.as_bytes(), self.now_ms, &mut out);
        self.note(from, out);
        at
    }

    fn note(&mut self, from: usize, out: Vec<(SocketAddr, Vec<u8>)>) {
        self.wire.extend(out.into_iter().map(|(to, bytes)| (from, node_at(to), bytes)));
    }

    /// Hands bytes to a node, as if they came from another.
    fn receive(&mut self, from: usize, to: usize, bytes: &[u8]) -> Result<(), OpenError> {
        let mut out = Vec::new();
        let deliver = &mut self.delivered[to];
        let result = self.nodes[to].receive(address(from), bytes, self.now_ms, &mut out, deliver);
        self.note(to, out);
        result
    }

    /// Carries all from there on, and what follows from it.
    fn carry(&mut self, mut at: usize) {
        while let Some((from, to, bytes)) = self.wire.get(at).cloned() {
            let _ = self.receive(from, to, &bytes);
            at += 1;
            assert!(at < 10_000, "the datagrams never end");
        }
    }

    /// Sends and carries.
    fn tell(&mut self, from: usize, to: usize, text: &str) {
        let at = self.send(from, to, text);
        self.carry(at);
    }

    fn last(&self) -> Vec<u8> {
        self.wire.last().unwrap().2.clone()
    }

    fn check(&self, node: usize, expected: &[&str]) {
        let found: Vec<_> =
            self.delivered[node].iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_first_datagram_arrives_after_both_have_proved_their_session() {
    for keyring in [Keyring::new(Key::from_bytes([7; 32])), Keyring::plaintext()] {
        let mut net = Net::with(2, keyring);
        net.tell(0, 1, "first");
        net.check(1, &["first"]);
        let before = net.wire.len();
        net.tell(1, 0, "answer");
        net.tell(0, 1, "second");
        net.check(0, &["answer"]);
        net.check(1, &["first", "second"]);
        assert_eq!(net.wire.len(), before + 2, "no more questions");
        assert_eq!(before, 5);
    }
}

#[test]
fn both_may_begin_at_once() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "from a");
    net.send(1, 0, "from b");
    net.carry(at);
    net.check(0, &["from b"]);
    net.check(1, &["from a"]);
    assert_eq!(net.nodes[0].counters().challenges, 1);
    assert_eq!(net.nodes[1].counters().challenges, 1);
}

#[test]
fn a_datagram_is_worthless_elsewhere_and_after_a_restart() {
    let mut net = Net::new(3);
    for (from, to) in [(0, 1), (0, 2)] {
        net.tell(from, to, "hello");
    }
    let at = net.send(0, 1, "for b");
    let bytes = net.wire[at].2.clone();
    assert_eq!(net.receive(0, 2, &bytes), Err(OpenError::Unauthentic));
    net.restart(1);
    assert_eq!(net.receive(0, 1, &bytes), Err(OpenError::Unauthentic));
    net.check(1, &["hello"]);
    net.check(2, &["hello"]);
}

#[test]
fn a_replay_is_dropped() {
    let mut net = Net::new(2);
    net.tell(0, 1, "once");
    for (from, to, bytes) in net.wire.clone() {
        let _ = net.receive(from, to, &bytes);
    }
    net.check(1, &["once"]);
    let at = net.send(0, 1, "again");
    let bytes = net.wire[at].2.clone();
    assert_eq!(net.receive(0, 1, &bytes), Ok(()));
    assert_eq!(net.receive(0, 1, &bytes), Err(OpenError::Replayed));
    assert_eq!(net.nodes[1].counters().replayed, 2);
}

#[test]
fn a_replay_from_another_address_is_not_delivered_again() {
    let mut net = Net::new(3);
    net.tell(0, 1, "once");
    let at = net.send(0, 1, "twice");
    net.carry(at);
    let bytes = net.wire[at].2.clone();
    // The thief has node 0 answer the challenge that its replay provokes.
    assert_eq!(net.receive(2, 1, &bytes), Err(OpenError::UnknownSession));
    let challenge = net.last();
    assert_eq!(net.receive(1, 0, &challenge), Ok(()));
    let response = net.last();
    assert_eq!(net.receive(2, 1, &response), Ok(()));
    net.check(1, &["once", "twice"]);
}

#[test]
fn a_restarted_receiver_is_known_again_after_one_datagram() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.restart(1);
    net.tell(0, 1, "lost");
    net.tell(0, 1, "two");
    net.check(1, &["one", "two"]);
}

#[test]
fn a_restarted_sender_is_known_again_at_once() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.tell(1, 0, "back");
    net.restart(0);
    net.tell(0, 1, "two");
    net.tell(1, 0, "again");
    net.check(1, &["one", "two"]);
    net.check(0, &["back", "again"]);
}

#[test]
fn two_restarts_at_once_are_survived() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.restart(0);
    net.restart(1);
    net.tell(0, 1, "two");
    net.tell(1, 0, "three");
    net.check(1, &["one", "two"]);
    net.check(0, &["three"]);
}

#[test]
fn a_lost_challenge_is_repeated_by_the_next_send_but_not_at_once() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "one");
    assert_eq!(net.wire.len(), at + 1);
    let at = net.send(0, 1, "two");
    assert_eq!(net.wire.len(), at, "asked just now");
    net.now_ms += 250;
    net.tell(0, 1, "three");
    net.check(1, &["one", "two", "three"]);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "one");
    let (from, to, bytes) = net.wire[at].clone();
    assert_eq!(net.receive(from, to, &bytes), Ok(()));
    // Everything node 1 said is lost.
    net.now_ms += 250;
    net.tell(0, 1, "two");
    net.check(1, &["one", "two"]);
}

#[test]
fn only_the_latest_datagrams_are_held_and_not_for_long() {
    let mut net = Net::new(2);
    net.send(0, 1, "too old");
    net.now_ms += 6000;
    let at = net.wire.len();
    for text in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        net.send(0, 1, text);
    }
    net.carry(at);
    net.check(1, &["2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(net.nodes[0].counters().held_dropped, 2);

    let mut net = Net::new(2);
    net.send(0, 1, "too old");
    net.now_ms += 6000;
    net.tell(0, 1, "young");
    net.check(1, &["young"]);
}

#[test]
fn an_old_challenge_teaches_nothing() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "one");
    let challenge = net.wire[at].2.clone();
    net.carry(at);
    // It came before its session was known, so it is noted only now.
    assert_eq!(net.receive(0, 1, &challenge), Ok(()));
    assert_eq!(net.receive(0, 1, &challenge), Err(OpenError::Replayed));
    net.restart(0);
    net.tell(0, 1, "two");
    // Now it is of a session that is gone: it is answered, and asked back, in vain.
    let at = net.wire.len();
    assert_eq!(net.receive(0, 1, &challenge), Ok(()));
    assert_eq!(net.wire.len(), at + 2);
    net.carry(at);
    net.tell(1, 0, "three");
    net.tell(0, 1, "four");
    net.check(0, &["three"]);
    net.check(1, &["one", "two", "four"]);
}

#[test]
fn an_answer_counts_once_and_only_from_whom_was_asked() {
    let mut net = Net::new(3);
    let at = net.send(0, 1, "one");
    let challenge = net.wire[at].2.clone();
    assert_eq!(net.receive(0, 1, &challenge), Ok(()));
    let (_, _, response) = net.wire[at + 1].clone();
    assert_eq!(net.receive(2, 0, &response), Err(OpenError::UnexpectedResponse));
    assert_eq!(net.receive(1, 0, &response), Ok(()));
    assert_eq!(net.receive(1, 0, &response), Err(OpenError::UnexpectedResponse));
}

#[test]
fn a_late_answer_does_not_count() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "one");
    let challenge = net.wire[at].2.clone();
    assert_eq!(net.receive(0, 1, &challenge), Ok(()));
    let (_, _, response) = net.wire[at + 1].clone();
    net.now_ms += 10_000;
    assert_eq!(net.receive(1, 0, &response), Err(OpenError::UnexpectedResponse));
}

#[test]
fn what_comes_back_to_its_sender_is_dropped() {
    let mut net = Net::new(2);
    let at = net.send(0, 1, "one");
    let challenge = net.wire[at].2.clone();
    assert_eq!(net.receive(1, 0, &challenge), Err(OpenError::Reflected));
    net.carry(at);
    let data = net.wire.iter().find(|(from, ..)| *from == 0).unwrap().2.clone();
    assert_eq!(net.receive(1, 0, &data), Err(OpenError::Reflected));
}

#[test]
fn a_wrong_key_is_named_and_draws_no_answer() {
    let mut net = Net::new(2);
    let theirs = Key::from_bytes([8; 32]);
    net.nodes[0].set_keyring(Keyring::new(theirs.clone()));
    let at = net.send(0, 1, "one");
    let bytes = net.last();
    let ours = net.keyring.sealing_id();
    let expected = OpenError::UnknownKey { theirs: theirs.id(), ours };
    assert_eq!(net.receive(0, 1, &bytes), Err(expected));
    assert_eq!(net.wire.len(), at + 1);
    assert_eq!(net.nodes[1].counters().unknown_key, 1);

    net.nodes[0].set_keyring(Keyring::plaintext());
    net.now_ms += 1000;
    net.send(0, 1, "two");
    let bytes = net.last();
    let expected = OpenError::UnknownKey { theirs: KeyId::PLAINTEXT, ours };
    assert_eq!(net.receive(0, 1, &bytes), Err(expected));
}

#[test]
fn another_cluster_with_the_same_key_is_not_heard() {
    let mut net = Net::new(2);
    net.nodes[0] = Sealer::new(net.keyring.clone(), ClusterName::parse("other").unwrap(), [9; 32]);
    net.tell(0, 1, "one");
    net.check(1, &[]);
    assert_eq!(net.nodes[1].counters().unauthentic, 1);
}

#[test]
fn keys_change_without_losing_a_datagram() {
    let (old, new) = (Key::from_bytes([7; 32]), Key::from_bytes([8; 32]));
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    let mut both = Keyring::new(old);
    assert!(both.install(new.clone()).is_ok());
    net.nodes[1].set_keyring(both.clone());
    assert_eq!(both.use_key(new.id()), crate::KeyChange::Done);
    net.nodes[0].set_keyring(both);
    net.tell(0, 1, "two");
    net.tell(1, 0, "three");
    net.check(1, &["one", "two"]);
    net.check(0, &["three"]);
}

#[test]
fn a_renewed_session_is_learned_without_losing_a_datagram() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.tell(1, 0, "two");
    net.renew(1);
    net.tell(0, 1, "three");
    net.renew(1);
    let at = net.wire.len();
    net.tell(0, 1, "four");
    net.tell(1, 0, "five");
    assert!(net.wire.len() <= at + 7);
    net.check(1, &["one", "three", "four"]);
    net.check(0, &["two", "five"]);
}

#[test]
fn who_is_not_heard_of_for_two_sessions_takes_no_memory() {
    let mut net = Net::new(3);
    net.tell(1, 0, "left then");
    let _ = net.send(0, 2, "to someone who is gone");
    let _ = net.send(0, 2, "again");
    let known = |node: &Sealer| (node.peers.len(), node.asked.len(), node.heard.len());
    assert_eq!(known(&net.nodes[0]), (1, 1, 1));
    for renewed in 0..3 {
        assert_eq!(net.nodes[0].counters().held_dropped, 2 * u64::from(renewed > 1), "{renewed}");
        net.renew(0);
    }
    assert_eq!(known(&net.nodes[0]), (0, 0, 0));
    assert_eq!(net.nodes[0].windows.len(), 0);
    // What is sealed to a session of long ago is lost, and tells of the new one.
    net.tell(1, 0, "lost");
    net.tell(1, 0, "back");
    net.tell(0, 1, "welcome");
    net.check(0, &["left then", "back"]);
    net.check(1, &["welcome"]);
}

#[test]
fn who_has_another_key_is_remembered_as_long_as_it_opens() {
    let mut net = Net::new(2);
    let (old, new) = (net.keyring.clone(), Key::from_bytes([8; 32]));
    let mut both = old.clone();
    assert_eq!(both.install(new.clone()).unwrap(), crate::KeyChange::Done);
    assert_eq!(both.use_key(new.id()), crate::KeyChange::Done);
    net.nodes[0].set_keyring(both.clone());
    net.nodes[0].hear(address(1), old.sealing_id());
    (0..3).for_each(|_| net.renew(0));
    assert_eq!(net.nodes[0].key_toward(&address(1)), old.sealing_id());
    assert_eq!(both.remove(old.sealing_id()), crate::KeyChange::Done);
    net.nodes[0].set_keyring(both);
    net.renew(0);
    assert_eq!(net.nodes[0].heard.len(), 0);
}

#[test]
fn a_session_told_over_a_stream_needs_no_challenge() {
    let mut net = Net::new(2);
    let (mut out, mut deliver) = (Vec::new(), Vec::new());
    let sessions = [net.nodes[0].session(), net.nodes[1].session()];
    net.send(0, 1, "held");
    net.nodes[1].learn(address(0), sessions[0], 1000, &mut out, &mut deliver);
    net.nodes[0].learn(address(1), sessions[1], 1000, &mut out, &mut deliver);
    let at = net.wire.len();
    net.note(0, out);
    net.carry(at);
    net.tell(0, 1, "told");
    net.check(1, &["held", "told"]);
    assert_eq!(net.nodes[1].counters().challenges, 0);
}

#[test]
fn what_was_forgotten_cannot_be_replayed() {
    let mut net = Net::new(6);
    net.nodes[1] = Sealer::with_room(net.keyring.clone(), cluster(), [99; 32], 1);
    net.tell(0, 1, "once");
    let at = net.send(0, 1, "twice");
    net.carry(at);
    let bytes = net.wire[at].2.clone();
    for other in 2..5 {
        net.tell(other, 1, "pushes the others out");
    }
    let before = net.delivered[1].len();
    let at = net.wire.len();
    assert_eq!(net.receive(0, 1, &bytes), Err(OpenError::UnknownSession));
    net.carry(at);
    assert_eq!(net.receive(0, 1, &bytes), Err(OpenError::Replayed));
    assert_eq!(net.delivered[1].len(), before);
    net.tell(0, 1, "new");
    assert_eq!(net.delivered[1].len(), before + 1);
    assert_eq!(net.nodes[1].peers.len(), 1);
}

#[test]
fn strangers_are_challenged_no_more_than_allowed() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.send(0, 1, "sealed to the life before");
    let bytes = net.last();
    net.restart(1);
    let mut out = Vec::new();
    for port in 1..5000 {
        let from = SocketAddr::from(([10, 1, 1, 1], port));
        let result = net.nodes[1].receive(from, &bytes, net.now_ms, &mut out, &mut Vec::new());
        assert_eq!(result, Err(OpenError::Unauthentic));
    }
    assert_eq!(out.len(), 1000);
    assert_eq!(net.nodes[1].counters().challenges_spared, 3999);
    assert!(net.nodes[1].asked.len() <= limits::STRANGERS);
}

#[test]
fn sessions_that_nobody_speaks_in_any_more_take_no_room_and_are_never_replayed() {
    let mut net = Net::new(2);
    net.tell(0, 1, "first");
    for round in 0..20 {
        let at = net.send(0, 1, "of this session");
        net.carry(at);
        let bytes = net.wire[at].2.clone();
        let before = net.delivered[1].len();
        for renewed in 0..3 {
            assert!(net.receive(0, 1, &bytes).is_err(), "{round} {renewed}");
            net.nodes[renewed % 2].renew([round, renewed as u8].repeat(16).try_into().unwrap());
        }
        assert_eq!(net.delivered[1].len(), before);
        net.tell(0, 1, "of the next");
        let sealer = &net.nodes[1];
        assert!(sealer.windows.len() <= 3 && sealer.peers.len() == 1, "{}", sealer.windows.len());
    }
}

#[test]
fn a_forgotten_peer_is_asked_anew() {
    let mut net = Net::new(2);
    net.tell(0, 1, "one");
    net.nodes[0].forget(&address(1));
    net.tell(0, 1, "two");
    net.check(1, &["one", "two"]);
    assert_eq!(net.nodes[0].counters().challenges, 2);
}

#[test]
fn what_is_too_large_is_not_sent() {
    let mut net = Net::new(2);
    net.tell(0, 1, "hello");
    let mut out = Vec::new();
    let largest = vec![0; limits::DATAGRAM_BYTES - OVERHEAD_BYTES];
    assert_eq!(net.nodes[0].send(address(1), &largest, 0, &mut out), Sent::Sealed);
    assert_eq!(net.nodes[0].send(address(1), &[0; 1400], 0, &mut out), Sent::TooLarge);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].1.len(), limits::DATAGRAM_BYTES);
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let run = || {
        let mut net = Net::new(2);
        net.tell(0, 1, "one");
        net.tell(1, 0, "two");
        net.wire
    };
    assert_eq!(run(), run());
}

proptest! {
    #[test]
    fn a_flipped_bit_or_a_cut_is_never_delivered(
        at: proptest::sample::Index,
        cut: proptest::sample::Index,
        bit in 0u8..8,
    ) {
        let mut net = Net::new(2);
        net.tell(0, 1, "one");
        net.send(0, 1, "two");
        let good = net.last();
        let mut bad = good.clone();
        bad[at.index(good.len())] ^= 1 << bit;
        prop_assert!(net.receive(0, 1, &bad).is_err());
        prop_assert!(net.receive(0, 1, &good[..cut.index(good.len())]).is_err());
        net.check(1, &["one"]);
        prop_assert_eq!(net.receive(0, 1, &good), Ok(()));
        net.check(1, &["one", "two"]);
    }

    /// Loss, delay, duplication, reordering and restarts: nothing is delivered twice, nor out of
    /// thin air, and afterwards the nodes understand each other.
    #[test]
    fn disorder_never_delivers_twice_and_heals(
        steps in proptest::collection::vec((0usize..3, 0usize..3, 0u8..12, any::<u16>()), 1..150)
    ) {
        let mut net = Net::new(3);
        let mut told = 0;
        for (from, to, action, pick) in steps {
            match action {
                0 => net.restart(from),
                1 => {
                    net.renew(from);
                }
                2 => net.now_ms += u64::from(pick % 400),
                3..7 if from != to => {
                    told += 1;
                    net.send(from, to, &format!("{told}"));
                }
                _ if !net.wire.is_empty() => {
                    let (from, to, bytes) = net.wire[usize::from(pick) % net.wire.len()].clone();
                    let _ = net.receive(from, to, &bytes);
                }
                _ => {}
            }
        }
        let mut all: Vec<_> = net.delivered.concat();
        let delivered = all.len();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), delivered);
        net.now_ms += 20_000;
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            net.tell(from, to, "waking");
            net.now_ms += 1000;
        }
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            let before = net.delivered[to].len();
            net.tell(from, to, "awake");
            prop_assert_eq!(net.delivered[to].len(), before + 1);
        }
    }
}

#[test]
fn to_a_peer_that_speaks_with_the_old_key_the_old_one_seals_until_it_uses_the_new_one() {
    let (old, new) = (Key::from_bytes([7; 32]), Key::from_bytes([8; 32]));
    let mut ring = Keyring::new(old.clone());
    let _ = ring.install(new.clone()).unwrap();
    let mut net = Net::new(3);
    net.tell(0, 1, "one");
    net.nodes[0].set_keyring(ring.clone());
    net.nodes[2].set_keyring(ring.clone());
    let _ = ring.use_key(new.id());
    net.nodes[0].set_keyring(ring.clone());
    // It is heard, and answered, with the key that it holds.
    net.tell(1, 0, "two");
    net.tell(0, 1, "three");
    assert_eq!(net.nodes[0].key_toward(&address(1)), old.id());
    // A stranger that holds the old one alone is asked with one after the other.
    net.nodes[0].forget(&address(1));
    net.restart(1);
    net.tell(0, 1, "four");
    net.now_ms += 300;
    net.tell(0, 1, "five");
    assert_eq!(
        net.delivered[1],
        [b"one".to_vec(), b"three".to_vec(), b"four".to_vec(), b"five".to_vec()]
    );
    // Who holds both is told with the new one.
    net.tell(0, 2, "six");
    assert_eq!(net.nodes[0].key_toward(&address(2)), new.id());
    net.nodes[1].set_keyring(ring.clone());
    net.tell(1, 0, "seven");
    assert_eq!(net.nodes[0].key_toward(&address(1)), new.id());
    net.check(0, &["two", "seven"]);
    net.check(2, &["six"]);
}
