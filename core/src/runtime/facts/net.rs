//! The default routes: `default_ipv4` and `default_ipv6`.
//!
//! The interface and gateway are those of the default route with the lowest metric; the address is
//! the one the kernel would most likely send from.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{FactRoot, record};
use crate::fact::Value;

/// A route flag of the kernel: the route is usable.
const RTF_UP: u32 = 0x1;
/// A route flag of the kernel: the route says that there is no way.
const RTF_REJECT: u32 = 0x200;

/// Address flags of the kernel. A temporary address changes by the hour.
const IFA_F_TEMPORARY: u32 = 0x01;
/// The address lost against another host's.
const IFA_F_DADFAILED: u32 = 0x08;
/// The address will go; nothing new should use it.
const IFA_F_DEPRECATED: u32 = 0x20;
/// The address is not proved to be ours yet.
const IFA_F_TENTATIVE: u32 = 0x40;

/// A default route.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    gateway: Option<IpAddr>,
    metric: u32,
}

/// The default route of IPv4 and the address it is used with.
pub(super) fn default_ipv4(root: &FactRoot) -> Option<Value> {
    let text = root.text("proc/net/route")?;
    let route = lowest(text.lines().filter_map(ipv4_route))?;
    let rank = |address: &IpNet| {
        let beside_gateway = route.gateway.is_some_and(|gateway| address.contains(&gateway));
        (!beside_gateway, is_link_local(address.addr()))
    };
    let address =
        pick(root, &route, |address| matches!(address, IpNet::V4(_)).then(|| rank(address)))?;
    Some(describe(root, &route, address))
}

/// The default route of IPv6 and the address it is used with.
pub(super) fn default_ipv6(root: &FactRoot) -> Option<Value> {
    let text = root.text("proc/net/ipv6_route")?;
    let route = lowest(text.lines().filter_map(ipv6_route))?;
    let flags = root.text("proc/net/if_inet6").unwrap_or_default();
    let flags: BTreeMap<_, _> = flags.lines().filter_map(address_flags).collect();
    let rank = |address: &IpNet| {
        let IpAddr::V6(ip) = address.addr() else { return None };
        let has = |flag| flags.get(&ip).is_some_and(|flags| flags & flag != 0);
        let unusable = is_link_local(ip.into()) || has(IFA_F_TENTATIVE | IFA_F_DADFAILED);
        let rank = (has(IFA_F_DEPRECATED), has(IFA_F_TEMPORARY), ip.is_unique_local());
        (!unusable).then_some(rank)
    };
    let address = pick(root, &route, rank)?;
    Some(describe(root, &route, address))
}

/// Of equal metrics the first, as the kernel lists them in the order it tries them.
fn lowest(routes: impl Iterator<Item = Route>) -> Option<Route> {
    routes.filter(|route| route.interface != "lo").min_by_key(|route| route.metric)
}

/// The best address of the route's interface. An interface without one borrows another's: first
/// the loopback interface's, where routers keep the address they are known by.
fn pick<R: Ord>(
    root: &FactRoot,
    route: &Route,
    rank: impl Fn(&IpNet) -> Option<R>,
) -> Option<IpNet> {
    let best = |own: bool| {
        root.addresses
            .iter()
            .filter(|one| (one.interface == route.interface) == own)
            .map(|one| one.address)
            .filter(|address| own || !is_link_local(address.addr()))
            .filter(|address| !address.addr().is_loopback())
            .filter_map(|address| Some((rank(&address)?, address)))
            .min_by(|(one, _), (other, _)| one.cmp(other))
            .map(|(_, address)| address)
    };
    best(true).or_else(|| best(false))
}

fn describe(root: &FactRoot, route: &Route, address: IpNet) -> Value {
    let file = |file: &str| format!("sys/class/net/{}/{file}", route.interface);
    record([
        ("address", Some(Value::from(address.addr()))),
        ("interface", super::tidy(&route.interface).map(Value::from)),
        ("gateway", route.gateway.map(Value::from)),
        ("netmask", Some(Value::from(address.netmask()))),
        ("prefix", Some(Value::from(i64::from(address.prefix_len())))),
        ("network", Some(Value::Net(address.trunc()))),
        ("macaddress", root.line(&file("address")).map(Value::from)),
        ("mtu", root.number(&file("mtu")).map(Value::from)),
    ])
}

/// A line of `/proc/net/route`, if it is a default route: interface, destination, gateway, flags,
/// two counters, metric, mask.
fn ipv4_route(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let interface = words.next()?.to_owned();
    let destination = hexadecimal(words.next()?)?;
    // Addresses are printed as the number that their bytes are in memory.
    let gateway = Ipv4Addr::from(hexadecimal(words.next()?)?.to_ne_bytes());
    let flags = hexadecimal(words.next()?)?;
    let metric = words.nth(2)?.parse().ok()?;
    let mask = hexadecimal(words.next()?)?;
    let gateway = (!gateway.is_unspecified()).then_some(IpAddr::V4(gateway));
    let usable = destination == 0 && mask == 0 && is_usable(flags);
    usable.then_some(Route { interface, gateway, metric })
}

/// A line of `/proc/net/ipv6_route`, if it is a default route: destination, its length, source, its
/// length, gateway, metric, two counters, flags, interface.
fn ipv6_route(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let destination = ipv6(words.next()?)?;
    let length = hexadecimal(words.next()?)?;
    let gateway = ipv6(words.nth(2)?)?;
    let metric = hexadecimal(words.next()?)?;
    let flags = hexadecimal(words.nth(2)?)?;
    let interface = words.next()?.to_owned();
    let gateway = (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway));
    let usable = destination.is_unspecified() && length == 0 && is_usable(flags);
    usable.then_some(Route { interface, gateway, metric })
}

/// A line of `/proc/net/if_inet6`: address, index, prefix length, scope, flags, interface.
fn address_flags(line: &str) -> Option<(Ipv6Addr, u32)> {
    let mut words = line.split_whitespace();
    Some((ipv6(words.next()?)?, hexadecimal(words.nth(3)?)?))
}

fn is_usable(flags: u32) -> bool {
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from_bits)
}
