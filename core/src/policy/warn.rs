//! Warnings: what parses, but is probably not what its author means.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{
    ast::{Clause, Expr, Op, Operand, Path, Span, Test},
    caret,
    error::Fix,
    near,
};
use crate::fact;

/// Something in a policy that is probably a mistake. The policy works as written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyWarning {
    kind: PolicyWarningKind,
    span: Span,
    fix: Fix,
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
}

impl PolicyWarning {
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

    /// What was probably meant.
    #[must_use]
    pub fn fix(&self) -> &Fix {
        &self.fix
    }

    /// The message, the line of the text with carets under the place, and help. No newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        let heading = format!("warning[{}]: {self}", self.code());
        let replacement = &self.fix.replacement;
        let help = match self.kind {
            PolicyWarningKind::UnknownFact(_) => format!("did you mean `{replacement}`?"),
            PolicyWarningKind::QuotedBoolean(_) => {
                format!("write `{replacement}` for any spelling")
            }
        };
        caret::render(&heading, &self.text, self.span, Some(&help))
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PolicyWarningKind::UnknownFact(name) => write!(f, "`{name}` is not a known fact"),
            PolicyWarningKind::QuotedBoolean(text) => {
                write!(f, "`\"{text}\"` in quotes matches this spelling only")
            }
        }
    }
}

/// Everything in a tree that is probably a mistake, in the order of the text.
pub(crate) fn warnings<'a>(
    tree: &Expr,
    text: &Arc<str>,
    known: impl Iterator<Item = &'a str>,
) -> Vec<PolicyWarning> {
    let known: BTreeSet<&str> = known.chain(fact::BUILT_IN.iter().copied()).collect();
    let mut found = Vec::new();
    tree.paths(&mut |path| found.extend(unknown_fact(path, text, &known)));
    quoted_booleans(tree, text, &mut found);
    found.sort_by_key(|warning| warning.span.start);
    found
}

fn unknown_fact(path: &Path, text: &Arc<str>, known: &BTreeSet<&str>) -> Option<PolicyWarning> {
    let name = path.name.as_str();
    if path.variable.is_some() {
        return None;
    }
    if known.contains(name) {
        return None;
    }
    let meant = near::nearest(name, known.iter().copied())?;
    let meant = Path { name: crate::name::FactName::parse(meant).ok()?, ..path.clone() };
    let fix = Fix { span: path.span, replacement: meant.to_string().into() };
    let kind = PolicyWarningKind::UnknownFact(name.into());
    Some(PolicyWarning { kind, span: path.span, fix, text: text.clone() })
}

fn quoted_booleans(tree: &Expr, text: &Arc<str>, found: &mut Vec<PolicyWarning>) {
    tree.clauses(&mut |clause| quoted_boolean(clause, text, found));
}

fn quoted_boolean(clause: &Clause, text: &Arc<str>, found: &mut Vec<PolicyWarning>) {
    if let Test::Compare(path, Op::Eq | Op::Ne, Operand::One(literal)) = &clause.test
        && path.kind.is_none()
        && literal.quoted
        && ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(&literal.text))
    {
        let replacement = literal.text.to_ascii_lowercase().into();
        found.push(PolicyWarning {
            kind: PolicyWarningKind::QuotedBoolean(literal.text.clone()),
            span: literal.span,
            fix: Fix { span: literal.span, replacement },
            text: text.clone(),
        });
    }
}
