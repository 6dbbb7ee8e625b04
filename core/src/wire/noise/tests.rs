use proptest::prelude::*;

use super::*;
use crate::Key;

fn keyed(byte: u8) -> Keyring {
    Keyring::new(Key::from_bytes([byte; 32]))
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).unwrap()
}

fn pair_of(ours: &Keyring, theirs: &Keyring) -> (NoiseStream, NoiseStream) {
    let cluster = cluster("test");
    let initiator = NoiseStream::initiator(ours, &cluster, [1; 32]).unwrap();
    (initiator, NoiseStream::responder(theirs, &cluster, [2; 32]))
}

fn pair() -> (NoiseStream, NoiseStream) {
    pair_of(&keyed(7), &keyed(7))
}

fn established() -> (NoiseStream, NoiseStream) {
    let (mut a, mut b) = pair();
    shake(&mut a, &mut b).unwrap();
    (a, b)
}

/// Carries all output both ways until there is none.
fn shake(a: &mut NoiseStream, b: &mut NoiseStream) -> Result<(), StreamError> {
    loop {
        let (to_b, to_a) = (a.take_output(), b.take_output());
        if to_b.is_empty() && to_a.is_empty() {
            return Ok(());
        }
        b.receive(&to_b)?;
        a.receive(&to_a)?;
    }
}

fn messages(stream: &mut NoiseStream) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| stream.next_message()).collect()
}

#[test]
fn messages_of_any_size_arrive_in_order() {
    for keyring in [keyed(7), Keyring::plaintext()] {
        let (mut a, mut b) = pair_of(&keyring, &keyring);
        let sizes = [0, 1, 65_514, 65_515, 65_516, limits::MESSAGE_BYTES, 3];
        let sent: Vec<Vec<u8>> =
            sizes.iter().map(|size| vec![size.to_be_bytes()[7]; *size]).collect();
        for message in &sent {
            a.send(message).unwrap();
            b.send(message).unwrap();
        }
        shake(&mut a, &mut b).unwrap();
        assert_eq!(messages(&mut b), sent);
        assert_eq!(messages(&mut a), sent);
    }
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let (mut a, mut b) = pair();
    let message: Vec<u8> = (0..limits::MESSAGE_BYTES).map(|at| at.to_be_bytes()[7]).collect();
    a.send(&message).unwrap();
    for _ in 0..2 {
        for byte in a.take_output() {
            b.receive(&[byte]).unwrap();
        }
        for byte in b.take_output() {
            a.receive(&[byte]).unwrap();
        }
    }
    assert_eq!(messages(&mut b), [message]);
}

#[test]
fn nothing_is_proven_before_the_first_frame() {
    let (mut a, mut b) = pair();
    b.receive(&a.take_output()).unwrap();
    assert!(b.is_established() && !b.is_proven());
    a.receive(&b.take_output()).unwrap();
    assert!(a.is_established() && a.is_proven());
    a.send(b"").unwrap();
    b.receive(&a.take_output()).unwrap();
    assert!(b.is_proven());
    assert_eq!((a.version(), b.version()), (NEWEST_VERSION, NEWEST_VERSION));
    assert_eq!((a.key(), b.key()), (keyed(7).sealing_id(), keyed(7).sealing_id()));
}

#[test]
fn a_replayed_handshake_proves_nothing() {
    let (mut a, mut b) = pair();
    a.send(b"once").unwrap();
    let mut said = a.take_output();
    b.receive(&said).unwrap();
    a.receive(&b.take_output()).unwrap();
    said.extend(a.take_output());
    let mut later = NoiseStream::responder(&keyed(7), &cluster("test"), [3; 32]);
    assert_eq!(later.receive(&said), Err(StreamError::Unauthentic));
    assert!(!later.is_proven() && later.next_message().is_none());
}

/// As a build that speaks these versions and no others.
fn pair_speaking(versions: Versions) -> (NoiseStream, NoiseStream) {
    let (ring, cluster) = (keyed(7), cluster("test"));
    let initiator = NoiseStream::initiator_of(versions, &ring, &cluster, [1; 32]).unwrap();
    (initiator, NoiseStream::new(versions, &ring, &cluster, [2; 32]))
}

