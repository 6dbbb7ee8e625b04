//! Builds the tree from what the grammar found, and refuses what is not the language with a hint.

use std::sync::Arc;

use super::{
    ast::{Cast, Clause, Each, Expr, Op, Operand, Path, Quantifier, Span, Test},
    caret, check,
    error::{ParsePolicyErrorKind as Kind, Problem},
    literal::Literal,
    near,
    pattern::{Glob, Pattern},
    token,
};
use crate::{fact, limits, name::FactName};

/// Values with operators between them: a comparison if there are two.
pub(crate) struct Chain<'s> {
    pub(crate) first: Item<'s>,
    pub(crate) second: Option<(Op, Item<'s>)>,
    /// Where one too many is.
    pub(crate) third: Option<Span>,
}

/// What may stand beside an operator. A value is one word; more are a mistake.
pub(crate) enum Item<'s> {
    Group(Span, Expr),
    Words(Words<'s>),
}

/// Words in a row.
pub(crate) struct Words<'s> {
    pub(crate) first: Word<'s>,
    pub(crate) more: Vec<Word<'s>>,
}

impl Words<'_> {
    fn span(&self) -> Span {
        self.first.span().to(self.more.last().unwrap_or(&self.first).span())
    }
}

/// A value as it was written.
pub(crate) enum Word<'s> {
    Fact(Box<Path>),
    Bare(Span, &'s str),
    Quoted(Span, Box<str>),
    /// The source, and does it ignore case?
    Regex(Span, &'s str, bool),
    List(Span, Vec<Words<'s>>),
    Call(Box<Call<'s>>),
}

/// `name(…)`
pub(crate) struct Call<'s> {
    pub(crate) span: Span,
    pub(crate) name: &'s str,
    pub(crate) arguments: Vec<Words<'s>>,
}

impl Word<'_> {
    fn span(&self) -> Span {
        match self {
            Self::Fact(path) => path.span,
            Self::Bare(span, _)
            | Self::Quoted(span, _)
            | Self::Regex(span, ..)
            | Self::List(span, _) => *span,
            Self::Call(call) => call.span,
        }
    }

    /// The text of a plain value.
    fn content(&self) -> Option<&str> {
        match self {
            Self::Bare(_, word) => Some(word),
            Self::Quoted(_, content) => Some(content),
            _ => None,
        }
    }
}

impl Item<'_> {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Group(span, _) => *span,
            Self::Words(words) => words.span(),
        }
    }
}

/// What was written in a span, on one line and without what could disturb a terminal.
fn written(text: &str, span: Span) -> String {
    let words = text.get(span.range()).unwrap_or("").split_whitespace();
    words.collect::<Vec<_>>().join(" ").chars().map(caret::shown).collect()
}

pub(crate) fn or(text: &str, span: Span, first: Expr, rest: Vec<Expr>) -> Result<Expr, Problem> {
    let merge = |part| match part {
        Expr::Or(inner) => Ok(inner),
        part => Err(part),
    };
    join(text, span, first, rest, merge, Expr::Or)
}

pub(crate) fn and(text: &str, span: Span, first: Expr, rest: Vec<Expr>) -> Result<Expr, Problem> {
    let merge = |part| match part {
        Expr::And(inner) => Ok(inner),
        part => Err(part),
    };
    join(text, span, first, rest, merge, Expr::And)
}

fn join(
    text: &str,
    span: Span,
    first: Expr,
    rest: Vec<Expr>,
    merge: impl Fn(Expr) -> Result<Vec<Expr>, Expr>,
    wrap: impl Fn(Vec<Expr>) -> Expr,
) -> Result<Expr, Problem> {
    if rest.is_empty() {
        return Ok(first);
    }
    let mut parts = Vec::with_capacity(rest.len() + 1);
    for part in std::iter::once(first).chain(rest) {
        if part == Expr::Everything {
            return Err(constant(text, span));
        }
        match merge(part) {
            Ok(inner) => parts.extend(inner),
            Err(part) => parts.push(part),
        }
    }
    Ok(wrap(parts))
}

