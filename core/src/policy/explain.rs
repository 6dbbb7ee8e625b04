//! Why a verdict is what it is: the tree again, with the values that were read and the leaves that decide.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::{
    ast::{Clause, Each, Expr, Operand, Path, Span, Test},
    eval::{self, UnknownReason, Verdict},
    view::{self, Element, Scope},
    would::{self, Would},
};
use crate::fact::{Facts, Source};

/// The longest value that is shown in full, in characters.
const SHOWN_VALUE: usize = 60;
/// The widest clause that the remarks are lined up after, in characters.
const SHOWN_CLAUSE: usize = 60;

/// A verdict and where it comes from: one part of a policy, with its parts.
///
/// Shown as a tree, one line a part; serialized as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The part's canonical text.
    pub text: String,
    /// Where the part stands in the text that was parsed. `None` if it is joined from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// The part's verdict.
    pub verdict: Verdict,
    /// Why the verdict is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<UnknownReason>,
    /// Does the policy's verdict rest on this part?
    pub decides: bool,
    /// How the parts are joined. `None` for a leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// The parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explanation>,
    /// The facts a leaf reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<FactRead>,
    /// What a quantifier's condition is for the elements of its list or map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elements: Option<Elements>,
    /// What would change the verdict of the policy. Only the whole has it, if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
}

/// The elements that a quantifier looked at, by key or index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Elements {
    /// Those for which its condition is true.
    pub yes: Vec<String>,
    /// Those for which it is false.
    pub no: Vec<String>,
    /// Those for which it cannot be told.
    pub unknown: Vec<String>,
}

impl Display for Elements {
    /// `true for sda, unknown for [0]; false for 2 more`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        let kinds = [("true", &self.yes), ("unknown", &self.unknown), ("false", &self.no)];
        let mut before = "";
        for (word, keys) in kinds.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            let named = keys.get(..NAMED.min(keys.len())).unwrap_or(&[]).join(", ");
            let shown: String = named.chars().map(super::caret::shown).collect();
            write!(f, "{before}{word} for {shown}")?;
            if keys.len() > NAMED {
                write!(f, " and {} more", keys.len() - NAMED)?;
            }
            before = "; ";
        }
        if before.is_empty() { f.write_str("no elements") } else { Ok(()) }
    }
}

/// How parts of a policy are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Join {
    /// All must be true.
    And,
    /// One must be true.
    Or,
    /// The one part must be false.
    Not,
}

/// A fact that a clause reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FactRead {
    /// The path, without braces.
    pub path: String,
    /// The value that was compared. `None` if it is missing.
    pub value: Option<serde_json::Value>,
    /// The value's type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<&'static str>,
    /// Where the fact comes from. `None` if there is no fact of that name.
    pub source: Option<Source>,
    /// The value as it was spelled.
    #[serde(skip)]
    shown: String,
}

impl Explanation {
    /// All parts, this one first, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.parts.iter().rev());
            Some(next)
        })
    }

    /// The leaves on which the verdict rests.
    pub fn decisive(&self) -> impl Iterator<Item = &Self> {
        self.leaves().filter(|leaf| leaf.decides)
    }

    fn leaves(&self) -> impl Iterator<Item = &Self> {
        self.iter().filter(|part| part.join.is_none())
    }
}

/// Judges the facts by a condition, and keeps how.
pub(crate) fn explain(expr: &Expr, facts: &Facts) -> Explanation {
    let mut explanation = tree(expr, &Scope::new(facts));
    blame(&mut explanation);
    explanation.would = would::would(expr, facts, explanation.verdict);
    explanation
}

fn tree(expr: &Expr, scope: &Scope<'_>) -> Explanation {
    let parts = |parts: &[Expr]| parts.iter().map(|part| tree(part, scope)).collect::<Vec<_>>();
    match expr {
        Expr::Everything => part(expr, Verdict::True, None, Vec::new()),
        Expr::Or(inner) => {
            let inner = parts(inner);
            let verdict = eval::any(inner.iter().map(|part| part.verdict));
            part(expr, verdict, Some(Join::Or), inner)
        }
        Expr::And(inner) => {
            let inner = parts(inner);
            let verdict = eval::all(inner.iter().map(|part| part.verdict));
            part(expr, verdict, Some(Join::And), inner)
        }
        Expr::Not(inner) => {
            let inner = tree(inner, scope);
            part(expr, !inner.verdict, Some(Join::Not), vec![inner])
        }
        Expr::Clause(clause) => leaf(expr, clause, scope),
        Expr::Each(each) => quantified(expr, each, scope),
    }
}

fn part(expr: &Expr, verdict: Verdict, join: Option<Join>, parts: Vec<Explanation>) -> Explanation {
    let reason = match verdict {
        Verdict::Unknown(reason) => Some(reason),
        Verdict::True | Verdict::False => None,
    };
    let text = expr.to_string();
    Explanation {
        text,
        span: None,
        verdict,
        reason,
        decides: false,
        join,
        parts,
        facts: Vec::new(),
        elements: None,
        would: None,
    }
}

fn leaf(expr: &Expr, clause: &Clause, scope: &Scope<'_>) -> Explanation {
    let scalar = |path| read(path, scope.facts, view::scalar(path, scope));
    let read = match &clause.test {
        Test::Exists(path) => vec![read(path, scope.facts, view::lookup(path, scope))],
        Test::Holds(path) => vec![scalar(path)],
        Test::Compare(left, _, right) => {
            let right = match right {
                Operand::Fact(right) => Some(right),
                _ => None,
            };
            std::iter::once(left).chain(right).map(scalar).collect()
        }
    };
    let verdict = eval::test(&clause.test, scope);
    let leaf = part(expr, verdict, None, Vec::new());
    Explanation { span: Some(clause.span), facts: read, ..leaf }
}

