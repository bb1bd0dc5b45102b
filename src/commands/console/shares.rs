//! The shares, and how full they are.

use serde::Serialize;

use super::facts::Facts;
use crate::commands::age;
use crate::model::share_space::ShareSpace;

/// A share of the page.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Share {
    place: String,
    volumes: usize,
    size: Option<u64>,
    available: Option<u64>,
    /// How long ago the space was measured.
    measured: Option<String>,
    /// Why it is not known.
    why: Option<String>,
}

/// Returns the shares that objects name, and those that Bindery has measured.
pub(super) fn of(facts: &Facts<'_>) -> Vec<Share> {
    let row = |(share, volumes): ((String, String), usize)| {
        let space = facts.recorded.get(&share);
        let age = |time: &String| Some(age::since(time.parse().ok()?, facts.now));
        Share {
            place: format!("{}:{}", share.0, share.1),
            volumes,
            size: space.and_then(|space| space.size),
            available: space.and_then(|space| space.available),
            measured: space.and_then(|space| age(&space.measured_at)),
            why: match space {
                Some(ShareSpace { size: Some(_), .. }) => None,
                Some(space) => Some(match space.down_since.as_ref().and_then(age) {
                    Some(age) => format!("its server has not answered for {age}"),
                    None => "its server does not tell it, or refuses the share".to_owned(),
                }),
                None => Some(
                    facts
                        .objects
                        .shares
                        .clone()
                        .err()
                        .unwrap_or_else(|| "not measured".to_owned()),
                ),
            },
        }
    };
    facts.all_shares().into_iter().map(row).collect()
}