fn constant(text: &str, span: Span) -> Problem {
    Problem::new(Kind::Constant(written(text, span).into()), span)
        .help("`true` alone is the policy of every node")
}

pub(crate) fn not(text: &str, not: Span, chain: Chain<'_>) -> Result<Expr, Problem> {
    if let Some((op, right)) = &chain.second {
        let (left, right) = (written(text, chain.first.span()), written(text, right.span()));
        let (opposite, op) = (op.negated().as_str(), op.as_str());
        let help = format!("write `{left} {opposite} {right}` or `not ({left} {op} {right})`");
        return Err(
            Problem::new(Kind::NotBeforeComparison(written(text, not).into()), not).help(help)
        );
    }
    let span = not.to(chain.first.span());
    match condition(text, chain)? {
        Expr::Everything => Err(constant(text, span)),
        inner => Ok(Expr::Not(Box::new(inner))),
    }
}

pub(crate) fn condition(text: &str, chain: Chain<'_>) -> Result<Expr, Problem> {
    let Chain { first, second, third } = chain;
    match (second, third) {
        (None, _) => match first {
            Item::Group(_, inner) => Ok(inner),
            Item::Words(words) => lone(text, one(text, words)?),
        },
        (Some((op, second)), None) => {
            let span = first.span().to(second.span());
            let (left, right) = (value(text, first)?, value(text, second)?);
            let test = comparison(text, left, op, right)?;
            Ok(Expr::Clause(Clause { test, span }.into()))
        }
        (Some((_, second)), Some(third)) => {
            let span = first.span().to(third);
            let (second, help) = (written(text, second.span()), "join two comparisons with `&&`");
            let help = if second.is_empty() {
                help.into()
            } else {
                format!("{help}: `… {second} && {second} …`")
            };
            Err(Problem::new(Kind::Chained, span).help(help))
        }
    }
}

/// A condition of one word.
fn lone(text: &str, word: Word<'_>) -> Result<Expr, Problem> {
    let span = word.span();
    let shown = written(text, span);
    let refuse = |help: String| {
        Err(Problem::new(Kind::NotACondition(shown.as_str().into()), span).help(help))
    };
    let test = match word {
        Word::Fact(path) if path.kind.is_none_or(|kind| kind == check::BOOL) => Test::Holds(*path),
        Word::Fact(_) => return refuse(format!("compare it: `{shown} == …`")),
        Word::Call(call) => condition_of(text, *call)?,
        Word::Bare(_, word) => match Literal::bare(word, span)?.boolean {
            Some(true) => return Ok(Expr::Everything),
            Some(false) => {
                return Err(
                    Problem::new(Kind::Constant(shown.into()), span).help("no node would match")
                );
            }
            None => return refuse(reference_hint(word)),
        },
        Word::Quoted(_, content) => return refuse(reference_hint(&content)),
        Word::List(..) => return refuse("compare a fact with it: `{{fact}} in […]`".into()),
        Word::Regex(..) => return refuse("try it on a fact: `{{fact}} matches /…/`".into()),
    };
    Ok(Expr::Clause(Clause { test, span }.into()))
}

/// A hint for a word that may have been meant as a fact.
fn reference_hint(word: &str) -> String {
    match near::nearest(word, fact::BUILT_IN.iter().copied()) {
        Some(name) => format!("did you mean `{{{{{name}}}}}`?"),
        None => "a fact is written `{{name}}`".into(),
    }
}

/// A function that is a condition.
fn condition_of(text: &str, call: Call<'_>) -> Result<Test, Problem> {
    let Call { span, name, arguments } = call;
    let shown = || written(text, span);
    match name {
        "exists" => Ok(Test::Exists(argument(text, span, name, arguments)?)),
        "default" => Err(Problem::new(Kind::Unsupported(name.into()), span)
            .help("say what a missing fact means: `({{fact}} == … || not exists({{fact}}))`")),
        _ if cast(name).is_some() => Err(Problem::new(Kind::NotACondition(shown().into()), span)
            .help(format!("compare it: `{} == …`", shown()))),
        _ => {
            let problem = Problem::new(Kind::Function(name.into()), span);
            let names = Cast::ALL.iter().map(|cast| cast.as_str());
            Err(match near::nearest(name, names.chain(["exists"])) {
                Some(name) => problem.help(format!("did you mean `{name}`?")),
                None => problem.help(
                    "there are `exists`, `bytes`, `duration`, `ip`, `len`, `lower`, `number` and `version`",
                ),
            })
        }
    }
}

