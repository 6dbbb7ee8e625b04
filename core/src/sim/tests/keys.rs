//! Exchanging the key of the cluster, with members that are away, cut off or start again meanwhile.

use super::*;
use crate::{ClusterName, Key, KeyId, KeyPhase, KeyStatus, Keyring, Obstacle, Rotation};

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

/// The key all nodes of a simulation are configured with.
fn first() -> KeyId {
    key(9).id()
}

fn formed(seed: u64, nodes: usize) -> Sim {
    let mut sim = Sim::new(SimConfig::new(seed, nodes));
    converge(&mut sim, MINUTE, "formed");
    sim
}

fn status(sim: &mut Sim, at: usize) -> KeyStatus {
    match sim.command(at, Command::Keys) {
        Ok(Reply::Keys(status)) => status,
        other => panic!("{other:?}"),
    }
}

/// Goes one step on; `None` while there is nothing to do but to wait.
fn step(sim: &mut Sim, at: usize, fresh: u8, begun: &mut bool) -> Option<Rotation> {
    let next = status(sim, at).next(*begun, true);
    *begun = true;
    let command = match &next {
        Rotation::Install => Command::InstallKey(key(fresh)),
        Rotation::Use(key) => Command::UseKey { key: *key, force: true },
        Rotation::Remove(key, _) => Command::RemoveKey { key: *key, force: true },
        Rotation::Done(_) => return Some(next),
        Rotation::Installed(_)
        | Rotation::Holding(..)
        | Rotation::Sealing(..)
        | Rotation::Down(..) => return None,
    };
    sim.command(at, command).unwrap();
    Some(next)
}

/// Steps until this one is done.
fn rotate_until(
    sim: &mut Sim,
    at: usize,
    fresh: u8,
    begun: &mut bool,
    is_last: impl Fn(&Rotation) -> bool,
) {
    let start = sim.now();
    loop {
        match step(sim, at, fresh, begun) {
            Some(done) if is_last(&done) => return,
            Some(_) => {}
            None => sim.run_for(Duration::from_millis(200)),
        }
        assert!(sim.now() < start + MINUTE, "{:?}", status(sim, at));
    }
}

/// Has a node exchange the key for another one.
pub(super) fn rotate(sim: &mut Sim, at: usize, fresh: u8) {
    rotate_until(sim, at, fresh, &mut false, |done| matches!(done, Rotation::Done(_)));
}

fn rings(sim: &Sim) -> Vec<(usize, Keyring)> {
    let running = sim.running().map(|node| (node, sim.engine(node).unwrap().keyring().clone()));
    running.collect()
}

/// All come to hold one key and to be one cluster.
fn settle(sim: &mut Sim, key: KeyId, what: &str) {
    let took = sim.run_until(2 * MINUTE, |sim| sim.all_hold(key));
    assert!(took.is_some(), "{what}: {:?}", rings(sim));
    converge(sim, 2 * MINUTE, what);
    all_see_the_same(sim);
}

#[test]
fn who_meets_nobody_for_its_key_knows_so_and_what_strangers_send_counts_less() {
    let mut sim = formed(seed(59), 3);
    let mut plan = NodePlan::new(node("new"));
    plan.key = key(1);
    let new = sim.add(plan);
    sim.partition([new]);
    let stray = |from: u8, byte: u8| {
        let (keyring, cluster) = (Keyring::new(key(byte)), ClusterName::parse("sim").unwrap());
        let mut sealer = crate::wire::seal::Sealer::new(keyring, cluster, [byte; 32]);
        let mut out = Vec::new();
        let to = node::address(new);
        let _ = sealer.send(to, b"hello", 0, &mut out);
        (([10, 9, 9, from], 6000).into(), out.remove(0).1)
    };
    let sends = |sim: &mut Sim, (from, bytes): (SocketAddr, Vec<u8>)| {
        sim.turn(new, |engine, now| engine.handle_datagram(from, &bytes, now));
        sim.view(new).obstacle
    };
    let first_stray = Obstacle::OtherKey { from: ([10, 9, 9, 1], 6000).into(), key: key(2).id() };
    assert_eq!(sim.view(new).obstacle, None);
    assert_eq!(sends(&mut sim, stray(1, 2)), Some(first_stray));
    assert_eq!(sends(&mut sim, stray(2, 3)), Some(first_stray));
    sim.heal();
    sim.run_for(MINUTE);
    let seed = Obstacle::OtherKey { from: node::address(0), key: first() };
    assert_eq!(sim.view(new).obstacle, Some(seed));
    assert_eq!(sends(&mut sim, stray(1, 2)), Some(seed));
    assert_eq!(sim.view(0).obstacle, None);
    (0..3).for_each(|gone| sim.crash(gone));
    let took = sim.run_until(2 * MINUTE, |sim| sim.view(new).obstacle.is_none());
    assert!(took.is_some());
}

