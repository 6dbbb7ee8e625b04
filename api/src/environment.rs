//! The environment in the text of a manifest, as users of snap know it: `$NAME` and `${NAME}`.
//!
//! Whoever reads a file of a manifest expands it there and then, for it is their environment that is
//! meant: snapctl for a file on its command line, snapd for a file of its `auto_discover_path`. `$$` stands for a
//! dollar sign. What has the form `${secret:NAME}` is left for the node that runs the task.
//!
//! ```
//! let home = |name: &str| (name == "HOME").then(|| "/root".to_owned());
//! let text = tribe_api::expand_environment("$HOME/x ${secret:db} $$5", home)?;
//! assert_eq!(text, "/root/x ${secret:db} $5");
//! # Ok::<(), tribe_api::EnvironmentError>(())
//! ```

/// Why a text cannot be expanded. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// There is no such variable.
    Unset {
        /// The variable.
        name: String,
        /// The line of the text, from 1.
        line: usize,
    },
    /// A brace is not closed, or holds no name.
    Form {
        /// The line of the text, from 1.
        line: usize,
    },
}

impl std::fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unset { name, line } => write!(
                f,
                "line {line}: environment variable `{name}` is not set, write `$$` for a dollar \
                 sign"
            ),
            Self::Form { line } => write!(
                f,
                "line {line}: `${{` begins an environment variable, write it as `${{NAME}}`, or \
                 `$$` for a dollar sign"
            ),
        }
    }
}

impl std::error::Error for EnvironmentError {}

/// A text with the variables in it replaced.
///
/// # Errors
/// [`EnvironmentError`] says which variable there is not.
pub fn expand_environment(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, EnvironmentError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let line = || {
            let read = text.len().saturating_sub(after.len());
            text.get(..read).unwrap_or(text).lines().count().max(1)
        };
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{') {
            Some(inside) if inside.starts_with("secret:") => {
                expanded.push('$');
                rest = after;
                continue;
            }
            Some(inside) => inside
                .split_once('}')
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| EnvironmentError::Form { line: line() })?,
            None => {
                let end = after.find(|c: char| !fits(c)).unwrap_or(after.len());
                after.split_at_checked(end).unwrap_or((after, ""))
            }
        };
        if !is_name(name) {
            // A dollar sign that begins nothing.
            expanded.push('$');
            expanded.push_str(name);
            rest = after;
            continue;
        }
        let value = variable(name);
        expanded.push_str(
            &value
                .ok_or_else(|| EnvironmentError::Unset { name: name.to_owned(), line: line() })?,
        );
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn fits(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str) -> bool {
    name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let variable = |name: &str| match name {
            "HOST" => Some("i1".to_owned()),
            "PORT_2" => Some("8086".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let found = expand_environment(text, variable).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn variables_are_replaced() {
        check("", Ok(""));
        check("$HOST", Ok("i1"));
        check("host: ${HOST}x, port: $PORT_2.", Ok("host: i1x, port: 8086."));
        check("a$EMPTY-b", Ok("a-b"));
    }

    #[test]
    fn a_dollar_sign_can_be_written() {
        check("$$HOST $$ $$$HOST", Ok("$HOST $ $i1"));
        check("5$ $5 $- $", Ok("5$ $5 $- $"));
    }

    #[test]
    fn secrets_are_left_for_the_node_that_knows_them() {
        check("${secret:db} $${secret:db}", Ok("${secret:db} ${secret:db}"));
        check("$$${secret:db}", Ok("$${secret:db}"));
    }

    #[test]
    fn what_is_not_set_is_told_with_its_line() {
        let unset = "line 2: environment variable `NOPE` is not set, write `$$` for a dollar sign";
        check("a\nb: $NOPE", Err(unset));
        check("a\n${NOPE}", Err(unset));
        let form = "line 1: `${` begins an environment variable, write it as `${NAME}`, or `$$` \
                    for a dollar sign";
        for text in ["${", "${}", "${a b}", "${5}", "${HOST"] {
            check(text, Err(form));
        }
    }
}
