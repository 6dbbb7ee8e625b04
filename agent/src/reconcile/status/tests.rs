//! What members tell each other of items: bytes as they always were, and hostile ones.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use tokio::io::duplex;
use tribe::ItemName;

use super::{
    super::{
        desired::{ItemKey, Kind, Source},
        report::{Entry, State},
    },
    *,
};
use crate::{
    fixture::{Samples, Variants, variants},
    fuzz::{chance, hostile, read_within, runs},
    plugin::Identity,
};

variants! {
    State {
        Waiting Fetching Loading Running Stopping Stopped Ended Failed Disabled Refused Conflict
    }
    Kind { Plugin Task }
}

const STATES: [State; 11] = [
    State::Waiting,
    State::Fetching,
    State::Loading,
    State::Running,
    State::Stopping,
    State::Stopped,
    State::Ended,
    State::Failed,
    State::Disabled,
    State::Refused,
    State::Conflict,
];

fn tribe() -> TribeName {
    TribeName::parse("core").unwrap()
}

fn table(kind: Kind, state: State) -> Table {
    let source = Source::Tribe(tribe());
    let key = ItemKey { source, kind, name: ItemName::parse("influxdb").unwrap() };
    let failed = state == State::Failed;
    let plugin = Identity::new(crate::plugin::Kind::Publisher, "influxdb", 25).unwrap();
    let entry = Entry {
        generation: 7,
        wanted: true,
        state,
        detail: failed.then(|| "no such file".to_owned()),
        since: UNIX_EPOCH + Duration::from_millis(1_764_000_000_123),
        plugin: (state == State::Running).then_some(plugin),
    };
    BTreeMap::from([(key, entry)])
}

fn add(samples: &mut Samples, name: &str, table: &Table) {
    let statuses = of_tribe(table, &tribe());
    samples.add(name, serde_json::to_vec(&statuses).unwrap(), move |bytes| {
        assert_eq!(serde_json::from_slice::<Vec<ItemStatus>>(bytes).unwrap(), statuses);
    });
}

fn samples() -> Samples {
    let mut samples = Samples::default();
    let question = Question { tribe: tribe() };
    samples.add("Status.question", serde_json::to_vec(&question).unwrap(), move |bytes| {
        assert_eq!(serde_json::from_slice::<Question>(bytes).unwrap(), question);
    });
    samples.all("Status", STATES, |samples, name, state| {
        add(samples, name, &table(Kind::Plugin, state));
    });
    samples.all("Status", [Kind::Plugin, Kind::Task], |samples, name, kind| {
        add(samples, name, &table(kind, State::Waiting));
    });
    samples
}

#[test]
fn questions_and_answers_are_read_and_written_as_they_always_were() {
    samples().check("status");
}

#[test]
fn no_bytes_of_another_node_make_a_decoder_panic_or_hold_too_much() {
    let (mut rng, good) = (chance(), samples().bytes());
    let mut understood = 0;
    for _ in 0..runs(50_000) {
        let bytes = hostile(&mut rng, &good);
        let question = read_within(&bytes, serde_json::from_slice::<Question>);
        let answer = read_within(&bytes, serde_json::from_slice::<Vec<ItemStatus>>);
        understood += u64::from(question.is_ok() || answer.is_ok());
    }
    assert!(understood > 100, "only {understood} were understood");
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_one_or_none() {
    let (mut rng, good) = (chance(), serde_json::to_vec(&Question { tribe: tribe() }).unwrap());
    let table = table(Kind::Task, State::Failed);
    let (good, mut answers, mut none) = ([good], 0, 0);
    for _ in 0..runs(50_000).div_ceil(50) {
        let (mut here, there) = duplex(64 * 1024);
        here.write_all(&hostile(&mut rng, &good)).await.unwrap();
        here.shutdown().await.unwrap();
        let answered = answer(there, &table).await.is_ok();
        let mut bytes = Vec::new();
        here.read_to_end(&mut bytes).await.unwrap();
        match answered {
            true => {
                serde_json::from_slice::<Vec<ItemStatus>>(&bytes).unwrap();
                answers += 1;
            }
            false => {
                assert!(bytes.is_empty());
                none += 1;
            }
        }
    }
    assert!(answers > 5 && none > 5, "{answers} answers and {none} times none");
}

#[tokio::test]
async fn an_answer_without_end_is_read_no_further_than_any_answer_goes() {
    let (here, mut there) = duplex(64 * 1024);
    let endless = async {
        let spaces = vec![b' '; 64 * 1024];
        let mut sent = 0;
        while there.write_all(&spaces).await.is_ok() {
            sent += spaces.len();
        }
        sent
    };
    let question = Question { tribe: tribe() };
    let (read, sent) = tokio::join!(read_answer(here, &question), endless);
    assert!(read.is_err());
    assert!(sent as u64 <= ANSWER_BYTES + 64 * 1024, "{sent} bytes");
}
