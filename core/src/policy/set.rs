//! Policies that are judged together: what several of them ask is asked once, and where they read is
//! looked up once.

use std::collections::BTreeMap;

use super::{
    Policy,
    ast::Step,
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
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Form>,
    nodes: Vec<Node>,
    /// The parts of plain policies.
    parts: Vec<u32>,
    atoms: Vec<Asked>,
    /// How many places in the facts are read.
    places: usize,
    readers: BTreeMap<FactName, Readers>,
}

/// Those who read a fact.
#[derive(Debug, Default)]
struct Readers {
    policies: Vec<usize>,
    atoms: Vec<u32>,
}

/// What each policy of a set says of the facts of a node, and how to keep it up to date.
#[derive(Debug, Clone)]
pub struct SetVerdicts {
    verdicts: Vec<Verdict>,
    truths: Vec<Truth>,
}

impl SetVerdicts {
    /// In the order of the policies.
    pub fn as_slice(&self) -> &[Verdict] {
        &self.verdicts
    }
}

/// How a policy is judged.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// By all its parts, which are cheap; `or` joins them, or `and`.
    Plain { start: u32, end: u32, or: bool },
    /// From this node on.
    Tree(u32),
}

/// A question, and the number of the place in the facts that it is asked of.
#[derive(Debug)]
struct Asked {
    atom: Atom,
    place: u32,
}

/// What is known of one set of facts.
struct Judge<'a> {
    set: &'a PolicySet,
    facts: &'a Facts,
    truths: &'a mut [Truth],
    found: Vec<Option<Option<Found<'a>>>>,
}

impl PolicySet {
    /// Compiles policies together.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut set = Self::default();
        let mut known: BTreeMap<String, u32> = BTreeMap::new();
        let mut places: BTreeMap<Option<(FactName, Vec<Step>)>, u32> = BTreeMap::new();
        for policy in policies {
            for fact in policy.reads() {
                set.readers.entry(fact.clone()).or_default().policies.push(set.policies.len());
            }
            let root = set.nodes.len();
            program::add(&policy.0.tree, &mut set.nodes, &mut |part| {
                *known.entry(part.to_string()).or_insert_with(|| {
                    if let Some(atom) = Atom::new(part) {
                        let count = program::number(places.len());
                        let place = atom.path().map(|path| (path.name.clone(), path.steps.clone()));
                        let place = *places.entry(place).or_insert(count);
                        let number = program::number(set.atoms.len());
                        part.paths(&mut |path| {
                            if path.variable.is_none() {
                                let readers = set.readers.entry(path.name.clone()).or_default();
                                readers.atoms.push(number);
                            }
                        });
                        set.atoms.push(Asked { place, atom });
                    }
                    program::number(set.atoms.len() - 1)
                })
            });
            let form = set.plain(root).unwrap_or(Form::Tree(program::number(root)));
            set.policies.push(form);
        }
        Self { places: places.len(), ..set }
    }

    /// The form of the last policy, if it is plain.
    fn plain(&mut self, root: usize) -> Option<Form> {
        let (or, nodes) = match self.nodes.get(root..)? {
            [Node::And(_), parts @ ..] => (false, parts),
            [Node::Or(_), parts @ ..] => (true, parts),
            nodes => (false, nodes),
        };
        let parts: Option<Vec<u32>> = nodes
            .iter()
            .map(|node| match node {
                Node::Atom(at) if self.atoms.get(*at as usize)?.atom.is_cheap() => Some(*at),
                _ => None,
            })
            .collect();
        let start = program::number(self.parts.len());
        self.parts.extend(parts?);
        self.nodes.truncate(root);
        Some(Form::Plain { start, end: program::number(self.parts.len()), or })
    }

    /// What each policy says of the facts of a node, in the order they were given.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts) -> Vec<Verdict> {
        self.judge(facts).verdicts
    }

    /// The same, to be kept up to date.
    #[must_use]
    pub fn judge(&self, facts: &Facts) -> SetVerdicts {
        let mut truths = vec![Truth::LATER; self.atoms.len()];
        let mut judge = Judge::new(self, facts, &mut truths);
        // Asking all at once costs less than finding out each time whether there is a need to.
        for (number, asked) in (0..).zip(&self.atoms) {
            if asked.atom.is_cheap() {
                judge.ask(number);
            }
        }
        let verdicts = self.policies.iter().map(|form| judge.policy(*form)).collect();
        SetVerdicts { verdicts, truths }
    }

    /// Brings verdicts up to date after some facts changed: only what reads one of them is judged again.
    ///
    /// ```
    /// # use tribe::{FactName, Facts, Policy, PolicySet, Source, Value, Verdict};
    /// let policies = ["{{a}} == 1", "{{b}} == 1"].map(|text| Policy::parse(text).unwrap());
    /// let set = PolicySet::new(&policies);
    /// let (mut facts, a) = (Facts::new(), FactName::parse("a")?);
    /// let mut verdicts = set.judge(&facts);
    /// facts.insert(a.clone(), Value::from(1), Source::Runtime);
    /// set.update(&facts, [&a], &mut verdicts);
    /// assert_eq!(verdicts.as_slice(), set.evaluate(&facts));
    /// # Ok::<(), tribe::NameError>(())
    /// ```
    pub fn update<'a>(
        &self,
        facts: &Facts,
        changed: impl IntoIterator<Item = &'a FactName>,
        verdicts: &mut SetVerdicts,
    ) {
        let SetVerdicts { verdicts, truths } = verdicts;
        let changed = changed.into_iter().filter_map(|fact| self.readers.get(fact));
        let readers: Vec<&Readers> = changed.collect();
        for atom in readers.iter().flat_map(|readers| &readers.atoms) {
            if let Some(truth) = truths.get_mut(*atom as usize) {
                *truth = Truth::LATER;
            }
        }
        let mut judge = Judge::new(self, facts, truths);
        for atom in readers.iter().flat_map(|readers| &readers.atoms) {
            if self.atoms.get(*atom as usize).is_some_and(|asked| asked.atom.is_cheap()) {
                judge.ask(*atom);
            }
        }
        for policy in readers.iter().flat_map(|readers| &readers.policies) {
            let form = self.policies.get(*policy);
            if let (Some(form), Some(verdict)) = (form, verdicts.get_mut(*policy)) {
                *verdict = judge.policy(*form);
            }
        }
    }
}

