//! What a node knows, as the data classes of `tribe.types`.
//!
//! The order of the fields here is the order of the fields there.

use pyo3::{
    call::PyCallArgs,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyTuple, PyType},
};
use tribe::{Member, Metric, Offer, PolicyInfo, Reason, Tribe, TribeMember, View};

/// One node.
pub(crate) fn member<'py>(py: Python<'py>, member: &Member) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("Member");
    let tribes = PyTuple::new(py, member.tribes.iter().map(|tribe| tribe.as_str()))?;
    CLASS.make(
        py,
        (
            member.name.as_str(),
            member.id.to_string(),
            member.address.to_string(),
            member.state.as_str(),
            member.version.as_str(),
            member.level,
            tribes,
            member.agrees,
        ),
    )
}

/// One metric.
pub(crate) fn metric<'py>(py: Python<'py>, metric: &Metric) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("Metric");
    let labels = PyDict::new(py);
    for (label, text) in metric.labels {
        labels.set_item(label, text)?;
    }
    CLASS.make(py, (metric.name, metric.kind.as_str(), metric.help, labels, metric.value))
}

/// One tribe.
pub(crate) fn tribe<'py>(py: Python<'py>, tribe: &Tribe) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("Tribe");
    let members = tribe.members.iter().map(|member| tribe_member(py, member));
    let members = PyTuple::new(py, members.collect::<PyResult<Vec<_>>>()?)?;
    let placements = PyDict::new(py);
    for (node, placement) in &tribe.placements {
        placements.set_item(node.as_str(), placement.as_str())?;
    }
    let policies = PyTuple::new(py, tribe.policies.iter().map(|policy| policy.as_str()))?;
    let description = tribe.description.as_str();
    CLASS.make(py, (tribe.name.as_str(), description, members, placements, policies))
}

/// One policy.
pub(crate) fn policy<'py>(py: Python<'py>, policy: &PolicyInfo) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("PolicyInfo");
    let (name, tribe) = (policy.name.as_str(), policy.tribe.as_str());
    let understood = policy.policy.is_some();
    CLASS.make(py, (name, tribe, policy.text.as_str(), policy.enabled, understood))
}

/// What one node offers.
pub(crate) fn offer<'py>(py: Python<'py>, offer: &Offer) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("Offer");
    static PLUGIN: Class = Class::new("OfferedPlugin");
    let tribes = PyTuple::new(py, offer.tribes.iter().map(|tribe| tribe.as_str()))?;
    let plugin = offer.plugin.as_ref();
    let plugin = plugin.map(|plugin| PLUGIN.make(py, (&plugin.kind, &plugin.name, plugin.version)));
    let (node, id) = (offer.node.as_str(), offer.id.to_string());
    CLASS.make(py, (node, id, tribes, offer.service.as_str(), plugin.transpose()?))
}

/// The tribes this node acts for, each with the seconds it goes on if it is no member any more.
pub(crate) fn acting<'py>(py: Python<'py>, view: &View) -> PyResult<Vec<Bound<'py, PyAny>>> {
    static CLASS: Class = Class::new("Acting");
    let acting = view.acting.iter().map(|(tribe, acting)| {
        let leaves_in = acting.leaves_in.map(|left| left.as_secs_f64());
        CLASS.make(py, (tribe.as_str(), leaves_in))
    });
    acting.collect()
}

fn tribe_member<'py>(py: Python<'py>, member: &TribeMember) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("TribeMember");
    let reasons = member.reasons.iter().map(|reason| self::reason(py, reason));
    let reasons = PyTuple::new(py, reasons.collect::<PyResult<Vec<_>>>()?)?;
    CLASS.make(py, (member.name.as_str(), member.id.to_string(), member.state.as_str(), reasons))
}

fn reason<'py>(py: Python<'py>, reason: &Reason) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: Class = Class::new("Reason");
    match reason {
        Reason::Joined => CLASS.make(py, ("joined", None::<&str>)),
        Reason::Policy(policy) => CLASS.make(py, ("policy", Some(policy.as_str()))),
    }
}

/// A data class, looked up once.
struct Class {
    name: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

impl Class {
    const fn new(name: &'static str) -> Self {
        Self { name, class: PyOnceLock::new() }
    }

    fn make<'py>(
        &self,
        py: Python<'py>,
        fields: impl PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.class.import(py, "tribe.types", self.name)?.call1(fields)
    }
}
