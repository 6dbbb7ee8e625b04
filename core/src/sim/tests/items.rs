//! Items, offers and status among simulated nodes.

use std::collections::BTreeSet;

use super::*;
use crate::{
    BlobId, Item, ItemKind, ItemName, NodeStatus, Offers, PutOptions, ServeOptions, ServiceName,
    limits,
};

fn key(name: &str) -> (ItemKind, ItemName) {
    (ItemKind::parse("task").unwrap(), ItemName::parse(name).unwrap())
}

fn put_command(of: Option<&str>, name: &str, document: &[u8], replace: bool) -> Command {
    let ((kind, name), document) = (key(name), document.to_vec().into());
    let options = PutOptions { replace, ..PutOptions::default() };
    Command::PutItem { tribe: of.map(tribe), kind, name, document, options }
}

fn remove_command(of: Option<&str>, name: &str) -> Command {
    let (kind, name) = key(name);
    Command::RemoveItem { tribe: of.map(tribe), kind, name }
}

fn put(sim: &mut Sim, at: usize, of: Option<&str>, name: &str, document: &[u8]) {
    sim.command(at, put_command(of, name, document, true)).unwrap();
}

fn remove(sim: &mut Sim, at: usize, of: Option<&str>, name: &str) {
    sim.command(at, remove_command(of, name)).unwrap();
}

fn run(sim: &mut Sim, at: usize, of: Option<&str>, name: &str, running: bool) {
    let (kind, name) = key(name);
    sim.command(at, Command::RunItem { tribe: of.map(tribe), kind, name, running }).unwrap();
}

fn item(sim: &Sim, at: usize, of: Option<&str>, name: &str) -> Option<Item> {
    let view = sim.view(at);
    let items = match of {
        Some(tribe) => &view.tribes.get(tribe)?.items,
        None => &view.local_items,
    };
    items.get(&key(name)).cloned()
}

fn on_all(sim: &Sim, of: &str, name: &str) -> Item {
    let found: Vec<_> = sim.running().map(|at| item(sim, at, Some(of), name).unwrap()).collect();
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    found[0].clone()
}

#[test]
fn an_item_put_on_one_node_is_on_all_and_on_a_late_joiner() {
    let mut sim = settled(101, 5);
    put(&mut sim, 2, Some("core"), "cpu", b"one");
    converge(&mut sim, MINUTE, "an item");
    let first = on_all(&sim, "core", "cpu");
    assert_eq!((&*first.document, first.running), (&b"one"[..], true));
    assert_eq!(first.writer, sim.nodes[2].id);
    run(&mut sim, 3, Some("core"), "cpu", false);
    converge(&mut sim, MINUTE, "stopped");
    let stopped = on_all(&sim, "core", "cpu");
    assert_eq!((&*stopped.document, stopped.running), (&b"one"[..], false));
    put(&mut sim, 4, Some("core"), "cpu", b"two");
    sim.add(NodePlan::new(node("late")));
    converge(&mut sim, MINUTE, "replaced, and a late joiner");
    let replaced = on_all(&sim, "core", "cpu");
    assert_eq!((&*replaced.document, replaced.running), (&b"two"[..], false));
    assert!(first.generation < stopped.generation && stopped.generation < replaced.generation);
    assert!(replaced.written_ms >= WALL_START_MS);
}

