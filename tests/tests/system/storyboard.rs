//! The script that shows it all.

use std::process::{Command, Stdio};

use tribe_tests::{Ran, binary, say, workspace};

#[test]
fn the_storyboard_runs_to_its_end() {
    let script = workspace().join("examples/storyboard.sh");
    if !script.exists() {
        say("skipped: there is no examples/storyboard.sh");
        return;
    }
    let mut run = Command::new(script);
    run.env("SNAPD", binary("snapd")).env("SNAPCTL", binary("snapctl")).stdin(Stdio::null());
    let lines = Ran::new(&mut run).lines();
    let members: Vec<_> = lines.iter().rev().take_while(|words| !words.is_empty()).collect();
    let row = |node: &str| {
        members.iter().find(|words| words.first().is_some_and(|word| word == node)).unwrap()
    };
    for (node, tribes) in [("i1", "core"), ("i2", "core,storage"), ("i3", "core,storage")] {
        assert_eq!(row(node).last().unwrap(), tribes, "{members:#?}");
    }
}
