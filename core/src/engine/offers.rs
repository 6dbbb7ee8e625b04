//! Who offers what: look-ups in the offers that every node holds. No question goes over the network.

use super::{CommandError, Member, View};
use crate::{NodeId, NodeName, ServiceName, TribeName};

/// Which offers are wanted: those that are all that is set here. By default, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferQuery {
    /// Of members of this tribe.
    pub tribe: Option<String>,
    /// Of this node.
    pub node: Option<String>,
    /// Of services with such names.
    pub service: Option<ServicePattern>,
    /// Of such plugins.
    pub plugin: Option<PluginPattern>,
}

/// A service that a live node offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The node.
    pub node: NodeName,
    /// Its id.
    pub id: NodeId,
    /// The tribes it is in, by name.
    pub tribes: Vec<TribeName>,
    /// The service.
    pub service: ServiceName,
    /// The plugin it is, if it is one.
    pub plugin: Option<OfferedPlugin>,
}

/// A plugin that is a service, by the name `TYPE/NAME/VERSION`, as in `publisher/influxdb/25`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedPlugin {
    /// `collector`, `processor`, `publisher` or `streaming-collector`.
    pub kind: String,
    /// What it calls itself.
    pub name: String,
    /// Its version, from 1.
    pub version: u64,
}

/// The name of a service, in which `*` is any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePattern(String);

/// A plugin as `TYPE:NAME:VERSIONS`. Type and name may have `*`; what is left out at the end is any.
/// Versions are one, as in `25`, or bounds, as in `>=20,<30`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPattern {
    kind: String,
    name: String,
    // INVARIANT: the first is no more than the second, or no version matches.
    versions: (u64, u64),
}

/// A text is no pattern. The user's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty, or has a character no name has.
    #[error(
        "`{0}` is no pattern: letters, digits, `.`, `_`, `-` and `/` of names, and `*` for any text"
    )]
    Name(String),
    /// It has more parts than a plugin.
    #[error(
        "`{0}` is no pattern of plugins: it is TYPE:NAME:VERSIONS, as in `publisher:influxdb:>=20`"
    )]
    Parts(String),
    /// The versions are none.
    #[error("`{0}` are no versions: one, as in `25`, or bounds, as in `>=20,<30`")]
    Versions(String),
}

/// What types of plugins are called.
const KINDS: [&str; 4] = ["collector", "processor", "publisher", "streaming-collector"];

