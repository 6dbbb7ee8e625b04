//! Policies, parsed and judged without a node.

use pyo3::{prelude::*, types::PyDict};
use tribe::{Explanation, Facts, Verdict};

use crate::{call::guard, error::Error, fact};

/// A verdict (`None` is unknown), the explanation for people, and the same as JSON.
pub(crate) type Explained = (Option<bool>, String, String);

/// One policy.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct Policy {
    policy: tribe::Policy,
}

#[pymethods]
impl Policy {
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        let policy = guard(|| tribe::Policy::parse(text))?.map_err(Error::from)?;
        Ok(Self { policy })
    }

    fn text(&self) -> PyResult<String> {
        Ok(guard(|| self.policy.to_string())?)
    }

    fn evaluate(&self, facts: &Bound<'_, PyDict>) -> PyResult<Option<bool>> {
        let facts = fact::of_any_host(facts)?;
        Ok(guard(|| truth(&self.policy.evaluate(&facts)))?)
    }

    fn level(&self) -> PyResult<u16> {
        Ok(guard(|| self.policy.level())?)
    }

    fn check(&self, nodes: Vec<Bound<'_, PyDict>>) -> PyResult<Vec<String>> {
        let nodes: Vec<Facts> = nodes.iter().map(fact::of_any_host).collect::<PyResult<_>>()?;
        let warnings = guard(|| self.policy.check(&nodes))?;
        Ok(warnings.iter().map(tribe::PolicyWarning::render).collect())
    }

    fn explain(&self, facts: &Bound<'_, PyDict>) -> PyResult<Explained> {
        explain(&self.policy, &fact::of_any_host(facts)?)
    }
}

/// Explains what a policy makes of facts.
pub(crate) fn explain(policy: &tribe::Policy, facts: &Facts) -> PyResult<Explained> {
    let explained = guard(|| {
        let explanation: Explanation = policy.explain(facts);
        let tree = serde_json::to_string(&explanation);
        tree.map(|tree| (truth(&policy.evaluate(facts)), explanation.to_string(), tree))
    })?;
    Ok(explained.map_err(|error| Error::Panicked(error.to_string()))?)
}

fn truth(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::True => Some(true),
        Verdict::False => Some(false),
        Verdict::Unknown(_) => None,
    }
}
