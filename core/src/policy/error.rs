//! Why a text is not a policy, and how that is shown.

use std::fmt;

use super::{ast::Span, caret};

/// Why a text is not a policy. Nothing has changed; the mistake is the author's.
///
/// The message is one line; [`render`](Self::render) shows the place under it and how to mend it.
///
/// ```
/// let error = tribe::Policy::parse("{{os_dist}} = Ubuntu").unwrap_err();
/// assert_eq!(error.to_string(), "`=` is not an operator");
/// assert_eq!((error.line(), error.column()), (1, 13));
/// assert_eq!(error.help(), Some("use `==`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.problem.kind)]
#[non_exhaustive]
pub struct ParsePolicyError {
    problem: Box<Problem>,
    text: Box<str>,
}

/// What is wrong with the text of a policy. Every kind is the author's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePolicyErrorKind {
    /// There is no condition.
    #[error("the policy is empty")]
    Empty,
    /// The text, its nesting or a list is too large.
    #[error("the policy is too large: more than {max} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        max: usize,
    },
    /// A character that only quoted text may have.
    #[error("`{0}` is not allowed outside quotes")]
    Character(Box<str>),
    /// A character that a word processor put in place of an ASCII one.
    #[error("`{0}` is a typographic {1}")]
    Typographic(char, &'static str),
    /// Several words where one value belongs.
    #[error("`{0}` is more than one word")]
    TwoWords(Box<str>),
    /// No operator between two values.
    #[error("there is no operator before `{0}`")]
    MissingOperator(Box<str>),
    /// Something that is an operator elsewhere.
    #[error("`{0}` is not an operator")]
    NotAnOperator(Box<str>),
    /// Something else belongs here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: &'static str,
        /// What does, in backticks, or `the end`.
        found: Box<str>,
    },
    /// A `!` or `not` before a comparison without parentheses.
    #[error("`{0}` applies to one condition, not to a comparison")]
    NotBeforeComparison(Box<str>),
    /// `a == b == c`
    #[error("comparisons cannot be chained")]
    Chained,
    /// A quoted text without its end.
    #[error("the quoted text is never closed")]
    UnclosedText,
    /// A backslash before a character that has no escape.
    #[error("`{0}` is not an escape")]
    Escape(Box<str>),
    /// A fact reference without its end.
    #[error("`{{{{` is never closed")]
    UnclosedFact,
    /// A fact reference that is not a name and a path.
    #[error("{0} in a fact reference")]
    Reference(Box<str>),
    /// Part of the language, but of a later version.
    #[error("`{0}` is not supported by this version")]
    Unsupported(Box<str>),
    /// A comparison that reads no fact.
    #[error("`{0}` and `{1}` are both plain values")]
    Literals(Box<str>, Box<str>),
    /// A value where a condition belongs.
    #[error("`{0}` is not a condition")]
    NotACondition(Box<str>),
    /// A condition where a value belongs.
    #[error("`{0}` is a condition, not a value")]
    NotAValue(Box<str>),
    /// A condition that is the same on every node.
    #[error("`{0}` is the same on every node")]
    Constant(Box<str>),
    /// There is no such function.
    #[error("`{0}` is not a function")]
    Function(Box<str>),
    /// A function got something else than it takes.
    #[error("`{0}` takes one fact")]
    Argument(Box<str>),
    /// The value has no reading of the fact's type.
    #[error("`{fact}` is {is}, `{value}` is not")]
    Type {
        /// The fact.
        fact: Box<str>,
        /// Its type, with an article.
        is: &'static str,
        /// The value it is compared with.
        value: Box<str>,
    },
    /// The operator does not work on values of the fact's type.
    #[error("`{operator}` does not work on `{fact}`, which is {is}")]
    Operator {
        /// The operator.
        operator: &'static str,
        /// The fact.
        fact: Box<str>,
        /// Its type, with an article.
        is: &'static str,
    },
    /// The operator needs something else on its other side.
    #[error("`{operator}` needs {needs}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A number that no fact can hold.
    #[error("`{0}` does not fit into 64 bits")]
    Number(Box<str>),
    /// A pattern of `like` or `matches` that cannot be one.
    #[error("{0} is not a pattern")]
    Pattern(Box<str>),
    /// A pattern without its end.
    #[error("the pattern is never closed")]
    UnclosedPattern,
    /// The name of a quantifier's variable has another meaning.
    #[error("`{0}` cannot be the name of an element")]
    Variable(Box<str>),
}

/// A change to the text that mends a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The part of the text to replace.
    pub span: Span,
    /// What to put there.
    pub replacement: Box<str>,
}

impl ParsePolicyError {
    pub(crate) fn new(problem: Problem, text: &str) -> Self {
        Self { problem: Box::new(problem), text: text.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ParsePolicyErrorKind {
        &self.problem.kind
    }

    /// A code that stays the same when the message changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problem.kind.code()
    }

    /// The part of the text that is wrong, in bytes.
    #[must_use]
    pub fn span(&self) -> Span {
        self.problem.span
    }

    /// The line of the mistake, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        caret::Place::find(&self.text, self.span()).line
    }

    /// The column of the mistake in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        caret::Place::find(&self.text, self.span()).column
    }

    /// How to mend it, in words.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.problem.help.as_deref()
    }

    /// How to mend it, for a machine.
    #[must_use]
    pub fn fix(&self) -> Option<&Fix> {
        self.problem.fix.as_ref()
    }

    /// The message, the line of the text with carets under the mistake, and help. No newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        let heading = format!("error[{}]: {self}", self.code());
        caret::render(&heading, &self.text, self.span(), self.help())
    }
}

impl ParsePolicyErrorKind {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "P001",
            Self::TooLarge { .. } => "P002",
            Self::Character(_) => "P003",
            Self::TwoWords(_) => "P004",
            Self::NotAnOperator(_) => "P005",
            Self::Expected { .. } => "P006",
            Self::NotBeforeComparison(_) => "P007",
            Self::Chained => "P008",
            Self::Typographic(..) => "P009",
            Self::UnclosedText => "P010",
            Self::UnclosedFact => "P011",
            Self::Escape(_) => "P012",
            Self::Reference(_) => "P013",
            Self::Unsupported(_) => "P014",
            Self::Literals(..) => "P015",
            Self::NotACondition(_) => "P016",
            Self::Constant(_) => "P017",
            Self::Function(_) => "P018",
            Self::Argument(_) => "P019",
            Self::Type { .. } => "P020",
            Self::Operator { .. } => "P022",
            Self::Number(_) => "P023",
            Self::MissingOperator(_) => "P024",
            Self::NotAValue(_) => "P025",
            Self::Operand { .. } => "P026",
            Self::Pattern(_) => "P027",
            Self::UnclosedPattern => "P028",
            Self::Variable(_) => "P029",
        }
    }
}

/// A mistake on its way out, not yet joined with the text it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: ParsePolicyErrorKind,
    pub(crate) span: Span,
    pub(crate) help: Option<Box<str>>,
    pub(crate) fix: Option<Fix>,
}

impl Problem {
    pub(crate) fn new(kind: ParsePolicyErrorKind, span: Span) -> Self {
        Self { kind, span, help: None, fix: None }
    }

    pub(crate) fn help(self, help: impl Into<Box<str>>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn fix(self, span: Span, replacement: impl Into<Box<str>>) -> Self {
        Self { fix: Some(Fix { span, replacement: replacement.into() }), ..self }
    }

    /// Replacing the whole span mends it.
    pub(crate) fn replace(self, replacement: &str) -> Self {
        let span = self.span;
        self.fix(span, replacement)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