#[test]
fn an_item_that_is_put_stopped_runs_nowhere_even_for_a_moment() {
    let mut sim = settled(105, 5);
    let put_stopped = |sim: &mut Sim, name: &str, size: usize| {
        let ((kind, name), document) = (key(name), vec![b'x'; size].into());
        let options = PutOptions { replace: true, running: Some(false) };
        let tribe = Some(tribe("core"));
        sim.command(0, Command::PutItem { tribe, kind, name, document, options }).unwrap();
    };
    let _: Vec<_> = (0..5).map(|at| sim.events(at)).collect();
    // One rides on packets, of the other only a hint does.
    put_stopped(&mut sim, "small", 100);
    put_stopped(&mut sim, "large", 10_000);
    converge(&mut sim, MINUTE, "two items");
    for at in 0..5 {
        let events = sim.events(at);
        let changes = kinds(&events, EventKind::ItemChanged);
        assert!(changes.len() >= 2, "{events:?}");
        assert!(changes.iter().all(|change| change.body["running"] == false), "{changes:?}");
    }
    put(&mut sim, 1, Some("core"), "cpu", b"runs");
    converge(&mut sim, MINUTE, "one that runs");
    assert!(on_all(&sim, "core", "cpu").running);
    put_stopped(&mut sim, "cpu", 3);
    converge(&mut sim, MINUTE, "replaced and stopped");
    let replaced = on_all(&sim, "core", "cpu");
    assert_eq!((&*replaced.document, replaced.running), (&b"xxx"[..], false));
    remove(&mut sim, 2, Some("core"), "small");
    put(&mut sim, 2, Some("core"), "small", b"anew");
    converge(&mut sim, MINUTE, "put anew");
    assert!(on_all(&sim, "core", "small").running, "it has no switch of the one before");
}

#[test]
fn an_item_removed_while_a_node_was_away_stays_removed() {
    let mut sim = settled(102, 5);
    put(&mut sim, 0, Some("core"), "cpu", b"one");
    run(&mut sim, 0, Some("core"), "cpu", false);
    put(&mut sim, 0, Some("edge"), "disk", b"one");
    converge(&mut sim, MINUTE, "two items");
    sim.partition([4]);
    sim.run_for(Duration::from_secs(30));
    remove(&mut sim, 0, Some("core"), "cpu");
    sim.command(0, Command::DeleteTribe { tribe: tribe("edge") }).unwrap();
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "removed");
    sim.restart(4, true);
    converge(&mut sim, 2 * MINUTE, "removed, after a restart");
    create(&mut sim, 4, "edge");
    converge(&mut sim, MINUTE, "created again");
    for at in 0..5 {
        assert_eq!(item(&sim, at, Some("core"), "cpu"), None);
        assert_eq!(item(&sim, at, Some("edge"), "disk"), None);
    }
    put(&mut sim, 1, Some("core"), "cpu", b"two");
    converge(&mut sim, MINUTE, "put anew");
    assert!(on_all(&sim, "core", "cpu").running, "it has no switch of the one before");
}

#[test]
fn stopping_and_replacing_at_once_is_no_conflict() {
    let mut sim = settled(103, 4);
    put(&mut sim, 0, Some("core"), "cpu", b"one");
    converge(&mut sim, MINUTE, "an item");
    sim.partition([0, 1]);
    put(&mut sim, 0, Some("core"), "cpu", b"two");
    run(&mut sim, 2, Some("core"), "cpu", false);
    put(&mut sim, 1, Some("core"), "mine", b"of one");
    sim.run_for(Duration::from_secs(2));
    put(&mut sim, 2, Some("core"), "mine", b"of two");
    let _ = (sim.events(0), sim.events(1));
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    let both = on_all(&sim, "core", "cpu");
    assert_eq!((&*both.document, both.running), (&b"two"[..], false));
    assert!(kinds(&sim.events(0), EventKind::Conflict).is_empty());
    let events = sim.events(1);
    let lost = kinds(&events, EventKind::Conflict);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0].body["lost"], "of one");
}

fn largest(filler: u8) -> Vec<u8> {
    vec![filler; limits::ITEM_BYTES]
}

#[test]
fn the_largest_items_converge_with_and_without_broadcasts() {
    for broadcasts in [true, false] {
        let mut sim = settled_with(SimConfig { broadcasts, ..SimConfig::new(104, 8) });
        put(&mut sim, 3, Some("core"), "large", &largest(b'x'));
        let took = converge(&mut sim, MINUTE, "a document of 256 KiB");
        assert!(!broadcasts || took < Duration::from_secs(3), "{took:?}");
        assert_eq!(on_all(&sim, "core", "large").document.len(), limits::ITEM_BYTES);
        put(&mut sim, 5, Some("core"), "large", &largest(b'y'));
        converge(&mut sim, MINUTE, "replaced");
        assert_eq!(on_all(&sim, "core", "large").document[0], b'y');
    }
}