impl ServicePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError::Name`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self(name_pattern(text, text)?))
    }

    /// Is this one of those?
    #[must_use]
    pub fn matches(&self, service: &ServiceName) -> bool {
        fits(&self.0, service.as_str())
    }
}

impl PluginPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = text.split(':');
        let mut name = || name_pattern(parts.next().unwrap_or("*"), text);
        let (kind, name) = (name()?, name()?);
        let versions = versions(parts.next().unwrap_or("*"))?;
        match parts.next() {
            None => Ok(Self { kind, name, versions }),
            Some(_) => Err(PatternError::Parts(text.to_owned())),
        }
    }

    /// Is this one of those?
    #[must_use]
    pub fn matches(&self, plugin: &OfferedPlugin) -> bool {
        let (least, most) = self.versions;
        fits(&self.kind, &plugin.kind)
            && fits(&self.name, &plugin.name)
            && (least..=most).contains(&plugin.version)
    }
}

impl OfferedPlugin {
    /// The plugin that a service is, by its name.
    #[must_use]
    pub fn of(service: &ServiceName) -> Option<Self> {
        let mut parts = service.as_str().split('/');
        let (kind, name, version) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = parts.next().is_none() && KINDS.contains(&kind);
        let version = version.parse().ok().filter(|version| *version > 0 && plain)?;
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), version })
    }
}

impl View {
    /// Who offers what, by service and node. What a node offers is hidden while it is not alive.
    ///
    /// # Errors
    /// [`CommandError::UnknownTribe`] and [`CommandError::UnknownNode`].
    pub fn offers(&self, query: &OfferQuery) -> Result<Vec<Offer>, CommandError> {
        let tribe = query.tribe.as_deref().map(|tribe| self.known_tribe(tribe)).transpose()?;
        let node = query.node.as_deref().map(|node| self.known_member(node)).transpose()?;
        let members = self.members.values().filter(|member| {
            tribe.is_none_or(|tribe| member.tribes.contains(&tribe.name))
                && node.is_none_or(|node| member.id == node.id)
        });
        let mut offers: Vec<_> = members.flat_map(of_member).collect();
        offers.retain(|offer| query.wants(offer));
        offers.sort_by(|one, two| (&one.service, &one.node).cmp(&(&two.service, &two.node)));
        Ok(offers)
    }
}

impl OfferQuery {
    fn wants(&self, offer: &Offer) -> bool {
        let plugin = |pattern: &PluginPattern| {
            offer.plugin.as_ref().is_some_and(|plugin| pattern.matches(plugin))
        };
        self.service.as_ref().is_none_or(|pattern| pattern.matches(&offer.service))
            && self.plugin.as_ref().is_none_or(plugin)
    }
}

fn of_member(member: &Member) -> impl Iterator<Item = Offer> {
    member.offers.services.iter().map(|service| Offer {
        node: member.name.clone(),
        id: member.id,
        tribes: member.tribes.clone(),
        service: service.clone(),
        plugin: OfferedPlugin::of(service),
    })
}

fn name_pattern(part: &str, whole: &str) -> Result<String, PatternError> {
    let known = |letter: char| letter.is_ascii_alphanumeric() || "._-/*".contains(letter);
    match part.is_empty() || !part.chars().all(known) {
        true => Err(PatternError::Name(whole.to_owned())),
        false => Ok(part.to_owned()),
    }
}

/// The least and the most version that bounds allow.
fn versions(text: &str) -> Result<(u64, u64), PatternError> {
    let (mut least, mut most) = (1, u64::MAX);
    if text == "*" {
        return Ok((least, most));
    }
    let wrong = || PatternError::Versions(text.to_owned());
    for bound in text.split(',').map(str::trim) {
        let digits = bound.trim_start_matches(['<', '>', '=']);
        let version: u64 = digits.trim().parse().map_err(|_| wrong())?;
        let sign = bound.strip_suffix(digits).unwrap_or_default();
        match sign {
            "" | "=" => (least, most) = (least.max(version), most.min(version)),
            ">=" => least = least.max(version),
            ">" => least = least.max(version.saturating_add(1)),
            "<=" => most = most.min(version),
            "<" => most = most.min(version.saturating_sub(1)),
            _ => return Err(wrong()),
        }
    }
    Ok((least, most))
}

/// Is the text such as the pattern says? `*` is any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place is as good as any: more is left for what follows.
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        let check = |pattern, text, expected| {
            assert_eq!(fits(pattern, text), expected, "`{pattern}` and `{text}`");
        };
        check("echo", "echo", true);
        check("echo", "echo/1", false);
        check("*", "", true);
        check("echo*", "echo", true);
        check("echo/*", "echo/1", true);
        check("*/1", "echo/1", true);
        check("*/1", "echo/12", false);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("a*a", "a", false);
        check("*b*", "abc", true);
        check("**", "abc", true);
    }

    #[test]
    fn plugins_are_found_by_type_name_and_versions() {
        let plugin = OfferedPlugin::of(&ServiceName::parse("publisher/influxdb/25").unwrap());
        let plugin = plugin.unwrap();
        let check = |pattern: &str, expected| {
            let pattern = PluginPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&plugin), expected, "{pattern:?}");
        };
        for pattern in [
            "*",
            "publisher",
            "publisher:*",
            "publisher:influxdb",
            "*:influx*:*",
            "*:*:25",
            "publisher:influxdb:>=25",
            "*:*:>24,<26",
            "*:*:<=25",
            "*:*:=25",
            "*:*:>= 20, < 30",
        ] {
            check(pattern, true);
        }
        for pattern in ["processor", "*:influx", "*:*:24", "*:*:>25", "*:*:<25", "*:*:>=1,<=9"] {
            check(pattern, false);
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        let check = |pattern: &str, expected: &str| {
            let error = PluginPattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "`` is no pattern");
        check("a b", "`a b` is no pattern");
        check("publisher:", "`publisher:` is no pattern");
        check("a:b:1:c", "TYPE:NAME:VERSIONS");
        check("a:b:c", "`c` are no versions");
        check("a:b:>=", "`>=` are no versions");
        check("a:b:=>1", "`=>1` are no versions");
        check("a:b:-1", "`-1` are no versions");
        assert!(ServicePattern::parse("a:b").is_err());
    }

    #[test]
    fn a_service_is_a_plugin_by_its_name() {
        for other in ["status", "publisher/x", "publisher/x/1/y", "reader/x/1", "publisher/x/0"] {
            assert_eq!(OfferedPlugin::of(&ServiceName::parse(other).unwrap()), None, "{other}");
        }
        let plugin = OfferedPlugin::of(&ServiceName::parse("streaming-collector/x/2").unwrap());
        assert_eq!(plugin.map(|plugin| plugin.version), Some(2));
    }
}
