//! Static checks: does a comparison make sense for what the schema declares its facts to be?
//!
//! Facts that are not declared pass; what they are is known only when the policy is evaluated.

use super::{
    ast::{Clause, Op, Operand, Path, Quantifier, Span, Test},
    error::{ParsePolicyErrorKind, Problem},
    literal::Literal,
    schema::Kind,
};

pub(crate) const BOOL: Kind = Kind::Bool;

/// Checks a clause again, after its paths were bound to a quantifier.
pub(crate) fn test(clause: &Clause) -> Result<(), Problem> {
    match &clause.test {
        Test::Exists(_) => Ok(()),
        Test::Holds(path) if path.kind.is_none_or(|kind| kind == BOOL) => Ok(()),
        Test::Holds(path) => {
            let shown = path.to_string().into();
            Err(Problem::new(ParsePolicyErrorKind::NotACondition(shown), clause.span))
        }
        Test::Compare(path, op, right) => comparison(path, *op, right, clause.span),
    }
}

/// Has a fact elements to look at?
pub(crate) fn elements(quantifier: Quantifier, over: &Path, span: Span) -> Result<(), Problem> {
    match over.kind {
        None | Some(Kind::List | Kind::Map) => Ok(()),
        Some(kind) => {
            let fact = over.bare().to_string().into();
            let operator = quantifier.as_str();
            let kind = ParsePolicyErrorKind::Operator { operator, fact, is: kind.name() };
            Err(Problem::new(kind, span).help("only lists and maps have elements"))
        }
    }
}

pub(crate) fn comparison(path: &Path, op: Op, right: &Operand, span: Span) -> Result<(), Problem> {
    match op {
        Op::Eq | Op::Ne => equality(path, op, right, span),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => ordering(path, op, right, span),
        Op::In | Op::NotIn => among(path, op, right, span),
        Op::Contains | Op::NotContains => containment(path, op, right, span),
        Op::Like | Op::NotLike | Op::Matches | Op::NotMatches => pattern(path, op, span),
    }
}

fn pattern(path: &Path, op: Op, span: Span) -> Result<(), Problem> {
    let help = match path.kind {
        None | Some(Kind::Text | Kind::Version) => return Ok(()),
        Some(Kind::List) => format!("write `any x in {path} ({{{{x}}}} {} …)`", op.as_str()),
        Some(Kind::Map) => "name one of its fields".into(),
        Some(Kind::Ip) => "use `in` with a network".into(),
        Some(_) => "compare it with `==` or `<`".into(),
    };
    match path.kind {
        Some(kind) => Err(refused(op, path, kind, span).help(help)),
        None => Ok(()),
    }
}

fn equality(path: &Path, op: Op, right: &Operand, span: Span) -> Result<(), Problem> {
    match (right, path.kind) {
        (Operand::List(_), _) => {
            Err(needs(op, "one value", span).help(format!("use `{}`", membership(op))))
        }
        (Operand::One(_), Some(kind @ Kind::List)) => {
            Err(refused(op, path, kind, span).help("use `contains`"))
        }
        (Operand::One(_), Some(kind @ Kind::Map)) => {
            Err(refused(op, path, kind, span).help("name one of its fields"))
        }
        (Operand::One(literal), Some(kind)) => reading(path, kind, literal, false),
        _ => Ok(()),
    }
}

fn membership(op: Op) -> &'static str {
    if op == Op::Ne { "not in" } else { "in" }
}

fn ordering(path: &Path, op: Op, right: &Operand, span: Span) -> Result<(), Problem> {
    let orderable = |path: &Path| match path.kind {
        Some(kind) if !kind.is_ordered() => {
            Err(refused(op, path, kind, span).help("it has no order"))
        }
        _ => Ok(()),
    };
    orderable(path)?;
    match (right, path.kind) {
        (Operand::List(_), _) => Err(needs(op, "one value", span)),
        (Operand::Fact(other), _) => orderable(other),
        (Operand::One(literal), Some(kind)) => reading(path, kind, literal, false),
        _ => Ok(()),
    }
}