#[test]
fn more_large_items_than_one_sync_carries_reach_a_late_joiner() {
    let count = 2 * limits::SYNC_BYTES / limits::ITEM_BYTES + 1;
    let mut sim = settled_with(SimConfig { encrypted: false, ..SimConfig::new(105, 3) });
    for at in 0..count {
        put(&mut sim, at % 2, Some("core"), &format!("t{at}"), &largest(at as u8));
    }
    converge(&mut sim, 2 * MINUTE, "many large items");
    let late = sim.add(NodePlan::new(node("late")));
    converge(&mut sim, 2 * MINUTE, "a late joiner of many large items");
    assert_eq!(sim.view(late).tribes["core"].items.len(), count);
}

#[test]
fn a_sync_that_carried_only_a_part_completes_nobody() {
    let mut sim = settled_with(SimConfig { encrypted: false, ..SimConfig::new(seed(109), 3) });
    const COUNT: usize = 48;
    for at in 0..COUNT {
        put(&mut sim, 0, Some("core"), &format!("t{at}"), &largest(at as u8));
    }
    converge(&mut sim, 2 * MINUTE, "large items");
    for node in &mut sim.nodes {
        node.engine.as_mut().unwrap().set_sync_bytes(0);
    }
    let late = sim.add(NodePlan::new(node("late")));
    let (mut parts, mut held) = (0, 0);
    while held < COUNT {
        sim.run_for(Duration::from_millis(10));
        let tribe = sim.view(late).tribes.get("core").cloned();
        let holds = tribe.map_or(0, |tribe| tribe.items.len());
        parts += usize::from(holds > held);
        held = holds;
        assert!(held == COUNT || !sim.engine(late).unwrap().is_synced(), "with {held}");
        assert!(sim.now() < 5 * MINUTE, "{held} in {parts} parts");
    }
    assert!(parts > 2, "{parts}");
    converge(&mut sim, MINUTE, "a late joiner");
    assert!(sim.engine(late).unwrap().is_synced());
}

#[test]
fn what_a_dialler_has_beyond_one_sync_arrives_with_the_next() {
    let mut sim = settled_with(SimConfig { encrypted: false, ..SimConfig::new(seed(110), 3) });
    sim.partition([0]);
    for at in 0..32 {
        put(&mut sim, at % 2, Some("core"), &format!("t{at}"), &largest(at as u8));
    }
    for node in &mut sim.nodes {
        node.engine.as_mut().unwrap().set_sync_bytes(0);
    }
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    let cut = |at| metric(&sim, at, "tribe_answers_cut_total");
    assert!(cut(0) > 0 && cut(1) > 0, "{} and {}", cut(0), cut(1));
}

#[test]
fn items_of_one_node_alone_never_travel_and_survive_a_crash() {
    let mut sim = settled(106, 3);
    let before = sim.engine(0).unwrap().roots();
    put(&mut sim, 0, None, "cpu", b"one");
    put(&mut sim, 0, None, "disk", b"one");
    put(&mut sim, 0, None, "large", &largest(b'x'));
    run(&mut sim, 0, None, "cpu", false);
    remove(&mut sim, 0, None, "disk");
    assert_eq!(sim.engine(0).unwrap().roots(), before);
    let kept = item(&sim, 0, None, "cpu").unwrap();
    assert_eq!((&*kept.document, kept.running), (&b"one"[..], false));
    assert_eq!(kept.writer, sim.nodes[0].id);
    sim.run_for(MINUTE);
    assert!((1..3).all(|at| sim.view(at).local_items.is_empty()));
    assert!(sim.view(0).tribes.values().all(|tribe| tribe.items.is_empty()));
    sim.restart(0, true);
    assert_eq!(item(&sim, 0, None, "cpu"), Some(kept.clone()));
    assert_eq!(item(&sim, 0, None, "large").unwrap().document.len(), limits::ITEM_BYTES);
    assert_eq!(sim.view(0).local_items.len(), 2);
    // Though its clock was set back, a later write is a later generation.
    sim.set_skew_ms(0, -200_000);
    put(&mut sim, 0, None, "cpu", b"two");
    let later = item(&sim, 0, None, "cpu").unwrap();
    assert!(later.generation > kept.generation && !later.running);
    sim.restart(0, false);
    assert!(sim.view(0).local_items.is_empty());
}

