use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;
use crate::{BlobId, FactName, ServiceName, Source, Value};

/// The one epoch of each owner that begins with offers and a status.
const RICH_EPOCH: u64 = 3;
const NOW_MS: u64 = 1_000_000_000;
const AHEAD_MS: u64 = limits::STAMP_AHEAD.as_millis() as u64;

fn stamp(wall_ms: u64, node: u64) -> Stamp {
    Stamp { time: wall_ms << 16, node: NodeId(node) }
}

fn shared(kind: Kind, name: &str, at: Stamp, body: Option<Body>) -> Record {
    Record::Shared(Shared { key: Key::new(kind, name), stamp: at, base: None, body })
}

fn tribe(name: &str, at: u64) -> Record {
    let body = TribeBody { description: format!("at {at}") }.to_body();
    shared(Kind::TRIBE, name, stamp(at, 1), Some(body))
}

fn description(tribe: &str, at: u64, text: &str) -> Record {
    let body = TribeBody { description: text.to_owned() }.to_body();
    shared(Kind::DESCRIPTION, tribe, stamp(at, 1), Some(body))
}

fn floor(name: &str, at: u64) -> Record {
    shared(Kind::FLOOR, name, stamp(at, 1), Some(FloorBody {}.to_body()))
}

fn placement(tribe: &str, node: &str, at: u64, body: Option<Placement>) -> Record {
    let body = body.map(|placement| PlacementBody { placement }.to_body());
    let key = Key::pair(Kind::PLACEMENT, tribe, node);
    Record::Shared(Shared { key, stamp: stamp(at, 1), base: None, body })
}

const ITEM: &str = "plugin/influxdb";

fn item_key(kind: Kind, tribe: &str, item: &str) -> Key {
    Key::new(kind, &format!("{tribe}/{item}"))
}

fn item(tribe: &str, at: u64, document: Option<&'static str>) -> Record {
    let body = document.map(|text| ItemBody { document: text.into(), stopped: false }.to_body());
    let key = item_key(Kind::ITEM, tribe, ITEM);
    Record::Shared(Shared { key, stamp: stamp(at, 1), base: None, body })
}

fn switch(tribe: &str, at: u64, running: Option<bool>) -> Record {
    let body = running.map(|running| RunningBody { running }.to_body());
    let key = item_key(Kind::ITEM_RUNNING, tribe, ITEM);
    Record::Shared(Shared { key, stamp: stamp(at, 1), base: None, body })
}

fn stopped_item(tribe: &str, at: u64) -> Record {
    let body = ItemBody { document: "x".into(), stopped: true }.to_body();
    shared(Kind::ITEM, &format!("{tribe}/{ITEM}"), stamp(at, 1), Some(body))
}

/// The documents of a tribe's items.
fn documents(state: &State, tribe: &str) -> Vec<String> {
    let items = state.reading().items.get(tribe).into_iter().flatten();
    items.map(|(_, read)| String::from_utf8(read.document.to_vec()).unwrap()).collect()
}

fn policy(name: &str, tribe: &str, at: u64) -> Record {
    // No writer uses a stamp twice.
    let writer = u64::from(tribe.as_bytes()[0]);
    let tribe = TribeName::parse(tribe).unwrap();
    let body = PolicyBody { tribe, level: 1, text: "{{a}} == 1".into(), off: false }.to_body();
    shared(Kind::POLICY, name, stamp(at, writer), Some(body))
}

fn owned(owner: u64, epoch: u64, seq: u64, kind: Kind, body: Body) -> Record {
    Record::Owned(Owned { owner: NodeId(owner), epoch, seq, kind, body })
}

fn node_record(owner: u64, epoch: u64, seq: u64, name: &str) -> Record {
    let mut kinds = vec![Kind::NODE, Kind::FACTS];
    // The list is of what an epoch began with: all node records of one say the same.
    kinds.extend((epoch == RICH_EPOCH).then_some([Kind::OFFERS, Kind::STATUS]).iter().flatten());
    let body = NodeBody {
        name: NodeName::parse(name).unwrap(),
        address: "10.0.0.1:6000".parse().unwrap(),
        version: String::new(),
        level: 1,
        left: false,
        yielded: false,
        memberships: 0,
        kinds,
    };
    owned(owner, epoch, seq, Kind::NODE, body.to_body())
}