#[test]
fn all_members_come_to_seal_with_a_new_key_and_to_drop_the_old_one() {
    let mut sim = formed(seed(60), 8);
    sim.events(5);
    rotate(&mut sim, 2, 1);
    settle(&mut sim, key(1).id(), "rotated");
    let told: Vec<(EventKind, String)> = sim
        .events(5)
        .into_iter()
        .filter(|event| event.kind.as_str().starts_with("key-"))
        .inspect(|event| assert_eq!(event.body["by"], "n2"))
        .map(|event| (event.kind, event.subject))
        .collect();
    let (new, old) = (key(1).id().to_string(), first().to_string());
    let expected = [
        (EventKind::KeyInstalled, new.clone()),
        (EventKind::KeyUsed, new),
        (EventKind::KeyRemoved, old),
    ];
    assert_eq!(told, expected);
    sim.run_for(MINUTE);
    let known = status(&mut sim, 7);
    assert!(known.members.iter().all(|of| of.keys == Some(vec![key(1).id()])), "{known:?}");
    let phase = |id| known.keys.iter().find(|key| key.id == id).map(|key| key.phase);
    assert_eq!(phase(first()), Some(KeyPhase::Removed));
    assert_eq!(phase(key(1).id()), Some(KeyPhase::InUse));
    assert_eq!(sim.take_declared_down(0), [0; 0]);
}

#[test]
fn a_key_that_is_not_held_by_all_or_seals_is_neither_used_nor_removed() {
    let mut sim = formed(seed(61), 5);
    let (new, old) = (key(1).id(), first());
    let use_key = |key| Command::UseKey { key, force: false };
    let remove = |key| Command::RemoveKey { key, force: false };
    assert_eq!(sim.command(0, use_key(new)), Err(CommandError::UnknownKey(new)));
    assert_eq!(sim.command(0, remove(old)), Err(CommandError::KeySeals(old)));
    sim.crash(4);
    sim.run_for(MINUTE);
    sim.command(0, Command::InstallKey(key(1))).unwrap();
    sim.run_for(Duration::from_secs(10));
    let lacking = CommandError::KeyLacking { key: new, nodes: vec![node("n4")] };
    let text = format!("not known to hold key `{new}`: `n4`; wait for them, or force it");
    assert_eq!(lacking.to_string(), text);
    let _ = sim.command(1, use_key(new));
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.command(1, use_key(new)), Err(lacking));
    assert!(matches!(status(&mut sim, 0).next(true, false), Rotation::Down(key, of)
        if key == new && of == [node("n4")]));
    sim.restart(4, true);
    sim.run_for(Duration::from_secs(20));
    let _ = sim.command(1, use_key(new));
    sim.run_for(Duration::from_secs(1));
    sim.command(1, use_key(new)).unwrap();
    sim.run_for(Duration::from_secs(10));
    assert_eq!(sim.command(2, remove(new)), Err(CommandError::KeySeals(new)));
    sim.command(3, remove(old)).unwrap();
    settle(&mut sim, new, "by hand");
    assert_eq!(sim.command(1, use_key(old)), Err(CommandError::KeyRemoved(old)));
    assert_eq!(sim.command(1, Command::InstallKey(key(9))), Err(CommandError::KeyRemoved(old)));
}

#[test]
fn a_cluster_in_plaintext_has_no_keys() {
    let mut config = SimConfig::new(62, 2);
    config.encrypted = false;
    let mut sim = Sim::new(config);
    converge(&mut sim, MINUTE, "formed");
    assert_eq!(sim.command(0, Command::InstallKey(key(1))), Err(CommandError::Plaintext));
    assert_eq!(sim.command(0, Command::Keys), Err(CommandError::Plaintext));
}

#[test]
fn who_was_away_and_comes_back_with_the_removed_key_is_handed_the_new_one() {
    let mut sim = formed(seed(63), 6);
    sim.crash(3);
    sim.crash(4);
    sim.run_for(MINUTE);
    rotate(&mut sim, 1, 1);
    settle(&mut sim, key(1).id(), "without two");
    sim.restart(3, true);
    sim.restart(4, false);
    settle(&mut sim, key(1).id(), "both are back");
    assert_eq!(sim.running().count(), 6);
    // The key file still has the old key.
    sim.restart(3, true);
    settle(&mut sim, key(1).id(), "once more");
    rotate(&mut sim, 3, 2);
    settle(&mut sim, key(2).id(), "rotated by it");
}

