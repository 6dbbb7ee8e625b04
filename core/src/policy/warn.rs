//! Warnings: what parses, but is probably not what its author means.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{
    ast::{Clause, Expr, Op, Operand, Path, Span, Step, Test},
    caret, domain,
    error::Fix,
    eval,
    literal::{Literal, Number},
    near, schema,
    view::{self, Element, Scope, View},
};
use crate::{
    UnknownReason, Verdict, fact,
    fact::{Facts, Value},
    name::FactName,
};

/// Something in a policy that is probably a mistake. The policy works as written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyWarning {
    kind: PolicyWarningKind,
    span: Span,
    help: Option<Box<str>>,
    fix: Option<Fix>,
    text: Arc<str>,
}

/// What is probably a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyWarningKind {
    /// Nobody has this fact, but one with a similar name is known.
    UnknownFact(Box<str>),
    /// A quoted `true` or `false` is compared by its spelling, unlike one without quotes.
    QuotedBoolean(Box<str>),
    /// Nobody has this value, but one that is spelled a little differently is known.
    Spelling {
        /// The fact.
        fact: Box<str>,
        /// The value in the policy.
        value: Box<str>,
        /// The one that is known.
        known: Box<str>,
        /// How many members have it. 0 if the fact has it on other hosts.
        members: usize,
    },
    /// The values that members have cannot be judged so, or are never equal.
    Type {
        /// The fact.
        fact: Box<str>,
        /// Its type on the first of them, with an article.
        is: &'static str,
        /// How many members have such values.
        members: usize,
    },
    /// It is true for no node.
    Never(Box<str>),
    /// It is true for every node that has the facts it reads.
    Always(Box<str>),
    /// A pattern of `like` without `*` and `?`.
    PlainPattern(Box<str>),
    /// The memory of a machine is less than what is built into it.
    BuiltInMemory(Box<str>),
    /// The condition of a quantifier does not look at its element.
    UnusedElement(Box<str>),
    /// Nobody has this part of a fact, but one with a similar name is there.
    UnknownField(Box<str>),
}

impl PolicyWarning {
    fn new(kind: PolicyWarningKind, span: Span, text: &Arc<str>) -> Self {
        Self { kind, span, help: None, fix: None, text: text.clone() }
    }

    fn help(self, help: impl Into<Box<str>>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn replace(self, replacement: impl Into<Box<str>>) -> Self {
        let fix = Fix { span: self.span, replacement: replacement.into() };
        Self { fix: Some(fix), ..self }
    }

    /// What is probably a mistake.
    #[must_use]
    pub fn kind(&self) -> &PolicyWarningKind {
        &self.kind
    }

    /// A code that stays the same when the message changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            PolicyWarningKind::UnknownFact(_) => "P021",
            PolicyWarningKind::QuotedBoolean(_) => "P101",
            PolicyWarningKind::Spelling { .. } => "P102",
            PolicyWarningKind::Type { .. } => "P103",
            PolicyWarningKind::Never(_) => "P104",
            PolicyWarningKind::Always(_) => "P105",
            PolicyWarningKind::PlainPattern(_) => "P106",
            PolicyWarningKind::BuiltInMemory(_) => "P107",
            PolicyWarningKind::UnusedElement(_) => "P108",
            PolicyWarningKind::UnknownField(_) => "P109",
        }
    }

    /// The part of the text that was parsed, in bytes.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The line of the place, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        caret::Place::find(&self.text, self.span).line
    }

    /// The column of the place in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        caret::Place::find(&self.text, self.span).column
    }

    /// What was probably meant, for a machine.
    #[must_use]
    pub fn fix(&self) -> Option<&Fix> {
        self.fix.as_ref()
    }

    /// The message, the line of the text with carets under the place, and help. No newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        let heading = format!("warning[{}]: {self}", self.code());
        caret::render(&heading, &self.text, self.span, self.help.as_deref())
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PolicyWarningKind::UnknownFact(name) => write!(f, "`{name}` is not a known fact"),
            PolicyWarningKind::QuotedBoolean(text) => {
                write!(f, "`\"{text}\"` in quotes matches this spelling only")
            }
            PolicyWarningKind::Spelling { fact, value, known, members: 0 } => {
                write!(f, "`{fact}` is never `{value}`, it can be `{known}`")
            }
            PolicyWarningKind::Spelling { value, known, members, .. } => {
                write!(f, "`{value}`, but {} `{known}`", count(*members, "reports", "report"))
            }
            PolicyWarningKind::Type { fact, is, members } => {
                let members = count(*members, "has", "have");
                write!(f, "{members} {is} as `{fact}`, which this never matches")
            }
            PolicyWarningKind::Never(part) => write!(f, "`{part}` is true for no node"),
            PolicyWarningKind::Always(part) => {
                write!(f, "`{part}` is true for every node that has these facts")
            }
            PolicyWarningKind::PlainPattern(text) => {
                write!(f, "`{text}` has neither `*` nor `?`")
            }
            PolicyWarningKind::BuiltInMemory(size) => {
                write!(f, "a machine with {size} has a little less as `memtotal`")
            }
            PolicyWarningKind::UnusedElement(name) => {
                write!(f, "the condition does not look at `{name}`")
            }
            PolicyWarningKind::UnknownField(path) => write!(f, "no member has `{path}`"),
        }
    }
}