fn offers_record(owner: u64, epoch: u64, seq: u64, blob: u8) -> Record {
    let services = [ServiceName::parse("publisher/influxdb/25").unwrap()].into();
    let offers = Offers { services, blobs: [BlobId([blob; 32])].into() };
    owned(owner, epoch, seq, Kind::OFFERS, offers.to_body())
}

fn status_record(owner: u64, epoch: u64, seq: u64, applied: u32) -> Record {
    let status = NodeStatus { wanted: 3, applied, ..NodeStatus::default() };
    owned(owner, epoch, seq, Kind::STATUS, status.to_body())
}

fn facts_record(owner: u64, epoch: u64, seq: u64, value: i64) -> Record {
    let mut facts = Facts::new();
    facts.insert(FactName::parse("a").unwrap(), Value::from(value), Source::Start);
    owned(owner, epoch, seq, Kind::FACTS, facts.to_body())
}

fn forgotten(owner: u64, epoch: u64, at: u64) -> Record {
    let key = Key::forgotten(NodeId(owner), epoch);
    Record::Shared(Shared { key, stamp: stamp(at, 1), base: None, body: None })
}

fn apply_all(records: &[Record]) -> State {
    let mut state = State::new();
    for record in records {
        let _ = state.apply(record.clone(), NOW_MS);
    }
    state
}

/// All that can be told from outside.
fn picture(state: &State) -> String {
    let owners: Vec<String> = state
        .owners()
        .map(|(id, owner)| {
            let said = (owner.node(), owner.facts(), owner.offers(), owner.status());
            format!("{id} {} {said:?}", owner.epoch())
        })
        .collect();
    format!("{:?}\n{:?}\n{owners:#?}", state.roots(), state.reading())
}

fn kinds() -> impl Strategy<Value = Record> {
    let name = prop::sample::select(vec!["a", "b"]);
    let at = 1u64..12;
    let owner = 1u64..4;
    let place = prop::option::of(prop_oneof![Just(Placement::Joined), Just(Placement::Left)]);
    prop_oneof![
        (name.clone(), at.clone()).prop_map(|(name, at)| tribe(name, at)),
        (name.clone(), at.clone()).prop_map(|(name, at)| description(
            name,
            at,
            &format!("said at {at}")
        )),
        (name.clone(), at.clone()).prop_map(|(name, at)| floor(name, at)),
        (name.clone(), at.clone(), place)
            .prop_map(|(name, at, body)| { placement(name, "n1", at, body) }),
        (name.clone(), name.clone(), at.clone()).prop_map(|(name, of, at)| policy(name, of, at)),
        (name.clone(), at.clone(), any::<bool>()).prop_map(|(name, at, enabled)| {
            let body = EnabledBody { enabled }.to_body();
            shared(Kind::POLICY_ENABLED, name, stamp(at, 1), Some(body))
        }),
        (name.clone(), at.clone(), prop::option::of(prop::sample::select(vec!["x", "y"])))
            .prop_map(|(name, at, document)| item(name, at, document)),
        (name.clone(), at.clone(), any::<Option<bool>>())
            .prop_map(|(name, at, running)| switch(name, at, running)),
        (owner.clone(), 1u64..4, 1u64..4, 0u8..3)
            .prop_map(|(owner, epoch, seq, blob)| { offers_record(owner, epoch, seq, blob) }),
        (owner.clone(), 1u64..4, 1u64..4, 0u32..3)
            .prop_map(|(owner, epoch, seq, applied)| { status_record(owner, epoch, seq, applied) }),
        (owner.clone(), 1u64..4, at).prop_map(|(owner, epoch, at)| forgotten(owner, epoch, at)),
        (owner.clone(), 1u64..4, 1u64..4, name)
            .prop_map(|(owner, epoch, seq, name)| { node_record(owner, epoch, seq, name) }),
        (owner, 1u64..4, 1u64..4, 0i64..3)
            .prop_map(|(owner, epoch, seq, value)| { facts_record(owner, epoch, seq, value) }),
    ]
}

