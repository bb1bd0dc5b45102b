//! Servers and mounts that cannot be used: the check names the reason.

use std::io::{Read, Write};
use std::net::TcpListener;

use bindery::storage::Storage;
use serde_json::Value;

use super::{Report, arguments, at, names_in};
use crate::support::directories::long_deadline;
use crate::support::kind::{Kind, Server, test_for};
use crate::support::nfs::{Ganesha, free_address};

test_for!([v4, v4_1, v3] {
    a_share_that_is_not_exported_is_named,
    a_server_that_does_not_answer_is_named_in_time,
});

async fn a_share_that_is_not_exported_is_named(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/nothing");
    let report = Report::of(arguments(kind, &*server, "/nothing"));
    report.failed(
        "share",
        &client.identify(&share, long_deadline()).await.unwrap_err().cause,
    );
    assert_eq!(report.step("connect").0, "ok");
    assert_eq!(report.step("make"), ("skipped", "not tried"));
}

async fn a_server_that_does_not_answer_is_named_in_time(kind: Kind) {
    let mut server = kind.restartable();
    server.freeze();
    let mut arguments = arguments(kind, &*server, "/export");
    arguments.push("--timeout=700ms".to_owned());
    let report = Report::of(arguments);
    let address = server.address();
    let cause = match kind {
        Kind::V3 => format!(
            "NFSv3 needs the mountd of {address}, which did not answer in time. Check that it runs, and that its port is \
             open to this host (a fixed port is best); or let Bindery use NFSv4 (nfsVersion 4), which needs port 2049 \
             alone."
        ),
        _ => format!("{address} did not open a session in time. Check that the NFS server runs and can be reached."),
    };
    report.failed("share", &cause);
    let time = |name: &str| {
        let mut steps = report.json["steps"].as_array().unwrap().iter();
        let step = steps.find(|step| step["step"] == name).unwrap();
        step["milliseconds"].as_f64().unwrap()
    };
    assert!((700.0..2000.0).contains(&time("share")), "{:#}", report.json);
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_named() {
    let address = free_address();
    let report = Report::of(at(address, "/export"));
    let cause = format!(
        "no connection to {address}:2049: nothing listens there (connection refused). Check that the NFS server runs, \
         and that its port is open to this host."
    );
    report.failed("connect", &cause);
    for step in ["NFSv4.2", "NFSv4.1", "NFSv4.0", "NFSv3", "share", "make"] {
        assert_eq!(report.step(step), ("skipped", "not tried"), "{step}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_named() {
    let report = Report::of(vec!["--server=nas.invalid".to_owned(), "--share=/export".to_owned()]);
    report.failed(
        "name",
        "no address was found for the name nas.invalid. Check the server's name and the DNS.",
    );
    assert_eq!(report.step("connect"), ("skipped", "not tried"));
}

#[tokio::test]
async fn a_program_that_is_not_an_nfs_server_is_named() {
    let address = free_address();
    let listener = TcpListener::bind((address, 2049)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let report = Report::of(at(address, "/export"));
    let cause = format!(
        "the program on port 2049 of {address} does not follow the NFSv4 protocol (the reply is larger than was asked \
         for). Is it an NFS server?"
    );
    report.failed("share", &cause);
    assert_eq!(report.step("NFSv4.2"), ("no", cause.as_str()));
}

#[tokio::test]
async fn a_server_with_version_4_0_alone_cannot_be_used() {
    let server = Ganesha::start_v4_0();
    let report = Report::of(arguments(Kind::V4, &server, "/export"));
    let results = report.results();
    let versions = ["NFSv4.2", "NFSv4.1", "NFSv4.0", "NFSv3"].map(|version| results[version]);
    assert_eq!(versions, ["no", "no", "ok", "no"]);
    let address = Server::address(&server);
    report.failed(
        "share",
        &format!(
            "{address} supports neither NFSv4.2 nor NFSv4.1. Enable one there, or set nfsVersion: \"3\" in the \
             StorageClass."
        ),
    );
}

#[tokio::test]
async fn a_server_with_version_3_and_4_0_can_be_used_with_a_setting() {
    let server = Ganesha::start_v3_and_v4_0();
    let report = Report::of(arguments(Kind::V4, &server, "/export"));
    let detail = "portmapper 111, mountd 20048, NFS 2049; the server supports neither NFSv4.2 nor NFSv4.1: set \
                  nfsVersion: \"3\" in the StorageClass";
    assert_eq!(report.step("NFSv3"), ("limited", detail));
    assert_eq!(
        (report.status, &report.json["access"]),
        (Some(0), &Value::from("NFSv3"))
    );

    // With the setting, there is no limit; without version 3, there is no use.
    let explicit = Report::of(arguments(Kind::V3, &server, "/export"));
    assert_eq!((explicit.status, explicit.step("NFSv3").0), (Some(0), "ok"));
    let mut version_4 = arguments(Kind::V4, &server, "/export");
    version_4.push("--nfs-version=4".to_owned());
    assert_eq!(Report::of(version_4).step("share").0, "failed");
}

#[tokio::test]
async fn a_mode_that_the_server_does_not_keep_is_a_limit() {
    let (server, _) = Kind::V4.start_with_bindfs("--chmod-ignore");
    let report = Report::of(arguments(Kind::V4, &*server, "/export"));
    let (result, detail) = report.step("mode");
    assert!(
        result == "limited" && detail.starts_with("the server keeps 777 instead of 2777"),
        "{result}: {detail}"
    );
    assert_eq!(report.status, Some(0));
}

#[tokio::test]
async fn a_directory_where_nothing_is_mounted_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--server=nas".to_owned(), "--share=/export".to_owned()];
    arguments.push(format!("--mounted={}", dir.path().display()));
    let report = Report::of(arguments);
    let (result, cause) = report.step("share");
    let begin = format!("nothing is mounted at {}", dir.path().display());
    assert!(result == "failed" && cause.starts_with(&begin), "{cause}");
    assert!(names_in(dir.path()).is_empty());
}
