//! One service, many languages: each agent serves an echo, and each dials all of them.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tribe_tests::{
    Cluster, Echoes, Language, Program, free_address, full_size, report, wait_until,
    wait_until_within,
};

/// How much an agent's memory may grow while much goes through it, in KiB: buffers, no more.
const GROWTH_KIB: u64 = 24 * 1024;

/// 1 GiB there and back takes Python a while on a machine that others use as well.
const PATIENCE: Duration = Duration::from_secs(300);

/// Agents of all languages that have met; each serves `echo/LANGUAGE` in the tribe `echoes`.
struct Agents {
    agents: Vec<(Language, Program)>,
    // Who started them, and where their keys are: kept for as long as they run.
    _cluster: Cluster,
    _echoes: Echoes,
}

impl Agents {
    fn start() -> Self {
        let (cluster, echoes) = (Cluster::new(), Echoes::compile());
        let key = cluster.key().to_str().unwrap().to_owned();
        let mut agents: Vec<(Language, Program)> = Vec::new();
        let mut seed = None;
        for language in Language::ALL {
            let (name, at) = (node(language), free_address().to_string());
            let service = service(language);
            let mut args = vec!["--key-file", &key, "--bind", &at, "--serve", &service];
            args.extend(seed.iter().flat_map(|seed: &String| ["--seed", seed.as_str()]));
            args.extend(["--tribe", "echoes"]);
            let agent = echoes.start(language, &name, &args);
            agent.hears("started", &name, &json!({ "address": at }));
            seed.get_or_insert(at);
            agents.push((language, agent));
        }
        Self { agents, _cluster: cluster, _echoes: echoes }
    }

    fn get(&self, language: Language) -> &Program {
        &self.agents.iter().find(|(of, _)| *of == language).unwrap().1
    }

    /// Has one dial another one, till it is reached: news of it travels.
    fn dial(&self, from: Language, by: &str, target: &str, to: Language, mib: usize) {
        let what = format!("{from:?} dials {to:?} by {by}");
        let bytes = mib * 1024 * 1024;
        let reached = json!({ "peer": node(to), "bytes": bytes, "same": true, "error": null });
        wait_until(&what, || {
            let told = self.try_dial(from, &format!("dial {by} {target} {} {mib}", service(to)));
            if told["kind"] == "dialled" {
                assert_eq!(told["body"], reached, "{what}");
                return true;
            }
            let error = told["body"]["error"].as_str().unwrap();
            assert!(error.contains("there is no") || error.contains("no living member"), "{told}");
            false
        });
    }

    /// What one says to a command.
    fn try_dial(&self, from: Language, command: &str) -> Value {
        let agent = self.get(from);
        let before = agent.lines().len();
        agent.say(command);
        let mut told = None;
        wait_until_within(PATIENCE, command, || {
            told = agent.lines().get(before).cloned();
            told.is_some()
        });
        told.unwrap()
    }
}

fn node(language: Language) -> String {
    format!("{}1", language.name())
}

fn service(language: Language) -> String {
    format!("echo/{}", language.name())
}

/// A figure of a process, in KiB.
fn memory(program: &Program, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn agents_in_four_languages_dial_one_another_by_tribe_and_by_node() {
    let agents = Agents::start();
    for from in Language::ALL {
        for to in Language::ALL {
            agents.dial(from, "tribe", "echoes", to, 1);
            agents.dial(from, "node", &node(to), to, 1);
        }
    }
}

#[test]
fn much_goes_through_one_stream_in_constant_memory() {
    let mib = if full_size() { 1024 } else { 64 };
    let agents = Agents::start();
    for (from, to) in [
        (Language::C, Language::Rust),
        (Language::Go, Language::C),
        (Language::Python, Language::Go),
        (Language::Rust, Language::Python),
    ] {
        // All is there that is needed: code, buffers, threads.
        agents.dial(from, "tribe", "echoes", to, 4);
        let both = [from, to].map(|language| agents.get(language));
        let before = both.map(|agent| memory(agent, "VmRSS"));
        let start = std::time::Instant::now();
        agents.dial(from, "tribe", "echoes", to, mib);
        report(&format!("{mib} MiB there and back, {from:?} to {to:?}"), start.elapsed());
        for (agent, before) in both.into_iter().zip(before) {
            let most = memory(agent, "VmHWM");
            assert!(
                most < before + GROWTH_KIB,
                "{from:?} to {to:?}: {before} KiB grew to {most} KiB with {mib} MiB"
            );
        }
    }
}

#[test]
fn an_agent_that_is_killed_is_an_error_to_who_talks_with_it() {
    let agents = Agents::start();
    for (from, victim) in [
        (Language::C, Language::Rust),
        (Language::Go, Language::C),
        (Language::Python, Language::Go),
    ] {
        let (talker, killed) = (agents.get(from), agents.get(victim));
        agents.dial(from, "node", &node(victim), victim, 1);
        let before = processor_time(talker);
        // More than will ever go through.
        talker.say(&format!("dial node {} {} 1000000", node(victim), service(victim)));
        wait_until("it is under way", || processor_time(talker) > before + 20);
        killed.process.signal(Signal::KILL);
        let told = talker.hears("dialled", &service(victim), &json!({"same": false}));
        assert!(told["body"]["error"].is_string(), "{from:?} and {victim:?}: {told}");
    }
}

/// What a process has used of the processors, in hundredths of a second.
fn processor_time(program: &Program) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.process.id())).unwrap();
    // The name, in brackets, may have spaces in it.
    let fields = stat.rsplit_once(") ").unwrap().1;
    let used = fields.split_whitespace().skip(11).take(2);
    used.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
