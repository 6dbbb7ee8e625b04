//! The facts of many nodes, place by place: a new policy looks only at the columns of what it asks.
//!
//! A column has a small cell for each node, and thousands of them lie in a row. What does not fit into a
//! cell is told apart by a hash, and judged once for all nodes that have the same. A column is made
//! when a policy first reads its place, and follows when the facts of a node change.

use std::{collections::BTreeMap, sync::Arc};

use blake2::{Blake2s256, Digest as _};

use super::{
    Policy,
    ast::Step,
    eval::Verdict,
    program::{Atom, Truth},
    view,
};
use crate::{
    codec,
    fact::{
        Facts, Value,
        index::{Key, Seen},
    },
    name::FactName,
};

/// The facts of many nodes, each in a row of its own, for policies that are asked of all.
///
/// ```
/// use std::sync::Arc;
/// use tribe::{FactColumns, Facts, Policy, Source, Verdict};
///
/// let facts = |json: serde_json::Value| {
///     Facts::from_json(json.as_object().unwrap(), Source::Start).map(Arc::new)
/// };
/// let mut columns = FactColumns::default();
/// columns.set(0, facts(serde_json::json!({"rack": 7}))?);
/// columns.set(1, facts(serde_json::json!({"rack": 8}))?);
/// let policy = Policy::parse("{{rack}} == 8")?;
/// assert_eq!(columns.evaluate(&policy), [Verdict::False, Verdict::True]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct FactColumns {
    rows: Vec<Arc<Facts>>,
    /// INVARIANT: each with a cell for each row, of the facts that are there.
    columns: BTreeMap<Place, Vec<Cell>>,
}

/// Where something is in the facts of any node.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(FactName, Vec<Step>);

/// What one node has at a place.
#[derive(Debug)]
enum Cell {
    Missing,
    /// A number, a boolean or a short text.
    Seen(Seen),
    /// The hash of anything else.
    Hashed(u64, u64),
}

impl FactColumns {
    /// The facts of one row: a new one at the end, or one that is there. Rows between are empty.
    pub fn set(&mut self, row: usize, facts: Arc<Facts>) {
        while self.rows.len() <= row {
            self.rows.push(Arc::default());
            self.columns.values_mut().for_each(|cells| cells.push(Cell::Missing));
        }
        for (place, cells) in &mut self.columns {
            if let Some(cell) = cells.get_mut(row) {
                *cell = Cell::new(place, &facts);
            }
        }
        if let Some(known) = self.rows.get_mut(row) {
            *known = facts;
        }
    }

    /// The facts of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&Arc<Facts>> {
        self.rows.get(row)
    }

    /// What a policy says of each row.
    #[must_use]
    pub fn evaluate(&mut self, policy: &Policy) -> Vec<Verdict> {
        let program = &policy.0.program;
        let places: Vec<Option<Place>> = program.atoms().iter().map(Place::of).collect();
        for place in places.iter().flatten() {
            self.add(place);
        }
        let mut asked: Vec<Asked<'_>> = program
            .atoms()
            .iter()
            .zip(places)
            .map(|(atom, place)| Asked {
                atom,
                cells: place.and_then(|place| self.columns.get(&place)),
                known: BTreeMap::new(),
            })
            .collect();
        let rows = self.rows.iter().enumerate();
        rows.map(|(row, facts)| {
            program.verdict(&mut |atom| match asked.get_mut(atom as usize) {
                Some(asked) => asked.judge(row, facts),
                None => Truth::FALSE,
            })
        })
        .collect()
    }

    /// Makes the column of a place.
    fn add(&mut self, place: &Place) {
        if !self.columns.contains_key(place) {
            let cells = self.rows.iter().map(|facts| Cell::new(place, facts)).collect();
            self.columns.insert(Place(place.0.clone(), place.1.clone()), cells);
        }
    }
}

impl Place {
    /// The only place that decides what is asked.
    fn of(atom: &Atom) -> Option<Self> {
        let path = atom.path().filter(|_| atom.is_local())?;
        Some(Self(path.name.clone(), path.steps.clone()))
    }
}

impl Cell {
    fn new(Place(name, steps): &Place, facts: &Facts) -> Self {
        let fact = facts.get(name.as_str());
        match fact.and_then(|fact| view::inside(steps, &fact.value)) {
            None => Self::Missing,
            Some(Value::Int(number)) => Self::Seen(Seen::Int(*number)),
            Some(Value::Bool(boolean)) => Self::Seen(Seen::Bool(*boolean)),
            Some(value) => match value {
                Value::Text(text) if Key::new(text).is_whole() => {
                    Self::Seen(Seen::Text(Key::new(text)))
                }
                value => {
                    let mut hasher = Blake2s256::new();
                    feed(value, &mut hasher);
                    let hash = hasher.finalize();
                    let half = |at: usize| {
                        let bytes = hash.iter().skip(at).take(8);
                        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
                    };
                    Self::Hashed(half(0), half(8))
                }
            },
        }
    }
}

/// Hashes a value: different values feed different bytes.
fn feed(value: &Value, hasher: &mut Blake2s256) {
    let mut tagged = |tag: u8, length: usize| {
        hasher.update([tag]);
        hasher.update((length as u64).to_le_bytes());
    };
    match value {
        Value::Text(text) => {
            tagged(1, text.len());
            hasher.update(text.as_bytes());
        }
        Value::List(list) => {
            tagged(2, list.len());
            list.iter().for_each(|value| feed(value, hasher));
        }
        Value::Map(map) => {
            tagged(3, map.len());
            for (key, value) in map {
                hasher.update((key.len() as u64).to_le_bytes());
                hasher.update(key.as_bytes());
                feed(value, hasher);
            }
        }
        small => {
            let bytes = codec::encode(small);
            tagged(4, bytes.len());
            hasher.update(bytes);
        }
    }
}

/// A question, and what is known of it.
struct Asked<'a> {
    atom: &'a Atom,
    /// `None`: more than one place decides.
    cells: Option<&'a Vec<Cell>>,
    /// What was said of values that had to be looked at closely: by their keys, or by their hashes.
    known: BTreeMap<(bool, u64, u64), Truth>,
}

impl Asked<'_> {
    #[inline]
    fn judge(&mut self, row: usize, facts: &Facts) -> Truth {
        let verdict = match self.cells.and_then(|cells| cells.get(row)) {
            Some(Cell::Missing) => self.atom.judge_found(facts, None),
            Some(Cell::Seen(seen)) => match (self.atom.judge_seen(seen), seen) {
                (Some(verdict), _) => verdict.into(),
                (None, Seen::Text(key)) => {
                    let (low, high) = key.bits();
                    return self.judge_once((false, low, high), facts);
                }
                (None, _) => self.atom.judge(facts),
            },
            Some(Cell::Hashed(first, second)) => {
                return self.judge_once((true, *first, *second), facts);
            }
            None => self.atom.judge(facts),
        };
        Truth::new(verdict)
    }

    fn judge_once(&mut self, value: (bool, u64, u64), facts: &Facts) -> Truth {
        let judge = || Truth::new(self.atom.judge(facts));
        *self.known.entry(value).or_insert_with(judge)
    }
}