proptest! {
    #[test]
    fn any_order_and_repetition_gives_the_same_state(
        records in vec(kinds(), 0..40),
        seed in any::<u64>(),
        repeated in subsequence((0..40).collect::<Vec<usize>>(), 0..40),
    ) {
        let first = apply_all(&records);
        let mut other = records.clone();
        other.extend(repeated.iter().filter_map(|at| records.get(*at).cloned()));
        shuffle(&mut other, seed);
        prop_assert_eq!(picture(&apply_all(&other)), picture(&first));
    }

    #[test]
    fn sums_kept_up_to_date_equal_sums_made_anew(records in vec(kinds(), 0..40)) {
        let state = apply_all(&records);
        let mut held: Vec<Record> = state.shared.keys().filter_map(|key| state.shared(key)).collect();
        for (id, owner) in state.owners() {
            held.extend(owner.entries().filter_map(|(epoch, kind, _)| owner.record(id, epoch, kind)));
        }
        prop_assert_eq!(apply_all(&held).roots(), state.roots());
    }

    #[test]
    fn nothing_at_or_below_a_floor_is_read(records in vec(kinds(), 0..40)) {
        let state = apply_all(&records);
        for (key, held) in &state.shared {
            let of = held.body.as_ref().and_then(|body| tribe_of(key, body));
            let floor = of.and_then(|tribe| state.reading.floors.get(&tribe));
            prop_assert!(floor.is_none_or(|floor| held.stamp > *floor), "{key:?}");
        }
    }

    #[test]
    fn what_was_removed_never_returns(records in vec(kinds(), 0..40), seed in any::<u64>()) {
        let mut state = apply_all(&records);
        // Later than all there was.
        let at = NOW_MS + 1;
        for tribe in ["a", "b"] {
            let _ = state.apply(item(tribe, at, None), NOW_MS);
        }
        let mut again = records.clone();
        shuffle(&mut again, seed);
        for record in again {
            let _ = state.apply(record, NOW_MS);
        }
        prop_assert!(state.reading().items.is_empty());
    }
}

fn shuffle(records: &mut [Record], seed: u64) {
    let mut random = seed;
    for at in (1..records.len()).rev() {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        records.swap(at, (random >> 33) as usize % (at + 1));
    }
}

fn reads(state: &State, tribe: &str) -> bool {
    state.reading().tribes.contains_key(tribe)
}

#[test]
fn a_tribe_is_for_what_was_said_last_and_saying_nothing_takes_nothing_back() {
    let silent = |at| {
        let body = TribeBody { description: String::new() }.to_body();
        shared(Kind::TRIBE, "a", stamp(at, 2), Some(body))
    };
    let check = |records: &[Record], expected: Option<&str>| {
        assert_eq!(apply_all(records).reading().description("a"), expected, "{records:?}");
        let mut other = records.to_vec();
        other.reverse();
        assert_eq!(apply_all(&other).reading().description("a"), expected, "{other:?}");
    };
    check(&[], None);
    check(&[description("a", 1, "x")], None);
    check(&[silent(1)], Some(""));
    check(&[tribe("a", 1)], Some("at 1"));
    check(&[tribe("a", 1), description("a", 2, "x")], Some("x"));
    check(&[tribe("a", 1), description("a", 2, "")], Some(""));
    // It was created anew, by a build that does not say it apart.
    check(&[description("a", 1, "x"), tribe("a", 2)], Some("at 2"));
    check(&[description("a", 1, "x"), tribe("a", 2), silent(3)], Some("x"));
    check(&[description("a", 1, "x"), floor("a", 2), silent(3)], Some(""));
    check(&[silent(1), description("a", 2, "x"), floor("a", 3)], None);
}

#[test]
fn a_deleted_tribe_takes_its_dependants_along_and_comes_back_empty() {
    let mut state = apply_all(&[
        tribe("a", 1),
        placement("a", "n1", 2, Some(Placement::Joined)),
        policy("p", "a", 3),
        policy("q", "b", 3),
    ]);
    assert!(reads(&state, "a") && state.reading().policies.len() == 2);
    let Applied::Fresh(changes) = state.apply(floor("a", 5), NOW_MS) else { panic!("stale") };
    assert_eq!(changes.len(), 4);
    assert!(!reads(&state, "a") && state.reading().placements.is_empty());
    assert_eq!(state.reading().policies.len(), 1);
    let _ = state.apply(tribe("a", 6), NOW_MS);
    let _ = state.apply(placement("a", "n2", 4, Some(Placement::Joined)), NOW_MS);
    assert!(reads(&state, "a") && state.reading().placements.is_empty());
}

