//! Tree → canonical text: one line, no needless parentheses or quotes. Reading it again gives the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{
    ast::{Clause, Each, Expr, Operand, Path, Step, Test},
    caret,
    literal::Literal,
    token,
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("true"),
            Self::Or(parts) => joined(f, parts, " || "),
            Self::And(parts) => joined(f, parts, " && "),
            Self::Not(inner) => {
                let needs_none = match &**inner {
                    Self::Clause(clause) => {
                        matches!(clause.test, Test::Holds(_) | Test::Exists(_))
                    }
                    _ => false,
                };
                if needs_none { write!(f, "not {inner}") } else { write!(f, "not ({inner})") }
            }
            Self::Clause(clause) => clause.fmt(f),
            Self::Each(each) => each.fmt(f),
        }
    }
}

impl Display for Each {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { quantifier, variable, over, body, .. } = self;
        write!(f, "{} {variable} in {over} ({body})", quantifier.as_str())
    }
}

/// Parts with an operator between; `or` inside `and` needs parentheses.
fn joined(f: &mut Formatter<'_>, parts: &[Expr], operator: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(operator)?;
        }
        match part {
            Expr::Or(_) => write!(f, "({part})")?,
            _ => part.fmt(f)?,
        }
    }
    Ok(())
}

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Holds(path) => path.fmt(f),
            Test::Exists(path) => write!(f, "exists({path})"),
            Test::Compare(left, op, right) => {
                left.fmt(f)?;
                f.write_char(' ')?;
                f.write_str(op.as_str())?;
                f.write_char(' ')?;
                right.fmt(f)
            }
        }
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(path) => path.fmt(f),
            Self::One(literal) => literal.fmt(f),
            Self::List(list) => {
                f.write_char('[')?;
                for (at, literal) in list.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    literal.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Glob(glob) if token::is_atom(&glob.text) => f.write_str(&glob.text),
            Self::Glob(glob) => Quoted(&glob.text).fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.cast {
            Some(cast) => write!(f, "{}({{{{{}}}}})", cast.as_str(), self.reference()),
            None => {
                f.write_str("{{")?;
                self.reference().fmt(f)?;
                f.write_str("}}")
            }
        }
    }
}

impl Path {
    /// The path as people speak of it: without braces.
    pub(crate) fn bare(&self) -> impl Display {
        fmt::from_fn(|f| match self.cast {
            Some(cast) => write!(f, "{}({})", cast.as_str(), self.reference()),
            None => self.reference().fmt(f),
        })
    }

    /// What stands between the braces.
    pub(crate) fn reference(&self) -> impl Display {
        fmt::from_fn(|f| {
            let name = self.name.as_str();
            if token::is_name(name) {
                f.write_str(name)?;
            } else {
                write!(f, "[{}]", Quoted(name))?;
            }
            for step in &self.steps {
                match step {
                    Step::Key(key) if token::is_segment(key) => write!(f, ".{key}")?,
                    Step::Key(key) => write!(f, "[{}]", Quoted(key))?,
                    Step::Index(index) => write!(f, "[{index}]")?,
                }
            }
            Ok(())
        })
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quoted { Quoted(&self.text).fmt(f) } else { f.write_str(&self.text) }
    }
}

/// Text in double quotes, with escapes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\0' => f.write_str("\\0")?,
                c if c.is_control() || caret::is_direction(c) => {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
