//! What a call came to, as a number.

use std::ffi::{CStr, c_char};

/// What a call came to: 0 is success, negative is an error, positive is neither.
///
/// A number never gets another meaning; more may be added. -1 and below: general; -100: how a node is
/// configured and started; -200: the cluster; -300: policies; -400: keys; -500: names, tribes and
/// members; -600: facts.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Nothing yet; ask again.
    Again = 1,
    /// An argument is NULL that must not be.
    Null = -1,
    /// A text is not UTF-8, or has a length no text can have.
    Utf8 = -2,
    /// A mistake in the library was caught. What was asked for may be half done.
    Panic = -3,
    /// The node has left, or was shut down.
    Closed = -4,
    /// The handle was made before fork(). Start a new node in the child.
    Forked = -5,
    /// It took longer than allowed.
    Timeout = -6,
    /// The system has no more threads or descriptors.
    System = -7,
    /// An error that has no code of its own yet; the message tells.
    Other = -8,
    /// No key was set, and plaintext was not asked for.
    NoKey = -100,
    /// The text is not an address `IP:PORT`.
    Address = -101,
    /// The address cannot be bound.
    Bind = -102,
    /// It cannot be told which address others reach this node at.
    Advertise = -103,
    /// The data directory cannot be used.
    DataDir = -104,
    /// The data directory cannot be written to; the write may be lost at the next start.
    Storage = -105,
    /// The node that must carry it out does not answer.
    Unreachable = -200,
    /// The node that must carry it out refused.
    Refused = -201,
    /// The state of the cluster is full.
    Full = -202,
    /// Another live node holds this node's name.
    NameTaken = -203,
    /// This host's clock is too far from the cluster's to write anything shared.
    Clock = -204,
    /// No living member of the tribe offers the service. One may come.
    NoOffer = -205,
    /// The node does not serve this, or does no more.
    NoService = -206,
    /// The node does not let this one dial the service.
    NotAllowed = -207,
    /// The service has as many streams as it takes. Later there may be room.
    Busy = -208,
    /// This node has not met its cluster yet, and waited in vain for that.
    NotSynced = -209,
    /// The text is not a policy. The error has line, column and detail.
    Policy = -300,
    /// There is no such policy.
    UnknownPolicy = -301,
    /// The policy exists, with another text or tribe.
    PolicyExists = -302,
    /// The policy is of a newer level than this version understands.
    PolicyNotUnderstood = -303,
    /// The text or file is not a key, or the file is open to others.
    Key = -400,
    /// There is no key of this fingerprint, or the text is none.
    UnknownKey = -401,
    /// The key was removed from the cluster.
    KeyRemoved = -402,
    /// The key seals: another one has to be used first.
    KeySeals = -403,
    /// There are members that are not known to hold the key, or this node does not.
    KeyLacking = -404,
    /// The cluster is not encrypted, so it has no keys.
    Plaintext = -405,
    /// The text is not a name.
    Name = -500,
    /// There is no such tribe.
    UnknownTribe = -501,
    /// The tribe exists.
    TribeExists = -502,
    /// There is no such node.
    UnknownNode = -503,
    /// A text is too long.
    TooLong = -504,
    /// There is no such item.
    UnknownItem = -505,
    /// The item exists.
    ItemExists = -506,
    /// The node serves a service of that name already.
    ServiceExists = -507,
    /// The text is not a pattern of services or plugins.
    Pattern = -508,
    /// Either a tribe or a node must be named, and not both.
    Target = -509,
    /// The node is alive, so it cannot be forgotten.
    StillAlive = -510,
    /// The host itself answers for this fact; it cannot be set.
    FactBuiltIn = -600,
    /// The fact, or all facts of the node together, are too large.
    FactTooLarge = -601,
    /// The text, number or JSON is not a value of a fact.
    FactValue = -602,
    /// The fact is not set at run time, so it cannot be unset.
    FactNotSet = -603,
}

impl From<()> for Status {
    fn from((): ()) -> Self {
        Self::Ok
    }
}

const ALL: &[(Status, &CStr)] = &[
    (Status::Ok, c"ok"),
    (Status::Again, c"again"),
    (Status::Null, c"null"),
    (Status::Utf8, c"utf8"),
    (Status::Panic, c"panic"),
    (Status::Closed, c"closed"),
    (Status::Forked, c"forked"),
    (Status::Timeout, c"timeout"),
    (Status::System, c"system"),
    (Status::Other, c"other"),
    (Status::NoKey, c"no-key"),
    (Status::Address, c"address"),
    (Status::Bind, c"bind"),
    (Status::Advertise, c"advertise"),
    (Status::DataDir, c"data-dir"),
    (Status::Storage, c"storage"),
    (Status::Unreachable, c"unreachable"),
    (Status::Refused, c"refused"),
    (Status::Full, c"full"),
    (Status::NameTaken, c"name-taken"),
    (Status::Clock, c"clock"),
    (Status::NoOffer, c"no-offer"),
    (Status::NoService, c"no-service"),
    (Status::NotAllowed, c"not-allowed"),
    (Status::Busy, c"busy"),
    (Status::NotSynced, c"not-synced"),
    (Status::Policy, c"policy"),
    (Status::UnknownPolicy, c"unknown-policy"),
    (Status::PolicyExists, c"policy-exists"),
    (Status::PolicyNotUnderstood, c"policy-not-understood"),
    (Status::Key, c"key"),
    (Status::UnknownKey, c"unknown-key"),
    (Status::KeyRemoved, c"key-removed"),
    (Status::KeySeals, c"key-seals"),
    (Status::KeyLacking, c"key-lacking"),
    (Status::Plaintext, c"plaintext"),
    (Status::Name, c"name"),
    (Status::UnknownTribe, c"unknown-tribe"),
    (Status::TribeExists, c"tribe-exists"),
    (Status::UnknownNode, c"unknown-node"),
    (Status::TooLong, c"too-long"),
    (Status::UnknownItem, c"unknown-item"),
    (Status::ItemExists, c"item-exists"),
    (Status::ServiceExists, c"service-exists"),
    (Status::Pattern, c"pattern"),
    (Status::Target, c"target"),
    (Status::StillAlive, c"still-alive"),
    (Status::FactBuiltIn, c"fact-built-in"),
    (Status::FactTooLarge, c"fact-too-large"),
    (Status::FactValue, c"fact-value"),
    (Status::FactNotSet, c"fact-not-set"),
];

/// A status as text, such as `unknown-tribe`; `unknown` for a number that is none. Static.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_status_name(status: i32) -> *const c_char {
    let found = ALL.iter().find(|&&(known, _)| known as i32 == status);
    found.map_or(c"unknown", |&(_, name)| name).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_name_of_its_own() {
        let source = include_str!("status.rs");
        let body = source.split_once("pub enum Status {").unwrap().1.split_once("\n}").unwrap().0;
        let numbers: Vec<i32> = body
            .lines()
            .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse().ok())
            .collect();
        assert_eq!(numbers, ALL.iter().map(|&(status, _)| status as i32).collect::<Vec<_>>());
        let mut names: Vec<_> = ALL.iter().map(|&(_, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