fn cast(name: &str) -> Option<Cast> {
    Cast::ALL.into_iter().find(|cast| cast.as_str() == name)
}

/// The fact that a function takes.
fn argument(
    text: &str,
    span: Span,
    name: &str,
    mut arguments: Vec<Words<'_>>,
) -> Result<Path, Problem> {
    let refuse = || Problem::new(Kind::Argument(name.into()), span);
    let (Some(argument), true) = (arguments.pop(), arguments.is_empty()) else {
        return Err(refuse().help(format!("write `{name}({{{{fact}}}})`")));
    };
    match one(text, argument)? {
        Word::Fact(path) => Ok(*path),
        Word::Bare(_, word) => {
            Err(refuse().help(format!("did you mean `{name}({{{{{word}}}}})`?")))
        }
        _ => Err(refuse().help(format!("write `{name}({{{{fact}}}})`"))),
    }
}

/// A quantifier with its condition in parentheses.
pub(crate) fn each<'s>(
    text: &str,
    span: Span,
    quantifier: Quantifier,
    (at, name): (Span, &str),
    over: Path,
    mut body: Expr,
) -> Result<Item<'s>, Problem> {
    let refuse = |help: &str| Err(Problem::new(Kind::Variable(name.into()), at).help(help));
    let variable = match FactName::parse(name) {
        Ok(variable) if token::is_name(name) => variable,
        _ => return refuse("use letters, digits, `_` and `-`"),
    };
    if fact::is_built_in(name) || over.name == variable {
        return refuse("there is a fact of this name");
    }
    check::elements(quantifier, &over, span)?;
    if body == Expr::Everything {
        return Err(constant(text, span));
    }
    bind(text, &mut body, &variable, 0, &over)?;
    let mut weight = 0_usize;
    body.clauses(&mut |clause| weight = weight.saturating_add(steps(&clause.test)));
    let each = Each { quantifier, variable, over, body, weight, span };
    Ok(Item::Group(span, Expr::Each(each.into())))
}

/// What judging one clause costs, against comparing two values.
fn steps(test: &Test) -> usize {
    match test {
        Test::Compare(_, _, Operand::List(list)) => list.len(),
        Test::Compare(_, _, Operand::Glob(_)) => 16,
        Test::Compare(_, _, Operand::Pattern(_)) => 64,
        _ => 1,
    }
}

/// Binds all paths in a quantifier's condition that start with its variable.
fn bind(
    text: &str,
    expr: &mut Expr,
    variable: &FactName,
    depth: usize,
    over: &Path,
) -> Result<(), Problem> {
    let bind_path = |path: &mut Path| {
        if path.variable.is_none() && path.name == *variable {
            path.bind(depth, over);
        }
    };
    match expr {
        Expr::Everything => Ok(()),
        Expr::Or(parts) | Expr::And(parts) => {
            parts.iter_mut().try_for_each(|part| bind(text, part, variable, depth, over))
        }
        Expr::Not(inner) => bind(text, inner, variable, depth, over),
        Expr::Clause(clause) => {
            let clause = Arc::make_mut(clause);
            match &mut clause.test {
                Test::Holds(path) | Test::Exists(path) => bind_path(path),
                Test::Compare(left, _, right) => {
                    bind_path(left);
                    if let Operand::Fact(right) = right {
                        bind_path(right);
                    }
                }
            }
            check::test(clause).map_err(|problem| match problem.kind {
                Kind::NotACondition(_) => {
                    let shown = written(text, clause.span);
                    Problem::new(Kind::NotACondition(shown.as_str().into()), clause.span)
                        .help(format!("compare it: `{shown} == …`"))
                }
                _ => problem,
            })
        }
        Expr::Each(inner) => {
            let inner = Arc::make_mut(inner);
            let max = limits::POLICY_QUANTIFIERS;
            if depth + 1 >= max {
                let kind = Kind::TooLarge { what: "quantifiers inside each other", max };
                return Err(Problem::new(kind, inner.span));
            }
            if inner.variable == *variable {
                return Err(Problem::new(Kind::Variable(variable.as_str().into()), inner.span)
                    .help("the quantifier around it uses this name"));
            }
            bind_path(&mut inner.over);
            if inner.over.variable != Some(depth) {
                let operator = inner.quantifier.as_str();
                let needs = "a part of the outer element here";
                return Err(Problem::new(Kind::Operand { operator, needs }, inner.over.span)
                    .help(format!("write `{{{{{variable}.…}}}}`")));
            }
            bind(text, &mut inner.body, variable, depth + 1, over)
        }
    }
}

