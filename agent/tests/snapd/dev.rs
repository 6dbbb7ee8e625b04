//! `snapd dev`, as far as it can be told before a node runs.

use crate::support::run;

#[test]
fn a_playground_has_at_least_one_node() {
    let found = run(&["dev", "--nodes", "0"]);
    assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_fact_of_no_node_is_told_before_anything_is_started() {
    let found = run(&["dev", "--nodes", "2", "--fact", "i3:storage_tier=True"]);
    assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""));
    assert_eq!(found.stderr, "error: there is no node `i3`, they are i1 to i2\n");
}
