//! What would have to be different for a policy to say the opposite.
//!
//! The alternatives of `domain` are tried one after the other: what each asks of the facts is compared
//! with what they are. Invariant: a proposal was tried; with its changes the policy says what it promises.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

use super::{
    ast::{Expr, Path, Step, Test},
    domain, eval,
    eval::Verdict,
    view::{self, Scope},
};
use crate::fact::{Facts, Source, Value};

/// Changes to facts that would change the verdict of a policy. Nothing else has to change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Would {
    /// The verdict with these changes: the opposite of a true or false one, true instead of unknown.
    pub verdict: Verdict,
    /// The fewest changes that were found.
    pub changes: Vec<Proposal>,
}

/// A fact that would have another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Proposal {
    /// The path, without braces.
    pub path: String,
    /// The value. `None`: there is none.
    #[serde(serialize_with = "json")]
    pub value: Option<Value>,
    #[serde(skip)]
    at: Path,
}

fn json<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Value::to_json).serialize(serializer)
}

impl Would {
    /// Facts with the changes.
    #[must_use]
    pub fn apply(&self, facts: &Facts) -> Facts {
        let changed = self.changes.iter().try_fold(facts.clone(), |facts, change| {
            set(&facts, &change.at, change.value.as_ref())
        });
        changed.unwrap_or_else(|| facts.clone())
    }
}

impl Display for Would {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "would be {} if ", self.verdict.as_str())?;
        for (at, change) in self.changes.iter().enumerate() {
            write!(f, "{}{change}", if at > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

impl Display for Proposal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => write!(f, "{} were not there", self.path),
            Some(value) => write!(f, "{} were {}", self.path, super::explain::shown(value)),
        }
    }
}

/// What would change the verdict on these facts. `None` if it is not found, or cannot be.
pub(crate) fn would(expr: &Expr, facts: &Facts, verdict: Verdict) -> Option<Would> {
    let wanted = verdict != Verdict::True;
    let alternatives = domain::alternatives(expr, wanted)?;
    let mut best: Option<Would> = None;
    for alternative in &alternatives {
        let Some(changes) = changes(alternative, facts) else { continue };
        if best.as_ref().is_some_and(|best| best.changes.len() <= changes.len()) {
            continue;
        }
        let would = Would { verdict: wanted.into(), changes };
        let changed = would.apply(facts);
        if eval::evaluate(expr, &Scope::new(&changed)) == would.verdict {
            best = Some(would);
        }
    }
    best
}

/// The changes that make clauses what they shall be.
fn changes(alternative: &[domain::Wanted<'_>], facts: &Facts) -> Option<Vec<Proposal>> {
    let scope = Scope::new(facts);
    let mut changes: Vec<Proposal> = Vec::new();
    for (clause, wanted) in alternative {
        let (Test::Holds(path) | Test::Exists(path) | Test::Compare(path, ..)) = &clause.test;
        if changes.iter().any(|change| change.at == *path) {
            continue;
        }
        let of_path: Vec<domain::Wanted<'_>> = alternative
            .iter()
            .filter(|(clause, _)| match &clause.test {
                Test::Holds(other) | Test::Exists(other) | Test::Compare(other, ..) => {
                    other == path
                }
            })
            .copied()
            .collect();
        let fits = |value: Option<&Value>| {
            of_path.iter().all(|(clause, wanted)| domain::holds(clause, value, &scope, *wanted))
        };
        if eval::test(&clause.test, &scope) == (*wanted).into() && fits(view::scalar(path, &scope))
        {
            continue;
        }
        let candidates = domain::candidates(path, &of_path, view::scalar(path, &scope));
        let value = candidates.into_iter().find(|value| fits(value.as_ref()))?;
        changes.push(Proposal { path: path.bare().to_string(), value, at: path.clone() });
    }
    Some(changes)
}

/// Facts with a value at a path. `None` if there is no place for it.
fn set(facts: &Facts, path: &Path, value: Option<&Value>) -> Option<Facts> {
    let mut facts = facts.clone();
    let old = facts.get(path.name.as_str());
    let source = old.map_or(Source::Runtime, |fact| fact.source);
    let primary = path.primary.map(|field| Step::Key(field.into()));
    // What is there is not there if all of it is not there.
    let steps: Vec<Step> =
        path.steps.iter().cloned().chain(primary.filter(|_| value.is_some())).collect();
    match set_in(old.map(|fact| &fact.value), &steps, value)? {
        Some(value) => facts.insert(path.name.clone(), value, source),
        None => {
            facts.remove(&path.name);
        }
    }
    Some(facts)
}

/// `None` if there is no place; `Some(None)` if nothing is left.
fn set_in(old: Option<&Value>, steps: &[Step], value: Option<&Value>) -> Option<Option<Value>> {
    let Some((step, rest)) = steps.split_first() else { return Some(value.cloned()) };
    match (old, step) {
        (None | Some(Value::Map(_)), Step::Key(key)) => {
            let mut map = match old {
                Some(Value::Map(map)) => map.clone(),
                _ => Default::default(),
            };
            match set_in(map.get(&**key), rest, value)? {
                Some(value) => map.insert(key.to_string(), value),
                None => map.remove(&**key),
            };
            Some(Some(Value::Map(map)))
        }
        (Some(Value::List(list)), step) => {
            let at = match step {
                Step::Index(at) => *at,
                Step::Key(key) => key.parse().ok()?,
            };
            let mut list = list.clone();
            let place = list.get_mut(at)?;
            *place = set_in(Some(&*place), rest, value)??;
            Some(Some(Value::List(list)))
        }
        _ => None,
    }
}