/// The value beside an operator.
fn value<'s>(text: &str, item: Item<'s>) -> Result<Word<'s>, Problem> {
    let refuse = |span| {
        Err(Problem::new(Kind::NotAValue(written(text, span).into()), span)
            .help("compare facts and values, join conditions with `&&` and `||`"))
    };
    match item {
        Item::Group(span, _) => refuse(span),
        Item::Words(words) => match one(text, words)? {
            Word::Call(call) => match cast(call.name) {
                Some(cast) => {
                    let Call { span, name, arguments } = *call;
                    let path = argument(text, span, name, arguments)?.cast(cast, span);
                    Ok(Word::Fact(path.into()))
                }
                None => {
                    let span = call.span;
                    condition_of(text, *call)?;
                    refuse(span)
                }
            },
            word => Ok(word),
        },
    }
}

/// The only word, where one belongs.
fn one<'s>(text: &str, words: Words<'s>) -> Result<Word<'s>, Problem> {
    if words.more.is_empty() { Ok(words.first) } else { Err(several(text, &words)) }
}

/// What is wrong with several words in a row.
fn several(text: &str, words: &Words<'_>) -> Problem {
    let each = || std::iter::once(&words.first).chain(&words.more);
    let misspelled = each().find_map(|word| match word {
        Word::Bare(span, word) => Some((*span, *word, operator_meant(word)?)),
        _ => None,
    });
    if let Some((span, word, operator)) = misspelled {
        return Problem::new(Kind::NotAnOperator(word.into()), span)
            .help(format!("use `{operator}`"))
            .replace(operator);
    }
    let span = words.span();
    let plain: Option<Vec<&str>> = each().map(Word::content).collect();
    if let Some(plain) = plain {
        let shown = plain.join(" ");
        let quoted = Literal::quoted(&shown, span).to_string();
        return Problem::new(Kind::TwoWords(written(text, span).into()), span)
            .help(format!("quote the value: `{quoted}`"))
            .replace(&quoted);
    }
    let second = words.more.first().map_or(span, Word::span);
    Problem::new(Kind::MissingOperator(written(text, second).into()), second)
        .help("put an operator such as `==` or `&&` before it")
}

/// The operator that people write as this word elsewhere.
fn operator_meant(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    let found = match lower.as_str() {
        "and" => "and",
        "or" => "or",
        "not" => "not",
        "in" => "in",
        "contains" | "has" | "includes" => "contains",
        "like" | "glob" => "like",
        "matches" | "match" | "regex" | "regexp" | "~" => "matches",
        "is" | "eq" | "equals" => "==",
        "isnt" | "ne" => "!=",
        "lt" => "<",
        "le" => "<=",
        "gt" => ">",
        "ge" => ">=",
        _ => return None,
    };
    Some(found)
}

