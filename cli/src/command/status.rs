//! `snapctl tribe status`: who is in, whether all agree, and what became of what a tribe asks.

use serde::Serialize;
use tribe_api::{
    Acting, ItemStatus, MemberState, NodeInfo, StatusMember, TribeStatus, TribeSummary,
};

use crate::{
    command::tribe::reasons_text,
    exit::Exit,
    failure::Failure,
    output::{self, blocks, fields, list, remark, table, yes_no},
    sanitize,
    session::Session,
    time,
};

/// The state of all tribes, as `tribe status` without a tribe has it in JSON.
#[derive(Debug, Serialize)]
struct Overview {
    node: NodeInfo,
    tribes: Vec<TribeStatus>,
}

pub(super) async fn of_tribe(tribe: &str, session: &Session) -> Result<Exit, Failure> {
    let status = session.snapd.tribe_status(tribe).await?;
    output::show(session.format, &status, status_text)?;
    Ok(conclude([&status]))
}

pub(super) async fn of_all(session: &Session) -> Result<Exit, Failure> {
    let overview = overview(session).await?;
    output::show(session.format, &overview, overview_text)?;
    Ok(conclude(&overview.tribes))
}

/// Says which tribes are not served yet.
fn conclude<'a>(tribes: impl IntoIterator<Item = &'a TribeStatus>) -> Exit {
    let mut exit = Exit::Success;
    for status in tribes.into_iter().filter(|status| !status.applied) {
        let text = format!("not all live members have done what tribe `{}` asks", status.tribe);
        output::tell(&sanitize::line(&text));
        exit = Exit::PartlyDone;
    }
    exit
}

async fn overview(session: &Session) -> Result<Overview, Failure> {
    let node = session.snapd.node().await?;
    let mut tribes = Vec::new();
    for TribeSummary { name, .. } in session.snapd.tribes().await? {
        match session.snapd.tribe_status(&name).await.map_err(Failure::from) {
            Ok(status) => tribes.push(status),
            // It was deleted since the list was made.
            Err(failure) if failure.is_nothing_matched() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Overview { node, tribes })
}

fn status_text(status: &TribeStatus) -> String {
    let members = status.members.iter().map(|member| {
        [
            member.name.clone(),
            member.state.as_str().into(),
            yes_no(member.agrees),
            reasons_text(&member.reasons),
        ]
    });
    let mut all = vec![
        fields([
            ("tribe", status.tribe.clone()),
            ("synced", yes_no(status.synced)),
            ("agreed", agreed_text(&status.members)),
            ("holding", list(&status.holding)),
            ("applied", yes_no(status.applied)),
        ]),
        unsynced_text(status.synced, status.unsynced.as_deref()),
        table(["MEMBER", "STATE", "AGREES", "REASONS"], members.collect()),
    ];
    let items = status
        .members
        .iter()
        .flat_map(|member| member.items.iter().map(|item| item_row(member, item)));
    let items: Vec<_> = items.collect();
    if !items.is_empty() {
        let header = [
            "MEMBER",
            "KIND",
            "NAME",
            "GENERATION",
            "DESIRED",
            "STATE",
            "APPLIED",
            "SINCE",
            "PLUGIN",
        ];
        all.push(table(header, items));
    }
    all.extend(alive(&status.members).flat_map(remarks));
    blocks(all)
}

fn item_row(member: &StatusMember, item: &ItemStatus) -> [String; 9] {
    [
        member.name.clone(),
        item.kind.clone(),
        item.name.clone(),
        item.generation.to_string(),
        item.desired.clone(),
        item.state.clone(),
        yes_no(item.applied),
        time::second(item.since_ms),
        item.plugin.clone().unwrap_or_default(),
    ]
}

/// Why the node behind the socket is not synced, or changes nothing though it is.
fn unsynced_text(synced: bool, why: Option<&str>) -> String {
    let head = if synced { "this node changes nothing" } else { "not synced" };
    why.map(|why| remark(head, why)).unwrap_or_default()
}

/// What is wrong on a member, in its own words and in full.
fn remarks(member: &StatusMember) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(silent) = &member.silent {
        remarks.push(remark(&format!("{} did not say how far it is", member.name), silent));
    }
    if let Some(agent) = &member.other_agent {
        let text = format!("it runs {agent}, which applies no plugins and no tasks");
        remarks.push(remark(&format!("{} runs no snapd", member.name), &text));
    }
    for item in &member.items {
        let head = || format!("{} {} {} {}", member.name, item.kind, item.name, item.state);
        remarks.extend(item.detail.as_ref().map(|detail| remark(&head(), detail)));
    }
    remarks
}

