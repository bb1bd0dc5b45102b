//! The report of a check: a step for each thing that Bindery needs, as text or as JSON.

use std::fmt::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::commands::table::aligned;

/// The things that are checked, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The server's name has an address.
    Name,
    /// The server accepts a connection.
    Connect,
    /// The server supports this minor version of version 4.
    V4(u32),
    /// The server supports version 3.
    V3,
    /// The share exists, and can be read.
    Share,
    /// The share can be used from any source port.
    SourcePort,
    /// The server tells the free space.
    Space,
    /// A directory can be made.
    Make,
    /// A directory keeps its mode.
    Mode,
    /// A directory can be given to another owner.
    Owner,
    /// The server identifies a directory.
    Identity,
    /// A directory can be moved, but only if it is the right one.
    Rename,
    /// Names can be listed.
    List,
    /// Directories can be removed.
    Remove,
}

impl Step {
    /// All steps of a check over NFS.
    pub const ALL: [Self; 16] = [
        Self::Name,
        Self::Connect,
        Self::V4(2),
        Self::V4(1),
        Self::V4(0),
        Self::V3,
        Self::Share,
        Self::SourcePort,
        Self::Space,
        Self::Make,
        Self::Mode,
        Self::Owner,
        Self::Identity,
        Self::Rename,
        Self::List,
        Self::Remove,
    ];

    /// Returns whether the step is also one of the check of a mount, which has no connection of its own.
    pub fn is_for_mounts(self) -> bool {
        !matches!(
            self,
            Self::Name | Self::Connect | Self::V4(_) | Self::V3 | Self::SourcePort
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Connect => "connect",
            Self::V4(minor) => return write!(f, "NFSv4.{minor}"),
            Self::V3 => "NFSv3",
            Self::Share => "share",
            Self::SourcePort => "source port",
            Self::Space => "space",
            Self::Make => "make",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Identity => "identity",
            Self::Rename => "rename",
            Self::List => "list",
            Self::Remove => "remove",
        })
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a step has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// Bindery has what it needs.
    Ok,
    /// Some StorageClasses cannot use the share.
    Limited,
    /// The server does not have it, and need not.
    No,
    /// Bindery cannot use the share.
    Failed,
    /// The step was not tried, because an earlier one failed.
    Skipped,
}

impl Finding {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::No => "no",
            Self::Failed => "failed",
            Self::Skipped => "-",
        }
    }
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub step: Step,
    pub result: Finding,
    /// How long the calls of the step took.
    #[serde(rename = "milliseconds", serialize_with = "in_milliseconds")]
    pub time: Option<Duration>,
    /// What was found, or why the step failed and what to do.
    pub detail: String,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub server: String,
    pub share: String,
    /// How the share was used: `NFSv4.2`, `NFSv4.1`, `NFSv3` or `mount`; `None` if it could not be used.
    pub access: Option<String>,
    pub uid: u32,
    pub gid: u32,
    /// Whether Bindery can use the share.
    pub usable: bool,
    /// A directory that the check has made and could not remove for certain.
    pub left: Option<String>,
    pub steps: Vec<Line>,
}

impl Report {
    /// Adds the steps that were not tried, and decides whether Bindery can use the share.
    pub fn complete(&mut self, expected: impl Iterator<Item = Step>) {
        let mut found = std::mem::take(&mut self.steps);
        for step in expected {
            let at = found.iter().position(|line| line.step == step);
            self.steps.push(at.map_or_else(
                || Line {
                    step,
                    result: Finding::Skipped,
                    time: None,
                    detail: "not tried".to_owned(),
                },
                |at| found.swap_remove(at),
            ));
        }
        let missing = |line: &Line| matches!(line.result, Finding::Failed | Finding::Skipped);
        self.usable = !self.steps.iter().any(missing);
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let over = self
            .access
            .as_ref()
            .map_or_else(String::new, |access| match access.as_str() {
                "mount" => " through its mount".to_owned(),
                version => format!(" over {version}"),
            });
        let (server, share, uid, gid) = (&self.server, &self.share, self.uid, self.gid);
        let mut text = format!("{server}:{share}{over}, as uid {uid} and gid {gid}\n\n");
        let mut lines = vec![["STEP", "RESULT", "TIME", "DETAIL"].map(str::to_owned)];
        for line in &self.steps {
            let time = line
                .time
                .map_or_else(String::new, |time| format!("{:.1} ms", milliseconds(time)));
            let result = line.result.as_str().to_owned();
            lines.push([line.step.to_string(), result, time, line.detail.clone()]);
        }
        text += &aligned(&lines, 0);
        let limited = self.steps.iter().any(|line| line.result == Finding::Limited);
        text += match (self.usable, limited) {
            (true, false) => "\nBindery can use this share.\n",
            (true, true) => "\nBindery can use this share, within the limits that are named above.\n",
            (false, _) => "\nBindery cannot use this share: correct what failed, and check again.\n",
        };
        if let Some(left) = &self.left {
            let _ = writeln!(
                text,
                "The check may have left the directory {left} there. Nothing needs it: remove it on the server."
            );
        }
        text
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[allow(clippy::ref_option, reason = "serde passes the field by reference")]
fn in_milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Rounded to microseconds.
    time.map(|time| (milliseconds(time) * 1000.0).round() / 1000.0)
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: Step, result: Finding) -> Line {
        Line {
            step,
            result,
            time: Some(Duration::from_micros(1250)),
            detail: "what was found".to_owned(),
        }
    }

    fn report(steps: Vec<Line>) -> Report {
        let mut report = Report {
            server: "nas".to_owned(),
            share: "/export".to_owned(),
            access: Some("NFSv4.2".to_owned()),
            uid: 0,
            gid: 0,
            usable: false,
            left: None,
            steps,
        };
        report.complete([Step::Share, Step::Make].into_iter());
        report
    }

    #[test]
    fn a_share_is_usable_if_no_step_failed_and_none_was_left_out() {
        let with = |make| report(vec![line(Step::Share, Finding::Ok), line(Step::Make, make)]).usable;
        assert!(with(Finding::Ok) && with(Finding::Limited) && with(Finding::No));
        assert!(!with(Finding::Failed) && !with(Finding::Skipped));
        assert!(!report(vec![line(Step::Share, Finding::Ok)]).usable);
    }

    #[test]
    fn the_text_has_aligned_columns_and_says_what_it_means() {
        let mut report = report(vec![line(Step::Share, Finding::Failed)]);
        report.left = Some("nas:/export/.bindery-check-1".to_owned());
        assert_eq!(
            report.text(),
            "nas:/export over NFSv4.2, as uid 0 and gid 0\n\n\
             STEP   RESULT  TIME    DETAIL\n\
             share  failed  1.2 ms  what was found\n\
             make   -               not tried\n\n\
             Bindery cannot use this share: correct what failed, and check again.\n\
             The check may have left the directory nas:/export/.bindery-check-1 there. Nothing needs it: remove it on \
             the server.\n"
        );
    }

    #[test]
    fn programs_read_the_same_as_json() {
        let json = serde_json::to_value(report(vec![line(Step::Share, Finding::Ok)])).unwrap();
        let share = serde_json::json!(
            {"step": "share", "result": "ok", "milliseconds": 1.25, "detail": "what was found"}
        );
        let make =
            serde_json::json!({"step": "make", "result": "skipped", "milliseconds": null, "detail": "not tried"});
        assert_eq!(json["steps"], serde_json::json!([share, make]));
        assert_eq!(json["usable"], serde_json::json!(false));
    }
}