fn comparison(text: &str, left: Word<'_>, op: Op, right: Word<'_>) -> Result<Test, Problem> {
    let span = left.span().to(right.span());
    let needs = |needs| Problem::new(Kind::Operand { operator: op.as_str(), needs }, span);
    let (path, op, operand) = match (op.flipped(), left, right) {
        (None, Word::Fact(left), right) => (*left, op, pattern(text, op, right)?),
        (None, ..) => return Err(needs("a fact on its left and a pattern on its right")),
        (Some(_), Word::Regex(..), _) | (Some(_), _, Word::Regex(..)) => {
            return Err(needs("a value").help("use `matches`, or quote the value if it is text"));
        }
        (_, Word::Fact(left), right) => (*left, op, operand(text, right)?),
        (Some(flipped), left, Word::Fact(right)) => (*right, flipped, operand(text, left)?),
        (_, left, right) => return Err(literals(text, span, &left, &right)),
    };
    check::comparison(&path, op, &operand, span)?;
    Ok(Test::Compare(path, op, operand))
}

fn pattern(text: &str, op: Op, word: Word<'_>) -> Result<Operand, Problem> {
    let glob = matches!(op, Op::Like | Op::NotLike);
    let span = word.span();
    let needs = |needs| Problem::new(Kind::Operand { operator: op.as_str(), needs }, span);
    match word {
        Word::Regex(_, source, ignores_case) if !glob => {
            Ok(Operand::Pattern(Pattern::new(source, ignores_case, span)?))
        }
        Word::Regex(..) => Err(needs("text with `*` and `?`").help("use `matches`")),
        Word::Fact(_) => {
            Err(needs("a pattern on its right").help("the value of a fact is never a pattern"))
        }
        word => match word.content() {
            Some(content) if glob => Ok(Operand::Glob(Glob::new(content, span)?)),
            Some(content) => Ok(Operand::Pattern(Pattern::new(content, false, span)?)),
            None => Err(needs("one pattern on its right")
                .help(format!("join several with `||`, `{}` is none", written(text, span)))),
        },
    }
}

fn literals(text: &str, span: Span, left: &Word<'_>, right: &Word<'_>) -> Problem {
    let shown = |word: &Word<'_>| written(text, word.span()).into();
    let problem = Problem::new(Kind::Literals(shown(left), shown(right)), span);
    let fact = [left, right].into_iter().find_map(|word| match word {
        Word::Bare(at, word) => {
            near::nearest(word, fact::BUILT_IN.iter().copied()).map(|name| (*at, name))
        }
        _ => None,
    });
    match (fact, left) {
        (Some((at, name)), _) => {
            let reference = format!("{{{{{name}}}}}");
            problem.help(format!("did you mean `{reference}`?")).fix(at, reference)
        }
        (None, Word::Bare(at, word)) if token::is_name(word) => {
            let reference = format!("{{{{{word}}}}}");
            problem.help(format!("did you mean the fact `{reference}`?")).fix(*at, reference)
        }
        _ => problem.help("one side must be a fact: `{{name}}`"),
    }
}

fn operand(text: &str, word: Word<'_>) -> Result<Operand, Problem> {
    Ok(match word {
        Word::Fact(path) => Operand::Fact(*path),
        Word::List(span, items) => Operand::List(list(text, span, items)?),
        word => Operand::One(literal(text, word)?),
    })
}

fn list(text: &str, span: Span, items: Vec<Words<'_>>) -> Result<Vec<Literal>, Problem> {
    if items.len() > limits::POLICY_LIST {
        let kind = Kind::TooLarge { what: "elements of a list", max: limits::POLICY_LIST };
        return Err(Problem::new(kind, span));
    }
    if items.is_empty() {
        return Err(Problem::new(Kind::Constant("[]".into()), span).help("put a value in the list"));
    }
    items.into_iter().map(|words| literal(text, one(text, words)?)).collect()
}

fn literal(text: &str, word: Word<'_>) -> Result<Literal, Problem> {
    match word {
        Word::Bare(span, word) => Literal::bare(word, span),
        Word::Quoted(span, content) => Ok(Literal::quoted(&content, span)),
        word => {
            Err(Problem::new(Kind::Unsupported(written(text, word.span()).into()), word.span())
                .help("a list has plain values only"))
        }
    }
}
