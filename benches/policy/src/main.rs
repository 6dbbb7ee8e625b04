//! How long policies take: `cargo run --release --manifest-path benches/policy/Cargo.toml`.
//!
//! With `--features peers` other expression engines are asked the same of the same facts, each in the data
//! shape that suits it best, in turn in each round. With the argument `instructions` the instructions of a
//! call are counted too, by running each case under valgrind. Another argument chooses groups by their titles.
//!
//! Times are processor time of one thread: medians over all rounds, and the best beside them.

mod measure;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod questions;

use crate::measure::Group;

fn main() {
    let groups = groups();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["call", title, name, calls] = *arguments {
        let group = groups.iter().find(|group| group.title == title).expect("a group");
        return group.call(name, calls.parse().expect("a number of calls"));
    }
    let instructions = arguments.contains(&"instructions");
    let wanted: Vec<&&str> = arguments.iter().filter(|word| **word != "instructions").collect();
    for group in groups {
        if wanted.is_empty() || wanted.iter().any(|word| group.title.contains(**word)) {
            group.measure(instructions);
        }
    }
}

fn groups() -> Vec<Group> {
    #[cfg(feature = "peers")]
    let mut groups = peers::groups();
    #[cfg(not(feature = "peers"))]
    let mut groups = Vec::new();
    groups.extend(ours::groups());
    groups
}
