//! What a collector collected a moment ago, for those who ask the same.
//!
//! A metric is the same only if its namespace, its version and its configuration are, and for a
//! sticky plugin the task: each of its instances may see another part of the world. What a `*`
//! stands for is kept as the answer to that `*`.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use super::{
    metric::{ANY, Metric},
    seats::SessionId,
};

/// How long what was collected is good at least, as in snap.
const LEAST_TTL: Duration = Duration::from_millis(500);

/// What counts as the same metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The task, if others are not to share.
    pub(super) session: Option<SessionId>,
    pub(super) config: Arc<[u8]>,
    pub(super) namespace: Arc<[String]>,
    pub(super) version: i64,
}

/// What was collected from one plugin.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    slots: Mutex<Slots>,
    turns: Mutex<HashMap<u64, Weak<Turns<()>>>>,
}

#[derive(Debug)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    swept: Instant,
}

#[derive(Debug)]
struct Slot {
    collected: Instant,
    metrics: Vec<Metric>,
}

impl Cache {
    /// A cache for a plugin that says how long its metrics are good.
    pub(super) fn new(ttl: Duration) -> Self {
        let slots = Slots { by_key: HashMap::new(), swept: Instant::now() };
        Self { ttl: ttl.max(LEAST_TTL), slots: Mutex::new(slots), turns: Mutex::default() }
    }

    /// What was collected a moment ago.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Vec<Metric>> {
        let slots = self.lock();
        let slot = slots.by_key.get(key)?;
        (now.saturating_duration_since(slot.collected) < self.ttl).then(|| slot.metrics.clone())
    }

    /// Keeps what was collected now.
    pub(super) fn keep<'a>(
        &self,
        collected: impl IntoIterator<Item = (&'a Key, Vec<Metric>)>,
        now: Instant,
    ) {
        let mut slots = self.lock();
        if now.saturating_duration_since(slots.swept) >= self.ttl {
            slots.by_key.retain(|_, slot| now.saturating_duration_since(slot.collected) < self.ttl);
            slots.swept = now;
        }
        for (key, metrics) in collected {
            slots.by_key.insert(key.clone(), Slot { collected: now, metrics });
        }
    }

    /// Waits for those who ask for exactly this already: what they get is then here.
    pub(super) async fn turn(&self, request: u64) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(&request).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(request, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number for a request for these metrics. Two requests of one number wait for each other, and no
/// more than that.
pub(super) fn number<'a>(keys: impl IntoIterator<Item = &'a Key>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in keys {
        key.hash(&mut hasher);
    }
    hasher.finish()
}