fn among(path: &Path, op: Op, right: &Operand, span: Span) -> Result<(), Problem> {
    match right {
        Operand::Fact(other) => match other.kind {
            Some(kind) if kind != Kind::List => Err(needs(
                op,
                "a list or a network on its right",
                span,
            )
            .help(format!("`{}` is {}", other.bare(), kind.name()))),
            _ => scalar(path, op, span),
        },
        Operand::One(literal) if literal.net.is_none() => {
            let problem = needs(op, "a list or a network on its right", span);
            Err(match literal.ip {
                Some(ip) => {
                    let bits = if ip.is_ipv4() { 32 } else { 128 };
                    problem.help(format!("write `{ip}/{bits}`"))
                }
                None => problem.help(format!("write `[{literal}]`")),
            })
        }
        Operand::One(literal) => match path.kind {
            Some(kind) if kind != Kind::Ip => Err(mismatch(path, kind, literal)),
            _ => Ok(()),
        },
        Operand::List(list) => {
            scalar(path, op, span)?;
            let Some(kind) = path.kind else { return Ok(()) };
            list.iter().try_for_each(|literal| reading(path, kind, literal, true))
        }
        Operand::Glob(_) | Operand::Pattern(_) => Ok(()),
    }
}

/// Lists and maps are in nothing.
fn scalar(path: &Path, op: Op, span: Span) -> Result<(), Problem> {
    match path.kind {
        Some(kind @ Kind::List) => Err(refused(op, path, kind, span).help("use `contains`")),
        Some(kind @ Kind::Map) => Err(refused(op, path, kind, span).help("name one of its fields")),
        _ => Ok(()),
    }
}

fn containment(path: &Path, op: Op, right: &Operand, span: Span) -> Result<(), Problem> {
    if let Operand::List(_) = right {
        return Err(needs(op, "one value", span).help("join several with `&&` or `||`"));
    }
    match path.kind {
        None | Some(Kind::List) => Ok(()),
        Some(kind) => {
            Err(refused(op, path, kind, span).help("only lists and networks contain values"))
        }
    }
}

/// Has the literal a reading of the declared type?
fn reading(path: &Path, kind: Kind, literal: &Literal, in_list: bool) -> Result<(), Problem> {
    let found = match kind {
        Kind::Text | Kind::List | Kind::Map => true,
        Kind::Bool => literal.boolean.is_some(),
        Kind::Int => literal.number.is_some(),
        Kind::Bytes => !literal.quoted && literal.size.or(literal.number).is_some(),
        Kind::Duration => !literal.quoted && literal.duration.or(literal.number).is_some(),
        Kind::Version => literal.is_version(),
        Kind::Ip => literal.ip.is_some() || (in_list && literal.net.is_some()),
    };
    if found { Ok(()) } else { Err(mismatch(path, kind, literal)) }
}

fn mismatch(path: &Path, kind: Kind, literal: &Literal) -> Problem {
    let shown = literal.to_string();
    let problem = Problem::new(
        ParsePolicyErrorKind::Type {
            fact: path.bare().to_string().into(),
            is: kind.name(),
            value: shown.as_str().into(),
        },
        literal.span,
    );
    let text = &literal.text;
    match kind {
        Kind::Bool | Kind::Bytes | Kind::Duration
            if literal.quoted && unquoted_reads(kind, literal) =>
        {
            problem.help("remove the quotes").replace(text)
        }
        Kind::Bool => problem.help("use `true` or `false`"),
        Kind::Bytes if literal.is_ambiguous_size() => problem.help(
            format!(
                "write `{text}B` for powers of 1000, `{text}iB` for powers of 1024",
                text = text.replace('K', "k")
            )
            .replace("kiB", "KiB"),
        ),
        Kind::Bytes => problem.help("write a size such as `16GiB`"),
        Kind::Duration => problem.help("write a duration such as `90s`, `5m` or `2d`"),
        Kind::Ip if literal.net.is_some() => problem.help("use `in`"),
        _ => problem,
    }
}

/// Would the literal have a reading of this type without its quotes?
fn unquoted_reads(kind: Kind, literal: &Literal) -> bool {
    Literal::bare(&literal.text, literal.span).is_ok_and(|bare| match kind {
        Kind::Bool => bare.boolean.is_some(),
        Kind::Duration => bare.duration.or(bare.number).is_some(),
        _ => bare.size.or(bare.number).is_some(),
    })
}

fn refused(op: Op, path: &Path, kind: Kind, span: Span) -> Problem {
    let fact = path.bare().to_string().into();
    let operator = op.as_str();
    Problem::new(ParsePolicyErrorKind::Operator { operator, fact, is: kind.name() }, span)
}

fn needs(op: Op, needs: &'static str, span: Span) -> Problem {
    Problem::new(ParsePolicyErrorKind::Operand { operator: op.as_str(), needs }, span)
}
