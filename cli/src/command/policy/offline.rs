//! Policies without a cluster: their one canonical text, and what they say of the facts of a file.

use serde::Serialize;
use serde_json::{Map, Value};
use tribe::{Explanation, Facts, ParsePolicyError, Policy, Source, Verdict};

use super::{strict, warn};
use crate::{exit::Exit, failure::Failure, output, sanitize, session::Session};

/// What a policy says of some facts.
#[derive(Debug, Serialize)]
struct Trial {
    /// The policy in its canonical form.
    text: String,
    /// `true`, `false` or `unknown`.
    verdict: &'static str,
    explanation: Explanation,
    warnings: Vec<String>,
}

/// Prints a policy in its canonical form.
pub(super) fn format(text: &str, session: &Session) -> Result<Exit, Failure> {
    session.show(&parse(text)?.to_string(), |text| sanitize::block(text))
}

/// Tries a policy on facts.
pub(super) fn test(
    text: &str,
    facts: &Map<String, Value>,
    fail_on_warnings: bool,
    session: &Session,
) -> Result<Exit, Failure> {
    let policy = parse(text)?;
    let facts =
        Facts::from_json(facts, Source::File).map_err(|error| Failure::new(error.to_string()))?;
    let verdict = policy.evaluate(&facts);
    let trial = Trial {
        text: policy.to_string(),
        verdict: match verdict {
            Verdict::True => "true",
            Verdict::False => "false",
            Verdict::Unknown(_) => "unknown",
        },
        explanation: policy.explain(&facts),
        warnings: policy.check([&facts]).iter().map(|warning| warning.render()).collect(),
    };
    warn(&trial.warnings);
    output::show(session.format, &trial, |trial| {
        sanitize::block(trial.explanation.to_string().trim_end())
    })?;
    strict(fail_on_warnings, &trial.warnings)?;
    if verdict == Verdict::True {
        return Ok(Exit::Success);
    }
    output::tell("the policy is not true for these facts");
    Ok(Exit::NothingMatched)
}

fn parse(text: &str) -> Result<Policy, Failure> {
    Policy::parse(text).map_err(|error: ParsePolicyError| {
        Failure::new(error.to_string()).with_detail(error.render())
    })
}
