//! Who could do a step, by what every node knows of the others. Asks nobody.

use tribe::{Member, MemberState, NodeName, View};

use super::plugin_of;
use crate::{
    plugin::{Identity, Wanted},
    task::Place,
};

/// A member that has the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Callee {
    pub(super) node: NodeName,
    pub(super) plugin: Identity,
}

/// Why nobody can do a step now. It may be possible later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FindError {
    /// There is no node there. The user's fault, or they are down.
    #[error("{}", nobody(_0))]
    Nobody(Place),
    /// Those who are there do not have the plugin, or do not let others call it.
    #[error(
        "plugin `{plugin}` is not offered by {}: is it loaded there, and do `capabilities` there let it be \
         called?",
        of(.place)
    )]
    NoOffer {
        /// Where the step is to run.
        place: Place,
        /// The plugin.
        plugin: Wanted,
    },
}

fn nobody(place: &Place) -> String {
    match place {
        Place::Node(node) => format!("node `{node}` is down, or there is none of that name"),
        place => format!("no member of {place} is alive"),
    }
}

fn of(place: &Place) -> String {
    match place {
        Place::Node(node) => format!("node `{node}`"),
        place => format!("any live member of {place}"),
    }
}

/// Who could do a step: live members of its place that offer the plugin, in the newest version that is
/// offered unless one is named. At least one.
pub(super) fn find(view: &View, place: &Place, plugin: &Wanted) -> Result<Vec<Callee>, FindError> {
    let there: Vec<_> = view.members.values().filter(|member| is_there(member, place)).collect();
    if there.is_empty() {
        return Err(FindError::Nobody(place.clone()));
    }
    let offered = there.into_iter().filter_map(|member| {
        let services = member.offers.services.iter();
        let plugins = services.filter_map(|service| plugin_of(service.as_str()));
        let newest = plugins.filter(|of| plugin.is(of)).max_by_key(|of| of.version)?;
        Some(Callee { node: member.name.clone(), plugin: newest })
    });
    let mut callees: Vec<_> = offered.collect();
    let newest = callees.iter().map(|callee| callee.plugin.version).max();
    callees.retain(|callee| Some(callee.plugin.version) == newest);
    if callees.is_empty() {
        let (place, plugin) = (place.clone(), plugin.clone());
        return Err(FindError::NoOffer { place, plugin });
    }
    Ok(callees)
}

fn is_there(member: &Member, place: &Place) -> bool {
    member.state == MemberState::Alive
        && match place {
            Place::Here => false,
            Place::Node(name) => member.name == *name,
            Place::Tribe(tribe) => member.tribes.contains(tribe),
        }
}

/// Who was chosen comes first. Without one they begin where a number made of these texts has it, so that not
/// all nodes go to the same one.
pub(super) fn in_order(
    mut callees: Vec<Callee>,
    first: Option<&Callee>,
    seed: [&str; 3],
) -> Vec<Callee> {
    let at = callees.iter().position(|callee| Some(callee) == first).unwrap_or_else(|| {
        let bytes = seed.iter().flat_map(|text| text.bytes());
        let number = bytes
            .fold(0_usize, |number, byte| number.wrapping_mul(31).wrapping_add(usize::from(byte)));
        number.checked_rem(callees.len()).unwrap_or_default()
    });
    callees.rotate_left(at);
    callees
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Kind;

    fn callee(node: &str) -> Callee {
        let plugin = Identity::new(Kind::Publisher, "influxdb", 1).unwrap();
        Callee { node: NodeName::parse(node).unwrap(), plugin }
    }

    #[test]
    fn who_was_chosen_is_asked_first_and_then_every_other() {
        let all = || ["s1", "s2", "s3"].map(callee).to_vec();
        let order = |first: Option<&Callee>, node| -> Vec<String> {
            let callees = in_order(all(), first, [node, "load", "publish[0]"]);
            callees.iter().map(|callee| callee.node.to_string()).collect()
        };
        assert_eq!(order(Some(&callee("s2")), "c1"), ["s2", "s3", "s1"]);
        for node in ["c1", "c2"] {
            let mut found = order(Some(&callee("gone")), node);
            assert_eq!(found, order(None, node));
            found.sort();
            assert_eq!(found, ["s1", "s2", "s3"]);
        }
    }

    #[test]
    fn not_all_begin_with_the_same_one() {
        let first = |node: &str| {
            let callees = ["s1", "s2"].map(callee).to_vec();
            in_order(callees, None, [node, "load", "publish[0]"])[0].node.to_string()
        };
        let firsts: Vec<_> = (0..100).map(|number| first(&format!("c{number}"))).collect();
        let s1 = firsts.iter().filter(|name| *name == "s1").count();
        assert!((30..=70).contains(&s1), "{s1} of 100");
    }
}
