//! What snapctl says of its own, without a daemon.

use std::{net::TcpListener, path::Path};

use crate::support::Test;

#[test]
fn help_is_complete() {
    Test::line("--help")
        .stdout(
            "\
Ask and direct snapd: tribes, their policies, members, facts, plugins and tasks

Every command goes to the snapd behind one socket, which knows and directs the whole cluster.
Without `--tribe` plugins and tasks are those of its own node. Data is printed to stdout, all else
to stderr.

Usage: snapctl [OPTIONS] <COMMAND>

Commands:
  tribe    Create tribes and put nodes in them, by hand or by policy
  member   See the nodes of the cluster, and forget dead ones
  fact     See and set the facts that policies judge
  key      Exchange the key of the cluster
  plugin   Load plugins, on this node or on a tribe, and see what other nodes offer
  task     Run tasks: collect, process and publish on a schedule, on this node or on a tribe
  tap      Print what flows out of the steps of a task on this node, as it happens
  metric   See the metrics of the node behind the socket
  events   Print what happens in the cluster from now on
  backup   Keep what people said in a file
  restore  Say again what a file of `snapctl backup` says
  version  Print the versions of client and daemon
  help     Print this message or the help of the given subcommand(s)

Options:
  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version

Global options:
      --socket <PATH>
          Socket of snapd
          
          [env: SNAP_SOCKET]
          [default: /run/snap/snapd.sock]

      --url <URL>
          URL of snapd instead of a socket, as in `https://i1.example:8181`; SNAP_URL covers
          SNAP_SOCKET
          
          [env: SNAP_URL]

      --password-file <FILE>
          File with the password that snapd asks for at its URL, mode 0600
          
          [env: SNAP_PASSWORD_FILE]

      --cacert <FILE>
          PEM file with the certificate that vouches for snapd [default: those the system trusts]
          
          [env: SNAP_CACERT]

  -o, --output <FORMAT>
          Format of the data on stdout

          Possible values:
          - table: Lines of columns, for people and grep
          - json:  JSON as the control API has it, for programs
          
          [default: table]

      --wait[=<SECONDS>]
          Writes wait until all live nodes hold the change, at most this long [alone: 10 seconds]
          
          `--wait 30` and `--wait=30` are the same. Who did not answer in time is listed on stderr
          and the exit status is 4; the change is made nevertheless. Commands that only read do not
          wait.

      --timeout <SECONDS>
          Give up on an answer of snapd after this time [default: 60, and 900 to load a plugin]
          
          What snapd is asked to `--wait` comes on top. The exit status is 5, and a change may have
          been made or not. Of `events`, `tap` and `task watch` it ends what they print.

Examples:
  snapctl tribe create storage --description 'nodes that watch disks'
  snapctl tribe join storage i1
  snapctl tribe policy test '{{os_dist}} == Ubuntu' --tribe core
  snapctl --wait tribe policy create ubuntu '{{os_dist}} == Ubuntu' --tribe core
  snapctl fact set i2 storage_tier=True
  snapctl plugin load ./snap-plugin-collector-psutil
  snapctl plugin load influxdb --tribe core
  snapctl task create -t psutil-influx.json --tribe core
  snapctl tribe status core
  snapctl tap psutil-influx --tribe core
  snapctl metric collect '/intel/psutil/load/*'
  snapctl -o json member list

Exit status:
  0  done
  1  failed, or snapd refused
  2  the command line is wrong, snapd was not asked
  3  no tribe, policy, node, plugin, task or metric of that name, or no match
  4  done, but not everyone said within --wait that they hold it, or not all
     that a tribe asks is done
  5  snapd cannot be reached, or went away
  6  not allowed
  130, 143  interrupted, or asked to end",
        )
        .run();
}

