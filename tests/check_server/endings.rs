//! Checks that are interrupted, or whose directory changes meanwhile: what is left is named.

use std::fs;
use std::process::{Child, Command};

use serde_json::Value;

use super::{Report, at, command, names_in};
use crate::support::kind::{Kind, test_for};
use crate::support::relay::{Action, Relay};
use crate::support::wait::eventually;

test_for!([v4, v4_1, v3] {
    an_interrupted_check_removes_its_directory,
    a_directory_that_another_program_uses_is_kept_and_named,
    a_check_that_loses_the_server_names_what_it_may_have_left,
});

/// Starts a check whose calls go through a relay.
fn start_through(relay: &Relay, kind: Kind) -> Child {
    let share = relay.share("/export");
    let mut arguments = at(relay.address(), share.path());
    if kind == Kind::V3 {
        arguments.push("--nfs-version=3".to_owned());
    }
    arguments.extend(["--timeout=1s", "--output=json"].map(str::to_owned));
    command(&arguments).spawn().expect("bindery starts")
}

async fn an_interrupted_check_removes_its_directory(kind: Kind) {
    let (server, _) = kind.start();
    let relay = Relay::to(&*server);
    // The name of a directory that is made after the first one.
    relay.plan("owner", 0, 1, Action::Hold);
    let child = start_through(&relay, kind);
    eventually("a call is held", async || (relay.matched() == 1).then_some(())).await;
    assert_eq!(names_in(&server.export_dir()).len(), 1);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // In version 3 the answer must not come before the signal.
    if kind != Kind::V3 {
        relay.stop_holding();
    }
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        complaint,
        "bindery check: SIGINT ended the check before all steps were tried; start it again\n"
    );
    let report = Report::read(output);
    assert_eq!(
        (report.status, report.step("remove").0),
        (Some(2), "ok"),
        "{:#}",
        report.json
    );
    assert!(names_in(&server.export_dir()).is_empty());
    // Version 3 cannot prevent that the call that was interrupted takes effect later.
    assert_eq!(report.json["left"].is_string(), kind == Kind::V3);
}

async fn a_directory_that_another_program_uses_is_kept_and_named(kind: Kind) {
    let (server, _) = kind.start();
    let relay = Relay::to(&*server);
    relay.plan("owner", 0, 1, Action::Hold);
    let child = start_through(&relay, kind);
    eventually("a call is held", async || (relay.matched() == 1).then_some(())).await;
    let top = names_in(&server.export_dir()).remove(0);
    let file = server.export_dir().join(&top).join("mode/file");
    fs::write(&file, "data").unwrap();
    relay.stop_holding();
    let report = Report::read(child.wait_with_output().unwrap());
    let cause = format!("another program has changed {top}/mode, so it is kept.");
    assert_eq!(report.step("remove"), ("failed", cause.as_str()));
    let path = format!("{}:/export/{top}", relay.address());
    assert_eq!((report.status, &report.json["left"]), (Some(1), &Value::from(path)));
    assert_eq!(fs::read_to_string(file).unwrap(), "data");
}

async fn a_check_that_loses_the_server_names_what_it_may_have_left(kind: Kind) {
    let mut server = kind.restartable();
    let relay = Relay::to(&*server);
    relay.plan("owner", 0, 1, Action::Hold);
    let child = start_through(&relay, kind);
    eventually("a call is held", async || (relay.matched() == 1).then_some(())).await;
    server.freeze();
    relay.stop_holding();
    let report = Report::read(child.wait_with_output().unwrap());
    let there = names_in(&server.export_dir());
    let path = format!("{}:/export/{}", relay.address(), there[0]);
    assert_eq!((report.status, &report.json["left"]), (Some(1), &Value::from(path)));
    assert_eq!((there.len(), report.step("remove").0), (1, "failed"));
    server.thaw();
}