fn count(members: usize, one: &str, many: &str) -> String {
    match members {
        1 => format!("1 member {one}"),
        _ => format!("{members} members {many}"),
    }
}

/// Everything in a tree that is probably a mistake, in the order of the text.
pub(crate) fn warnings(tree: &Expr, text: &Arc<str>, members: &[&Facts]) -> Vec<PolicyWarning> {
    let names = members.iter().flat_map(|facts| facts.iter()).map(|(name, _)| name.as_str());
    let known: BTreeSet<&str> = names.chain(fact::BUILT_IN.iter().copied()).collect();
    let mut found = Vec::new();
    tree.paths(&mut |path| found.extend(unknown_fact(path, text, &known)));
    tree.clauses(&mut |clause| {
        found.extend(quoted_boolean(clause, text));
        found.extend(plain_pattern(clause, text));
        found.extend(built_in_memory(clause, text));
        spelling(clause, text, members, &mut found);
        found.extend(mismatch(clause, text, members));
    });
    tree.each(&mut |each| {
        let mut used = false;
        each.body.paths(&mut |path| used |= path.name == each.variable);
        if !used {
            let kind = PolicyWarningKind::UnusedElement(each.variable.as_str().into());
            let help = format!("write `{{{{{}}}}}` for an element", each.variable);
            found.push(PolicyWarning::new(kind, each.span, text).help(help));
        }
    });
    Fields { members, text }.visit(tree, &[], &mut found);
    constant(tree, text, &mut found);
    found.sort_by_key(|warning| warning.span.start);
    found
}

fn unknown_fact(path: &Path, text: &Arc<str>, known: &BTreeSet<&str>) -> Option<PolicyWarning> {
    let name = path.name.as_str();
    if path.variable.is_some() || known.contains(name) {
        return None;
    }
    let meant = near::nearest(name, known.iter().copied())?;
    let meant = Path { name: FactName::parse(meant).ok()?, ..path.clone() }.to_string();
    let kind = PolicyWarningKind::UnknownFact(name.into());
    let warning = PolicyWarning::new(kind, path.span, text);
    Some(warning.help(format!("did you mean `{meant}`?")).replace(meant))
}

/// Looks for parts of facts that no member has where it has others.
#[derive(Clone, Copy)]
struct Fields<'a> {
    members: &'a [&'a Facts],
    text: &'a Arc<str>,
}

