//! Prints explanations as text.

use crate::commands::table::aligned;
use crate::policy::explain::{Explanation, Outcome, Row};

/// The width of the first column. It is the same in both tables of a claim.
const KEY: usize = "namespaceOverrides".len();

/// Returns the full explanation of one claim.
pub fn full(explanation: &Explanation) -> String {
    let class = explanation.class.as_ref();
    let class = class.map(|class| format!(", StorageClass {class}")).unwrap_or_default();
    let mut text = format!("claim {}{class}\n", explanation.claim);
    if !explanation.policy.is_empty() {
        text += &policy(&explanation.policy);
    }
    let mut lines: Vec<[String; 2]> = Vec::new();
    let mut line = |what: &str, says: &str| lines.push([what.to_owned(), says.to_owned()]);
    if let Some(directory) = &explanation.directory {
        line("directory", directory);
    }
    if let Some(archive) = &explanation.restored_from {
        line("restored from", archive);
    }
    match &explanation.outcome {
        Outcome::Provisioned { volume } => line("provisioned", &format!("as volume {volume}")),
        Outcome::NoVolumeYet { volume } => line(
            "no volume yet",
            &format!(
                "Bindery provisions it as {volume}; if it does not, the Events of the claim say why (kubectl events)"
            ),
        ),
        Outcome::Queued { why } => line(
            "waits",
            &format!("it is admitted without a volume; Bindery retries until it is provisioned: {why}"),
        ),
        Outcome::HasVolume { volume, new_claim } => {
            let frozen = "the settings on the volume apply, even if StorageClass or namespace have changed";
            line("has volume", &format!("{volume}; {frozen}"));
            if let Some(what) = new_claim {
                line("a new claim", what);
            }
        }
        Outcome::Refused { why } => line("refused", why),
        Outcome::NotServed { why } => line("not served", why),
    }
    for warning in &explanation.warnings {
        line("warning", warning);
    }
    text + &aligned(&lines, KEY)
}

/// Returns one line for each claim.
pub fn list(explanations: &[Explanation]) -> String {
    if explanations.is_empty() {
        return "there are no claims in this namespace\n".to_owned();
    }
    let mut lines = vec![["CLAIM", "STORAGECLASS", "ONDELETE", "VOLUME", "DIRECTORY"].map(str::to_owned)];
    for explanation in explanations {
        let on_delete = explanation.policy.iter().find(|row| row.key == "onDelete");
        let none = || "-".to_owned();
        let (volume, instead) = match &explanation.outcome {
            Outcome::Provisioned { .. } | Outcome::NoVolumeYet { .. } => ("not yet".to_owned(), None),
            Outcome::Queued { why } => ("waits".to_owned(), Some(why)),
            Outcome::HasVolume { volume, .. } => (volume.clone(), None),
            Outcome::Refused { why } => ("refused".to_owned(), Some(why)),
            Outcome::NotServed { why } => ("not served".to_owned(), Some(why)),
        };
        lines.push([
            explanation.claim.clone(),
            explanation.class.clone().unwrap_or_else(none),
            on_delete.map_or_else(none, |row| row.value.clone()),
            volume,
            instead.or(explanation.directory.as_ref()).cloned().unwrap_or_else(none),
        ]);
    }
    aligned(&lines, KEY)
}

/// Returns the table of settings. It has the last column only if a new claim would get another value.
fn policy(rows: &[Row]) -> String {
    let differ = rows.iter().any(|row| row.new_claim.is_some());
    let last = if differ { "A NEW CLAIM WOULD GET" } else { "" };
    let mut lines = vec![["KEY", "VALUE", "FROM", last].map(str::to_owned)];
    for row in rows {
        let new = row.new_claim.as_ref();
        let new = new
            .map(|new| format!("{} ({})", new.value, new.from))
            .unwrap_or_default();
        lines.push([row.key.to_owned(), row.value.clone(), row.from.clone(), new]);
    }
    aligned(&lines, KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::explain::NewValue;

    /// Returns the column, counted in characters, where `text` begins in each line of a table that contains it.
    fn columns(table: &str, text: &str) -> Vec<usize> {
        let lines = table.lines().filter_map(|line| line.find(text).map(|at| &line[..at]));
        lines.map(|before| before.chars().count()).collect()
    }

    #[test]
    fn columns_stay_aligned_with_a_directory_of_any_length() {
        for length in [5, 50, 51, 60, 300] {
            let directory = "ü".repeat(length);
            let mut rows = [
                Row::new("subDir", &directory, "source"),
                Row::new("onDelete", "archive", "source"),
            ];
            let (value, from) = (20, 20 + length.max("archive".len()) + 2);
            let table = policy(&rows);
            assert_eq!(columns(&table, "VALUE"), [value], "{table}");
            assert_eq!(columns(&table, "FROM"), [from], "{table}");
            assert_eq!(columns(&table, "source"), [from; 2], "{table}");
            for row in &mut rows {
                row.new_claim = Some(NewValue {
                    value: "new".to_owned(),
                    from: "class".to_owned(),
                });
            }
            assert_eq!(columns(&policy(&rows), "new ("), [from + "source".len() + 2; 2]);
        }
    }

    #[test]
    fn a_list_stays_aligned_with_a_claim_of_any_length() {
        let claims = ["team/data".to_owned(), format!("team/{}", "a".repeat(253))];
        let explanations = claims.map(|claim| Explanation {
            claim,
            class: Some("fast".to_owned()),
            outcome: Outcome::NoVolumeYet {
                volume: "pvc-1".to_owned(),
            },
            policy: Vec::new(),
            directory: None,
            restored_from: None,
            warnings: Vec::new(),
        });
        let table = list(&explanations);
        assert_eq!(columns(&table, "fast"), [260; 2], "{table}");
        assert_eq!(
            columns(&table, "not yet"),
            columns(&table, "VOLUME").repeat(2),
            "{table}"
        );
    }
}