#[test]
fn the_first_node_that_was_away_is_a_member_again_too() {
    let mut sim = formed(seed(64), 6);
    sim.crash(0);
    sim.run_for(MINUTE);
    rotate(&mut sim, 1, 1);
    settle(&mut sim, key(1).id(), "without the seed");
    sim.restart(0, false);
    settle(&mut sim, key(1).id(), "the others call it");
}

#[test]
fn after_the_grace_a_removed_key_fetches_nothing() {
    let mut sim = formed(seed(65), 5);
    sim.crash(4);
    sim.run_for(MINUTE);
    rotate(&mut sim, 0, 1);
    settle(&mut sim, key(1).id(), "without one");
    let grace_ms = i64::try_from(limits::KEY_GRACE.as_millis()).unwrap();
    for node in 0..5 {
        sim.set_skew_ms(node, grace_ms + 60_000);
    }
    sim.run_for(2 * MINUTE);
    sim.restart(4, true);
    sim.run_for(2 * MINUTE);
    assert_eq!(sim.engine(4).unwrap().keyring().sealing_id(), first());
    assert!(!sim.engine(0).unwrap().sees_node(sim.id(4).unwrap()));
}

#[test]
fn a_part_that_was_cut_off_during_the_exchange_follows_after_the_heal() {
    for (number, cut) in [[4, 5], [0, 1]].into_iter().enumerate() {
        let mut sim = formed(seed(66 + number as u64), 6);
        sim.command(2, Command::InstallKey(key(1))).unwrap();
        sim.partition(cut);
        sim.run_for(MINUTE);
        rotate(&mut sim, 2, 3);
        sim.run_for(MINUTE);
        sim.heal();
        settle(&mut sim, key(1).id(), "healed");
    }
}

#[test]
fn an_exchange_goes_on_on_another_node_where_one_broke_off() {
    let mut sim = formed(seed(68), 6);
    rotate_until(&mut sim, 0, 1, &mut false, |done| *done == Rotation::Install);
    sim.run_for(Duration::from_secs(2));
    sim.crash(0);
    sim.run_for(MINUTE);
    rotate_until(&mut sim, 1, 2, &mut false, |done| matches!(done, Rotation::Use(_)));
    sim.restart(2, true);
    sim.restart(1, true);
    sim.restart(0, true);
    sim.run_for(Duration::from_secs(5));
    let mut begun = false;
    rotate_until(&mut sim, 2, 3, &mut begun, |done| matches!(done, Rotation::Done(_)));
    settle(&mut sim, key(1).id(), "the key of the first");
}

#[test]
fn two_who_exchange_keys_at_one_time_come_to_one_key() {
    for number in 0..3 {
        let mut sim = formed(seed(70 + number), 8);
        let (mut one, mut other) = (false, false);
        let (mut one_done, mut other_done) = (false, false);
        let start = sim.now();
        while !(one_done && other_done) {
            let is_done = |step: Option<Rotation>| matches!(step, Some(Rotation::Done(_)));
            one_done = one_done || is_done(step(&mut sim, 1, 1, &mut one));
            sim.run_for(Duration::from_millis(20 * number));
            other_done = other_done || is_done(step(&mut sim, 6, 2, &mut other));
            sim.run_for(Duration::from_millis(100));
            assert!(sim.now() < start + 3 * MINUTE, "{:?} {:?}", rings(&sim), status(&mut sim, 1));
        }
        let agree = |sim: &Sim| {
            let sealing: BTreeSet<_> =
                rings(sim).iter().map(|(_, ring)| ring.sealing_id()).collect();
            sealing.len() == 1
        };
        assert!(sim.run_until(2 * MINUTE, agree).is_some(), "{number}: {:?}", rings(&sim));
        converge(&mut sim, 2 * MINUTE, "of one key");
        all_see_the_same(&sim);
    }
}

#[test]
fn two_parts_that_dropped_the_old_key_meet_when_one_is_given_the_key_of_the_other() {
    let mut sim = formed(seed(75), 6);
    sim.partition([0, 1, 2]);
    sim.run_for(MINUTE);
    rotate(&mut sim, 1, 1);
    rotate(&mut sim, 4, 2);
    sim.run_for(MINUTE);
    sim.heal();
    sim.run_for(2 * MINUTE);
    // Whoever holds a removed key, and no other, must not be able to say what seals.
    assert!(!sim.converged());
    sim.command(1, Command::InstallKey(key(2))).unwrap();
    converge(&mut sim, 2 * MINUTE, "met");
    rotate(&mut sim, 5, 3);
    let left = rings(&sim).first().map(|(_, ring)| ring.sealing_id()).unwrap();
    settle(&mut sim, left, "one key");
}
