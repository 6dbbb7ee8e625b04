use proptest::prelude::*;

use super::{
    ast::{Cast, Clause, Expr, Op, Operand, Path, Quantifier, Step, Test},
    literal::Literal,
    pattern::{Glob, Pattern},
    view::Scope,
    *,
};
use crate::fact::{Source, Value, parse_pair};

/// Canonical text of a policy, or its rendered error.
fn printed(text: &str) -> String {
    Policy::parse(text).map_or_else(|error| error.render(), |policy| policy.to_string())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let found = printed(text);
    assert_eq!(found, expected, "\n{found}\n");
    assert_eq!(printed(&found), found);
}

#[track_caller]
fn check_error(text: &str, expected: &[&str]) {
    let found = printed(text);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "\n{found}\n");
}

fn json(text: &str) -> Facts {
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    Facts::from_json(json.as_object().unwrap(), Source::Host).unwrap()
}

/// Facts given as `key=value`, separated by spaces.
fn pairs(text: &str) -> Facts {
    let mut facts = Facts::new();
    for (name, value) in text.split_whitespace().map(|pair| parse_pair(pair).unwrap()) {
        facts.insert(name, value, Source::Start);
    }
    facts
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::True => "T",
        Verdict::False => "F",
        Verdict::Unknown(UnknownReason::Missing) => "U missing",
        Verdict::Unknown(UnknownReason::Kind) => "U kind",
        Verdict::Unknown(UnknownReason::Unordered) => "U unordered",
        Verdict::Unknown(UnknownReason::Limit) => "U limit",
    }
}

#[track_caller]
fn judge(facts: &Facts, policy: &str, expected: &str) {
    let parsed = Policy::parse(policy).unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!(word(parsed.evaluate(facts)), expected, "{policy}");
    assert_eq!(word(parsed.explain(facts).verdict), expected, "{policy}");
}

const UBUNTU: &str = "{{os_dist}} == Ubuntu";
const STORAGE: &str = "{{os_dist}} == Ubuntu && {{storage_tier}} == True";