#[test]
fn a_deleted_tribe_takes_its_items_and_their_switches_along() {
    let mut state = apply_all(&[
        tribe("a", 1),
        item("a", 2, Some("x")),
        switch("a", 3, Some(false)),
        item("b", 2, Some("y")),
    ]);
    let (of_a, key) = (TribeName::parse("a").unwrap(), item_key(Kind::ITEM, "a", ITEM));
    let (_, item_name) = key.as_item().unwrap();
    assert!(!state.reading().running(&of_a, &item_name).unwrap().0);
    let Applied::Fresh(changes) = state.apply(floor("a", 5), NOW_MS) else { panic!("stale") };
    assert_eq!(changes.len(), 4);
    assert_eq!((documents(&state, "a").len(), documents(&state, "b").len()), (0, 1));
    let _ = state.apply(tribe("a", 6), NOW_MS);
    let _ = state.apply(item("a", 4, Some("late")), NOW_MS);
    let _ = state.apply(switch("a", 4, Some(false)), NOW_MS);
    assert!(documents(&state, "a").is_empty());
    let _ = state.apply(item("a", 7, Some("new")), NOW_MS);
    assert_eq!(documents(&state, "a"), ["new"]);
    assert!(state.reading().running(&of_a, &item_name).unwrap().0);
}

#[test]
fn an_item_runs_unless_its_switch_says_no() {
    let check = |records: &[Record], expected: Option<(bool, u64)>| {
        let state = apply_all(records);
        let (tribe, item) = item_key(Kind::ITEM, "a", ITEM).as_item().unwrap();
        let found = state.reading().running(&tribe, &item);
        assert_eq!(found.map(|(running, at)| (running, at.wall_ms())), expected, "{records:?}");
    };
    let put = |at| item("a", at, Some("x"));
    check(&[], None);
    check(&[switch("a", 1, Some(true))], None);
    check(&[put(1)], Some((true, 1)));
    check(&[put(1), switch("a", 2, Some(false))], Some((false, 2)));
    check(&[put(3), switch("a", 2, Some(false))], Some((false, 3)));
    check(&[put(3), switch("a", 4, Some(true))], Some((true, 4)));
    // It was forgotten before the item was put.
    check(&[put(3), switch("a", 2, None)], Some((true, 3)));
    // It was forgotten with the item, whose end is not yet heard of here.
    check(&[put(3), switch("a", 5, None)], Some((false, 5)));
    check(&[put(3), switch("a", 5, None), item("a", 4, None)], None);
    // It was put stopped, against whatever was said before.
    check(&[stopped_item("a", 3)], Some((false, 3)));
    for before in [Some(true), Some(false), None] {
        check(&[stopped_item("a", 3), switch("a", 2, before)], Some((false, 3)));
    }
    check(&[stopped_item("a", 3), switch("a", 4, Some(true))], Some((true, 4)));
    check(&[stopped_item("a", 3), switch("a", 2, Some(false)), put(4)], Some((false, 4)));
}

#[test]
fn items_are_read_only_under_names_of_three_parts_and_within_their_limit() {
    let check = |name: &str, length: usize, fine: bool| {
        let body = Body { version: 1, bytes: vec![b'x'; length].into() };
        let state = apply_all(&[shared(Kind::ITEM, name, stamp(1, 1), Some(body))]);
        assert_eq!(state.reading().items.len(), usize::from(fine), "{name}");
        assert_eq!(state.shared_len(), 1);
    };
    check("a/plugin/influxdb", 10, true);
    check("a/plugin/influxdb", 0, true);
    check("a/plugin/influxdb", limits::ITEM_BYTES, true);
    check("a/plugin/influxdb", limits::ITEM_BYTES + 1, false);
    check("a/plugin", 10, false);
    check("a/plugin/influxdb/25", 10, false);
    check("a//influxdb", 10, false);
    let longest = ["a".repeat(limits::NAME_BYTES), "b".repeat(limits::NAME_BYTES)];
    check(&format!("{}/{}/{}", longest[0], longest[1], longest[1]), 10, true);
}

#[test]
fn a_collected_switch_is_read_no_more() {
    const HOUR_MS: u64 = 3_600_000;
    let mut state = apply_all(&[switch("a", 5, Some(false)), switch("a", 6, None)]);
    assert_eq!(state.reading().switches.len(), 1);
    assert_eq!(state.advance_horizon(HOUR_MS).len(), 1);
    assert!(state.reading().switches.is_empty());
}