#[test]
fn short_help_is_the_same_as_no_command() {
    let help = "\
Ask and direct snapd: tribes, their policies, members, facts, plugins and tasks

Usage: snapctl [OPTIONS] <COMMAND>

Commands:
  tribe    Create tribes and put nodes in them, by hand or by policy
  member   See the nodes of the cluster, and forget dead ones
  fact     See and set the facts that policies judge
  key      Exchange the key of the cluster
  plugin   Load plugins, on this node or on a tribe, and see what other nodes offer
  task     Run tasks: collect, process and publish on a schedule, on this node or on a tribe
  tap      Print what flows out of the steps of a task on this node, as it happens
  metric   See the metrics of the node behind the socket
  events   Print what happens in the cluster from now on
  backup   Keep what people said in a file
  restore  Say again what a file of `snapctl backup` says
  version  Print the versions of client and daemon
  help     Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help (see more with '--help')
  -V, --version  Print version

Global options:
      --socket <PATH>         Socket of snapd [env: SNAP_SOCKET] [default: /run/snap/snapd.sock]
      --url <URL>             URL of snapd instead of a socket, as in `https://i1.example:8181`;
                              SNAP_URL covers SNAP_SOCKET [env: SNAP_URL]
      --password-file <FILE>  File with the password that snapd asks for at its URL, mode 0600 [env:
                              SNAP_PASSWORD_FILE]
      --cacert <FILE>         PEM file with the certificate that vouches for snapd [default: those
                              the system trusts] [env: SNAP_CACERT]
  -o, --output <FORMAT>       Format of the data on stdout [default: table] [possible values: table,
                              json]
      --wait[=<SECONDS>]      Writes wait until all live nodes hold the change, at most this long
                              [alone: 10 seconds]
      --timeout <SECONDS>     Give up on an answer of snapd after this time [default: 60, and 900 to
                              load a plugin]";
    Test::line("-h").stdout(help).run();
    Test::new([]).stderr(help).status(2).run();
}

#[test]
fn the_version_is_one_line() {
    Test::line("--version").stdout(concat!("snapctl ", env!("CARGO_PKG_VERSION"))).run();
}

#[test]
fn a_pasted_dash_is_explained() {
    let check = |line: &str, word: &str, meant: &str| {
        Test::line(line)
            .stderr(&format!(
                "error: `{word}` begins with a typographic dash, use `{meant}`\n\
                 help: text behind `--` is taken as it is"
            ))
            .status(2)
            .run();
    };
    check("tribe policy create p true —tribe core", "—tribe", "--tribe");
    check("tribe policy create p true –tribe core", "–tribe", "--tribe");
    check("tribe policy create p true —tribe=core", "—tribe=core", "--tribe=core");
    check("–o json tribe list", "–o", "-o");
    check("plugin load influxdb —tribe core", "—tribe", "--tribe");
    check("plugin task create -t x.json —tribe core", "—tribe", "--tribe");
    check("task create –t psutil-influx.json —tribe core", "–t", "-t");
    check("task create -t psutil-influx.json —tribe core", "—tribe", "--tribe");
    check("tap psutil-influx —step collect", "—step", "--step");
    check("task watch psutil-influx –step=collect", "–step=collect", "--step=collect");
}

#[test]
fn agreements_have_become_tribes() {
    let check = |line: &str, meant: &str| {
        Test::line(line)
            .stderr(&format!("error: agreements have become tribes\nhelp: use `{meant}`"))
            .status(2)
            .run();
    };
    check("agreement create core", "snapctl tribe create core");
    check("agreement join core i1", "snapctl tribe join core i1");
    check("agreement members core", "snapctl tribe show core");
    check("agreement", "snapctl tribe --help");
    check("agreement --help", "snapctl tribe --help");
}

#[test]
fn tasks_are_not_commands_of_plugins() {
    let check = |words: &[&str], meant: &str| {
        Test::new(words.iter().copied())
            .stderr(&format!("error: tasks are commands of their own\nhelp: use `{meant}`"))
            .status(2)
            .run();
    };
    check(
        &["plugin", "task", "create", "-t", "disk io.json", "--tribe", "core"],
        "snapctl task create -t 'disk io.json' --tribe core",
    );
    check(&["plugin", "task", "list"], "snapctl task list");
    check(&["plugin", "task"], "snapctl task --help");
    check(&["plugin", "task", "--help"], "snapctl task --help");
}