/// What answers which request. The place of a request in the list is that of its answers; the rest
/// answers none. A metric without a version gets that of its request.
pub(super) fn sort_out(
    requests: &[(&[String], i64)],
    collected: Vec<Metric>,
) -> (Vec<Vec<Metric>>, Vec<Metric>) {
    let exact: HashMap<_, _> =
        requests.iter().enumerate().map(|(place, (values, _))| (*values, place)).collect();
    let (mut answers, mut rest) = (vec![Vec::new(); requests.len()], Vec::new());
    for mut metric in collected {
        let values: Vec<_> = metric.namespace.values().map(str::to_owned).collect();
        let place = exact.get(values.as_slice()).copied().or_else(|| {
            requests.iter().position(|(request, _)| {
                request.len() == values.len()
                    && request.iter().zip(&values).all(|(one, two)| one == ANY || one == two)
            })
        });
        let slot = place.and_then(|place| answers.get_mut(place).zip(requests.get(place)));
        let Some((answer, (_, version))) = slot else {
            rest.push(metric);
            continue;
        };
        if metric.version < 1 {
            metric.version = *version;
        }
        answer.push(metric);
    }
    (answers, rest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::metric::{Element, Namespace, Time},
        *,
    };

    fn values(namespace: &str) -> Arc<[String]> {
        namespace.split('/').skip(1).map(str::to_owned).collect()
    }

    fn metric(namespace: &str, version: i64) -> Metric {
        let time = Time { sec: 1, nsec: 0 };
        Metric {
            namespace: Namespace(namespace.split('/').skip(1).map(Element::literal).collect()),
            version,
            tags: BTreeMap::new(),
            timestamp: time,
            advertised: time,
            unit: String::new(),
            description: String::new(),
            data: None,
        }
    }

    fn key(session: Option<u64>, config: &[u8], namespace: &str, version: i64) -> Key {
        let session = session.map(SessionId);
        Key { session, config: config.into(), namespace: values(namespace), version }
    }

    #[test]
    fn only_exactly_the_same_is_found() {
        let cache = Cache::new(Duration::ZERO);
        let kept = key(None, b"a", "/x/y", 14);
        let now = Instant::now();
        cache.keep([(&kept, vec![metric("/x/y", 14)])], now);
        assert_eq!(cache.find(&kept, now).map(|found| found.len()), Some(1));
        for other in [
            key(None, b"b", "/x/y", 14),
            key(None, b"a", "/x/y", 13),
            key(None, b"a", "/x/z", 14),
            key(None, b"a", "/x", 14),
            key(Some(1), b"a", "/x/y", 14),
        ] {
            assert_eq!(cache.find(&other, now), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_older_than_the_plugin_allows_is_not_found() {
        let check = |ttl: u64, age: u64, expected: bool| {
            let cache = Cache::new(Duration::from_millis(ttl));
            let key = key(None, b"", "/x", 1);
            let now = Instant::now();
            cache.keep([(&key, vec![])], now);
            let later = now + Duration::from_millis(age);
            assert_eq!(cache.find(&key, later).is_some(), expected, "{ttl} {age}");
        };
        check(0, 499, true);
        check(0, 500, false);
        check(100, 499, true);
        check(2000, 1999, true);
        check(2000, 2000, false);
    }

    #[test]
    fn what_is_too_old_does_not_stay_for_ever() {
        let cache = Cache::new(Duration::ZERO);
        let mut now = Instant::now();
        for version in 1..=10 {
            cache.keep([(&key(None, b"", "/x", version), vec![])], now);
            now += Duration::from_millis(600);
        }
        assert_eq!(cache.lock().by_key.len(), 1);
    }

    #[tokio::test]
    async fn those_who_ask_the_same_wait_and_others_do_not() {
        let cache = Cache::new(Duration::ZERO);
        let first = cache.turn(1).await;
        let _other = cache.turn(2).await;
        let same = tokio::time::timeout(Duration::from_millis(1), cache.turn(1)).await;
        assert!(same.is_err());
        drop(first);
        let _same = cache.turn(1).await;
    }

    fn check(requests: &[(&str, i64)], collected: &[(&str, i64)], answers: &[&[&str]]) {
        let requests: Vec<_> = requests.iter().map(|(text, v)| (values(text), *v)).collect();
        let requests: Vec<_> = requests.iter().map(|(values, v)| (&**values, *v)).collect();
        let collected = collected.iter().map(|(text, version)| metric(text, *version)).collect();
        let (found, rest) = sort_out(&requests, collected);
        let text = |metric: &Metric| format!("{} {}", metric.namespace, metric.version);
        let mut found: Vec<Vec<_>> =
            found.iter().map(|list| list.iter().map(text).collect()).collect();
        found.push(rest.iter().map(text).collect());
        assert_eq!(found, answers);
    }

    #[test]
    fn answers_find_their_requests() {
        check(&[("/a", 1), ("/b", 1)], &[("/b", 1), ("/a", 1)], &[&["/a 1"], &["/b 1"], &[]]);
        check(
            &[("/cpu/*/user", 1), ("/cpu/total/user", 1)],
            &[("/cpu/0/user", 1), ("/cpu/total/user", 1), ("/cpu/1/user", 1)],
            &[&["/cpu/0/user 1", "/cpu/1/user 1"], &["/cpu/total/user 1"], &[]],
        );
        check(&[("/a/*", 1)], &[("/a", 1), ("/a/b/c", 1)], &[&[], &["/a 1", "/a/b/c 1"]]);
        check(&[("/a", 1)], &[], &[&[], &[]]);
    }

    /// psutil answers version 0, and snap's cache never had what it looked for.
    #[test]
    fn an_answer_without_a_version_has_that_of_its_request() {
        check(&[("/a", 14)], &[("/a", 0)], &[&["/a 14"], &[]]);
        check(&[("/a", 14)], &[("/a", 3)], &[&["/a 3"], &[]]);
    }
}