#[test]
fn a_forgotten_node_is_gone_and_only_a_later_epoch_of_it_is_taken() {
    let life = |epoch| [node_record(1, epoch, 1, "a"), facts_record(1, epoch, 1, 7)];
    let mut state = apply_all(&[&life(1)[..], &life(2)[..], &[node_record(2, 1, 1, "b")]].concat());
    let Applied::Fresh(changes) = state.apply(forgotten(1, 2, 5), NOW_MS) else { panic!("stale") };
    let gone = changes.iter().filter(|change| matches!(change.what, What::Gone(_)));
    assert_eq!(gone.count(), 2);
    assert!(changes.iter().any(|change| matches!(change.what, What::Node(NodeId(1)))));
    let ids: Vec<u64> = state.owners().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [2]);
    for record in life(2) {
        assert!(state.holds(&record.version()), "it is not to be pulled");
        assert!(matches!(state.apply(record, NOW_MS), Applied::Stale));
    }
    for record in life(4) {
        assert!(matches!(state.apply(record, NOW_MS), Applied::Fresh(_)));
    }
    assert_eq!(state.owner(NodeId(1)).unwrap().epoch(), 4);
    assert!(matches!(state.apply(forgotten(1, 3, 6), NOW_MS), Applied::Fresh(_)));
    assert_eq!(state.owner(NodeId(1)).unwrap().facts().len(), 1);
}

#[test]
fn that_a_node_was_forgotten_is_collected_as_tombstones_are() {
    const HOUR_MS: u64 = 3_600_000;
    let mut state = apply_all(&[forgotten(1, 2, 5), forgotten(1, 3, 6), forgotten(2, 3, 6)]);
    assert_eq!(state.reading().forgotten(NodeId(1)), Some(3));
    assert_eq!(state.advance_horizon(HOUR_MS).len(), 3);
    assert_eq!(state.reading().forgotten(NodeId(1)), None);
    assert_eq!((state.shared_len(), state.roots().shared), (0, 0));
    assert!(matches!(state.apply(forgotten(1, 2, 5), NOW_MS), Applied::Stale));
}

#[test]
fn who_is_forgotten_is_read_in_one_spelling_only() {
    let check = |name: &str, expected: Option<(u64, u64)>| {
        let found = Key::new(Kind::FORGOTTEN, name).as_forgotten();
        assert_eq!(found, expected.map(|(id, epoch)| (NodeId(id), epoch)), "{name}");
    };
    check("000000000000000f/7", Some((15, 7)));
    check("000000000000000f/07", None);
    check("000000000000000f/+7", None);
    check("000000000000000F/7", None);
    check("f/7", None);
    check("000000000000000f", None);
    check("000000000000000f/7/", None);
    check("000000000000000f/99999999999999999999", None);
    assert_eq!(Key::new(Kind::TRIBE, "000000000000000f/7").as_forgotten(), None);
}

#[test]
fn a_removed_placement_does_not_return() {
    let joined = placement("a", "n1", 2, Some(Placement::Joined));
    let mut state = apply_all(&[joined.clone(), placement("a", "n1", 3, None)]);
    assert!(matches!(state.apply(joined, NOW_MS), Applied::Stale));
    assert!(state.reading().placements.is_empty());
}

#[test]
fn stamps_far_ahead_are_set_aside() {
    let mut state = State::new();
    let ahead = state.apply(tribe("a", NOW_MS + AHEAD_MS + 1), NOW_MS);
    assert!(matches!(ahead, Applied::Refused(Refusal::Ahead)));
    assert!(!reads(&state, "a"));
    assert!(matches!(state.apply(tribe("a", NOW_MS + AHEAD_MS), NOW_MS), Applied::Fresh(_)));
    assert!(matches!(
        state.apply(tribe("b", NOW_MS + AHEAD_MS + 1), NOW_MS + 1),
        Applied::Fresh(_)
    ));
}