#[test]
fn a_task_needs_a_manifest() {
    Test::line("task create --tribe core")
        .stderr(
            "\
error: the following required arguments were not provided:
  <FILE>

Usage: snapctl task create --tribe <TRIBE> <FILE>

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn what_cannot_be_read_is_not_sent() {
    let directory = tempfile::tempdir().expect("there is room");
    let here = directory.path().to_str().expect("the path is text").to_owned();
    let check = |words: &[&str], path: &str, reason: &str| {
        Test::new(words.iter().copied())
            .stderr(&format!("error: cannot read `{path}`: {reason}"))
            .status(1)
            .run();
    };
    let none = format!("{here}/none");
    let missing = "No such file or directory (os error 2)";
    check(&["plugin", "load", &none], &none, missing);
    check(&["plugin", "load", &here], &here, "is a directory");
    check(&["plugin", "load", "/"], "/", "it is not a file");
    check(&["task", "create", &none], &none, missing);
    check(&["task", "create", &here], &here, "Is a directory (os error 21)");
    let plugin = format!("{here}/plugin");
    std::fs::write(&plugin, b"\x7fELF\xff").expect("there is room");
    check(&["task", "create", &plugin], &plugin, "stream did not contain valid UTF-8");
    check(&["plugin", "load", &plugin, "--signature", &none], &none, missing);
    std::fs::create_dir(format!("{plugin}.asc")).expect("there is room");
    check(&["plugin", "load", &plugin], &format!("{plugin}.asc"), "Is a directory (os error 21)");
}

#[test]
fn a_signature_is_for_a_file() {
    Test::line("plugin load influxdb --signature x.asc")
        .stderr(
            "\
error: `--signature` is for a file of this host
help: snapd takes the signature of a plugin from its plugin directory as well",
        )
        .status(2)
        .run();
}

#[test]
fn a_variable_that_is_not_set_is_told_with_its_place() {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("t.yaml");
    std::fs::write(&path, "version: 1\nname: $TRIBE_NO_SUCH\n").expect("there is room");
    let path = path.to_str().expect("the path is text");
    Test::new(["task", "create", path])
        .stderr(&format!(
            "error: in `{path}`: line 2: environment variable `TRIBE_NO_SUCH` is not \
             set, write `$$` for a dollar sign"
        ))
        .status(1)
        .run();
}

#[test]
fn every_command_shows_how_it_is_used() {
    let check = |line: &str, example: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_snapctl"))
            .args(line.split(' '))
            .arg("--help")
            .output()
            .expect("snapctl can be run");
        let help = String::from_utf8(output.stdout).expect("help is text");
        assert!(help.lines().any(|line| line.trim() == example), "{example} in {help}");
    };
    check("plugin load", "snapctl plugin load influxdb --tribe core");
    check(
        "plugin list",
        "snapctl plugin list --remote --tribe core  # what its members offer to others",
    );
    check("task create", "snapctl task create -t psutil-influx.json --tribe core");
    check("task export", "snapctl task export disk-io --tribe storage > disk-io.json");
    check("tap", "snapctl tap psutil-influx --tribe core");
    check("task tap", "snapctl tap psutil-influx --tribe core");
    check("task watch", "snapctl task watch psutil-influx --tribe core");
    check("metric show", "snapctl metric show '/intel/psutil/cpu/*/user'");
}

#[test]
fn a_mistyped_command_is_suggested() {
    Test::line("tribe creat core")
        .stderr(
            "\
error: unrecognized subcommand 'creat'

  tip: a similar subcommand exists: 'create'

Usage: snapctl tribe [OPTIONS] <COMMAND>

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn a_policy_needs_its_tribe() {
    Test::new(["tribe", "policy", "create", "p", "{{os_dist}} == Ubuntu"])
        .stderr(
            "\
error: the following required arguments were not provided:
  --tribe <TRIBE>

Usage: snapctl tribe policy create --tribe <TRIBE> <NAME> <TEXT>

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn a_new_policy_alone_has_nothing_to_force() {
    Test::new(["tribe", "policy", "create", "p", "true", "--tribe", "core", "--force"])
        .stderr(
            "error: `--force` has nothing to force: a new policy moves nobody out\n\
             help: give it with `--replace`, `--disabled` or `--strict`, or leave it out",
        )
        .status(2)
        .run();
}

#[test]
fn an_empty_name_is_not_sent() {
    Test::new(["tribe", "delete", ""])
        .stderr(
            "\
error: a value is required for '<NAME>' but none was supplied

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn what_is_no_fact_is_not_sent() {
    let check = |line: &str, stderr: &str| Test::line(line).stderr(stderr).status(2).run();
    check(
        "fact set i2 storage_tier",
        "error: `storage_tier` is not of the form KEY=VALUE\n\
         help: as in `snapctl fact set i2 storage_tier=True`",
    );
    check(
        "fact set i2",
        "error: there is no fact to set behind node `i2`\n\
         help: as in `snapctl fact set i2 storage_tier=True`",
    );
    check(
        "fact unset i2 storage_tier=True",
        "error: `storage_tier=True` is not the name of a fact\n\
         help: give names without values, as in `snapctl fact unset i2 storage_tier`",
    );
}

#[test]
fn snapd_is_at_one_place() {
    Test::line("--socket /run/s --url http://127.0.0.1:1 tribe list")
        .stderr(
            "\
error: snapd is reached by `--socket` or by `--url`, not by both

Usage: snapctl [OPTIONS] <COMMAND>

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn a_time_is_a_number() {
    Test::line("--wait=soon tribe list")
        .stderr(
            "\
error: invalid value 'soon' for '--wait[=<SECONDS>]': give a number of seconds, at most a day

For more information, try '--help'.",
        )
        .status(2)
        .run();
}

#[test]
fn a_timeout_is_some_time() {
    let check = |line: &str, value: &str| {
        let told = "give a number of seconds above 0, at most a day";
        let error = format!("error: invalid value '{value}' for '--timeout <SECONDS>': {told}");
        let stderr = format!("{error}\n\nFor more information, try '--help'.");
        Test::line(line).stderr(&stderr).status(2).run();
    };
    check("--timeout 0 tribe list", "0");
    check("tribe list --timeout -1", "-1");
    check("tribe list --timeout=-1", "-1");
    check("events --timeout 0", "0");
    check("events --timeout -1.5", "-1.5");
    check("tap t --timeout soon", "soon");
}

#[test]
fn a_missing_daemon_is_told_with_its_socket() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("none.sock");
    let stderr = format!(
        "error: cannot connect to snapd at `{}`: there is no such socket\n\
         help: is snapd running? start it with `snapd`, or name its socket with `--socket` or \
         `SNAP_SOCKET`",
        socket.display(),
    );
    Test::line("tribe list").env("SNAP_SOCKET", &socket).stderr(&stderr).status(5).run();
    let socket = socket.to_str().expect("the path is text");
    Test::new(["events", "--follow", "--socket", socket]).stderr(&stderr).status(5).run();
    Test::new(["--socket", socket, "version"])
        .stdout(concat!(
            "PROGRAM  VERSION  API  POLICY-LEVEL\n",
            "snapctl  ",
            env!("CARGO_PKG_VERSION"),
            "    3    -"
        ))
        .stderr(&stderr)
        .status(5)
        .run();
}

#[test]
fn a_socket_nobody_listens_on_is_told_so() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("the socket is free"));
    Test::line("member list")
        .env("SNAP_SOCKET", &socket)
        .stderr(&format!(
            "error: cannot connect to snapd at `{}`: nobody listens there\n\
             help: is snapd running? start it with `snapd`, or name its socket with `--socket` or \
             `SNAP_SOCKET`",
            socket.display(),
        ))
        .status(5)
        .run();
}

#[test]
fn what_is_wrong_with_a_variable_is_told_by_its_name() {
    let check = |name: &str, value: &str, stderr: &str| {
        Test::line("tribe list").env(name, Path::new(value)).stderr(stderr).status(2).run();
    };
    let no_url = |url: &str| {
        format!(
            "error: SNAP_URL: `{url}` is not the URL of a snapd, write it as `https://HOST:8181`"
        )
    };
    check("SNAP_URL", "", &no_url(""));
    check("SNAP_URL", "i1", &no_url("i1"));
    check(
        "SNAP_CACERT",
        "",
        "error: a value is required for 'SNAP_CACERT' but none was supplied\n\n\
         For more information, try '--help'.",
    );
    Test::line("tribe list --url i1")
        .stderr("error: `i1` is not the URL of a snapd, write it as `https://HOST:8181`")
        .status(2)
        .run();
}

#[test]
fn a_url_of_the_environment_covers_a_socket_of_the_environment_and_what_is_typed_covers_both() {
    let nobody = |place: &str, help: &str| {
        format!("error: cannot connect to snapd at {place}\nhelp: {help}")
    };
    // Of a port that was free just now.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (url, socket) = (format!("http://127.0.0.1:{port}"), Path::new("/nowhere/snapd.sock"));
    let at_url = nobody(
        &format!("{url}: nobody listens there"),
        "does snapd listen there? `api: {listen: IP:PORT}` in its snapd.yaml",
    );
    let at_socket = nobody(
        "`/nowhere/snapd.sock`: there is no such socket",
        "is snapd running? start it with `snapd`, or name its socket with `--socket` or \
         `SNAP_SOCKET`",
    );
    let both = |line: &str| {
        Test::line(line).env("SNAP_URL", Path::new(&url)).env("SNAP_SOCKET", socket).status(5)
    };
    both("tribe list").stderr(&at_url).run();
    both("tribe list --socket /nowhere/snapd.sock").stderr(&at_socket).run();
    Test::line(&format!("tribe list --url {url}"))
        .env("SNAP_SOCKET", socket)
        .stderr(&at_url)
        .status(5)
        .run();
}
