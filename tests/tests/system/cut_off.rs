//! A node that is alone with what it knows.

use tribe_tests::Cluster;

#[test]
fn a_node_that_lost_all_others_still_judges_them_by_their_facts() {
    let mut cluster = Cluster::of_the_rfc();
    cluster["i1"]
        .types("tribe policy create storage_policy \"{{storage_tier}} == True\" --tribe storage");
    cluster["i1"].types("tribe join storage i3");
    cluster["i1"].types("fact set i1 rack=1");
    cluster["i1"].types("fact set i4 rack=4");
    cluster.wait_for_tribes(&[("storage", &["i2", "i3"])]);
    tribe_tests::wait_until("i4 has the facts of all", || {
        let i4 = &cluster["i4"];
        i4.fact("i1", "rack").is_some() && i4.fact("i4", "rack").is_some()
    });
    for name in ["i1", "i2", "i3"] {
        cluster[name].kill();
    }
    let i4 = &cluster["i4"];
    let lines = i4.tries("tribe show storage").lines();
    let row =
        |node: &str| lines.iter().find(|words| words.first().is_some_and(|word| word == node));
    assert_eq!(row("i2").unwrap()[2], "policy:storage_policy");
    assert_eq!(row("i3").unwrap()[2], "joined");

    let json = i4.types("-o json tribe policy test \"{{rack}} < 4\"");
    let test: tribe_api::PolicyTest = serde_json::from_str(&json).unwrap();
    assert_eq!(test.matches, ["i1"]);
    assert_eq!(test.no_match, ["i4"]);
    let unknown: Vec<_> = test.unknown.iter().map(|unknown| unknown.node.as_str()).collect();
    assert_eq!(unknown, ["i2", "i3"]);

    // Long after the failure detector has given them up as well.
    let alone = ["i4".to_owned()].into();
    let took = cluster.wait_until_alive(&alone);
    tribe_tests::report("three dead nodes are seen as down", took);
    assert_eq!(cluster["i4"].types("-o json tribe policy test \"{{rack}} < 4\""), json);
    cluster.wait_for_tribes(&[("storage", &["i2", "i3"])]);
}