impl<'a> Judge<'a> {
    fn new(set: &'a PolicySet, facts: &'a Facts, truths: &'a mut [Truth]) -> Self {
        Self { set, facts, truths, found: vec![None; set.places] }
    }

    /// The verdict of a policy; the parts of a plain one have been asked.
    #[inline]
    fn policy(&mut self, form: Form) -> Verdict {
        let set = self.set;
        match form {
            Form::Plain { start, end, or } => {
                let truth = |atom: &u32| match self.truths.get(*atom as usize) {
                    Some(truth) => *truth,
                    None => Truth::FALSE,
                };
                let parts = set.parts.get(start as usize..end as usize).unwrap_or_default();
                let parts = parts.iter().map(truth);
                if or {
                    let least =
                        parts.map(|truth| truth.negated_if(true)).fold(Truth::TRUE, Truth::min);
                    least.negated_if(true).verdict()
                } else {
                    parts.fold(Truth::TRUE, Truth::min).verdict()
                }
            }
            Form::Tree(root) => {
                let mut judge = |atom| self.truth(atom);
                program::node(&set.nodes, root as usize, &mut judge).0.verdict()
            }
        }
    }

    #[inline]
    fn truth(&mut self, atom: u32) -> Truth {
        match self.truths.get(atom as usize) {
            Some(truth) if *truth != Truth::LATER => *truth,
            _ => self.ask(atom),
        }
    }

    #[inline]
    fn ask(&mut self, number: u32) -> Truth {
        let number = number as usize;
        let Some(Asked { atom, place }) = self.set.atoms.get(number) else {
            return Truth::new(Verdict::False);
        };
        let found = match self.found.get_mut(*place as usize) {
            Some(found) => *found.get_or_insert_with(|| atom.find(self.facts)),
            None => None,
        };
        let truth = Truth::new(atom.judge_found(self.facts, found));
        if let Some(known) = self.truths.get_mut(number) {
            *known = truth;
        }
        truth
    }
}