/// The public keys in these bytes come from the seed by way of `StdRng`: a new `rand` may change
/// them, and nothing else.
#[cfg(feature = "sim")]
#[test]
fn samples_of_greetings_and_frames_are_read_and_written_as_they_always_were() {
    let mut samples = crate::wire::samples::Samples::default();
    let first = Versions { oldest: 1, newest: 1 };
    add_greeting(&mut samples, "", first);
    add_greeting(&mut samples, "-2", Versions { oldest: 1, newest: 2 });
    let mut newer =
        NoiseStream::new(Versions { oldest: 2, newest: 3 }, &keyed(7), &cluster("test"), [2; 32]);
    newer.receive(&pair_speaking(first).0.take_output()).unwrap_err();
    samples.add("Stream.refused-version", newer.take_output(), move |refusal| {
        let theirs = Versions { oldest: 2, newest: 3 };
        let refused = StreamError::NoCommonVersion { ours: first, theirs };
        assert_eq!(pair_speaking(first).0.receive(refusal), Err(refused));
    });
    let (mut a, mut b) = pair_of(&keyed(7), &keyed(8));
    b.receive(&a.take_output()).unwrap_err();
    samples.add("Stream.refused-key", b.take_output(), |refusal| {
        let (theirs, ours) = (keyed(8).sealing_id(), keyed(7).sealing_id());
        let refused = StreamError::UnknownKey { theirs, ours };
        assert_eq!(pair().0.receive(refusal), Err(refused));
    });
    samples.check("streams");
}

/// What two say who speak these versions, until the first message.
#[cfg(feature = "sim")]
fn add_greeting(samples: &mut crate::wire::samples::Samples, suffix: &str, versions: Versions) {
    let (mut a, mut b) = pair_speaking(versions);
    let hello = a.take_output();
    assert_eq!(hello.len(), PREAMBLE_BYTES + HELLO_BYTES);
    b.receive(&hello).unwrap();
    let answer = b.take_output();
    assert_eq!(answer.len(), 1 + ANSWER_BYTES);
    a.receive(&answer).unwrap();
    a.send(b"hello").unwrap();
    samples.add(&format!("Stream.hello{suffix}"), hello, |hello| {
        let (_, mut b) = pair();
        b.receive(hello).unwrap();
        assert!(b.is_established());
    });
    samples.add(&format!("Stream.answer{suffix}"), answer, move |answer| {
        let (mut a, _) = pair_speaking(versions);
        a.receive(answer).unwrap();
        assert!(a.is_proven());
    });
    samples.add(&format!("Stream.frame{suffix}"), a.take_output(), move |frame| {
        let (mut a, mut b) = pair_speaking(versions);
        shake(&mut a, &mut b).unwrap();
        b.receive(frame).unwrap();
        assert_eq!(messages(&mut b), [b"hello"]);
    });
}

#[test]
fn both_sides_learn_of_a_wrong_key() {
    let (ours, theirs) = (keyed(7).sealing_id(), keyed(8).sealing_id());
    let (mut a, mut b) = pair_of(&keyed(7), &keyed(8));
    let at_b = b.receive(&a.take_output());
    assert_eq!(at_b, Err(StreamError::UnknownKey { theirs: ours, ours: theirs }));
    let at_a = a.receive(&b.take_output());
    assert_eq!(at_a, Err(StreamError::UnknownKey { theirs, ours }));
    assert_eq!(
        at_a.unwrap_err().to_string(),
        format!("the peer uses key `{theirs}`, ours is `{ours}`")
    );
    assert_eq!(a.send(b"x"), at_a);
    assert_eq!(a.receive(b""), at_a);
}

#[test]
fn sealed_and_plaintext_do_not_mix() {
    for (ours, theirs) in [(keyed(7), Keyring::plaintext()), (Keyring::plaintext(), keyed(7))] {
        let (mut a, mut b) = pair_of(&ours, &theirs);
        assert!(matches!(shake(&mut a, &mut b), Err(StreamError::UnknownKey { .. })));
    }
}

