//! Texts with values in them, taken apart.

/// Longest name of a secret, in bytes.
const NAME_BYTES: usize = 128;
/// Longest path of a fact, in bytes.
const PATH_BYTES: usize = 1024;
/// What a secret begins with in a text.
const SECRET: &str = "${secret:";

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FormError {
    /// A fact is not closed.
    #[error("`{{{{` without `}}}}`, write `{{{{{{{{` for two braces")]
    OpenFact,
    /// A secret is not closed.
    #[error("`${{secret:` without `}}`, write `$${{secret:` for the text itself")]
    OpenSecret,
    /// A fact cannot have this name.
    #[error("`{0}` cannot be the name of a fact")]
    Fact(String),
    /// A secret cannot have this name.
    #[error("`{0}` cannot be the name of a secret, use letters, digits, `.`, `_` and `-`")]
    Secret(String),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Literal(&'a str),
    Fact(&'a str),
    Secret(&'a str),
}

/// Can this text be resolved on some node?
pub(crate) fn check(text: &str) -> Result<(), FormError> {
    parts(text).map(drop)
}

/// Is there anything to resolve, or an escape?
pub(super) fn is_open(text: &str) -> bool {
    text.contains("{{") || text.contains(SECRET)
}

/// The parts of a text.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, FormError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = ["{{", SECRET].into_iter().filter_map(|mark| rest.find(mark)).min();
        let Some(at) = next else {
            parts.push(Part::Literal(rest));
            break;
        };
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if let Some(inside) = from.strip_prefix(SECRET) {
            if let Some(before) = before.strip_suffix('$') {
                // Without the dollar that says: no secret.
                parts.push(Part::Literal(before));
                parts.push(Part::Literal(SECRET));
                rest = inside;
                continue;
            }
            let (name, after) = inside.split_once('}').ok_or(FormError::OpenSecret)?;
            if !is_secret_name(name) {
                return Err(FormError::Secret(name.chars().take(NAME_BYTES).collect()));
            }
            parts.extend([Part::Literal(before), Part::Secret(name)]);
            rest = after;
        } else if let Some(after) = from.strip_prefix("{{{{") {
            parts.extend([Part::Literal(before), Part::Literal("{{")]);
            rest = after;
        } else {
            let inside = from.strip_prefix("{{").unwrap_or_default();
            let (name, after) = inside.split_once("}}").ok_or(FormError::OpenFact)?;
            let path = name.trim();
            if !is_fact_path(path) {
                return Err(FormError::Fact(path.chars().take(NAME_BYTES).collect()));
            }
            parts.extend([Part::Literal(before), Part::Fact(path)]);
            rest = after;
        }
    }
    parts.retain(|part| *part != Part::Literal(""));
    Ok(parts)
}

fn is_secret_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= NAME_BYTES && !name.starts_with('.') && name.chars().all(fits)
}

fn is_fact_path(path: &str) -> bool {
    path.len() <= PATH_BYTES && path_elements(path).is_some()
}

/// The elements of `a.b["c.d"]`.
pub(super) fn path_elements(path: &str) -> Option<Vec<&str>> {
    let fits = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}' | '"' | '[' | ']')
    };
    let mut elements = Vec::new();
    let mut rest = path;
    loop {
        let (element, after) = match rest.strip_prefix("[\"") {
            Some(inside) if !elements.is_empty() => inside.split_once("\"]")?,
            _ => rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len()))?,
        };
        let quoted = rest.starts_with('[');
        if element.is_empty() || !(quoted || element.chars().all(fits)) {
            return None;
        }
        elements.push(element);
        rest = match after.strip_prefix('.') {
            Some(after) if !after.starts_with('[') => after,
            None if after.is_empty() => return Some(elements),
            None if after.starts_with('[') => after,
            _ => return None,
        };
    }
}
