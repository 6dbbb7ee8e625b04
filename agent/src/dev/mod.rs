//! `snapd dev`: a playground of several real nodes on this host.
//!
//! Each node is a process of this same program with an address, a socket and a data directory of its
//! own, all in one temporary directory. Invariant: when the playground ends, however it ends, its nodes
//! end as well; its directory goes unless it was to be kept or we were killed.

mod place;
mod process;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use futures_util::future;
use tokio::time::{Instant, sleep, timeout};
use tribe::fact;
use tribe_api::{MemberState, client::Client};

use self::{place::Place, process::NodeProcess};
use crate::{
    args::DevArgs,
    failure::{Exit, Failure},
    signals::Signals,
};

/// How long the nodes may take until all of them have met.
const READY_TIME: Duration = Duration::from_secs(60);
/// How often they are asked.
const POLL_TIME: Duration = Duration::from_millis(50);
/// How long they may take to say good-bye.
const STOP_TIME: Duration = Duration::from_secs(8);
/// Lines of a dead node's log that are shown.
const LAST_LINES: usize = 10;

/// What a node of the playground is started with.
#[derive(Debug)]
struct Plan {
    name: String,
    address: String,
    port: u16,
    seeds: Vec<String>,
    facts: Vec<String>,
}

/// Runs a playground until it is told to stop.
pub(crate) fn run(args: &DevArgs) -> Result<(), Failure> {
    let mut facts = facts_by_node(args)?;
    // One thread, this one: the nodes are tied to the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen to signals")?;
        let place = Place::make(args.keep)?;
        let port = place::free_port(args.nodes)?;
        let mut nodes = Vec::new();
        for plan in plans(args.nodes, port, &mut facts) {
            nodes.push(NodeProcess::start(&place, &plan)?);
        }
        let result = play(&mut nodes, &mut signals).await;
        stop(&mut nodes, &mut signals).await;
        if args.keep {
            say(&format!("# kept {}\n", place.dir().display()))?;
        }
        result
    })
}

fn plans(nodes: u8, port: u16, facts: &mut BTreeMap<String, Vec<String>>) -> Vec<Plan> {
    let address = |number: u8| format!("127.0.0.{number}");
    let plan = |number: u8| {
        let name = format!("i{number}");
        let seeds = (1..=nodes.min(2)).filter(|&seed| seed != number);
        Plan {
            facts: facts.remove(&name).unwrap_or_default(),
            name,
            address: address(number),
            port,
            seeds: seeds.map(|seed| format!("{}:{port}", address(seed))).collect(),
        }
    };
    (1..=nodes).map(plan).collect()
}

/// Tells the sockets, waits until all nodes have met, then until someone wants the end.
async fn play(nodes: &mut [NodeProcess], signals: &mut Signals) -> Result<(), Failure> {
    for node in nodes.iter() {
        say(&format!("export SNAP_SOCKET={}  # {}\n", node.socket.display(), node.name))?;
    }
    let clients: Vec<_> = nodes.iter().map(|node| Client::new(node.socket.clone())).collect();
    tokio::select! {
        failure = first_death(nodes) => return Err(failure),
        () = signals.stop() => return Ok(()),
        met = timeout(READY_TIME, all_met(&clients)) => met.map_err(|_| {
            let message =
                format!("the nodes have not met within {} s", READY_TIME.as_secs());
            Failure::new(Exit::Failed, message).help("run it with --keep and read their logs")
        })?,
    }
    say("ready\n")?;
    tokio::select! {
        failure = first_death(nodes) => Err(failure),
        () = signals.stop() => Ok(()),
    }
}

/// Waits until every node has synced and sees all others.
async fn all_met(clients: &[Client]) {
    for client in clients {
        let mut next = Instant::now();
        while !has_met(client, clients.len()).await {
            next += POLL_TIME;
            tokio::time::sleep_until(next).await;
        }
    }
}

async fn has_met(client: &Client, nodes: usize) -> bool {
    let (Ok(node), Ok(members)) = (client.node().await, client.members().await) else {
        return false;
    };
    let alive = members.iter().filter(|member| member.state == MemberState::Alive);
    node.synced && alive.count() >= nodes
}

async fn first_death(nodes: &mut [NodeProcess]) -> Failure {
    let waits = nodes.iter_mut().map(|node| Box::pin(node.ended()));
    let (death, ..) = future::select_all(waits).await;
    death
}

/// Ends all nodes: by their good-bye if there is time, else at once.
async fn stop(nodes: &mut [NodeProcess], signals: &mut Signals) {
    for node in nodes.iter_mut() {
        node.terminate();
    }
    tokio::select! {
        _ = future::join_all(nodes.iter_mut().map(|node| Box::pin(node.ended()))) => return,
        () = sleep(STOP_TIME) => {}
        () = signals.stop() => {}
    }
    for node in nodes.iter_mut() {
        node.kill().await;
    }
}

/// Facts as `NODE:K=V`, by node, with their mistakes found before anything is started.
fn facts_by_node(args: &DevArgs) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let wrong = |message: String| Failure::new(Exit::Usage, message);
    let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in &args.facts {
        let (node, pair) = text
            .split_once(':')
            .ok_or_else(|| wrong(format!("`{text}` names no node, write it as `i1:{text}`")))?;
        let number = node.strip_prefix('i').and_then(|number| number.parse::<u8>().ok());
        if !number.is_some_and(|number| (1..=args.nodes).contains(&number)) {
            return Err(wrong(format!(
                "there is no node `{node}`, they are i1 to i{}",
                args.nodes
            )));
        }
        fact::parse_pair(pair).map_err(|error| wrong(error.to_string()))?;
        facts.entry(node.to_owned()).or_default().push(pair.to_owned());
    }
    Ok(facts)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], expected: Result<&str, &str>) {
        let facts = texts.iter().map(|text| (*text).to_owned()).collect();
        let found = facts_by_node(&DevArgs { nodes: 2, facts, keep: false });
        let shown = found.map(|facts| format!("{facts:?}")).map_err(|error| error.to_string());
        assert_eq!(shown.as_deref().map_err(|error| error.trim()), expected);
    }

    #[test]
    fn facts_belong_to_a_node() {
        check(&[], Ok("{}"));
        check(
            &["i1:tier=True", "i2:url=http://x", "i1:rack"],
            Ok(r#"{"i1": ["tier=True", "rack"], "i2": ["url=http://x"]}"#),
        );
        check(&["tier=True"], Err("error: `tier=True` names no node, write it as `i1:tier=True`"));
        check(&["i3:tier=True"], Err("error: there is no node `i3`, they are i1 to i2"));
        check(&["i1:=x"], Err("error: `=x` names no fact, write it as `NAME=VALUE`"));
    }

    #[test]
    fn the_first_two_nodes_are_the_seeds_of_the_others() {
        let seeds = |nodes| {
            plans(nodes, 7, &mut BTreeMap::new())
                .into_iter()
                .map(|plan| plan.seeds.join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(seeds(1), [""]);
        assert_eq!(seeds(3), ["127.0.0.2:7", "127.0.0.1:7", "127.0.0.1:7 127.0.0.2:7"]);
    }
}
