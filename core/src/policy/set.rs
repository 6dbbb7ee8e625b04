//! Policies that are judged together: what several of them ask is asked once, and where they read is
//! looked up once.

use std::collections::BTreeMap;

use super::{
    Policy,
    ast::{Expr, Step},
    eval::Verdict,
    program::{self, Atom, Node, Truth},
};
use crate::{
    fact::{Facts, index::Found},
    name::FactName,
};

/// Policies that are judged together: what several of them ask is asked once.
///
/// ```
/// use tribe::{Facts, Policy, PolicySet, Source, Verdict};
///
/// let policies = ["{{a}} == 1 && {{b}} == 2", "{{a}} == 1 && {{b}} == 3"];
/// let set = PolicySet::new(policies.map(|text| Policy::parse(text).unwrap()).iter());
/// let facts = serde_json::json!({"a": 1, "b": 3});
/// let facts = Facts::from_json(facts.as_object().unwrap(), Source::Start)?;
/// assert_eq!(set.evaluate(&facts), [Verdict::False, Verdict::True]);
/// # Ok::<(), tribe::FactError>(())
/// ```
#[derive(Debug)]
pub struct PolicySet {
    nodes: Vec<Node>,
    atoms: Vec<Asked>,
    /// Where each policy begins among the nodes.
    roots: Vec<usize>,
    /// How many places in the facts are read.
    places: usize,
    /// The policies that read a fact.
    readers: BTreeMap<FactName, Vec<usize>>,
}

/// A question, and the number of the place in the facts that it is asked of.
#[derive(Debug)]
struct Asked {
    atom: Atom,
    place: usize,
}

/// What is known of one set of facts.
struct Judge<'a> {
    set: &'a PolicySet,
    facts: &'a Facts,
    truths: Vec<Option<Truth>>,
    found: Vec<Option<Option<Found<'a>>>>,
}

impl PolicySet {
    /// Compiles policies together.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let (mut nodes, mut atoms, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut places: BTreeMap<Option<(FactName, Vec<Step>)>, usize> = BTreeMap::new();
        let mut readers: BTreeMap<FactName, Vec<usize>> = BTreeMap::new();
        let mut ask = |part: &Expr| {
            if let Some(atom) = Atom::new(part) {
                let count = places.len();
                let place = atom.path().map(|path| (path.name.clone(), path.steps.clone()));
                atoms.push(Asked { place: *places.entry(place).or_insert(count), atom });
            }
            atoms.len() - 1
        };
        for policy in policies {
            for fact in policy.reads() {
                readers.entry(fact.clone()).or_default().push(roots.len());
            }
            roots.push(nodes.len());
            program::add(&policy.0.tree, &mut nodes, &mut |part| {
                *known.entry(part.to_string()).or_insert_with(|| ask(part))
            });
        }
        let places = places.len();
        Self { nodes, atoms, roots, places, readers }
    }

    /// What each policy says of the facts of a node, in the order they were given.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts) -> Vec<Verdict> {
        let mut judge = Judge::new(self, facts);
        self.roots.iter().map(|root| judge.policy(*root)).collect()
    }

    /// Brings verdicts up to date after some facts changed: only the policies that read one of them are
    /// judged again.
    ///
    /// ```
    /// # use tribe::{FactName, Facts, Policy, PolicySet, Source, Value, Verdict};
    /// let policies = ["{{a}} == 1", "{{b}} == 1"].map(|text| Policy::parse(text).unwrap());
    /// let set = PolicySet::new(&policies);
    /// let (mut facts, a) = (Facts::new(), FactName::parse("a")?);
    /// let mut verdicts = set.evaluate(&facts);
    /// facts.insert(a.clone(), Value::from(1), Source::Runtime);
    /// set.update(&facts, [&a], &mut verdicts);
    /// assert_eq!(verdicts, set.evaluate(&facts));
    /// # Ok::<(), tribe::NameError>(())
    /// ```
    pub fn update<'a>(
        &self,
        facts: &Facts,
        changed: impl IntoIterator<Item = &'a FactName>,
        verdicts: &mut [Verdict],
    ) {
        let mut judge = Judge::new(self, facts);
        for policy in changed.into_iter().filter_map(|fact| self.readers.get(fact)).flatten() {
            if let (Some(root), Some(verdict)) = (self.roots.get(*policy), verdicts.get_mut(*policy))
            {
                *verdict = judge.policy(*root);
            }
        }
    }
}

impl<'a> Judge<'a> {
    fn new(set: &'a PolicySet, facts: &'a Facts) -> Self {
        Self { set, facts, truths: vec![None; set.atoms.len()], found: vec![None; set.places] }
    }

    fn policy(&mut self, root: usize) -> Verdict {
        let set = self.set;
        program::node(&set.nodes, root, &mut |atom| self.truth(atom)).0.verdict()
    }

    #[inline]
    fn truth(&mut self, atom: usize) -> Truth {
        match self.truths.get(atom) {
            Some(Some(truth)) => *truth,
            _ => self.ask(atom),
        }
    }

    fn ask(&mut self, number: usize) -> Truth {
        let Some(Asked { atom, place }) = self.set.atoms.get(number) else {
            return Truth::new(Verdict::False);
        };
        let found = match self.found.get_mut(*place) {
            Some(found) => *found.get_or_insert_with(|| atom.find(self.facts)),
            None => None,
        };
        let truth = Truth::new(atom.judge_found(self.facts, found));
        if let Some(known) = self.truths.get_mut(number) {
            *known = Some(truth);
        }
        truth
    }
}