#[test]
fn the_policies_of_the_rfc() {
    check(UBUNTU, "{{os_dist}} == Ubuntu");
    check(STORAGE, "{{os_dist}} == Ubuntu && {{storage_tier}} == true");

    let mut facts = json(r#"{"os_dist": "Ubuntu"}"#);
    judge(&facts, UBUNTU, "T");
    judge(&facts, STORAGE, "U missing");
    let (name, value) = parse_pair("storage_tier=True").unwrap();
    facts.insert(name, value, Source::Start);
    judge(&facts, STORAGE, "T");
    judge(&json(r#"{"os_dist": "Debian", "storage_tier": true}"#), STORAGE, "F");
}

/// The policies in docs/POLICY.md are as they are printed, and without a warning.
#[test]
fn the_policies_of_the_guide() {
    let guide = include_str!("../../../docs/POLICY.md");
    let (_, table) = guide.split_once("## Ten policies").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let policies: Vec<String> = table
        .lines()
        .filter_map(|line| line.split_once(" | `")?.1.strip_suffix("` |"))
        .map(|policy| policy.replace("\\|", "|"))
        .collect();
    assert_eq!(policies.len(), 10);
    for text in &policies {
        let policy = Policy::parse(text).unwrap_or_else(|error| panic!("{}", error.render()));
        assert_eq!(policy.check([]), [], "{text}");
        let spelled = text.replace("== True", "== true");
        assert_eq!(policy.as_str(), spelled);
    }
}

#[test]
fn text_becomes_canonical() {
    check("true", "true");
    check(" ( TRUE ) # everyone", "true");
    check("{{ os_dist }}\n  ==\t'Ubuntu'", "{{os_dist}} == Ubuntu");
    check("{{a}}==b&&{{c}}!=d", "{{a}} == b && {{c}} != d");
    check("not {{a}} or ! {{b}} and {{c}}", "not {{a}} || not {{b}} && {{c}}");
    check("{{a}} && ({{b}} && {{c}})", "{{a}} && {{b}} && {{c}}");
    check("({{a}} || {{b}}) && {{c}}", "({{a}} || {{b}}) && {{c}}");
    check("{{a}} || ({{b}} && {{c}})", "{{a}} || {{b}} && {{c}}");
    check("not (not ({{a}}))", "not (not {{a}})");
    check("!({{a}} == b)", "not ({{a}} == b)");
    check("!exists({{a}})", "not exists({{a}})");
    check("{{a}} in [x, 'y z', \"true\", TRUE, 16]", r#"{{a}} in [x, "y z", "true", true, 16]"#);
    check("{{a}} not in [b]", "{{a}} not in [b]");
    check("{{l}} not contains b", "{{l}} not contains b");
    check("{{default_ipv4}} in 10.0.0.0/8", "{{default_ipv4}} in 10.0.0.0/8");
}

#[test]
fn facts_go_to_the_left() {
    check("16GiB <= {{memtotal}}", "{{memtotal}} >= 16GiB");
    check("Ubuntu == {{os_dist}}", "{{os_dist}} == Ubuntu");
    check("debian in {{os_dist_like}}", "{{os_dist_like}} contains debian");
    check("avx2 not in {{processor_features}}", "{{processor_features}} not contains avx2");
    check("10.0.0.0/8 contains {{default_ipv4}}", "{{default_ipv4}} in 10.0.0.0/8");
    check("[a, b] contains {{x}}", "{{x}} in [a, b]");
    check("{{a}} in {{b}}", "{{a}} in {{b}}");
}

#[test]
fn paths_become_canonical() {
    check("{{devices.sda.size}} > 1TB", "{{devices.sda.size}} > 1TB");
    check(r#"{{x["eth0.100"]['mtu']}}"#, r#"{{x["eth0.100"].mtu}}"#);
    check("{{x[0].1.a-b}}", "{{x[0].1.a-b}}");
    check(r#"{{["rack.row"].x}}"#, r#"{{["rack.row"].x}}"#);
    check(r#"{{["rack"]}}"#, "{{rack}}");
}

#[test]
fn quotes_stay_where_they_matter() {
    check(r#"{{a}} == "Red Hat""#, r#"{{a}} == "Red Hat""#);
    check(r#"{{a}} == "16""#, r#"{{a}} == "16""#);
    check(r#"{{a}} == "in""#, r#"{{a}} == "in""#);
    check(r#"{{a}} == "any""#, r#"{{a}} == "any""#);
    check(r#"{{a}} == ''"#, r#"{{a}} == """#);
    check(r#"{{a}} == "\u{1b}\n\"\\""#, r#"{{a}} == "\u{1b}\n\"\\""#);
    check(r#"{{a}} == "10.0.0.0""#, "{{a}} == 10.0.0.0");
    check("{{a}} == 'Zürich'", "{{a}} == \"Zürich\"");
}

#[test]
fn operators_of_other_languages_are_corrected() {
    check_error(
        "{{os_dist}} = Ubuntu",
        &[
            "error[P005]: `=` is not an operator",
            "  {{os_dist}} = Ubuntu",
            "              ^ use `==`",
        ],
    );
    check_error(
        "{{a}} & {{b}}",
        &["error[P005]: `&` is not an operator", "  {{a}} & {{b}}", "        ^ use `&&`"],
    );
    check_error(
        "{{a}} === b",
        &["error[P005]: `===` is not an operator", "  {{a}} === b", "        ^^^ use `==`"],
    );
    check_error(
        "{{a}} is b",
        &["error[P005]: `is` is not an operator", "  {{a}} is b", "        ^^ use `==`"],
    );
    check_error(
        "{{a}} == b AND {{c}}",
        &[
            "error[P005]: `AND` is not an operator",
            "  {{a}} == b AND {{c}}",
            "             ^^^ use `and`",
        ],
    );
}

#[test]
fn typographic_characters_are_named() {
    check_error(
        "{{os_dist}} == “Ubuntu”",
        &[
            "error[P009]: `“` is a typographic quote",
            "  {{os_dist}} == “Ubuntu”",
            "                 ^ replace `“` with `\"`",
        ],
    );
    check_error(
        "{{a}} == b —tribe core",
        &[
            "error[P009]: `—` is a typographic dash",
            "  {{a}} == b —tribe core",
            "             ^ `--tribe` is an option of the command, write it after the policy",
        ],
    );
    check_error(
        "{{a}} == 5–6",
        &[
            "error[P009]: `–` is a typographic dash",
            "  {{a}} == 5–6",
            "            ^ replace `–` with `-`",
        ],
    );
    check_error(
        "{{a}} ≥ 5",
        &[
            "error[P009]: `≥` is a typographic operator",
            "  {{a}} ≥ 5",
            "        ^ replace `≥` with `>=`",
        ],
    );
    check_error(
        "{{a}} == b\u{202e}",
        &[
            "error[P003]: `U+202E` is not allowed outside quotes",
            "  {{a}} == b\u{fffd}",
            "            ^ remove it",
        ],
    );
}

#[test]
fn values_that_need_quotes_are_quoted() {
    check_error(
        "{{os_dist}} == Red Hat && {{a}}",
        &[
            "error[P004]: `Red Hat` is more than one word",
            "  {{os_dist}} == Red Hat && {{a}}",
            "                 ^^^^^^^ quote the value: `\"Red Hat\"`",
        ],
    );
    check_error(
        "{{a}} == Red # here\n Hat",
        &[
            "error[P004]: `Red # here Hat` is more than one word",
            "  {{a}} == Red # here",
            "           ^^^^^^^^^^ quote the value: `\"Red Hat\"`",
        ],
    );
    check_error(
        "{{city}} == Zürich",
        &[
            "error[P003]: `ü` is not allowed outside quotes",
            "  {{city}} == Zürich",
            "              ^^^^^^ quote the value: `\"Zürich\"`",
        ],
    );
    check_error(
        "{{a}} == \"b",
        &[
            "error[P010]: the quoted text is never closed",
            "  {{a}} == \"b",
            "           ^^ add `\"`",
        ],
    );
    check_error(
        r#"{{a}} == "C:\Windows""#,
        &[
            r"error[P012]: `\W` is not an escape",
            r#"  {{a}} == "C:\Windows""#,
            r"              ^^ write `\\` for a backslash, or use single quotes",
        ],
    );
    check_error(
        "{{serial}} == 12345678901234567890",
        &[
            "error[P023]: `12345678901234567890` does not fit into 64 bits",
            "  {{serial}} == 12345678901234567890",
            "                ^^^^^^^^^^^^^^^^^^^^ quote it if it is text",
        ],
    );
}

#[test]
fn the_shape_of_conditions_is_explained() {
    check_error(
        "",
        &["error[P001]: the policy is empty", "  ", "  ^ `true` is the policy of every node"],
    );
    check_error(
        "!{{a}} == b",
        &[
            "error[P007]: `!` applies to one condition, not to a comparison",
            "  !{{a}} == b",
            "  ^ write `{{a}} != b` or `not ({{a}} == b)`",
        ],
    );
    check_error(
        "not {{a}} in [b]",
        &[
            "error[P007]: `not` applies to one condition, not to a comparison",
            "  not {{a}} in [b]",
            "  ^^^ write `{{a}} not in [b]` or `not ({{a}} in [b])`",
        ],
    );
    check_error(
        "{{a}} == {{b}} == {{c}}",
        &[
            "error[P008]: comparisons cannot be chained",
            "  {{a}} == {{b}} == {{c}}",
            "  ^^^^^^^^^^^^^^^^^^^^^^^ join two comparisons with `&&`: `… {{b}} && {{b}} …`",
        ],
    );
    check_error(
        "{{a}} {{b}}",
        &[
            "error[P024]: there is no operator before `{{b}}`",
            "  {{a}} {{b}}",
            "        ^^^^^ put an operator such as `==` or `&&` before it",
        ],
    );
    check_error(
        "({{a}}) == b",
        &[
            "error[P025]: `({{a}})` is a condition, not a value",
            "  ({{a}}) == b",
            "  ^^^^^^^ compare facts and values, join conditions with `&&` and `||`",
        ],
    );
    check_error(
        "{{a}} && true",
        &[
            "error[P017]: `{{a}} && true` is the same on every node",
            "  {{a}} && true",
            "  ^^^^^^^^^^^^^ `true` alone is the policy of every node",
        ],
    );
    check_error(
        "false",
        &[
            "error[P017]: `false` is the same on every node",
            "  false",
            "  ^^^^^ no node would match",
        ],
    );
}

#[test]
fn what_is_expected_is_said() {
    let check = |text, expected: &str| {
        assert_eq!(Policy::parse(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("{{a}} ==", "expected a value, found the end");
    check("{{a}} == == b", "expected a value, found `==`");
    check("{{a}} &&", "expected a condition, found the end");
    check("({{a}}", "expected an operator or `)`, found the end");
    check("{{a}})", "expected an operator or the end, found `)`");
    check("{{a}} in [b", "expected `,` or `]`, found the end");
    check("{{a}} in [b,]", "expected a value, found `]`");
    check("{{a}} not == b", "expected `in`, `contains`, `like` or `matches`, found `==`");
    check("any d {{a}} ({{d}})", "expected `in`, found `{{a}}`");
    check("any in {{a}} ({{d}})", "expected a name, found `in`");
    check("any d in x ({{d}})", "expected a fact, found `x`");
    check("any d in {{a}} {{d}}", "expected `(`, found `{{d}}`");
    check("()", "expected a condition, found `)`");
    check("not not {{a}}", "expected a value, found `not`");
}

#[test]
fn references_are_explained() {
    check_error(
        "{os_dist} == Ubuntu",
        &[
            "error[P003]: `{` is not allowed outside quotes",
            "  {os_dist} == Ubuntu",
            "  ^ a fact is written `{{name}}`",
        ],
    );
    check_error(
        "{{os_dist == Ubuntu",
        &[
            "error[P011]: `{{` is never closed",
            "  {{os_dist == Ubuntu",
            "  ^^^^^^^^^^^^^^^^^^^ add `}}`",
        ],
    );
    check_error(
        "{{a}} &&\n{{ }} == b",
        &[
            "error[P013]: a name is missing in a fact reference",
            "line 2:",
            "  {{ }} == b",
            "     ^ a fact is written `{{name}}`",
        ],
    );
    check_error(
        "{{x|lower}} == b",
        &[
            "error[P014]: `|` is not supported by this version",
            "  {{x|lower}} == b",
            "     ^ facts have no filters",
        ],
    );
    check_error(
        "{{eth 0}}",
        &[
            "error[P013]: unexpected `0` in a fact reference",
            "  {{eth 0}}",
            "        ^ use letters, digits, `_` and `-`, or quote a key: `{{name[\"a key\"]}}`",
        ],
    );
}

#[test]
fn values_without_facts_are_refused() {
    check_error(
        "os_dist == Ubuntu",
        &[
            "error[P015]: `os_dist` and `Ubuntu` are both plain values",
            "  os_dist == Ubuntu",
            "  ^^^^^^^^^^^^^^^^^ did you mean `{{os_dist}}`?",
        ],
    );
    check_error(
        "os_dits == Ubuntu",
        &[
            "error[P015]: `os_dits` and `Ubuntu` are both plain values",
            "  os_dits == Ubuntu",
            "  ^^^^^^^^^^^^^^^^^ did you mean `{{os_dist}}`?",
        ],
    );
    check_error(
        "rack == 7",
        &[
            "error[P015]: `rack` and `7` are both plain values",
            "  rack == 7",
            "  ^^^^^^^^^ did you mean the fact `{{rack}}`?",
        ],
    );
    check_error(
        "Ubuntu",
        &[
            "error[P016]: `Ubuntu` is not a condition",
            "  Ubuntu",
            "  ^^^^^^ a fact is written `{{name}}`",
        ],
    );
    check_error(
        "{{os_dist}}",
        &[
            "error[P016]: `{{os_dist}}` is not a condition",
            "  {{os_dist}}",
            "  ^^^^^^^^^^^ compare it: `{{os_dist}} == …`",
        ],
    );
}

const COMPARE_VALUES: Option<&str> =
    Some("compare facts and values, join conditions with `&&` and `||`");

#[test]
fn functions_are_checked() {
    let check = |text, expected: &str, help| {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.help()), (expected, help), "{text}");
    };
    check("exist({{a}})", "`exist` is not a function", Some("did you mean `exists`?"));
    check("versoin({{a}}) > 1", "`versoin` is not a function", Some("did you mean `version`?"));
    let all =
        "there are `exists`, `bytes`, `duration`, `ip`, `len`, `lower`, `number` and `version`";
    check("foo()", "`foo` is not a function", Some(all));
    check("foo() == 1", "`foo` is not a function", Some(all));
    check("exists(a)", "`exists` takes one fact", Some("did you mean `exists({{a}})`?"));
    check("exists()", "`exists` takes one fact", Some("write `exists({{fact}})`"));
    check("exists({{a}}, {{b}})", "`exists` takes one fact", Some("write `exists({{fact}})`"));
    check("len(a) > 1", "`len` takes one fact", Some("did you mean `len({{a}})`?"));
    check("len() > 1", "`len` takes one fact", Some("write `len({{fact}})`"));
    check("len({{a}})", "`len({{a}})` is not a condition", Some("compare it: `len({{a}}) == …`"));
    check("exists({{a}}) == 1", "`exists({{a}})` is a condition, not a value", COMPARE_VALUES);
    let missing = "say what a missing fact means: `({{fact}} == … || not exists({{fact}}))`";
    check("default({{a}}, b) == c", "`default` is not supported by this version", Some(missing));
}

#[test]
fn later_levels_are_not_supported_yet() {
    let check = |text, expected: &str| {
        let expected = format!("`{expected}` is not supported by this version");
        assert_eq!(Policy::parse(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("count d in {{devices}} ({{d.virtual}}) > 1", "count");
    check("{{a}} contains_all [b, c]", "contains_all");
    check("{{a}} + 1 > 2", "+");
    check("{{a}} * 2 > 2", "*");
    check("{{a}} ? b", "?");
    check("{{a}} == @b", "@");
    check("{{a}} in [{{b}}]", "{{b}}");
}

#[test]
fn patterns_and_quantifiers_become_canonical() {
    check("{{a}} like b*", "{{a}} like b*");
    check("{{a}} like 'b *'", "{{a}} like \"b *\"");
    check("{{a}} like True", "{{a}} like True");
    check("{{a}} not like \"b\\\\*\"", "{{a}} not like \"b\\\\*\"");
    check("{{a}} matches '^b/c'", "{{a}} matches /^b\\/c/");
    check("{{a}} =~ /b+/i", "{{a}} matches /b+/i");
    check("{{a}} !~ b", "{{a}} not matches /b/");
    check(
        "any d in {{ devices }} ({{d.size}}>1TiB and not {{d.rotational}})",
        "any d in {{devices}} ({{d.size}} > 1TiB && not {{d.rotational}})",
    );
    check("not any d in {{x}} ({{d}} == 1)", "not (any d in {{x}} ({{d}} == 1))");
    check("{{a}} && none d in {{x}} ({{d}})", "{{a}} && none d in {{x}} ({{d}})");
    check(
        "all d in {{x}} (any p in {{d.parts}} ({{p.size}} > 1 || {{d._key}} == sda))",
        "all d in {{x}} (any p in {{d.parts}} ({{p.size}} > 1 || {{d._key}} == sda))",
    );
    check("2 < version({{x.y}})", "version({{x.y}}) > 2");
    check("duration({{x}}) >= 1.5h", "duration({{x}}) >= 1.5h");
}

#[test]
fn patterns_are_checked() {
    let check = |text, expected: &str, help| {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.help()), (expected, help), "{text}");
    };
    check(
        "{{a}} == /b/",
        "`==` needs a value",
        Some("use `matches`, or quote the value if it is text"),
    );
    check("{{a}} like /b/", "`like` needs text with `*` and `?`", Some("use `matches`"));
    check(
        "{{a}} matches {{b}}",
        "`matches` needs a pattern on its right",
        Some("the value of a fact is never a pattern"),
    );
    check("b* like {{a}}", "`like` needs a fact on its left and a pattern on its right", None);
    check(
        "{{a}} like [b, c]",
        "`like` needs one pattern on its right",
        Some("join several with `||`, `[b, c]` is none"),
    );
    check("{{a}} matches /[/", "`[` is not a pattern", Some("found unclosed character class"));
    check(
        "{{a}} matches //",
        "nothing is not a pattern",
        Some("an empty pattern would match every text"),
    );
    check(
        "{{a}} like \"b\\\\\"",
        "a lone `\\` is not a pattern",
        Some("write `\\\\` for a backslash, `\\*` for a star"),
    );
    check(
        "{{a}} == /etc/fstab",
        "`/etc/fstab` is not a pattern",
        Some("behind a pattern may only be `i`; quote it if it is text"),
    );
    check(
        "{{a}} == /etc",
        "the pattern is never closed",
        Some("add `/`, or quote it if it is text"),
    );
    check(
        "{{memtotal}} like 16*",
        "`like` does not work on `memtotal`, which is a size in bytes",
        Some("compare it with `==` or `<`"),
    );
    check(
        "{{processor_features}} like avx*",
        "`like` does not work on `processor_features`, which is a list",
        Some("write `any x in {{processor_features}} ({{x}} like …)`"),
    );
    check(
        "{{default_ipv4}} like 10.*",
        "`like` does not work on `default_ipv4`, which is an IP address",
        Some("use `in` with a network"),
    );
    check("{{a}} glob b*", "`glob` is not an operator", Some("use `like`"));
}

#[test]
fn quantifiers_are_checked() {
    let check = |text, expected: &str, help| {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.help()), (expected, help), "{text}");
    };
    check(
        "any d in {{memtotal}} ({{d}} == 1)",
        "`any` does not work on `memtotal`, which is a size in bytes",
        Some("only lists and maps have elements"),
    );
    check(
        "any memtotal in {{x}} ({{memtotal}} == 1)",
        "`memtotal` cannot be the name of an element",
        Some("there is a fact of this name"),
    );
    check(
        "any x in {{x}} ({{x}} == 1)",
        "`x` cannot be the name of an element",
        Some("there is a fact of this name"),
    );
    check(
        "any 7 in {{x}} ({{y}} == 1)",
        "`7` cannot be the name of an element",
        Some("use letters, digits, `_` and `-`"),
    );
    check(
        "any d in {{devices}} ({{d.size}})",
        "`{{d.size}}` is not a condition",
        Some("compare it: `{{d.size}} == …`"),
    );
    check(
        "any d in {{devices}} ({{d.size}} > 16G)",
        "`d.size` is a size in bytes, `16G` is not",
        Some("write `16GB` for powers of 1000, `16GiB` for powers of 1024"),
    );
    check(
        "any d in {{x}} (all e in {{y}} ({{d}} == {{e}}))",
        "`all` needs a part of the outer element here",
        Some("write `{{d.…}}`"),
    );
    check(
        "any d in {{x}} (all d in {{d.y}} ({{d}} == 1))",
        "`d` cannot be the name of an element",
        Some("there is a fact of this name"),
    );
    check(
        "any d in {{x}} (any e in {{d.y}} (any f in {{e.z}} ({{f}} == 1)))",
        "the policy is too large: more than 2 quantifiers inside each other",
        None,
    );
    check(
        "any d in {{x}} (true)",
        "`any d in {{x}} (true)` is the same on every node",
        Some("`true` alone is the policy of every node"),
    );
    check(
        "any d in {{x}} ({{d}}) == b",
        "`any d in {{x}} ({{d}})` is a condition, not a value",
        COMPARE_VALUES,
    );
}

#[test]
fn a_policy_has_the_lowest_level_that_understands_it() {
    let check = |text, level| assert_eq!(Policy::parse(text).unwrap().level(), level, "{text}");
    check("true", 1);
    check("{{a}} == b && {{c}} in [1, 16GiB] || not exists({{d}})", 1);
    check("{{a}} == '5m' && {{b}} in 10.0.0.0/8", 1);
    check("{{a}} == 5m", 2);
    check("{{a}} like b", 2);
    check("{{a}} || not ({{b}} not matches /c/)", 2);
    check("none d in {{x}} ({{d}})", 2);
    check("version({{a}}) > 2", 2);
}

#[test]
fn types_of_built_in_facts_are_checked() {
    let check = |text, expected: &str, help| {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.help()), (expected, help), "{text}");
    };
    check(
        "{{memtotal}} > 16G",
        "`memtotal` is a size in bytes, `16G` is not",
        Some("write `16GB` for powers of 1000, `16GiB` for powers of 1024"),
    );
    check(
        "{{memtotal}} > '16GiB'",
        "`memtotal` is a size in bytes, `\"16GiB\"` is not",
        Some("remove the quotes"),
    );
    check(
        "{{devices.sda.rotational}} == \"true\"",
        "`devices.sda.rotational` is a yes or no, `\"true\"` is not",
        Some("remove the quotes"),
    );
    check(
        "{{devices.sda.rotational}} == 0",
        "`devices.sda.rotational` is a yes or no, `0` is not",
        Some("use `true` or `false`"),
    );
    check("{{kernel}} > new", "`kernel` is a version, `new` is not", None);
    check("{{processor_count}} > many", "`processor_count` is a number, `many` is not", None);
    check(
        "{{default_ipv4}} == 10.0.0.0/8",
        "`default_ipv4` is an IP address, `10.0.0.0/8` is not",
        Some("use `in`"),
    );
    check(
        "{{os_dist}} < Ubuntu",
        "`<` does not work on `os_dist`, which is text",
        Some("it has no order"),
    );
    check(
        "{{os_dist_like}} == debian",
        "`==` does not work on `os_dist_like`, which is a list",
        Some("use `contains`"),
    );
    check(
        "{{devices}} == sda",
        "`==` does not work on `devices`, which is a map",
        Some("name one of its fields"),
    );
    check(
        "{{os_dist}} contains Ubuntu",
        "`contains` does not work on `os_dist`, which is text",
        Some("only lists and networks contain values"),
    );
    check(
        "{{os_dist}} in Ubuntu",
        "`in` needs a list or a network on its right",
        Some("write `[Ubuntu]`"),
    );
    check(
        "{{default_ipv4}} in 10.0.0.1",
        "`in` needs a list or a network on its right",
        Some("write `10.0.0.1/32`"),
    );
    check("{{os_dist}} == [Ubuntu]", "`==` needs one value", Some("use `in`"));
    check("{{x}} in []", "`[]` is the same on every node", Some("put a value in the list"));
}

#[test]
fn long_lines_are_cut() {
    let text = format!("{{{{a}}}} == {} = {}", "x".repeat(200), "y".repeat(200));
    let (before, after) = ("x".repeat(59), "y".repeat(59));
    check_error(
        &text,
        &[
            "error[P005]: `=` is not an operator",
            &format!("  …{before} = {after}…"),
            &format!("{}^ use `==`", " ".repeat(63)),
        ],
    );
}

#[test]
fn errors_say_where_they_are() {
    let error = Policy::parse("{{a}} ==\n  'ü' && {{b}} = c").unwrap_err();
    assert_eq!((error.line(), error.column()), (2, 16));
    assert_eq!(error.span(), Span { start: 25, end: 26 });
    assert_eq!(error.code(), "P005");
    assert_eq!(error.fix().map(|fix| &*fix.replacement), Some("=="));
}

#[test]
fn everything_has_a_limit() {
    let check = |text: String, expected: &str| {
        let error = Policy::parse(&text).unwrap_err();
        assert_eq!(error.to_string(), format!("the policy is too large: more than {expected}"));
    };
    let (open, close) = ("(".repeat(33), ")".repeat(33));
    check(format!("{open}{{{{a}}}}{close}"), "32 levels of brackets");
    check(format!("{{{{a}}}} == {}", "x".repeat(4096)), "4096 bytes");
    check(format!("{{{{a}}}}{}", "||{{a}}".repeat(256)), "512 tokens");
    check(format!("{{{{a}}}} in [x{}]", ",x".repeat(256)), "512 tokens");
    check(format!("{{{{a}}}} == '{}'", "\u{1b}".repeat(1000)), "4096 bytes in canonical form");
    let pattern = "{{a}} matches /b/";
    check([pattern; 17].join(" || "), "16 patterns and quantifiers");
    check(format!("{{{{a}}}} like {}", "b".repeat(257)), "256 bytes of a pattern");
    let (open, close) = ("(".repeat(32), ")".repeat(32));
    assert_eq!(printed(&format!("{open}{{{{a}}}}{close}")), "{{a}}");
}

#[test]
fn booleans_adapt() {
    let facts = pairs("tier=True text=tRuE gold=gold");
    judge(&facts, "{{tier}} == True", "T");
    judge(&facts, "{{tier}} == true", "T");
    judge(&facts, "{{tier}} == \"True\"", "T");
    judge(&facts, "{{tier}} == \"true\"", "F");
    judge(&facts, "{{tier}} == False", "F");
    judge(&facts, "{{tier}} == gold", "F");
    judge(&facts, "{{tier}} != gold", "T");
    judge(&facts, "{{tier}} > 1", "U kind");
    judge(&facts, "{{tier}}", "T");
    judge(&facts, "not {{tier}}", "F");
    judge(&facts, "{{gold}} == True", "F");
    judge(&facts, "{{gold}} != True", "T");
    judge(&facts, "{{gold}}", "U kind");
    judge(&facts, "{{text}} == true", "T");
    judge(&facts, "{{text}} == \"true\"", "F");
    judge(&json(r#"{"tier": true}"#), "{{tier}} == \"true\"", "T");
}

#[test]
fn numbers_adapt() {
    let facts = json(r#"{"n": 16, "f": 20.10, "big": 9007199254740993}"#);
    judge(&facts, "{{n}} == 16", "T");
    judge(&facts, "{{n}} == 16.0", "T");
    judge(&facts, "{{n}} == \"16\"", "T");
    judge(&facts, "{{n}} == 016", "F");
    judge(&facts, "{{n}} == sixteen", "F");
    judge(&facts, "{{n}} < 1.7e1", "T");
    judge(&facts, "{{n}} < sixteen", "U kind");
    judge(&facts, "{{n}} in [1, 16]", "T");
    judge(&facts, "{{f}} == 20.1", "T");
    judge(&facts, "{{big}} == 9007199254740992.0", "F");
    judge(&facts, "{{big}} > 9007199254740992.0", "T");
}

#[test]
fn sizes_adapt() {
    let facts = json(r#"{"memtotal": 17179869184, "devices": {"sda": {"size": 500}}, "n": 2000}"#);
    judge(&facts, "{{memtotal}} == 16GiB", "T");
    judge(&facts, "{{memtotal}} > 16GB", "T");
    judge(&facts, "{{memtotal}} >= 17179869184", "T");
    judge(&facts, "{{memtotal}} < 16.5GiB", "T");
    judge(&facts, "{{devices.sda.size}} < 0.5kB", "F");
    judge(&facts, "{{n}} == 2kB", "T");
}

#[test]
fn versions_adapt() {
    let facts = json(r#"{"os_dist_version": "20.04", "kernel": "5.15.0-105-generic"}"#);
    judge(&facts, "{{os_dist_version}} == 20.04", "T");
    judge(&facts, "{{os_dist_version}} == 20.4", "T");
    judge(&facts, "{{os_dist_version}} == \"20.04\"", "T");
    judge(&facts, "{{os_dist_version}} >= 9", "T");
    judge(&facts, "{{os_dist_version}} in [18.04, 20.04.0]", "T");
    judge(&facts, "{{kernel}} > 5.15", "T");
    judge(&facts, "{{kernel}} < 5.16", "T");
    judge(&facts, "{{kernel}} > 5.15.0-rc7", "T");
    judge(&facts, "{{kernel}} > {{os_dist_version}}", "F");
    let facts = json(r#"{"os_dist_version": "22.10"}"#);
    judge(&facts, "{{os_dist_version}} != 22.1", "T");
    judge(&facts, "{{os_dist_version}} > 22.9", "T");
    let facts = json(r#"{"os_dist_version": "rolling"}"#);
    judge(&facts, "{{os_dist_version}} == 22.04", "F");
    judge(&facts, "{{os_dist_version}} > 22.04", "U kind");
    judge(&json(r#"{"os_dist_version": 9}"#), "{{os_dist_version}} == 9.0", "T");
    // A fact that nobody declared a version is text.
    let facts = pairs("version=20.04");
    judge(&facts, "{{version}} == 20.04", "T");
    judge(&facts, "{{version}} == 20.4", "F");
    judge(&facts, "{{version}} > 9", "U unordered");
}

#[test]
fn durations_adapt() {
    let facts = json(r#"{"n": 300, "f": 0.25, "text": "5m", "word": "soon"}"#);
    judge(&facts, "{{n}} == 5m", "T");
    judge(&facts, "{{n}} < 1h", "T");
    judge(&facts, "{{f}} == 250ms", "T");
    judge(&facts, "{{text}} == 5m", "T");
    judge(&facts, "{{text}} == 300s", "F");
    judge(&facts, "duration({{text}}) == 300s", "T");
    judge(&facts, "duration({{n}}) > 4m", "T");
    judge(&facts, "duration({{word}}) > 4m", "U kind");
    judge(&facts, "duration({{x}}) > 4m", "U missing");
}

#[test]
fn functions_read_values_as_another_type() {
    let facts = json(
        r#"{"v": "2.10", "n": "007", "s": "16GiB", "h": "Web-1", "ip": "10.0.0.5", "i": 9,
            "f": 2.5, "l": [1, 2], "m": {"a": 1}, "t": true}"#,
    );
    judge(&facts, "version({{v}}) > 2.9", "T");
    judge(&facts, "version({{i}}) == 9.0", "T");
    judge(&facts, "version({{h}}) == 9.0", "U kind");
    judge(&facts, "version({{h}}) != 9.0", "U kind");
    judge(&facts, "version({{f}}) > 2.9", "U kind");
    judge(&facts, "version({{v}}) > version({{i}})", "F");
    judge(&facts, "{{i}} == version({{h}})", "U kind");
    judge(&facts, "number({{n}}) == 7", "U kind");
    judge(&facts, "number({{v}}) == 2.1", "T");
    judge(&facts, "bytes({{s}}) >= 16GiB", "T");
    judge(&facts, "bytes({{i}}) == 9B", "T");
    judge(&facts, "lower({{h}}) == web-1", "T");
    judge(&facts, "lower({{h}}) like web-*", "T");
    judge(&facts, "lower({{i}}) == 9", "U kind");
    judge(&facts, "ip({{ip}}) in 10.0.0.0/8", "T");
    judge(&facts, "ip({{h}}) in 10.0.0.0/8", "U kind");
    judge(&facts, "len({{l}}) == 2", "T");
    judge(&facts, "len({{m}}) == 1", "T");
    judge(&facts, "len({{h}}) == 5", "T");
    judge(&facts, "len({{t}}) == 5", "U kind");
    judge(&facts, "len({{x}}) == 0", "U missing");
}

#[test]
fn patterns_judge_text() {
    let long = "x".repeat(1025);
    let facts = json(&format!(
        r#"{{"os_dist_version": "22.04", "h": "web-1", "n": 22, "t": true, "l": ["a"], "long": "{long}"}}"#
    ));
    judge(&facts, "{{h}} like web-*", "T");
    judge(&facts, "{{h}} like web", "F");
    judge(&facts, "{{h}} not like db*", "T");
    judge(&facts, "{{h}} like WEB*", "F");
    judge(&facts, "{{os_dist_version}} like 22.*", "T");
    judge(&facts, "{{h}} matches /^web-[0-9]+$/", "T");
    judge(&facts, "{{h}} matches eb", "T");
    judge(&facts, "{{h}} matches /^WEB/i", "T");
    judge(&facts, "{{h}} not matches /^db/", "T");
    judge(&facts, "{{n}} like 22", "U kind");
    judge(&facts, "{{t}} matches t", "U kind");
    judge(&facts, "{{l}} like a", "U kind");
    judge(&facts, "{{x}} not like a", "U missing");
    judge(&facts, "{{long}} like x*", "U limit");
    judge(&facts, "{{long}} not matches y", "U limit");
}

#[test]
fn quantifiers_judge_elements() {
    let facts = json(
        r#"{"devices": {"sda": {"size": 2000, "rotational": true},
                        "sdb": {"size": 9000, "rotational": false}},
            "tags": ["a", "b", 7], "none": [], "m": {"x": {"ports": [{"up": true}, {}]}}, "t": "a"}"#,
    );
    judge(&facts, "any d in {{devices}} ({{d.size}} > 5kB && not {{d.rotational}})", "T");
    judge(&facts, "any d in {{devices}} ({{d.size}} > 5kB && {{d.rotational}})", "F");
    judge(&facts, "all d in {{devices}} ({{d.size}} > 1kB)", "T");
    judge(&facts, "none d in {{devices}} ({{d.size}} > 1TB)", "T");
    judge(&facts, "any d in {{devices}} ({{d._key}} like sd?)", "T");
    judge(&facts, "any d in {{devices}} ({{d.model}} == X)", "U missing");
    judge(&facts, "all d in {{devices}} ({{d.model}} == X && {{d.size}} > 5kB)", "F");
    judge(&facts, "any t in {{tags}} ({{t}} == b)", "T");
    judge(&facts, "any g in {{tags}} ({{g}} == {{t}})", "T");
    judge(&facts, "any g in {{tags}} ({{g._key}} == 2 && {{g}} == 7)", "T");
    judge(&facts, "any g in {{tags}} (exists({{g._key}}) && exists({{g.x}}))", "F");
    judge(&facts, "any g in {{tags}} ({{g}} > 5)", "T");
    judge(&facts, "all g in {{tags}} ({{g}} > 5)", "U unordered");
    judge(&facts, "any d in {{none}} ({{d}} == 1)", "F");
    judge(&facts, "all d in {{none}} ({{d}} == 1)", "T");
    judge(&facts, "none d in {{none}} ({{d}} == 1)", "T");
    judge(&facts, "any d in {{t}} ({{d}} == 1)", "U kind");
    judge(&facts, "all d in {{x}} ({{d}} == 1)", "U missing");
    judge(&facts, "any i in {{m}} (any p in {{i.ports}} ({{p.up}} && {{i._key}} == x))", "T");
    judge(&facts, "any i in {{m}} (all p in {{i.ports}} ({{p.up}}))", "U missing");
}

#[test]
fn a_quantifier_that_would_take_too_long_is_unknown() {
    let many = serde_json::to_string(&vec![1; 4000]).unwrap();
    let facts = json(&format!(r#"{{"many": {many}}}"#));
    judge(&facts, "any d in {{many}} ({{d}} == 2)", "F");
    judge(&facts, "any d in {{many}} ({{many}} contains {{d}})", "U limit");
    judge(&facts, "any d in {{many}} ({{d}} matches x)", "U limit");
}

#[test]
fn text_is_spelled_exactly() {
    let facts = pairs("a=Ubuntu id=007 sci=1e3 empty=");
    judge(&facts, "{{a}} == Ubuntu", "T");
    judge(&facts, "{{a}} == ubuntu", "F");
    judge(&json(r#"{"architecture": "x86_64"}"#), "{{architecture}} == amd64", "F");
    judge(&facts, "{{id}} == 007", "T");
    judge(&facts, "{{id}} == 7", "F");
    judge(&facts, "{{sci}} == 1000", "F");
    judge(&facts, "{{sci}} == 1e3", "T");
    judge(&facts, "{{empty}} == ''", "T");
    judge(&facts, "{{a}} < Z", "U unordered");
    judge(&facts, "{{a}} contains bun", "U kind");
}

#[test]
fn addresses_adapt() {
    let mut facts = json(
        r#"{"default_ipv4": {"address": "10.0.0.5", "interface": "eth0"}, "default_ipv6": {},
            "text": "10.0.0.5"}"#,
    );
    let mut insert = |name: &str, value| {
        facts.insert(FactName::parse(name).unwrap(), value, Source::Host);
    };
    insert("ip", Value::Ip("10.0.0.5".parse().unwrap()));
    insert("net", Value::Net("10.0.0.0/24".parse().unwrap()));
    judge(&facts, "{{default_ipv4}} in 10.0.0.0/8", "T");
    judge(&facts, "{{default_ipv4}} not in 10.0.0.0/8", "F");
    judge(&facts, "{{default_ipv4}} in [192.168.0.0/16, 10.0.0.5]", "T");
    judge(&facts, "{{default_ipv4}} == 10.0.0.5", "T");
    judge(&facts, "{{default_ipv4.interface}} == eth0", "T");
    judge(&facts, "{{default_ipv6}} in fe80::/10", "U missing");
    judge(&facts, "exists({{default_ipv6}})", "T");
    judge(&facts, "{{ip}} == \"10.0.0.5\"", "T");
    judge(&facts, "{{ip}} in 10.0.1.0/24", "F");
    judge(&facts, "{{ip}} == 10.0.0.0/8", "F");
    judge(&facts, "{{ip}} < 10.0.0.6", "U kind");
    judge(&facts, "{{net}} in 10.0.0.0/8", "T");
    judge(&facts, "{{net}} == 10.0.0.0/24", "T");
    judge(&facts, "{{net}} contains 10.0.0.7", "T");
    judge(&facts, "{{net}} contains {{ip}}", "T");
    judge(&facts, "{{ip}} in {{net}}", "T");
    judge(&facts, "{{ip}} == {{default_ipv4}}", "T");
    judge(&facts, "{{ip}} in [10.0.0.0/8, ::1]", "T");
    judge(&facts, "{{text}} in 10.0.0.0/8", "U kind");
}

#[test]
fn lists_contain() {
    let facts = json(r#"{"tags": ["a", 7, true], "a": "a", "b": "b", "m": {"k": [{"x": 1}]}}"#);
    judge(&facts, "{{tags}} contains a", "T");
    judge(&facts, "{{tags}} contains 7.0", "T");
    judge(&facts, "{{tags}} contains True", "T");
    judge(&facts, "{{tags}} not contains b", "T");
    judge(&facts, "{{a}} in {{tags}}", "T");
    judge(&facts, "{{tags}} contains {{b}}", "F");
    judge(&facts, "{{tags}} == a", "F");
    judge(&facts, "{{tags}} like a", "U kind");
    judge(&facts, "{{tags[1]}} == 7", "T");
    judge(&facts, "{{tags.1}} == 7", "T");
    judge(&facts, "{{m.k[0].x}} == 1", "T");
    judge(&facts, "{{m.k[1].x}} == 1", "U missing");
    judge(&facts, "{{m}} contains k", "U kind");
}

#[test]
fn what_is_missing_is_unknown() {
    let facts = pairs("a=x");
    judge(&facts, "{{b}} == x", "U missing");
    judge(&facts, "{{b}} != x", "U missing");
    judge(&facts, "{{b}} not in [x]", "U missing");
    judge(&facts, "not ({{b}} == x)", "U missing");
    judge(&facts, "{{b}}", "U missing");
    judge(&facts, "{{a}} == {{b}}", "U missing");
    judge(&facts, "{{a.b}} == x", "U missing");
    judge(&facts, "exists({{b}})", "F");
    judge(&facts, "{{b}} == x && {{a}} == y", "F");
    judge(&facts, "{{b}} == x || {{a}} == x", "T");
    judge(&facts, "{{b}} == x || {{a}} == y", "U missing");
    judge(&facts, "{{b}} != x || not exists({{b}})", "T");
    judge(&facts, "{{a}} > 1 && {{b}}", "U missing");
    judge(&facts, "{{b}} && {{a}} > 1", "U missing");
    judge(&Facts::new(), "true", "T");
}

#[test]
fn a_fact_is_never_read_as_policy() {
    let mut facts = Facts::new();
    let value = Value::from("x || true");
    facts.insert(FactName::parse("a").unwrap(), value, Source::Runtime);
    judge(&facts, "{{a}} == y", "F");
    judge(&facts, "{{a}} == 'x || true'", "T");
}

#[test]
fn facts_that_are_read_are_named_once() {
    let policy = Policy::parse("{{b.c}} == 1 && ({{a}} || {{b}} in {{d}})").unwrap();
    assert_eq!(policy.reads().map(FactName::as_str).collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(policy.level(), 1);
}

#[track_caller]
fn check_warnings(nodes: &[Facts], text: &str, expected: &[&str]) {
    let warnings = Policy::parse(text).unwrap_or_else(|error| panic!("{}", error.render()));
    let warnings = warnings.check(nodes);
    let found: Vec<_> = warnings.iter().map(PolicyWarning::render).collect();
    assert_eq!(found, expected, "{text}");
}

/// Checks the messages alone.
#[track_caller]
fn check_warned(nodes: &[Facts], text: &str, expected: &[&str]) {
    let warnings = Policy::parse(text).unwrap_or_else(|error| panic!("{}", error.render()));
    let found: Vec<_> = warnings.check(nodes).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn unknown_facts_with_a_near_name_are_warned_about() {
    let nodes = [json(r#"{"storage_tier": true, "storage-tier": {"x": true}}"#)];
    check_warnings(&nodes, "{{storage_tier}} && {{os_dist}} == Ubuntu && {{rack}} == 7", &[]);
    check_warnings(
        &nodes[..0],
        "{{os_dsit}} == Ubuntu && {{storage_tier}}",
        &["warning[P021]: `os_dsit` is not a known fact\n  \
             {{os_dsit}} == Ubuntu && {{storage_tier}}\n  \
             ^^^^^^^^^^^ did you mean `{{os_dist}}`?"],
    );
    check_warnings(&nodes, "any os_dsit in {{storage-tier}} ({{os_dsit}})", &[]);
    check_warnings(
        &nodes,
        "{{storage_teir}} == \"true\"",
        &[
            "warning[P021]: `storage_teir` is not a known fact\n  \
           {{storage_teir}} == \"true\"\n  \
           ^^^^^^^^^^^^^^^^ did you mean `{{storage_tier}}`?",
            "warning[P101]: `\"true\"` in quotes matches this spelling only\n  \
           {{storage_teir}} == \"true\"\n                      \
           ^^^^^^ write `true` for any spelling",
        ],
    );
}

#[test]
fn unknown_fields_with_a_near_name_are_warned_about() {
    let nodes = [json(
        r#"{"disks": {"sda": {"size": 1, "host": "x"}}, "lists": [{"parts": [{"kind": "ext4"}]}]}"#,
    )];
    check_warnings(
        &nodes,
        "any d in {{disks}} ({{d.sise}} > 1 && {{d._key}} == sda)",
        &["warning[P109]: no member has `d.sise`\n  \
             any d in {{disks}} ({{d.sise}} > 1 && {{d._key}} == sda)\n                      \
             ^^^^^^^^^^ did you mean `{{d.size}}`?"],
    );
    let check = |text: &str, expected: &[&str]| check_warned(&nodes, text, expected);
    check("{{disks.sda.hots}} == x", &["no member has `disks.sda.hots`"]);
    check("{{disks.sda.rotational}} == x", &[]);
    check("{{disks.sdb.size}} > 1 || exists({{disks.sdc}})", &[]);
    check(
        "any l in {{lists}} (any p in {{l.prats}} ({{p.kind}} == ext4))",
        &["no member has `l.prats`"],
    );
    check(
        "any l in {{lists}} (any p in {{l.parts}} ({{p.kin}} == ext4))",
        &["no member has `p.kin`"],
    );
    check_warned(&[], "any d in {{disks}} ({{d.sise}} > 1)", &[]);
}

#[test]
fn values_that_differ_by_case_are_warned_about() {
    let ubuntu = || json(r#"{"os_dist": "Ubuntu", "tags": ["Web", "db"], "rack": "A"}"#);
    let nodes = [ubuntu(), ubuntu(), ubuntu()];
    check_warnings(
        &nodes,
        "{{os_dist}} == ubuntu",
        &["warning[P102]: `ubuntu`, but 3 members report `Ubuntu`\n  \
           {{os_dist}} == ubuntu\n                 \
           ^^^^^^ did you mean `Ubuntu`?"],
    );
    check_warned(
        &nodes,
        "{{os_dist}} in [Debian, UBUNTU]",
        &["`UBUNTU`, but 3 members report `Ubuntu`"],
    );
    check_warned(&nodes[..1], "{{tags}} contains web", &["`web`, but 1 member reports `Web`"]);
    check_warned(&nodes, "{{rack}} != a", &["`a`, but 3 members report `A`"]);
    check_warned(&nodes, "{{rack}} != B && {{tags}} contains db", &[]);
    check_warned(
        &[],
        "{{os_dist}} == ubuntu",
        &["`os_dist` is never `ubuntu`, it can be `Ubuntu`"],
    );
    check_warned(
        &[],
        "{{os_dist}} == 'Red Hat'",
        &["`os_dist` is never `Red Hat`, it can be `RedHat`"],
    );
    check_warned(
        &[],
        "{{architecture}} == amd64",
        &["`architecture` is never `amd64`, it can be `x86_64`"],
    );
    check_warned(&[], "{{os_dist}} == Ubuntu && {{architecture}} != aarch64", &[]);
}

#[test]
fn values_of_another_type_are_warned_about() {
    let node = || json(r#"{"rack": 7, "tier": true, "v": "2.10", "tags": ["a"]}"#);
    let nodes = [node(), node()];
    check_warned(
        &nodes,
        "{{rack}} == seven",
        &["2 members have a number as `rack`, which this never matches"],
    );
    check_warned(
        &nodes,
        "{{rack}} like 7*",
        &["2 members have a number as `rack`, which this never matches"],
    );
    check_warned(
        &nodes[1..],
        "{{tier}} == gold",
        &["1 member has a yes or no as `tier`, which this never matches"],
    );
    check_warned(
        &nodes,
        "{{rack}}",
        &["2 members have a number as `rack`, which this never matches"],
    );
    check_warned(&nodes, "{{tags}} == a", &[]);
    check_warnings(
        &nodes,
        "{{v}} > 2.9",
        &["warning[P103]: 2 members have text as `v`, which this never matches\n  \
           {{v}} > 2.9\n  \
           ^^^^^^^^^^^ text has no order: write `version({{v}})` or `number({{v}})`"],
    );
    check_warned(&nodes, "version({{v}}) > 2.9 && {{rack}} == 7 && {{tier}} == true", &[]);
    // Where one member has a fitting value, others may be mended.
    let nodes = [node(), json(r#"{"rack": "seven"}"#)];
    check_warned(&nodes, "{{rack}} == seven", &[]);
}

#[test]
fn conditions_that_are_never_or_always_true_are_warned_about() {
    let never = |text: &str| {
        let canonical = printed(text);
        check_warned(&[], text, &[&format!("`{canonical}` is true for no node")]);
    };
    let always = |text: &str| {
        let canonical = printed(text);
        let expected = format!("`{canonical}` is true for every node that has these facts");
        check_warned(&[], text, &[&expected]);
    };
    let neither = |text: &str| check_warned(&[], text, &[]);
    never("{{a}} == b && {{a}} == c");
    never("{{a}} == b && {{a}} != b");
    never("{{a}} && not {{a}}");
    never("{{a}} == b && {{c}} == d && {{a}} in [e, f]");
    never("{{n}} > 5 && {{n}} < 3");
    never("{{n}} > 5 && {{n}} <= 5");
    never("{{memtotal}} > 16GB && {{memtotal}} < 1GB");
    never("{{kernel}} > 6 && {{kernel}} < 5.15");
    never("{{default_ipv4}} in 10.0.0.0/8 && {{default_ipv4}} in 192.168.0.0/16");
    never("{{default_ipv4}} in 10.1.0.0/16 && {{default_ipv4}} not in 10.0.0.0/8");
    never("{{tags}} contains a && {{tags}} not contains a");
    never("exists({{a}}) && not exists({{a}})");
    never("not exists({{a}}) && {{a}} == b");
    always("{{a}} != b || {{a}} != c");
    always("exists({{a}}) || not exists({{a}})");
    always("{{n}} > 3 || {{n}} < 5 || {{n}} == x || {{n}} != x");
    always("{{devices.sda.rotational}} == true || {{devices.sda.rotational}} == false");
    always("{{memtotal}} > 1GB || {{memtotal}} <= 1GB");
    neither("{{a}} == b || {{a}} == c");
    neither("{{a}} != b && {{a}} != c");
    neither("{{a}} == b && {{c}} == d");
    neither("{{n}} > 5 && {{n}} < 6");
    neither("{{n}} >= 5 && {{n}} <= 5");
    neither("{{kernel}} > 5.15 && {{kernel}} < 5.15.1");
    neither("{{kernel}} > 5.15 && {{kernel}} < 6");
    neither("{{default_ipv4}} in 10.0.0.0/8 && {{default_ipv4}} not in 10.1.0.0/16");
    neither("{{tags}} contains a && {{tags}} not contains b");
    check_warned(
        &[],
        "{{a}} == true && {{a}} == 'True'",
        &["`\"True\"` in quotes matches this spelling only"],
    );
    neither("{{a}} like a* && {{a}} like b*");
    neither("{{a}} == {{b}} && {{a}} != {{b}}");
    neither("{{a}} == b || not exists({{a}})");
    check_warned(
        &[],
        "{{x}} == y || {{a}} == b && {{a}} == c",
        &["`{{a}} == b && {{a}} == c` is true for no node"],
    );
    check_warned(
        &[],
        "{{x}} == y && ({{a}} != b || {{a}} != c)",
        &["`{{a}} != b || {{a}} != c` is true for every node that has these facts"],
    );
}

#[test]
fn other_mistakes_are_warned_about() {
    check_warned(&[], "{{a}} like web", &["`web` has neither `*` nor `?`"]);
    check_warned(&[], "{{a}} like web*", &[]);
    check_warnings(
        &[],
        "{{memtotal}} >= 16GiB",
        &["warning[P107]: a machine with 16GiB has a little less as `memtotal`\n  \
           {{memtotal}} >= 16GiB\n                  \
           ^^^^^ leave it room: `{{memtotal}} > 15GiB`"],
    );
    check_warned(&[], "{{memtotal}} > 15GiB && {{memtotal}} >= 16GB", &[]);
    check_warned(&[], "any d in {{x}} ({{y}} == 1)", &["the condition does not look at `d`"]);
}

#[track_caller]
fn check_explained(facts: &str, policy: &str, expected: &[&str]) {
    let found = Policy::parse(policy).unwrap().explain(&json(facts)).to_string();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "\n{found}\n");
}

#[test]
fn explanations_are_trees() {
    check_explained(
        r#"{"os_dist": "Ubuntu"}"#,
        STORAGE,
        &[
            "U and",
            "|- T {{os_dist}} == Ubuntu     os_dist = \"Ubuntu\" (host)",
            "`- U {{storage_tier}} == true  missing: no source sets storage_tier  <- decides",
            "would be true if storage_tier were true",
        ],
    );
    check_explained(
        r#"{"a": "x", "m": {}, "n": 1}"#,
        "not ({{a}} == x || {{m.k}} > 5) || {{a}} > 5 && {{n}} == {{a}}",
        &[
            "F or",
            "|- F not",
            "|  `- T or",
            "|     |- T {{a}} == x   a = \"x\" (host)  <- decides",
            "|     `- U {{m.k}} > 5  missing: nothing at m.k",
            "`- F and",
            "   |- U {{a}} > 5       a = \"x\" (host): text has no order",
            "   `- F {{n}} == {{a}}  n = 1 (host), a = \"x\" (host)  <- decides",
            "would be true if a were \"another text\" and m.k were 5",
        ],
    );
    check_explained("{}", "true", &["T true"]);
}

#[test]
fn explanations_propose_what_would_change_the_verdict() {
    let check = |facts: &str, text, expected: Option<&str>| {
        let explanation = Policy::parse(text).unwrap().explain(&json(facts));
        let found = explanation.would.as_ref().map(ToString::to_string);
        assert_eq!(found.as_deref(), expected, "{text}");
    };
    let ubuntu = r#"{"os_dist": "Ubuntu", "tags": ["db"], "n": 3, "v": "1.9"}"#;
    check(ubuntu, "{{os_dist}} == Debian", Some("would be true if os_dist were \"Debian\""));
    check(ubuntu, "{{os_dist}} == Ubuntu", Some("would be false if os_dist were \"another text\""));
    check(ubuntu, "{{n}} > 5 && {{n}} < 7", Some("would be true if n were 6"));
    check(ubuntu, "{{n}} > 5 || {{os_dist}} == Debian && {{x}}", Some("would be true if n were 6"));
    check(ubuntu, "{{tags}} contains web", Some("would be true if tags were [\"db\",\"web\"]"));
    check(ubuntu, "{{tags}} contains db", Some("would be false if tags were []"));
    check(ubuntu, "exists({{x}})", Some("would be true if x were true"));
    check(ubuntu, "exists({{n}})", Some("would be false if n were not there"));
    check(ubuntu, "version({{v}}) >= 2", Some("would be true if version(v) were 2"));
    check(ubuntu, "{{h}} like web-*", Some("would be true if h were \"web-\""));
    check(ubuntu, "{{h}} matches /^web$/", Some("would be true if h were \"web\""));
    check(ubuntu, "{{memtotal}} > 1GB", Some("would be true if memtotal were 1000000001"));
    check(
        ubuntu,
        "{{default_ipv4}} in 10.0.0.0/8",
        Some("would be true if default_ipv4 were 10.0.0.0"),
    );
    check(
        ubuntu,
        "{{devices.sda.rotational}}",
        Some("would be true if devices.sda.rotational were true"),
    );
    check(ubuntu, "{{a}} == b && {{a}} == c", None);
    check(ubuntu, "true", None);
}

#[test]
fn explanations_tell_the_elements_of_a_quantifier() {
    check_explained(
        r#"{"devices": {"sda": {"size": 9}, "sdb": {"size": 5}, "sdc": {}}}"#,
        "any d in {{devices}} ({{d.size}} > 7)",
        &[
            "T any d in {{devices}} ({{d.size}} > 7)  devices = {\"sda\":{\"size\":9},\"sdb\":{\"size\":5},\"sdc\":{}} (host): true for sda; unknown for sdc; false for sdb",
        ],
    );
}

#[test]
fn explanations_are_json() {
    let explanation = Policy::parse(STORAGE).unwrap().explain(&json(r#"{"os_dist": "Ubuntu"}"#));
    let expected = serde_json::json!({
        "text": "{{os_dist}} == Ubuntu && {{storage_tier}} == true",
        "verdict": "unknown",
        "reason": "missing",
        "decides": true,
        "join": "and",
        "would": {"verdict": "true", "changes": [{"path": "storage_tier", "value": true}]},
        "parts": [
            {
                "text": "{{os_dist}} == Ubuntu",
                "span": {"start": 0, "end": 21},
                "verdict": "true",
                "decides": false,
                "facts": [{"path": "os_dist", "value": "Ubuntu", "type": "text", "source": "host"}],
            },
            {
                "text": "{{storage_tier}} == true",
                "span": {"start": 25, "end": 49},
                "verdict": "unknown",
                "reason": "missing",
                "decides": true,
                "facts": [{"path": "storage_tier", "value": null, "source": null}],
            },
        ],
    });
    assert_eq!(serde_json::to_value(&explanation).unwrap(), expected);
    let decisive: Vec<_> = explanation.decisive().map(|leaf| leaf.text.as_str()).collect();
    assert_eq!(decisive, ["{{storage_tier}} == true"]);
}

/// Every comparison of likely values with likely literals, at a glance and as it is meant.
#[test]
fn what_is_seen_at_a_glance_is_what_is_meant() {
    const LONG: &str = "a_text_that_is_longer_than_a_key";
    let other = LONG.replace("key", "kex");
    let names = ["a", LONG, "a.b", "os_dist", "memtotal", "kernel", "efi", "default_ipv4"];
    let names = names.into_iter().chain(["processor_features", "shard"]);
    let literals = ["a", "\"\"", "true", "'true'", "7", "'7'", "7.5", "1KiB", "7s", "10.0.0.1"];
    let literals = literals.into_iter().chain(["fifteen_letters", LONG, &other, "22.04", "-1"]);
    let ops = ["==", "!=", "<", "<=", ">", ">=", "contains", "not contains", "in", "not in"];
    let list = |first: &str| {
        let rest = (0..9).map(|at| Value::from(format!("{at}_{LONG}")));
        Value::List([Value::from(first)].into_iter().chain(rest).collect())
    };
    let mut values = vec![Value::Float(7.5), Value::Float(7.0), list("a"), list(LONG)];
    values.extend(["a", "", "b", "True", "7", "7.5", "22.04", "fifteen_letters"].map(Value::from));
    values.extend([LONG, other.as_str(), "10.0.0.1"].map(Value::from));
    values.extend([7, -1, 1024, i64::MAX].map(Value::from));
    values.extend(["True", "false", "TRUE"].map(Value::from_text));
    values.extend([Value::Ip([10, 0, 0, 1].into()), Value::List(vec![Value::from("a")])]);
    values.push(Value::Map([("b".to_owned(), Value::from(7))].into()));
    let mut texts: Vec<String> = Vec::new();
    for name in names {
        texts.extend([format!("{{{{{name}}}}}"), format!("exists({{{{{name}}}}})")]);
        for literal in literals.clone() {
            texts.extend(ops.map(|op| format!("{{{{{name}}}}} {op} {literal}")));
            texts.push(format!("{{{{{name}}}}} in [{literal}, b, {LONG}]"));
            texts.push(format!("{{{{{name}}}}} not in [b, {literal}]"));
        }
    }
    let policies: Vec<Policy> = texts.iter().filter_map(|text| Policy::parse(text).ok()).collect();
    // The others are refused for what their facts are known to be.
    assert!(policies.len() > texts.len() / 3, "{} of {}", policies.len(), texts.len());
    let set = PolicySet::new(&policies);
    let mut columns = FactColumns::default();
    for value in values {
        let mut facts = Facts::new();
        for name in policies.iter().flat_map(Policy::reads) {
            facts.insert(name.clone(), value.clone(), Source::Start);
        }
        let verdicts = set.evaluate(&facts);
        for (policy, verdict) in policies.iter().zip(verdicts) {
            let meant = eval::evaluate(&policy.0.tree, &Scope::new(&facts));
            assert_eq!(policy.evaluate(&facts), meant, "{policy}, {value:?}");
            assert_eq!(verdict, meant, "{policy}, {value:?} in a set");
            columns.set(0, Arc::new(facts.clone()));
            assert_eq!(columns.evaluate(policy), [meant], "{policy}, {value:?} in a column");
        }
    }
}

const NOWHERE: Span = Span { start: 0, end: 0 };

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        "[a-z]{1,3}|[0-9]{1,2}|.{0,4}".prop_map(|key| Step::Key(key.into())),
        (0..9_usize).prop_map(Step::Index),
    ];
    prop::collection::vec(step, 0..3)
}

fn any_path() -> impl Strategy<Value = Path> {
    let cast = prop::sample::select(Cast::ALL.to_vec());
    ("[a-f]|x[.-]y", any_steps(), prop::option::weighted(0.2, cast)).prop_map(
        |(name, steps, cast)| {
            let path = Path::new(FactName::parse(&name).unwrap(), steps, NOWHERE);
            match cast {
                Some(cast) => path.cast(cast, NOWHERE),
                None => path,
            }
        },
    )
}

/// A path as it stands alone, without a function around it.
fn plain_path() -> impl Strategy<Value = Path> {
    ("[a-f]|x[.-]y", any_steps())
        .prop_map(|(name, steps)| Path::new(FactName::parse(&name).unwrap(), steps, NOWHERE))
}

fn any_literal() -> impl Strategy<Value = Literal> {
    let bare = "-?[0-9]{1,3}(\\.[0-9]{1,2})?(GiB|kB|G)?|true|False|[a-z0-9_:][a-z0-9_.:/@+%*~-]{0,8}|\
                10\\.0\\.0\\.[0-9](/8)?";
    prop_oneof![
        bare.prop_filter("a word", |text| token::is_atom(text))
            .prop_map(|text| Literal::bare(&text, NOWHERE).unwrap()),
        ".{0,8}|true|16GiB|like".prop_map(|text| Literal::quoted(&text, NOWHERE)),
    ]
}

fn any_test() -> impl Strategy<Value = Test> {
    let order = || prop::sample::select(vec![Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let among = || prop::sample::select(vec![Op::In, Op::NotIn]);
    let holds = prop::sample::select(vec![Op::Contains, Op::NotContains]);
    let list = prop::collection::vec(any_literal(), 1..4).prop_map(Operand::List);
    let network = prop::sample::select(vec!["10.0.0.0/8", "fe80::/10"])
        .prop_map(|text| Operand::One(Literal::bare(text, NOWHERE).unwrap()));
    let one = || any_literal().prop_map(Operand::One);
    let fact = || any_path().prop_map(Operand::Fact);
    let glob = "[a-c*?]{0,4}|.{0,4}";
    let glob = glob.prop_filter_map("a glob", |text| Glob::new(&text, NOWHERE).ok());
    let like = prop::sample::select(vec![Op::Like, Op::NotLike]);
    let regex = ("[a-c.^$*/]{1,4}|[a-c]{1,3}|\\PC{1,4}|.{1,3}", prop::bool::ANY);
    let regex =
        regex.prop_filter_map("a pattern", |(text, case)| Pattern::new(&text, case, NOWHERE).ok());
    let matches = prop::sample::select(vec![Op::Matches, Op::NotMatches]);
    let pattern = prop_oneof![
        (like, glob.prop_map(Operand::Glob)),
        (matches, regex.prop_map(Operand::Pattern)),
    ];
    let compare = |(path, op, operand)| Test::Compare(path, op, operand);
    let tests = prop_oneof![
        plain_path().prop_map(Test::Holds),
        plain_path().prop_map(Test::Exists),
        (any_path(), order(), prop_oneof![one(), fact()]).prop_map(compare),
        (any_path(), among(), prop_oneof![list, network, fact()]).prop_map(compare),
        (any_path(), holds, prop_oneof![one(), fact()]).prop_map(compare),
        (any_path(), pattern).prop_map(|(path, (op, operand))| Test::Compare(path, op, operand)),
    ];
    tests.prop_filter("of fitting types", |test| {
        check::test(&Clause { test: test.clone(), span: NOWHERE }).is_ok()
    })
}

/// Any normal tree that the grammar can make.
fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = any_test().prop_map(|test| Expr::Clause(Clause { test, span: NOWHERE }.into()));
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 2..4);
        let quantifier =
            prop::sample::select(vec![Quantifier::Any, Quantifier::All, Quantifier::None]);
        prop_oneof![
            3 => parts().prop_map(|mut parts| {
                let first = parts.remove(0);
                build::and("", NOWHERE, first, parts).unwrap()
            }),
            3 => parts().prop_map(|mut parts| {
                let first = parts.remove(0);
                build::or("", NOWHERE, first, parts).unwrap()
            }),
            2 => inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            2 => (quantifier, plain_path(), "[a-f]", inner.clone()).prop_filter_map(
                "bound",
                |(quantifier, over, name, body)| {
                    let each =
                        build::each("", NOWHERE, quantifier, (NOWHERE, &name), over, body).ok()?;
                    match each {
                        build::Item::Group(_, expr) => Some(expr),
                        build::Item::Words(_) => None,
                    }
                },
            ),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "true|False|[a-c]|[0-9]{1,2}|[0-9]\\.[0-9]".prop_map(|text| Value::from_text(&text)),
        (-5.0..5.0).prop_map(Value::Float),
        Just(Value::Ip([10, 0, 0, 1].into())),
        Just(Value::Net("10.0.0.0/16".parse().unwrap())),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(Value::Map),
        ]
    })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let texts = prop::collection::vec("[a-c]{1,2}".prop_map(Value::from), 8..12);
    let value = prop_oneof![9 => any_value(), 1 => texts.prop_map(Value::List)];
    prop::collection::btree_map("[a-f]|os_dist_version|memtotal|default_ipv4", value, 0..8)
        .prop_map(|values| {
            let mut facts = Facts::new();
            for (name, value) in values {
                facts.insert(FactName::parse(&name).unwrap(), value, Source::Start);
            }
            facts
        })
}

/// Text that is almost a policy.
fn almost_a_policy() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{{a}}",
        "{{memtotal}}",
        "{{",
        "}}",
        "==",
        "=",
        "!",
        "<",
        "&&",
        "||",
        "and",
        "not",
        "in",
        "contains",
        "(",
        ")",
        "[",
        "]",
        ",",
        "b",
        "'c d'",
        "\"",
        "'",
        "16GiB",
        "true",
        "10.0.0.0/8",
        "exists",
        "version(",
        "like",
        "b*",
        "matches",
        "/b/",
        "/",
        "any",
        "all d in {{a}} (",
        "{{d}}",
        "5m",
        "“",
        "—",
        "ü",
        "\\",
        "#",
        "\n",
        "-",
        "/",
        ".",
        "\\\u{1b}",
        "{{\u{7f}}}",
        "\u{202e}",
        "\0",
    ]);
    prop::collection::vec((part, prop::bool::ANY), 0..24).prop_map(|parts| {
        parts.iter().flat_map(|(part, space)| [*part, if *space { " " } else { "" }]).collect()
    })
}

fn ask(expr: &Expr, facts: &Facts) -> Verdict {
    eval::evaluate(expr, &Scope::new(facts))
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in prop_oneof![any::<String>(), almost_a_policy()]) {
        match Policy::parse(&text) {
            Ok(policy) => {
                prop_assert_eq!(&Policy::parse(policy.as_str()).unwrap(), &policy);
                let _ = policy.check([&json(r#"{"a": "B", "b": [1]}"#)]);
            }
            Err(error) => {
                prop_assert!(text.get(error.span().range()).is_some());
                prop_assert!(error.render().lines().count() <= 4);
                prop_assert!(!error.to_string().contains(char::is_control), "{}", error);
                prop_assert!(!error.help().is_some_and(|help| help.contains(char::is_control)));
                prop_assert!(error.line() >= 1 && error.column() >= 1);
            }
        }
    }

    #[test]
    fn fixes_replace_what_they_say(text in almost_a_policy()) {
        if let Err(error) = Policy::parse(&text)
            && let Some(fix) = error.fix()
        {
            let mut fixed = text.clone();
            fixed.replace_range(fix.span.range(), &fix.replacement);
            prop_assert_ne!(fixed, text);
        }
    }

    #[test]
    fn what_is_printed_reads_the_same(tree in any_expr()) {
        let text = tree.to_string();
        let policy = Policy::parse(&text);
        prop_assert!(policy.is_ok(), "{text}\n{}", policy.unwrap_err().render());
        let policy = policy.unwrap();
        prop_assert_eq!(&policy.0.tree, &tree, "{}", text);
        prop_assert_eq!(policy.as_str(), text);
    }

    #[test]
    fn programs_say_what_their_trees_mean(tree in any_expr(), facts in any_facts()) {
        prop_assert_eq!(Program::new(&tree).evaluate(&facts), ask(&tree, &facts), "{}", tree);
    }

    #[test]
    fn sets_say_what_their_policies_say(
        trees in prop::collection::vec(any_expr(), 0..6),
        facts in any_facts(),
    ) {
        let parsed = trees.iter().map(|tree| Policy::parse(&tree.to_string()));
        let policies: Vec<Policy> = parsed.collect::<Result<_, _>>().unwrap();
        // What is there twice is known the second time.
        let twice: Vec<Policy> = policies.iter().chain(&policies).cloned().collect();
        let alone: Vec<Verdict> = twice.iter().map(|policy| policy.evaluate(&facts)).collect();
        prop_assert_eq!(PolicySet::new(&twice).evaluate(&facts), alone);
    }

    #[test]
    fn columns_say_what_their_rows_say(
        trees in prop::collection::vec(any_expr(), 1..5),
        nodes in prop::collection::vec(any_facts(), 1..6),
        changed in any_facts(),
    ) {
        let mut nodes: Vec<Arc<Facts>> = nodes.into_iter().map(Arc::new).collect();
        let mut columns = FactColumns::default();
        for (row, facts) in nodes.iter().enumerate().rev() {
            columns.set(row, Arc::clone(facts));
        }
        for tree in &trees {
            let policy = Policy::parse(&tree.to_string()).unwrap();
            let one_by_one: Vec<_> = nodes.iter().map(|facts| policy.evaluate(facts)).collect();
            prop_assert_eq!(columns.evaluate(&policy), one_by_one, "{}", policy);
            nodes[0] = Arc::new(changed.clone());
            columns.set(0, Arc::clone(&nodes[0]));
        }
    }

    #[test]
    fn sets_that_are_updated_say_what_their_policies_say(
        trees in prop::collection::vec(any_expr(), 1..6),
        (before, after) in (any_facts(), any_facts()),
    ) {
        let parsed = trees.iter().map(|tree| Policy::parse(&tree.to_string()));
        let set = PolicySet::new(&parsed.collect::<Result<Vec<_>, _>>().unwrap());
        let mut verdicts = set.judge(&before);
        for (before, after) in [(&before, &after), (&after, &before)] {
            set.update(after, before.changed(after), &mut verdicts);
            prop_assert_eq!(verdicts.as_slice(), set.evaluate(after));
        }
    }

    /// What is said to be never true is not true, and what is always true is true or unknown.
    #[test]
    fn constants_are_constant(tree in any_expr(), facts in any_facts()) {
        let verdict = ask(&tree, &facts);
        if domain::is_never(&tree) {
            prop_assert_ne!(verdict, Verdict::True, "{}", tree);
        }
        if domain::is_always(&tree) {
            prop_assert_ne!(verdict, Verdict::False, "{}", tree);
        }
    }

    #[test]
    fn explanations_agree_with_verdicts(tree in any_expr(), facts in any_facts()) {
        let verdict = eval::evaluate(&tree, &Scope::new(&facts));
        let explanation = explain::explain(&tree, &facts);
        prop_assert_eq!(explanation.verdict, verdict);
        prop_assert!(explanation.decisive().next().is_some());
    }

    /// Changing what an explanation proposes, and only that, changes the verdict as it says.
    #[test]
    fn proposals_change_the_verdict(tree in any_expr(), facts in any_facts()) {
        let explanation = explain::explain(&tree, &facts);
        let Some(would) = explanation.would else { return Ok(()) };
        let changed = would.apply(&facts);
        let program = Program::new(&tree);
        prop_assert_eq!(program.evaluate(&changed), would.verdict, "{}", tree);
        prop_assert_ne!(explanation.verdict, would.verdict);
        prop_assert!(!would.changes.is_empty());
        let mut read = Vec::new();
        tree.paths(&mut |path| read.push(path.bare().to_string()));
        prop_assert!(would.changes.iter().all(|change| read.contains(&change.path)));
        let names: Vec<_> = would.changes.iter().map(|change| change.path.clone()).collect();
        for name in facts.changed(&changed) {
            prop_assert!(names.iter().any(|path| path.contains(name.as_str())), "{name}");
        }
    }

    /// For conditions that ask of every fact one thing only, there is always a proposal.
    #[test]
    fn simple_conditions_have_proposals(
        values in prop::collection::vec(("[a-z]{1,3}|[0-9]{1,3}", 0..6_usize), 1..6),
        or in prop::bool::ANY,
        facts in any_facts(),
    ) {
        let ops = ["==", "!=", "<", ">", "contains", "like"];
        let parts: Vec<String> = values
            .iter()
            .enumerate()
            .filter(|(_, (value, op))| !(2..4).contains(op) || value.parse::<i64>().is_ok_and(|n| n.to_string() == *value))
            .map(|(at, (value, op))| format!("{{{{x{at}}}}} {} \"{value}\"", ops[*op]))
            .collect();
        prop_assume!(!parts.is_empty());
        let policy = Policy::parse(&parts.join(if or { " || " } else { " && " })).unwrap();
        let explanation = policy.explain(&facts);
        prop_assert!(explanation.would.is_some(), "{}\n{}", policy, explanation);
    }

    #[test]
    fn order_of_parts_does_not_matter(
        parts in prop::collection::vec(any_expr(), 2..4),
        facts in any_facts(),
    ) {
        let backward: Vec<_> = parts.iter().rev().cloned().collect();
        for join in [Expr::And, Expr::Or] {
            let (forward, backward) = (join(parts.clone()), join(backward.clone()));
            prop_assert_eq!(ask(&forward, &facts), ask(&backward, &facts));
        }
    }

    #[test]
    fn not_turns_and_into_or(left in any_expr(), right in any_expr(), facts in any_facts()) {
        let not = |expr: &Expr| Expr::Not(Box::new(expr.clone()));
        let outside = not(&Expr::And(vec![left.clone(), right.clone()]));
        let inside = Expr::Or(vec![not(&left), not(&right)]);
        prop_assert_eq!(ask(&outside, &facts), ask(&inside, &facts));
    }

    #[test]
    fn opposite_operators_give_opposite_verdicts(test in any_test(), facts in any_facts()) {
        if let Test::Compare(path, op, operand) = test {
            let ask = |op| {
                let test = Test::Compare(path.clone(), op, operand.clone());
                eval::test(&test, &Scope::new(&facts))
            };
            prop_assert_eq!(ask(op.negated()), !ask(op));
        }
    }

    #[test]
    fn versions_are_in_a_total_order(
        a in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([-~.]?(rc|a|b|k|dev)?[0-9]{0,2})?",
        b in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([-~.]?(rc|a|b|k|dev)?[0-9]{0,2})?",
        c in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([-~.]?(rc|a|b|k|dev)?[0-9]{0,2})?",
    ) {
        prop_assert_eq!(version::compare(&a, &b), version::compare(&b, &a).reverse());
        if version::compare(&a, &b).is_le() && version::compare(&b, &c).is_le() {
            prop_assert!(version::compare(&a, &c).is_le());
        }
    }
}