#[test]
fn records_that_break_a_limit_are_refused() {
    let check = |record| {
        assert!(matches!(State::new().apply(record, NOW_MS), Applied::Refused(Refusal::TooLarge)));
    };
    let large = Body { version: 1, bytes: vec![0; limits::BODY_BYTES + 1].into() };
    check(shared(Kind::TRIBE, "a", stamp(1, 1), Some(large.clone())));
    check(shared(Kind::TRIBE, &"a".repeat(limits::KEY_BYTES + 1), stamp(1, 1), None));
    check(owned(1, 1, 1, Kind::FACTS, large));
    let mut state = State::new();
    for kind in 0..=limits::OWNED_RECORDS as u8 {
        let applied = state.apply(owned(1, 1, 1, Kind(kind), FloorBody {}.to_body()), NOW_MS);
        let fits = usize::from(kind) < limits::OWNED_RECORDS;
        assert_eq!(matches!(applied, Applied::Fresh(_)), fits, "{kind}");
    }
}

#[test]
fn an_older_epoch_stands_until_the_newer_one_is_complete() {
    let mut state = apply_all(&[node_record(1, 1, 1, "old"), facts_record(1, 1, 2, 1)]);
    let name = |state: &State| state.owner(NodeId(1)).unwrap().node().unwrap().name.to_string();
    let _ = state.apply(node_record(1, 2, 1, "new"), NOW_MS);
    assert_eq!(name(&state), "old");
    assert!(matches!(state.apply(facts_record(1, 1, 3, 2), NOW_MS), Applied::Fresh(_)));
    let Applied::Fresh(changes) = state.apply(facts_record(1, 2, 2, 5), NOW_MS) else {
        panic!("stale")
    };
    assert_eq!(name(&state), "new");
    let gone = changes.iter().filter(|change| matches!(change.what, What::Gone(_)));
    assert_eq!(gone.count(), 2);
    assert!(matches!(state.apply(facts_record(1, 1, 9, 9), NOW_MS), Applied::Stale));
}

#[test]
fn an_epoch_stands_only_with_the_offers_and_the_status_it_began_with() {
    let mut state = apply_all(&[
        node_record(1, 1, 1, "old"),
        facts_record(1, 1, 2, 1),
        offers_record(1, 1, 3, 7),
        node_record(1, RICH_EPOCH, 1, "new"),
        facts_record(1, RICH_EPOCH, 2, 5),
        offers_record(1, RICH_EPOCH, 3, 8),
    ]);
    let owner = |state: &State| state.owner(NodeId(1)).unwrap().clone();
    let blobs = |owner: &Owner| owner.offers().blobs.iter().copied().collect::<Vec<_>>();
    assert_eq!((owner(&state).epoch(), blobs(&owner(&state))), (1, vec![BlobId([7; 32])]));
    let _ = state.apply(status_record(1, RICH_EPOCH, 4, 2), NOW_MS);
    assert_eq!((owner(&state).epoch(), blobs(&owner(&state))), (3, vec![BlobId([8; 32])]));
    assert_eq!(owner(&state).status().unwrap().applied, 2);
}

#[test]
fn what_follows_within_an_epoch_delays_nothing_and_ends_with_it() {
    let mut state = apply_all(&[node_record(1, 1, 1, "n1"), facts_record(1, 1, 2, 1)]);
    let owner = |state: &State| state.owner(NodeId(1)).unwrap().clone();
    assert!(owner(&state).offers().blobs.is_empty() && owner(&state).status().is_none());
    let Applied::Fresh(changes) = state.apply(offers_record(1, 1, 3, 7), NOW_MS) else {
        panic!("stale")
    };
    assert!(matches!(changes[..], [Change { what: What::Offers(NodeId(1)), .. }]));
    let _ = state.apply(status_record(1, 1, 4, 2), NOW_MS);
    let _ = state.apply(node_record(1, 1, 5, "renamed"), NOW_MS);
    assert_eq!(owner(&state).node().unwrap().name.as_str(), "renamed");
    assert_eq!(owner(&state).offers().blobs.len(), 1);
    // The node has started again, and offers nothing yet.
    let _ = state.apply(node_record(1, 2, 1, "n1"), NOW_MS);
    let _ = state.apply(facts_record(1, 2, 2, 1), NOW_MS);
    assert!(owner(&state).offers().blobs.is_empty() && owner(&state).status().is_none());
}