#[test]
fn an_item_of_one_node_alone_that_was_not_confirmed_is_whole_or_not_there_after_a_crash() {
    let mut sim = settled(107, 3);
    sim.submit(0, put_command(None, "cpu", b"one", false));
    sim.restart(0, true);
    assert_eq!(item(&sim, 0, None, "cpu"), None);
    sim.command(0, put_command(None, "cpu", b"one", false)).unwrap();
    sim.restart(0, true);
    assert!(item(&sim, 0, None, "cpu").is_some());
}

#[test]
fn what_is_wrong_with_an_item_is_said() {
    let mut sim = settled(108, 3);
    for of in [Some("core"), None] {
        put(&mut sim, 0, of, "cpu", b"one");
        let place = of.map_or("on this node alone", |_| "in tribe `core`");
        let mut check = |command: Command, expected: &str| {
            let error = sim.command(0, command).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(put_command(of, "cpu", b"one", false), &format!("task `cpu` exists {place}"));
        check(
            remove_command(of, "cpus"),
            &format!("there is no task `cpus` {place}, did you mean `cpu`?"),
        );
        check(remove_command(of, "memory"), &format!("there is no task `memory` {place}"));
        let large = vec![0; limits::ITEM_BYTES + 1];
        check(
            put_command(of, "large", &large, false),
            "the document takes 262145 bytes, at most 262144",
        );
        assert_eq!(&*item(&sim, 0, of, "cpu").unwrap().document, b"one");
    }
    let unknown = sim.command(0, put_command(Some("corr"), "cpu", b"one", false)).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no tribe `corr`, did you mean `core`?");
}

#[test]
fn items_are_told_as_events() {
    let mut sim = settled(109, 3);
    let _ = (sim.events(0), sim.events(1));
    put(&mut sim, 0, Some("core"), "cpu", b"one");
    run(&mut sim, 0, Some("core"), "cpu", false);
    put(&mut sim, 0, None, "mine", b"one");
    remove(&mut sim, 0, None, "mine");
    converge(&mut sim, MINUTE, "an item");
    let item = item(&sim, 1, Some("core"), "cpu").unwrap();
    let events = sim.events(1);
    let changed = kinds(&events, EventKind::ItemChanged);
    let last = changed.last().unwrap();
    assert_eq!((last.subject.as_str(), &last.body["kind"]), ("core", &"task".into()));
    assert_eq!((&last.body["name"], &last.body["running"]), (&"cpu".into(), &false.into()));
    assert_eq!(last.body["generation"], item.generation);
    assert!(changed.iter().all(|event| event.subject == "core"));
    remove(&mut sim, 1, Some("core"), "cpu");
    converge(&mut sim, MINUTE, "removed");
    let told = |events: &[Event], of: &str, kind| {
        kinds(events, kind).iter().filter(|event| event.subject == of).count()
    };
    let events = sim.events(0);
    let running: Vec<_> = kinds(&events, EventKind::ItemChanged)
        .iter()
        .filter(|event| event.subject == "core")
        .map(|event| event.body["running"] == true)
        .collect();
    // Whatever is heard of its removal first, it does not run once it was stopped.
    assert!(running[0] && running[1..].iter().all(|running| !running), "{running:?}");
    assert_eq!(told(&events, "core", EventKind::ItemRemoved), 1);
    assert_eq!(told(&events, "", EventKind::ItemChanged), 1);
    assert_eq!(told(&events, "", EventKind::ItemRemoved), 1);
    assert!(events.windows(2).all(|pair| pair[0].rev <= pair[1].rev));
}

fn status(applied: u32) -> NodeStatus {
    NodeStatus { wanted: 100, applied, ..NodeStatus::default() }
}

fn set_status(sim: &mut Sim, at: usize, applied: u32) {
    sim.command(at, Command::SetStatus(status(applied))).unwrap();
}

/// What `at` sees of the status of node 1.
fn applied(sim: &Sim, at: usize) -> Option<u32> {
    Some(sim.view(at).member("n1")?.status.as_ref()?.applied)
}

#[test]
fn a_status_is_written_at_once_and_then_every_ten_seconds_at_most() {
    let mut sim = settled(110, 3);
    assert_eq!(applied(&sim, 2), None);
    set_status(&mut sim, 1, 0);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(applied(&sim, 2), Some(0));
    // Forty seconds of a status that changes all the time.
    let (start, mut seen) = (sim.now(), vec![(0, sim.now())]);
    for change in 1..=100 {
        set_status(&mut sim, 1, change);
        sim.run_for(Duration::from_millis(400));
        let now = applied(&sim, 1).unwrap();
        if seen.last().unwrap().0 != now {
            seen.push((now, sim.now()));
        }
    }
    assert!((3..=5).contains(&(seen.len() - 1)), "{seen:?} since {start:?}");
    for pair in seen[1..].windows(2) {
        assert!(pair[1].1 - pair[0].1 >= limits::STATUS_PERIOD - Duration::from_secs(1));
    }
    sim.run_for(limits::STATUS_PERIOD + Duration::from_secs(2));
    assert_eq!((applied(&sim, 0), applied(&sim, 2)), (Some(100), Some(100)), "the last one wins");
}

#[test]
fn a_status_that_is_what_it_was_is_not_written() {
    let mut sim = settled(116, 3);
    set_status(&mut sim, 1, 1);
    sim.run_for(Duration::from_secs(1));
    let written = sim.engine(1).unwrap().roots();
    // Within the period it changes and changes back; after it, nothing is new.
    set_status(&mut sim, 1, 2);
    set_status(&mut sim, 1, 1);
    sim.run_for(2 * limits::STATUS_PERIOD);
    set_status(&mut sim, 1, 1);
    sim.run_for(2 * limits::STATUS_PERIOD);
    assert_eq!(sim.engine(1).unwrap().roots(), written);
    set_status(&mut sim, 1, 2);
    assert_ne!(
        sim.engine(1).unwrap().roots(),
        written,
        "long after the last it is written at once"
    );
}

#[test]
fn a_status_that_is_too_large_is_refused() {
    let mut sim = settled(111, 3);
    let worst = |length| NodeStatus { worst: Some("x".repeat(length)), ..status(1) };
    let room = limits::STATUS_BYTES - worst(0).encoded_len();
    sim.command(1, Command::SetStatus(worst(room))).unwrap();
    let error = sim.command(1, Command::SetStatus(worst(room + 1))).unwrap_err();
    assert_eq!(error.to_string(), "the status takes 201 bytes, at most 200");
    sim.run_for(Duration::from_secs(2));
    assert_eq!(sim.view(0).member("n1").unwrap().status, Some(worst(room)));
}

fn offers(services: &[&str], blobs: &[u8]) -> Offers {
    Offers {
        services: services.iter().map(|name| ServiceName::parse(name).unwrap()).collect(),
        blobs: blobs.iter().map(|byte| BlobId([*byte; 32])).collect(),
    }
}

/// Has a node serve and hold these; a service may be served already.
fn offer(sim: &mut Sim, at: usize, offers: &Offers) {
    for service in offers.services.clone() {
        let options = ServeOptions::default();
        sim.submit(at, Command::Serve { service, options });
    }
    sim.submit(at, Command::SetBlobs(offers.blobs.clone()));
}

fn withdraw(sim: &mut Sim, at: usize, service: &str) {
    let service = ServiceName::parse(service).unwrap();
    sim.command(at, Command::Unserve { service }).unwrap();
    sim.command(at, Command::SetBlobs(BTreeSet::new())).unwrap();
}

/// What `at` sees of the offers of node 1.
fn offered(sim: &Sim, at: usize) -> Offers {
    sim.view(at).member("n1").unwrap().offers.as_ref().clone()
}

#[test]
fn offers_that_come_in_a_group_are_told_once_and_only_of_the_living() {
    let mut sim = settled(112, 3);
    let _ = sim.events(0);
    for last in 1..=5 {
        let blobs: Vec<u8> = (0..last).collect();
        offer(&mut sim, 1, &offers(&["status"], &blobs));
        sim.run_for(Duration::from_millis(10));
    }
    assert_eq!(offered(&sim, 1), Offers::default());
    sim.run_for(Duration::from_secs(1));
    let told = offers(&["status"], &[0, 1, 2, 3, 4]);
    assert_eq!((offered(&sim, 0), offered(&sim, 1)), (told.clone(), told.clone()));
    let events = sim.events(0);
    let changed = kinds(&events, EventKind::OffersChanged);
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].subject, "n1");
    assert_eq!(changed[0].body, serde_json::json!({"services": ["status"], "blobs": 5}));
    sim.partition([1]);
    let gone = sim.run_until(MINUTE, |sim| offered(sim, 0) == Offers::default());
    assert!(gone.is_some(), "a node that is down offers nothing");
    assert_eq!(offered(&sim, 1), told);
    sim.heal();
    converge(&mut sim, MINUTE, "healed");
    assert_eq!(offered(&sim, 0), told);
    withdraw(&mut sim, 1, "status");
    sim.run_for(Duration::from_secs(2));
    assert_eq!(offered(&sim, 0), Offers::default());
}