#[test]
fn any_key_of_the_responder_will_do() {
    let mut both = keyed(8);
    assert!(both.install(Key::from_bytes([7; 32])).is_ok());
    let (mut a, mut b) = pair_of(&keyed(7), &both);
    shake(&mut a, &mut b).unwrap();
    assert_eq!(b.key(), keyed(7).sealing_id());
}

#[test]
fn another_cluster_with_the_same_key_is_refused() {
    for keyring in [keyed(7), Keyring::plaintext()] {
        let mut a = NoiseStream::initiator(&keyring, &cluster("one"), [1; 32]).unwrap();
        let mut b = NoiseStream::responder(&keyring, &cluster("two"), [2; 32]);
        assert_eq!(b.receive(&a.take_output()), Err(StreamError::Unauthentic));
        assert!(b.take_output().is_empty());
    }
}

#[test]
fn the_newest_common_version_is_chosen_or_both_are_told() {
    let check = |ours: (u8, u8), theirs: (u8, u8), expected: Option<u8>| {
        let versions = |(oldest, newest)| Versions { oldest, newest };
        let (ours, theirs) = (versions(ours), versions(theirs));
        let cluster = cluster("test");
        let mut a = NoiseStream::initiator_of(ours, &keyed(7), &cluster, [1; 32]).unwrap();
        let mut b = NoiseStream::new(theirs, &keyed(7), &cluster, [2; 32]);
        let at_b = b.receive(&a.take_output());
        let at_a = a.receive(&b.take_output());
        match expected {
            Some(version) => {
                assert_eq!((at_a, at_b), (Ok(()), Ok(())));
                assert_eq!((a.version(), b.version()), (version, version));
            }
            None => {
                let at = |ours, theirs| Err(StreamError::NoCommonVersion { ours, theirs });
                assert_eq!((at_a, at_b), (at(ours, theirs), at(theirs, ours)));
            }
        }
    };
    check((1, 1), (1, 1), Some(1));
    check((1, 2), (2, 3), Some(2));
    check((2, 3), (1, 2), Some(2));
    check((1, 3), (1, 3), Some(3));
    check((1, 1), (2, 3), None);
    check((2, 3), (1, 1), None);
    check((3, 2), (1, 5), None);
    check((0, 0), (0, 0), None);
}

#[test]
fn a_version_lowered_on_the_way_is_noticed() {
    let versions = Versions { oldest: 1, newest: 2 };
    let cluster = cluster("test");
    let mut a = NoiseStream::initiator_of(versions, &keyed(7), &cluster, [1; 32]).unwrap();
    let mut b = NoiseStream::new(versions, &keyed(7), &cluster, [2; 32]);
    b.receive(&a.take_output()).unwrap();
    let mut answer = b.take_output();
    assert_eq!(std::mem::replace(&mut answer[0], 1), 2);
    assert_eq!(a.receive(&answer), Err(StreamError::Unauthentic));
}

#[test]
fn what_is_too_large_is_refused_by_both_sides() {
    let (mut a, mut b) = established();
    let large = vec![0; limits::MESSAGE_BYTES + 1];
    assert_eq!(a.send(&large), Err(StreamError::TooLarge(large.len())));
    a.send(b"still fine").unwrap();
    shake(&mut a, &mut b).unwrap();
    assert_eq!(messages(&mut b), [b"still fine"]);
    // A peer that does not keep to it.
    a.waiting.extend((1_048_577u32).to_be_bytes());
    a.flush().unwrap();
    assert_eq!(b.receive(&a.take_output()), Err(StreamError::TooLarge(1_048_577)));
    assert_eq!(b.receive(b""), Err(StreamError::TooLarge(1_048_577)));
}

#[test]
fn what_nobody_takes_does_not_pile_up() {
    let (mut a, mut b) = established();
    let message = vec![0; limits::MESSAGE_BYTES - 100];
    for _ in 0..4 {
        a.send(&message).unwrap_or_else(|error| assert_eq!(error, StreamError::Backlog));
    }
    assert!(a.backlog() <= limits::STREAM_BACKLOG_BYTES + 100);
    assert_eq!(a.send(&message), Err(StreamError::Backlog));
    b.receive(&a.take_output()).unwrap();
    a.send(&message).unwrap();
    a.send(&message).unwrap();
    assert_eq!(b.receive(&a.take_output()), Err(StreamError::Backlog));
}