impl<'a> Fields<'a> {
    /// Looks at a condition inside quantifiers that look at these elements, the innermost first.
    fn visit(self, expr: &Expr, elements: &[Vec<&'a Value>], found: &mut Vec<PolicyWarning>) {
        match expr {
            Expr::Everything => {}
            Expr::Or(parts) | Expr::And(parts) => {
                parts.iter().for_each(|part| self.visit(part, elements, found));
            }
            Expr::Not(inner) => self.visit(inner, elements, found),
            Expr::Clause(clause) => clause.test.paths(&mut |path| {
                if let Err(warning) = self.values(path, elements) {
                    found.push(*warning);
                }
            }),
            Expr::Each(each) => match self.values(&each.over, elements) {
                Err(warning) => found.push(*warning),
                Ok(values) => {
                    let inner = values.into_iter().flat_map(Element::all);
                    let inner = inner.map(|element| element.value).collect();
                    let all: Vec<_> = [inner].into_iter().chain(elements.iter().cloned()).collect();
                    self.visit(&each.body, &all, found);
                }
            },
        }
    }

    /// All values at a path.
    fn values(
        self,
        path: &Path,
        elements: &[Vec<&'a Value>],
    ) -> Result<Vec<&'a Value>, Box<PolicyWarning>> {
        let mut values: Vec<&Value> = match path.variable {
            Some(_) if path.is_key() => return Ok(Vec::new()),
            Some(depth) => elements.get(depth).cloned().unwrap_or_default(),
            None => {
                let facts = self.members.iter().filter_map(|facts| facts.get(path.name.as_str()));
                facts.map(|fact| &fact.value).collect()
            }
        };
        for (at, step) in path.steps.iter().enumerate() {
            let next: Vec<_> = values.iter().filter_map(|value| view::step(value, step)).collect();
            if let (Step::Key(key), true) = (step, next.is_empty())
                && let Some(meant) = near::nearest(key, values.iter().flat_map(|map| fields(map)))
            {
                return Err(Box::new(self.warning(path, at, meant)));
            }
            values = next;
        }
        Ok(values)
    }

    fn warning(self, path: &Path, at: usize, meant: &str) -> PolicyWarning {
        let mut mended = path.clone();
        if let Some(step) = mended.steps.get_mut(at) {
            *step = Step::Key(meant.into());
        }
        let mended = mended.to_string();
        let steps = path.steps.iter().take(at + 1).cloned().collect();
        let wrong = Path { steps, ..path.clone() };
        let kind = PolicyWarningKind::UnknownField(wrong.bare().to_string().into());
        PolicyWarning::new(kind, path.span, self.text)
            .help(format!("did you mean `{mended}`?"))
            .replace(mended)
    }
}

/// The fields of a record. A map of records has none: their names are the host's, as those of devices.
fn fields(value: &Value) -> impl Iterator<Item = &str> {
    let map = if let Value::Map(map) = value { Some(map) } else { None };
    let fields = map.into_iter().flatten().filter(|(_, value)| !matches!(value, Value::Map(_)));
    fields.map(|(name, _)| name.as_str())
}

fn quoted_boolean(clause: &Clause, text: &Arc<str>) -> Option<PolicyWarning> {
    let Test::Compare(path, Op::Eq | Op::Ne, Operand::One(literal)) = &clause.test else {
        return None;
    };
    let is_boolean = |text: &str| ["true", "false"].iter().any(|w| w.eq_ignore_ascii_case(text));
    if path.kind.is_some() || !literal.quoted || !is_boolean(&literal.text) {
        return None;
    }
    let meant = literal.text.to_ascii_lowercase();
    let kind = PolicyWarningKind::QuotedBoolean(literal.text.clone());
    let warning = PolicyWarning::new(kind, literal.span, text);
    Some(warning.help(format!("write `{meant}` for any spelling")).replace(meant))
}

fn plain_pattern(clause: &Clause, text: &Arc<str>) -> Option<PolicyWarning> {
    match &clause.test {
        Test::Compare(_, op, Operand::Glob(glob)) if glob.is_plain() => {
            let kind = PolicyWarningKind::PlainPattern(glob.text.clone());
            let help = match op {
                Op::NotLike => "use `!=`, or add `*` where more text may stand",
                _ => "use `==`, or add `*` where more text may stand",
            };
            Some(PolicyWarning::new(kind, clause.span, text).help(help))
        }
        _ => None,
    }
}

/// `{{memtotal}} >= 16GiB`: the kernel keeps some of the memory that is built in.
fn built_in_memory(clause: &Clause, text: &Arc<str>) -> Option<PolicyWarning> {
    const GIB: i64 = 1 << 30;
    let Test::Compare(path, Op::Ge | Op::Eq, Operand::One(literal)) = &clause.test else {
        return None;
    };
    match literal.size {
        Some(Number::Int(bytes))
            if path.name.as_str() == "memtotal"
                && path.variable.is_none()
                && bytes % GIB == 0
                && (bytes / GIB).count_ones() == 1 =>
        {
            let kind = PolicyWarningKind::BuiltInMemory(literal.text.clone());
            let help = format!("leave it room: `{{{{memtotal}}}} > {}GiB`", bytes / GIB * 15 / 16);
            let help = if bytes < 16 * GIB { "leave it some room".into() } else { help };
            Some(PolicyWarning::new(kind, literal.span, text).help(help))
        }
        _ => None,
    }
}

/// The plain values that a clause looks for among those of a fact.
fn looked_for(clause: &Clause) -> Option<(&Path, &[Literal])> {
    match &clause.test {
        Test::Compare(
            path,
            Op::Eq | Op::Ne | Op::Contains | Op::NotContains,
            Operand::One(literal),
        ) => Some((path, std::slice::from_ref(literal))),
        Test::Compare(path, Op::In | Op::NotIn, Operand::List(literals)) => Some((path, literals)),
        _ => None,
    }
}

fn spelling(clause: &Clause, text: &Arc<str>, members: &[&Facts], found: &mut Vec<PolicyWarning>) {
    let Some((path, literals)) = looked_for(clause) else { return };
    if path.variable.is_some() || path.cast.is_some() {
        return;
    }
    let mut reported: BTreeMap<&str, usize> = BTreeMap::new();
    for facts in members {
        let texts = match view::scalar(path, &Scope::new(facts)) {
            Some(Value::Text(_)) => view::scalar(path, &Scope::new(facts)).into_iter().collect(),
            Some(Value::List(list)) => list.iter().collect(),
            _ => Vec::new(),
        };
        for value in texts {
            if let Value::Text(text) = value {
                *reported.entry(text).or_default() += 1;
            }
        }
    }
    for literal in literals.iter().filter(|literal| literal.boolean.is_none()) {
        let wanted = &*literal.text;
        if reported.contains_key(wanted) {
            continue;
        }
        let other = reported.iter().find(|(text, _)| text.eq_ignore_ascii_case(wanted));
        let known = other.map(|(text, members)| (*text, *members)).or_else(|| {
            let known = schema::known_value(path.name.as_str(), wanted);
            known.filter(|_| path.steps.is_empty()).map(|known| (known, 0))
        });
        let Some((known, members)) = known else { continue };
        let kind = PolicyWarningKind::Spelling {
            fact: path.bare().to_string().into(),
            value: wanted.into(),
            known: known.into(),
            members,
        };
        let shown = Literal::quoted(known, literal.span).to_string();
        let warning = PolicyWarning::new(kind, literal.span, text);
        found.push(warning.help(format!("did you mean `{shown}`?")).replace(shown));
    }
}

/// Members have the fact, but none a value that the clause can judge or equal.
fn mismatch(clause: &Clause, text: &Arc<str>, members: &[&Facts]) -> Option<PolicyWarning> {
    let (Test::Holds(path) | Test::Compare(path, ..)) = &clause.test else { return None };
    if path.variable.is_some() {
        return None;
    }
    let (mut count, mut first) = (0, None);
    for facts in members {
        let scope = Scope::new(facts);
        let Some(value) = view::scalar(path, &scope) else { continue };
        let verdict = eval::test(&clause.test, &scope);
        let odd = match (verdict, looked_for(clause)) {
            (Verdict::Unknown(UnknownReason::Kind | UnknownReason::Unordered), _) => true,
            (Verdict::Unknown(_), _) => continue,
            (_, Some((_, literals))) => {
                let view = View::at(path, value);
                !literals.iter().any(|literal| view.reads(literal))
            }
            (_, None) => false,
        };
        if !odd {
            return None;
        }
        count += 1;
        first = first.or(Some((value, verdict)));
    }
    let (value, verdict) = first?;
    let kind = PolicyWarningKind::Type {
        fact: path.bare().to_string().into(),
        is: named(value),
        members: count,
    };
    let warning = PolicyWarning::new(kind, clause.span, text);
    Some(match verdict {
        Verdict::Unknown(UnknownReason::Unordered) => {
            warning.help(format!("text has no order: write `version({path})` or `number({path})`"))
        }
        _ => warning,
    })
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "a yes or no",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::Ip(_) => "an address",
        Value::Net(_) => "a network",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// The whole, or parts of it, that are true for no node or for all.
fn constant(tree: &Expr, text: &Arc<str>, found: &mut Vec<PolicyWarning>) {
    let mut warn = |part: &Expr, kind: fn(Box<str>) -> PolicyWarningKind| {
        let shown = part.to_string();
        found.push(PolicyWarning::new(kind(shown.into()), span(part), text));
    };
    if domain::is_never(tree) {
        return warn(tree, PolicyWarningKind::Never);
    }
    if domain::is_always(tree) {
        return warn(tree, PolicyWarningKind::Always);
    }
    match tree {
        Expr::Or(parts) => parts
            .iter()
            .filter(|part| domain::is_never(part))
            .for_each(|part| warn(part, PolicyWarningKind::Never)),
        Expr::And(parts) => parts
            .iter()
            .filter(|part| domain::is_always(part))
            .for_each(|part| warn(part, PolicyWarningKind::Always)),
        _ => {}
    }
}

/// From the first clause of a condition to its last.
fn span(expr: &Expr) -> Span {
    let mut all: Option<Span> = None;
    let mut add = |span: Span| {
        all = Some(all.map_or(span, |all| Span {
            start: all.start.min(span.start),
            end: all.end.max(span.end),
        }));
    };
    expr.clauses(&mut |clause| add(clause.span));
    expr.each(&mut |each| add(each.span));
    all.unwrap_or(Span::new(0, 0))
}