#[test]
fn a_node_that_started_again_offers_nothing_of_before() {
    let mut sim = settled(113, 3);
    offer(&mut sim, 1, &offers(&["status"], &[1]));
    set_status(&mut sim, 1, 7);
    sim.run_for(Duration::from_secs(2));
    converge(&mut sim, MINUTE, "offers");
    sim.restart(1, true);
    converge(&mut sim, MINUTE, "a restart");
    for at in 0..3 {
        assert_eq!((offered(&sim, at), applied(&sim, at)), (Offers::default(), None));
    }
    let late = sim.add(NodePlan::new(node("late")));
    offer(&mut sim, 1, &offers(&["status"], &[2]));
    sim.run_for(Duration::from_secs(2));
    converge(&mut sim, MINUTE, "offers again");
    assert_eq!(offered(&sim, late), offers(&["status"], &[2]));
}

#[test]
fn a_node_that_begins_a_new_epoch_takes_its_offers_and_status_along() {
    let mut sim = settled(114, 4);
    sim.crash(1);
    sim.run_for(2 * MINUTE);
    sim.wipe(1);
    sim.set_skew_ms(1, -200_000);
    sim.partition([1]);
    sim.restart(1, true);
    offer(&mut sim, 1, &offers(&["status"], &[1]));
    set_status(&mut sim, 1, 7);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(offered(&sim, 1), offers(&["status"], &[1]));
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "the epoch was behind");
    for at in 0..4 {
        assert_eq!(offered(&sim, at), offers(&["status"], &[1]), "{at}");
        assert_eq!(applied(&sim, at), Some(7), "{at}");
    }
}

#[test]
fn what_is_too_much_to_offer_is_left_out() {
    let mut sim = settled(115, 3);
    let mut many = offers(&["status"], &[]);
    many.blobs = (0..=limits::OFFERED_BLOBS as u64)
        .map(|at| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&at.to_be_bytes());
            BlobId(bytes)
        })
        .collect();
    offer(&mut sim, 1, &many);
    sim.run_for(Duration::from_secs(3));
    converge(&mut sim, MINUTE, "many blobs");
    assert_eq!(offered(&sim, 2).blobs.len(), limits::OFFERED_BLOBS);
}