/// A quantifier is a leaf: what it looks at, and for which elements it is what it is.
fn quantified(expr: &Expr, each: &Each, scope: &Scope<'_>) -> Explanation {
    let mut facts = vec![read(&each.over, scope.facts, view::lookup(&each.over, scope))];
    each.body.paths(&mut |path| {
        if path.variable.is_none() {
            facts.push(read(path, scope.facts, view::scalar(path, scope)));
        }
    });
    let verdict = eval::evaluate(expr, scope);
    let mut elements = Elements::default();
    if let Ok((inside, value)) = eval::elements(each, scope) {
        for element in Element::all(value) {
            let list = match eval::evaluate(&each.body, &inside.inside(element)) {
                Verdict::True => &mut elements.yes,
                Verdict::False => &mut elements.no,
                Verdict::Unknown(_) => &mut elements.unknown,
            };
            list.push(element.key.to_string());
        }
    }
    let leaf = part(expr, verdict, None, Vec::new());
    Explanation { span: Some(each.span), facts, elements: Some(elements), ..leaf }
}

fn read(path: &Path, facts: &Facts, value: Option<&crate::fact::Value>) -> FactRead {
    FactRead {
        path: path.bare().to_string(),
        value: value.map(crate::fact::Value::to_json),
        type_name: value.map(crate::fact::Value::type_name),
        source: facts.get(path.name.as_str()).map(|fact| fact.source),
        shown: value.map_or_else(String::new, shown),
    }
}

/// A value as people see it: text in quotes, a boolean as spelled, never too long.
pub(crate) fn shown(value: &crate::fact::Value) -> String {
    use crate::fact::Value;
    let full = match value {
        Value::Text(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    match full.char_indices().nth(SHOWN_VALUE) {
        Some((end, _)) => format!("{}…", full.get(..end).unwrap_or("")),
        None => full,
    }
}

/// Marks the parts that decide: of those that agree with the whole, all.
fn blame(part: &mut Explanation) {
    part.decides = true;
    let verdict = part.verdict;
    let agrees = |inner: &Explanation| match part.join {
        Some(Join::Not) => true,
        _ => std::mem::discriminant(&inner.verdict) == std::mem::discriminant(&verdict),
    };
    part.parts.iter_mut().filter(|inner| agrees(inner)).for_each(blame);
}

impl Display for Explanation {
    /// One line a part. Values are quoted and cut to a line; nothing else is escaped.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = self.leaves().all(|leaf| leaf.decides);
        let tree = Tree { width: self.width(0).min(SHOWN_CLAUSE), mark: !all };
        tree.line(f, self, "", "")?;
        tree.parts(f, self, "")?;
        self.would.as_ref().map_or(Ok(()), |would| write!(f, "\n{would}"))
    }
}

impl Explanation {
    /// The width of the widest leaf, with its place in the tree.
    fn width(&self, depth: usize) -> usize {
        let inner = self.parts.iter().map(|part| part.width(depth + 1)).max();
        inner.unwrap_or_else(|| 3 * depth + 2 + self.text.chars().count())
    }

    /// The letter of the verdict.
    fn letter(&self) -> &'static str {
        match self.verdict {
            Verdict::True => "T",
            Verdict::False => "F",
            Verdict::Unknown(_) => "U",
        }
    }
}

struct Tree {
    width: usize,
    mark: bool,
}

impl Tree {
    fn parts(&self, f: &mut Formatter<'_>, part: &Explanation, indent: &str) -> fmt::Result {
        let last = part.parts.len().saturating_sub(1);
        for (at, inner) in part.parts.iter().enumerate() {
            f.write_str("\n")?;
            self.line(f, inner, indent, if at == last { "`- " } else { "|- " })?;
            let deeper = if at == last { "   " } else { "|  " };
            self.parts(f, inner, &format!("{indent}{deeper}"))?;
        }
        Ok(())
    }

    fn line(
        &self,
        f: &mut Formatter<'_>,
        part: &Explanation,
        indent: &str,
        branch: &str,
    ) -> fmt::Result {
        let text = match part.join {
            Some(Join::And) => "and",
            Some(Join::Or) => "or",
            Some(Join::Not) => "not",
            None => &part.text,
        };
        let head = format!("{indent}{branch}{} {text}", part.letter());
        if part.facts.is_empty() {
            return f.write_str(&head);
        }
        write!(f, "{head:width$}  ", width = self.width)?;
        for (at, read) in part.facts.iter().enumerate() {
            write!(f, "{}{read}", if at > 0 { ", " } else { "" })?;
        }
        match part.reason {
            Some(UnknownReason::Kind) => f.write_str(": not a value this can judge")?,
            Some(UnknownReason::Unordered) => f.write_str(": text has no order")?,
            Some(UnknownReason::Limit) => f.write_str(": too large to be judged")?,
            Some(UnknownReason::Missing) | None => {}
        }
        if let Some(elements) = &part.elements {
            write!(f, ": {elements}")?;
        }
        f.write_str(if self.mark && part.decides { "  <- decides" } else { "" })
    }
}

impl Display for FactRead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.value, self.source) {
            (Some(_), Some(source)) => {
                write!(f, "{} = {} ({})", self.path, self.shown, source.as_str())
            }
            (_, Some(_)) => write!(f, "missing: nothing at {}", self.path),
            (_, None) => write!(f, "missing: no source sets {}", self.path),
        }
    }
}
