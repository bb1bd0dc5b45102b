//! `bindery check --server`: what it finds on servers of each kind, and that it leaves nothing behind.

mod endings;
mod failures;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bindery::storage::{Existing, Storage};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::directories::{chmod, directory, long_deadline, mode};
use crate::support::kind::{CHANGED_PORT, Kind, Server, client_as, test_for};
use crate::support::nfs::Ganesha;

test_for!([v4, v4_1, v3] {
    a_share_that_works_has_all_that_bindery_needs,
    the_check_changes_nothing_that_is_there,
    the_reason_is_the_one_that_a_claim_would_get,
    a_squashed_share_cannot_be_used_by_root,
    a_squashed_directory_that_everybody_may_write_to_is_limited,
    a_share_that_needs_a_privileged_port_is_named,
});

// The kinds of Linux's server are left out: their tests run in the virtual machine, which does not have the program.
// These have neither users nor exports, and cannot be stopped.
test_for!([embedded, mounted] {
    a_share_that_works_has_all_that_bindery_needs,
    the_check_changes_nothing_that_is_there,
});

/// How the check is started: as this user, with a home directory and a kubeconfig that do not exist.
fn command(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindery"));
    command
        .arg("check")
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The arguments that check a share of a server of this kind.
fn arguments(kind: Kind, server: &dyn Server, share: &str) -> Vec<String> {
    let target = server.share(share);
    let mut arguments = vec![
        format!("--server={}", target.server()),
        format!("--share={}", target.path()),
    ];
    match kind {
        Kind::Mounted | Kind::CephMounted => arguments.push(format!("--mounted={}", server.export_dir().display())),
        Kind::V3 | Kind::KnfsdV3 | Kind::CephV3 => arguments.push("--nfs-version=3".to_owned()),
        Kind::V4
        | Kind::V4Minor1
        | Kind::Embedded
        | Kind::Knfsd
        | Kind::KnfsdMinor1
        | Kind::Ceph
        | Kind::CephMinor1 => {}
    }
    arguments
}

fn at(address: IpAddr, share: &str) -> Vec<String> {
    vec![format!("--server={address}"), format!("--share={share}")]
}

/// A report, as programs read it.
struct Report {
    status: Option<i32>,
    json: Value,
}

impl Report {
    fn of(mut arguments: Vec<String>) -> Self {
        arguments.push("--output=json".to_owned());
        Self::read(command(&arguments).output().expect("bindery starts"))
    }

    fn read(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).expect("text");
        let complaint = String::from_utf8_lossy(&output.stderr);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{complaint}"));
        Self {
            status: output.status.code(),
            json,
        }
    }

    /// Returns the result of each step.
    fn results(&self) -> BTreeMap<&str, &str> {
        let steps = self.json["steps"].as_array().expect("the steps").iter();
        steps
            .map(|step| (step["step"].as_str().unwrap(), step["result"].as_str().unwrap()))
            .collect()
    }

    fn step(&self, name: &str) -> (&str, &str) {
        let steps = self.json["steps"].as_array().expect("the steps").iter();
        let mut found = steps.filter(|step| step["step"] == name);
        let step = found
            .next()
            .unwrap_or_else(|| panic!("no step {name}: {:#}", self.json));
        (step["result"].as_str().unwrap(), step["detail"].as_str().unwrap())
    }

    /// Asserts that this step failed for this reason, and that nothing is left.
    fn failed(&self, name: &str, cause: &str) {
        assert_eq!(self.step(name), ("failed", cause));
        assert_eq!((self.status, &self.json["usable"]), (Some(1), &Value::Bool(false)));
        assert_eq!(self.json["left"], Value::Null);
    }
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn a_share_that_works_has_all_that_bindery_needs(kind: Kind) {
    let (server, _) = kind.start();
    let report = Report::of(arguments(kind, &*server, "/export"));
    let mut expected: BTreeMap<&str, &str> = [
        "share", "space", "make", "mode", "owner", "identity", "rename", "list", "remove",
    ]
    .map(|step| (step, "ok"))
    .into();
    if kind != Kind::Mounted {
        expected.extend(
            [
                "name",
                "connect",
                "NFSv4.2",
                "NFSv4.1",
                "NFSv4.0",
                "NFSv3",
                "source port",
            ]
            .map(|step| {
                let offered = match (kind, step) {
                    (_, "name" | "connect" | "source port") => true,
                    (Kind::V3, _) => true,
                    (_, "NFSv3") => false,
                    (Kind::V4Minor1 | Kind::Embedded, version) => version == "NFSv4.1",
                    _ => true,
                };
                (step, if offered { "ok" } else { "no" })
            }),
        );
    }
    assert_eq!(report.results(), expected, "{:#}", report.json);
    assert_eq!((report.status, &report.json["usable"]), (Some(0), &Value::Bool(true)));
    let access = match kind {
        Kind::V4 | Kind::Knfsd | Kind::Ceph => "NFSv4.2",
        Kind::V4Minor1 | Kind::KnfsdMinor1 | Kind::CephMinor1 | Kind::Embedded => "NFSv4.1",
        Kind::V3 | Kind::KnfsdV3 | Kind::CephV3 => "NFSv3",
        Kind::Mounted | Kind::CephMounted => "mount",
    };
    assert_eq!(report.json["access"], access);
    for step in report.json["steps"].as_array().unwrap() {
        assert!(
            step["milliseconds"].as_f64().is_some_and(|time| time < 20_000.0),
            "{step}"
        );
    }
}

async fn the_check_changes_nothing_that_is_there(kind: Kind) {
    let (server, _) = kind.start();
    let dir = server.export_dir();
    for (file, text) in [
        ("mine/a", "1"),
        (".bindery-trash/x/b", "2"),
        (".bindery-check-other/c", "3"),
    ] {
        fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
        fs::write(dir.join(file), text).unwrap();
    }
    let report = Report::of(arguments(kind, &*server, "/export"));
    assert_eq!(
        (report.status, &report.json["left"]),
        (Some(0), &Value::Null),
        "{:#}",
        report.json
    );
    assert_eq!(names_in(&dir), [".bindery-check-other", ".bindery-trash", "mine"]);
    for (file, text) in [
        ("mine/a", "1"),
        (".bindery-trash/x/b", "2"),
        (".bindery-check-other/c", "3"),
    ] {
        assert_eq!(fs::read_to_string(dir.join(file)).unwrap(), text);
    }
    // A directory that a killed check has left is reported, and stays.
    assert_eq!(
        report.step("list"),
        (
            "ok",
            "3 names in the share; directories of other checks are there, remove them if these checks have ended: \
             .bindery-check-other"
        )
    );
}

async fn the_reason_is_the_one_that_a_claim_would_get(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/readonly");
    let report = Report::of(arguments(kind, &*server, "/readonly"));
    let (a, deadline) = (directory("a"), long_deadline());
    let made = client.make(&share, &a, mode(0o777), Existing::LeaveAlone, deadline);
    report.failed("make", &made.await.unwrap_err().cause);
    let skipped = ["mode", "owner", "identity", "rename", "list", "remove"];
    assert!(
        skipped.iter().all(|step| report.step(step) == ("skipped", "not tried")),
        "{:#}",
        report.json
    );
    // Reading needs no right to write.
    assert_eq!((report.step("share").0, report.step("space").0), ("ok", "ok"));
}

async fn a_squashed_share_cannot_be_used_by_root(kind: Kind) {
    let (server, _) = kind.start();
    let report = Report::of(arguments(kind, &*server, "/squashed"));
    let status = kind.status("ACCESS");
    let cause = format!(
        "the server denies it to uid 0 ({status}). Root is probably squashed there: export with no_root_squash, or run \
         Bindery with the owner's --nfs-uid and --nfs-gid. {CHANGED_PORT}"
    );
    report.failed("make", &cause);
    // As the owner of the directory, Bindery can use it. Only the owner of new directories cannot be chosen.
    bindery_owns(&server.dir_of("squashed"));
    let mut arguments = arguments(kind, &*server, "/squashed");
    arguments.extend(["--nfs-uid=4711", "--nfs-gid=4711"].map(str::to_owned));
    let report = Report::of(arguments);
    assert_eq!(
        (report.status, report.step("make").0),
        (Some(0), "ok"),
        "{:#}",
        report.json
    );
    let cause = format!(
        "the server does not let uid 4711 set the owner ({}). Only root can give a directory to others: run Bindery \
         with --nfs-uid 0 and export with no_root_squash. Only StorageClasses without uid and gid can use the share \
         until then.",
        kind.status("PERM")
    );
    assert_eq!(report.step("owner"), ("limited", cause.as_str()));
    assert!(names_in(&server.dir_of("squashed")).is_empty());
}

fn bindery_owns(path: &Path) {
    std::os::unix::fs::chown(path, Some(4711), Some(4711)).unwrap();
}

async fn a_squashed_directory_that_everybody_may_write_to_is_limited(kind: Kind) {
    let (server, _) = kind.start();
    chmod(&server.dir_of("squashed"), 0o777);
    let report = Report::of(arguments(kind, &*server, "/squashed"));
    assert_eq!(
        (report.status, report.step("owner").0),
        (Some(0), "limited"),
        "{:#}",
        report.json
    );
    assert!(names_in(&server.dir_of("squashed")).is_empty());
}

async fn a_share_that_needs_a_privileged_port_is_named(kind: Kind) {
    let (server, _) = kind.start();
    let privileged = arguments(kind, &*server, "/privileged");
    let report = Report::of(privileged.clone());
    let detail = "the share needs a port below 1024, and this process can use one; the network between the pods and the \
                  server must keep it";
    assert_eq!(report.step("source port"), ("ok", detail));
    assert_eq!(report.status, Some(0));

    // An ordinary user has no port below 1024.
    let program = copy_of_the_program();
    let mut as_user = Command::new("setpriv");
    as_user
        .args([
            "--reuid=65532",
            "--regid=65532",
            "--clear-groups",
            "--bounding-set=-all",
        ])
        .arg(program.path().join("bindery"))
        .arg("check")
        .args(&privileged)
        .arg("--output=json")
        .env_clear();
    let report = Report::read(as_user.output().expect("setpriv starts"));
    let (result, cause) = report.step("share");
    let advice = "Bindery came from a source port above 1023, which many exports reject: set the sysctl \
                  net.ipv4.ip_unprivileged_port_start=0 for its pod, or export with insecure.";
    assert!(result == "failed" && cause.ends_with(advice), "{cause}");
    assert_eq!(report.step("source port"), ("skipped", "not tried"));

    // The other shares accept any port.
    let report = Report::of(arguments(kind, &*server, "/export"));
    assert_eq!(report.step("source port"), ("ok", "any port can be used"));
}

/// Returns a directory with a copy of the program that every user can execute.
fn copy_of_the_program() -> TempDir {
    let dir = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    chmod(dir.path(), 0o755);
    fs::copy(env!("CARGO_BIN_EXE_bindery"), dir.path().join("bindery")).unwrap();
    chmod(&dir.path().join("bindery"), 0o755);
    dir
}

#[tokio::test]
async fn people_read_a_table() {
    let server = Ganesha::start();
    let output = command(&arguments(Kind::V4, &server, "/readonly")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let address = Server::address(&server);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        format!("{address}:/readonly over NFSv4.2, as uid 0 and gid 0")
    );
    let heading: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!((lines[1], heading), ("", vec!["STEP", "RESULT", "TIME", "DETAIL"]));
    assert_eq!(
        lines.last().copied(),
        Some("Bindery cannot use this share: correct what failed, and check again.")
    );
    assert!(lines.iter().any(|line| {
        line.starts_with("NFSv3 ") && line.ends_with("the server does not offer it, and Bindery does not need it")
    }));
    // All details begin in the column of the heading.
    let column = lines[2].find("DETAIL").unwrap();
    for line in &lines[3..19] {
        assert!(line.len() <= column || line.as_bytes()[column - 1] == b' ', "{line}");
    }
}

#[tokio::test]
async fn flags_that_do_not_fit_together_are_refused() {
    let refused = |flags: &[&str]| {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let output = command(&flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let alone = refused(&["--server=nas"]);
    assert!(alone.contains("--share <PATH>"), "{alone}");
    let with_class = refused(&["fast", "--server=nas", "--share=/export"]);
    assert!(with_class.contains("cannot be used with"), "{with_class}");
    assert_eq!(
        refused(&["--server=nas", "--share=export"]),
        "bindery check: --server and --share: share \"export\" is not an absolute path; write it as the server exports \
         it, such as /export/volumes\n"
    );
    let version = refused(&["--server=nas", "--share=/export", "--nfs-version=4.1"]);
    assert!(version.contains("allowed are 4 (4.2, else 4.1) or 3"), "{version}");
}

/// Two checks of one share at the same time do not see the directories of each other as their own.
#[tokio::test]
async fn two_checks_at_the_same_time_do_not_disturb_each_other() {
    let server = Ganesha::start();
    let start = || {
        let mut arguments = arguments(Kind::V4, &server, "/export");
        arguments.push("--output=json".to_owned());
        command(&arguments).spawn().unwrap()
    };
    let children: Vec<Child> = (0..4).map(|_| start()).collect();
    for child in children {
        assert_eq!(Report::read(child.wait_with_output().unwrap()).status, Some(0));
    }
    assert!(names_in(&server.export_dir()).is_empty());
    let all = client_as(0).list(&server.share("/export"), None, long_deadline()).await;
    assert_eq!(all, Ok(Vec::new()));
}
