//! One batch in a segment: a head of fixed size, then the metrics.
//!
//! Invariant: bytes of any kind can be read; what is no whole record is told and skipped.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Bytes of a head.
pub(super) const HEAD: usize = 32;
/// The version of the form.
const VERSION: u8 = 1;

/// What has become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is to be published.
    Waits,
    /// It was published.
    Done,
    /// It was set aside.
    Aside,
}

/// A head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) fate: Fate,
    /// Bytes of the metrics.
    pub(super) bytes: u32,
    /// How many metrics.
    pub(super) metrics: u32,
    pub(super) time_ms: u64,
    sum: u64,
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, and where the next one begins.
    Record(Head, usize),
    /// One that was changed, and where the next one begins.
    Spoiled(usize),
    /// No record, and none after it.
    Torn,
    /// The end.
    End,
}

impl Fate {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Waits => b'W',
            Self::Done => b'D',
            Self::Aside => b'A',
        }
    }

    fn parse(byte: u8) -> Option<Self> {
        [Self::Waits, Self::Done, Self::Aside].into_iter().find(|fate| fate.byte() == byte)
    }
}

/// Fills in the head of a record whose metrics stand behind [`HEAD`] bytes. `None`: it is too large.
pub(super) fn seal(record: &mut [u8], fate: Fate, metrics: usize, time_ms: u64) -> Option<Head> {
    let (place, body) = record.split_at_mut_checked(HEAD)?;
    let bytes = u32::try_from(body.len()).ok()?;
    let metrics = u32::try_from(metrics).unwrap_or(u32::MAX);
    let head = Head { fate, bytes, metrics, time_ms, sum: sum(bytes, metrics, time_ms, body) };
    let mut all = Vec::with_capacity(HEAD);
    all.extend([fate.byte(), VERSION, 0, 0]);
    all.extend(bytes.to_le_bytes());
    all.extend(metrics.to_le_bytes());
    all.extend([0; 4]);
    all.extend(time_ms.to_le_bytes());
    all.extend(head.sum.to_le_bytes());
    place.copy_from_slice(&all);
    Some(head)
}

/// What stands at `at`.
pub(super) fn read(segment: &[u8], at: usize) -> Found {
    let Some(rest) = segment.get(at..).filter(|rest| !rest.is_empty()) else { return Found::End };
    let Some(head) = rest.first_chunk().and_then(head) else { return Found::Torn };
    let Some(next) = (head.bytes as usize).checked_add(HEAD) else { return Found::Torn };
    let Some(body) = rest.get(HEAD..next) else { return Found::Torn };
    let next = at.saturating_add(next);
    match sum(head.bytes, head.metrics, head.time_ms, body) == head.sum {
        true => Found::Record(head, next),
        false => Found::Spoiled(next),
    }
}

fn head(bytes: &[u8; HEAD]) -> Option<Head> {
    let four = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let eight = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if bytes.get(1..4)? != [VERSION, 0, 0] || bytes.get(12..16)? != [0; 4] {
        return None;
    }
    Some(Head {
        fate: Fate::parse(*bytes.first()?)?,
        bytes: four(4)?,
        metrics: four(8)?,
        time_ms: eight(16)?,
        sum: eight(24)?,
    })
}

fn sum(bytes: u32, metrics: u32, time_ms: u64, body: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u32(bytes);
    hasher.write_u32(metrics);
    hasher.write_u64(time_ms);
    hasher.write(body);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8], time_ms: u64) -> Vec<u8> {
        let mut record = vec![0; HEAD];
        record.extend(body);
        seal(&mut record, Fate::Waits, 1, time_ms).unwrap();
        record
    }

    /// All that can be read, and how many losses.
    fn scan(segment: &[u8]) -> (Vec<u64>, usize) {
        let (mut times, mut lost, mut at) = (Vec::new(), 0, 0);
        loop {
            match read(segment, at) {
                Found::Record(head, next) => {
                    times.push(head.time_ms);
                    at = next;
                }
                Found::Spoiled(next) => {
                    lost += 1;
                    at = next;
                }
                Found::Torn => return (times, lost + 1),
                Found::End => return (times, lost),
            }
        }
    }

    #[test]
    fn a_segment_cut_at_any_byte_keeps_what_was_whole() {
        let all = [record(b"first", 1), record(b"", 2), record(b"the third", 3)];
        let ends: Vec<usize> = all
            .iter()
            .scan(0, |end, record| {
                *end += record.len();
                Some(*end)
            })
            .collect();
        let segment = all.concat();
        for cut in 0..=segment.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let torn = usize::from(cut != 0 && !ends.contains(&cut));
            let expected: Vec<u64> = (1..=whole as u64).collect();
            assert_eq!(scan(&segment[..cut]), (expected, torn), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_spoils_one_record_at_most() {
        let segment = [record(b"first", 1), record(b"second", 2)].concat();
        // The fate is changed in place and is not summed.
        for at in 1..segment.len() {
            let mut spoiled = segment.clone();
            spoiled[at] ^= 1;
            let (times, lost) = scan(&spoiled);
            assert!(lost > 0 && times.len() < 2, "flipped at {at}: {times:?} {lost}");
        }
    }
}
