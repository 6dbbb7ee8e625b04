//! Bytes as they always were, and peers who hold the key and send what is no request and no answer.

use super::*;
use crate::wire::samples::{Samples, Variants, variants};

variants! {
    Ask { Get Hold }
    Answer { Bytes Held Refused }
}

/// Waits for what needs no waiting.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

/// What is sent for a message.
fn framed<M: serde::Serialize>(message: &M) -> Vec<u8> {
    let mut sent = std::io::Cursor::new(Vec::new());
    ready(wire::send(&mut sent, message)).unwrap();
    sent.into_inner()
}

fn add<M>(samples: &mut Samples, name: &str, message: M)
where
    M: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + 'static,
{
    samples.add(name, framed(&message), move |mut bytes| {
        let read: M = ready(wire::receive(&mut bytes, limits::BLOB_IDLE)).unwrap();
        assert_eq!(read, message);
        assert!(bytes.is_empty());
    });
}

fn asks() -> Samples {
    let (mut samples, blob) = (Samples::default(), BlobId([0xab; 32]));
    let asks = [Ask::Get { blob, offset: 65_536 }, Ask::Hold { blob, bytes: 700_000 }];
    samples.all("Blob.Ask", asks, add);
    samples
}

fn add_answers(samples: &mut Samples) {
    let answers = [Answer::Bytes(700_000), Answer::Held, Answer::Refused("it is full".into())];
    samples.all("Blob.Answer", answers, add);
}

#[test]
fn samples_are_read_and_written_as_they_always_were() {
    let mut samples = asks();
    add_answers(&mut samples);
    samples.check("blobs");
}

mod fuzz {
    use super::*;
    use crate::wire::fuzz::{chance, hostile, read_within, runs};

    #[test]
    fn no_bytes_are_read_as_a_message_in_more_memory_than_they_may_cost() {
        let (mut rng, mut good) = (chance(), asks());
        add_answers(&mut good);
        let good = good.bytes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut understood = 0;
        for _ in 0..runs(200_000) / 10 {
            let bytes = hostile(&mut rng, &good);
            let idle = limits::BLOB_IDLE;
            let ask = read_within(&bytes, |mut bytes| {
                runtime.block_on(wire::receive::<_, Ask>(&mut bytes, idle))
            });
            let answer = read_within(&bytes, |mut bytes| {
                runtime.block_on(wire::receive::<_, Answer>(&mut bytes, idle))
            });
            understood += u64::from(ask.is_ok()) + u64::from(answer.is_ok());
        }
        assert!(understood > 100, "only {understood} were understood");
    }

    #[test]
    fn whatever_is_asked_the_store_stays_and_the_answer_is_one() {
        let held = content(3, 5000);
        let get = framed(&Ask::Get { blob: id(&held), offset: 0 });
        let good = [asks().bytes(), vec![get; 8]].concat();
        ready(ask_anything(&held, &good));
    }

    async fn ask_anything(held: &[u8], good: &[Vec<u8>]) {
        let mut rng = chance();
        let (_dir, store) = store(&[held]);
        let fetcher = fetcher(&store, Vec::new());
        let (mut sent, mut refused) = (0, 0);
        for _ in 0..runs(200_000).div_ceil(400) {
            let (mut here, mut there) = duplex(64 * 1024);
            here.write_all(&hostile(&mut rng, good)).await.unwrap();
            here.shutdown().await.unwrap();
            let answered = fetcher.answer(&name("n1"), &mut there).await.is_ok();
            drop(there);
            let mut answer = Vec::new();
            here.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answered, !answer.is_empty());
            assert_eq!(store.whole(), BTreeSet::from([id(held)]));
            if answer.is_empty() {
                continue;
            }
            let mut bytes = answer.as_slice();
            match wire::receive(&mut bytes, limits::BLOB_IDLE).await.unwrap() {
                Answer::Bytes(5000) => {
                    assert!(held.ends_with(bytes));
                    sent += 1;
                }
                // It was asked to hold what it holds: nothing else is in the store.
                Answer::Held => assert!(bytes.is_empty()),
                Answer::Refused(_) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(sent > 5 && refused > 5, "{sent} sent and {refused} refused");
    }
}