#[test]
fn what_is_no_stream_is_refused() {
    let (mut a, mut b) = established();
    assert_eq!(b.receive(&[0, 15]), Err(StreamError::Malformed));
    assert_eq!(a.receive(&[0, 16, 1, 2]), Ok(()));
    assert_eq!(a.receive(&[0; 14]), Err(StreamError::Unauthentic));
    let (mut a, mut b) = pair();
    assert_eq!(a.receive(b"HTTP/1.1 400 Bad Request"), Err(StreamError::Malformed));
    assert!(matches!(b.receive(b"GET / HTTP"), Err(StreamError::NoCommonVersion { .. })));
    let (mut a, _) = pair();
    assert_eq!(a.receive(&[REFUSED, 9]), Err(StreamError::Malformed));
}

#[test]
fn frames_out_of_order_or_twice_are_refused() {
    let (mut a, mut b) = established();
    a.send(b"one").unwrap();
    let one = a.take_output();
    a.send(b"two").unwrap();
    let two = a.take_output();
    assert_eq!(b.receive(&two), Err(StreamError::Unauthentic));
    let (mut a, mut b) = established();
    a.send(b"one").unwrap();
    assert_eq!(a.take_output(), one);
    b.receive(&one).unwrap();
    assert_eq!(b.receive(&one), Err(StreamError::Unauthentic));
    assert_eq!(messages(&mut b), [b"one"]);
}

#[test]
fn what_comes_back_to_its_sender_is_refused() {
    for keyring in [keyed(7), Keyring::plaintext()] {
        let (mut a, mut b) = pair_of(&keyring, &keyring);
        shake(&mut a, &mut b).unwrap();
        a.send(b"one").unwrap();
        let one = a.take_output();
        assert_eq!(a.receive(&one), Err(StreamError::Unauthentic));
    }
}

proptest! {
    // A handshake is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_is_never_delivered(
        at: proptest::sample::Index,
        bit in 0u8..8,
        sealed: bool,
        in_answer: bool,
    ) {
        let keyring = if sealed { keyed(7) } else { Keyring::plaintext() };
        let (mut a, mut b) = pair_of(&keyring, &keyring);
        let flip = |bytes: &mut Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        };
        let hello = a.take_output();
        let mut bad = hello.clone();
        flip(&mut bad);
        let mut c = NoiseStream::responder(&keyring, &cluster("test"), [2; 32]);
        prop_assert!(c.receive(&bad).is_err());
        b.receive(&hello).unwrap();
        let mut answer = b.take_output();
        if in_answer {
            flip(&mut answer);
            let failed = a.receive(&answer).is_err();
            // A refusal, or a part of one, is not authentic, but establishes nothing either.
            prop_assert!(failed || !a.is_established());
            return Ok(());
        }
        a.receive(&answer).unwrap();
        a.send(b"content").unwrap();
        let mut frame = a.take_output();
        flip(&mut frame);
        // A length that grew waits for more bytes.
        let _ = b.receive(&frame);
        prop_assert!(b.next_message().is_none() && !b.is_proven());
    }

    #[test]
    fn no_bytes_make_a_stream_panic_or_grow(
        bytes in proptest::collection::vec(any::<u8>(), 0..500),
        phase in 0..6,
    ) {
        let (mut a, mut b) = if phase < 3 { pair() } else { established() };
        let good = a.take_output();
        let stream = if phase % 2 == 0 { &mut a } else { &mut b };
        if phase == 1 {
            stream.receive(&good).unwrap();
        }
        for piece in bytes.chunks(7) {
            let _ = stream.receive(piece);
        }
        prop_assert!(stream.next_message().is_none());
        prop_assert!(stream.inbox.len() <= bytes.len());
    }

    #[test]
    fn messages_in_pieces_round_trip(
        sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        piece in 1usize..100,
    ) {
        let (mut a, mut b) = established();
        for message in &sent {
            a.send(message).unwrap();
        }
        for piece in a.take_output().chunks(piece) {
            b.receive(piece).unwrap();
        }
        prop_assert_eq!(messages(&mut b), sent);
    }
}