#[test]
fn an_owner_that_lists_more_within_an_epoch_is_read_on() {
    let mut state = apply_all(&[
        node_record(1, 2, 1, "n1"),
        facts_record(1, 2, 2, 1),
        // As of another build.
        owned(1, 2, 3, Kind::NODE, {
            let Record::Owned(rich) = node_record(1, RICH_EPOCH, 3, "n2") else { panic!() };
            rich.body
        }),
    ]);
    let _ = state.apply(facts_record(1, 2, 4, 2), NOW_MS);
    let owner = state.owner(NodeId(1)).unwrap();
    assert_eq!(owner.node().unwrap().name.as_str(), "n2");
    assert_eq!(owner.facts().get("a").unwrap().value, Value::from(2));
}

#[test]
fn a_newcomer_is_not_read_until_its_epoch_is_complete() {
    let mut state = apply_all(&[node_record(1, 1, 1, "n1")]);
    assert!(state.owner(NodeId(1)).unwrap().node().is_none());
    let _ = state.apply(facts_record(1, 1, 2, 1), NOW_MS);
    assert!(state.owner(NodeId(1)).unwrap().node().is_some());
}

#[test]
fn a_concurrent_write_is_told_and_a_later_one_is_not() {
    let mut one = State::new();
    let first = one.write(Key::new(Kind::TRIBE, "a"), None, NodeId(1), NOW_MS);
    let body = Some(TribeBody { description: "mine".into() }.to_body());
    let first = match first {
        Record::Shared(shared) => Record::Shared(Shared { body, ..shared }),
        Record::Owned(_) => panic!("not shared"),
    };
    let mut other = State::new();
    let concurrent = other.write(Key::new(Kind::TRIBE, "a"), None, NodeId(2), NOW_MS + 1);
    let _ = other.apply(first.clone(), NOW_MS);
    let later = other.write(Key::new(Kind::TRIBE, "a"), None, NodeId(2), NOW_MS + 2);
    let lost = |second: Record| {
        let mut state = State::new();
        let _ = state.apply(first.clone(), NOW_MS);
        match state.apply(second, NOW_MS) {
            Applied::Fresh(changes) => changes.into_iter().find_map(|change| change.lost),
            _ => panic!("not fresh"),
        }
    };
    let told = lost(concurrent).unwrap();
    assert_eq!((told.writer, told.winner), (NodeId(1), NodeId(2)));
    assert!(lost(later).is_none());
}

#[test]
fn tombstones_below_the_horizon_are_collected_and_do_not_return() {
    const HOUR_MS: u64 = 3_600_000;
    let removed = placement("a", "n1", 5, None);
    let mut state =
        apply_all(&[tribe("a", 1), removed.clone(), floor("b", 3), policy("p", "b", 2)]);
    let gone = state.advance_horizon(HOUR_MS);
    assert_eq!(gone.len(), 3);
    assert!(reads(&state, "a"));
    assert!(matches!(state.apply(removed, NOW_MS), Applied::Stale));
    let mut other = apply_all(&[tribe("a", 1)]);
    let _ = other.advance_horizon(HOUR_MS);
    assert_eq!(other.roots(), state.roots());
    assert!(state.advance_horizon(HOUR_MS).is_empty());
}

#[test]
fn a_floor_above_the_horizon_collects_what_lies_below_it() {
    const HOUR_MS: u64 = 3_600_000;
    let late_floor = floor("a", HOUR_MS + 1);
    let mut one = apply_all(&[tribe("a", 1)]);
    let _ = one.advance_horizon(HOUR_MS);
    let _ = one.apply(late_floor.clone(), NOW_MS);
    let mut other = State::new();
    let _ = other.advance_horizon(HOUR_MS);
    let _ = other.apply(late_floor, NOW_MS);
    assert!(matches!(other.apply(tribe("a", 1), NOW_MS), Applied::Stale));
    assert_eq!(picture(&one), picture(&other));
}

#[test]
fn what_is_not_understood_is_kept_and_passed_on() {
    let odd = shared(Kind(200), "a", stamp(1, 1), Some(Body { version: 9, bytes: vec![1].into() }));
    let newer = Body { version: 2, bytes: vec![1, 2, 3].into() };
    let state = apply_all(&[odd.clone(), shared(Kind::TRIBE, "b", stamp(1, 1), Some(newer))]);
    assert_eq!(state.shared(&Key::new(Kind(200), "a")), Some(odd));
    assert_eq!(state.shared_len(), 2);
    assert!(state.reading().tribes.is_empty());
}