fn overview_text(overview: &Overview) -> String {
    let Overview { node, tribes } = overview;
    let row = |status: &TribeStatus| {
        let alive = alive(&status.members).count();
        [
            status.tribe.clone(),
            status.members.len().to_string(),
            alive.to_string(),
            agreed_text(&status.members),
            yes_no(status.applied),
            list(&status.holding),
        ]
    };
    let header = ["TRIBE", "MEMBERS", "ALIVE", "AGREED", "APPLIED", "HOLDING"];
    blocks([
        fields([
            ("node", node.name.clone()),
            ("synced", yes_no(node.synced)),
            ("acting", list(node.acting.iter().map(acting_text))),
        ]),
        unsynced_text(node.synced, node.unsynced.as_deref()),
        table(header, tribes.iter().map(row).collect()),
    ])
}

/// A tribe this node acts for, with the time it has left: `core` or `core(7.5s)`.
fn acting_text(acting: &Acting) -> String {
    match acting.leaves_in_seconds {
        Some(seconds) => format!("{}({seconds:.1}s)", acting.tribe),
        None => acting.tribe.clone(),
    }
}

/// How many of the live members agree: `2/3`.
fn agreed_text(members: &[StatusMember]) -> String {
    let agreed = alive(members).filter(|member| member.agrees).count();
    format!("{agreed}/{}", alive(members).count())
}

fn alive(members: &[StatusMember]) -> impl Iterator<Item = &StatusMember> {
    members.iter().filter(|member| member.state == MemberState::Alive)
}

#[cfg(test)]
mod tests {
    use tribe_api::Reason;

    use super::*;

    fn member(name: &str, state: MemberState, agrees: bool) -> StatusMember {
        let reasons = vec![Reason::Joined];
        let (name, items) = (name.into(), vec![]);
        StatusMember { name, state, reasons, agrees, items, silent: None, other_agent: None }
    }

    fn status() -> TribeStatus {
        TribeStatus {
            tribe: "core".into(),
            rev: 7,
            synced: true,
            unsynced: None,
            members: vec![
                member("i1", MemberState::Alive, true),
                member("i2", MemberState::Alive, false),
                member("i3", MemberState::Down, false),
            ],
            holding: vec!["i4".into()],
            applied: true,
        }
    }

    #[test]
    fn the_status_tells_who_disagrees() {
        let expected = "\
tribe    core
synced   yes
agreed   1/2
holding  i4
applied  yes

MEMBER  STATE  AGREES  REASONS
i1      alive  yes     joined
i2      alive  no      joined
i3      down   no      joined";
        assert_eq!(status_text(&status()), expected);
    }

    #[test]
    fn the_status_tells_in_full_what_is_wrong() {
        let item = |state: &str, plugin: Option<&str>, detail: Option<&str>| ItemStatus {
            kind: "plugin".into(),
            name: "smart".into(),
            generation: 3,
            desired: "running".into(),
            state: state.into(),
            applied: detail.is_none(),
            detail: detail.map(str::to_owned),
            since_ms: 1_795_699_158_000,
            plugin: plugin.map(str::to_owned),
        };
        let mut i1 = member("i1", MemberState::Alive, true);
        i1.items.push(item("running", Some("collector:smart:1"), None));
        let mut i2 = member("i2", MemberState::Alive, true);
        i2.items.push(item("failed", None, Some("it ended\nit last printed:\u{7}")));
        let mut i3 = member("i3", MemberState::Alive, true);
        i3.silent = Some("it did not answer in time".into());
        let mut i4 = member("i4", MemberState::Down, true);
        i4.silent = Some("it is not there".into());
        let members = vec![i1, i2, i3, i4];
        let status = TribeStatus { members, applied: false, holding: vec![], ..status() };
        let expected = "\
tribe    core
synced   yes
agreed   3/3
holding  -
applied  no

MEMBER  STATE  AGREES  REASONS
i1      alive  yes     joined
i2      alive  yes     joined
i3      alive  yes     joined
i4      down   yes     joined

MEMBER  KIND    NAME   GENERATION  DESIRED  STATE    APPLIED  SINCE                 PLUGIN
i1      plugin  smart  3           running  running  yes      2026-11-26T13:19:18Z  collector:smart:1
i2      plugin  smart  3           running  failed   no       2026-11-26T13:19:18Z  -

i2 plugin smart failed:
  it ended
  it last printed:\\u{7}

i3 did not say how far it is:
  it did not answer in time";
        assert_eq!(status_text(&status), expected);
    }

    #[test]
    fn the_overview_tells_what_this_node_acts_for() {
        let acting =
            |tribe: &str, leaves_in_seconds| Acting { tribe: tribe.into(), leaves_in_seconds };
        let node = NodeInfo {
            name: "i1".into(),
            tribe: true,
            id: None,
            address: None,
            synced: false,
            unsynced: Some("it has not met another member yet; seeds: 10.0.0.1:6000".into()),
            acting: vec![acting("core", None), acting("storage", Some(7.52))],
            key_fingerprint: None,
        };
        let expected = "\
node    i1
synced  no
acting  core,storage(7.5s)

not synced:
  it has not met another member yet; seeds: 10.0.0.1:6000

TRIBE  MEMBERS  ALIVE  AGREED  APPLIED  HOLDING
core   3        2      1/2     yes      i4";
        assert_eq!(overview_text(&Overview { node, tribes: vec![status()] }), expected);
    }
}
