//! The shares, and how full they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::objects::Objects;
use crate::commands::age;

/// A share of the page.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    place: String,
    volumes: usize,
    size: Option<u64>,
    available: Option<u64>,
    /// How long ago the space was measured.
    measured: Option<String>,
    /// Why it is not known.
    why: Option<String>,
}

/// What Bindery has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Space {
    size: Option<u64>,
    available: Option<u64>,
    at: Option<Timestamp>,
}

/// Returns the shares that objects name, and those that Bindery has measured.
pub fn of(objects: &Objects, known: &BTreeMap<(String, String), usize>, now: Timestamp) -> Vec<Share> {
    let (measured, why) = match &objects.shares {
        Ok(Some(map)) => (measured(map.data.iter().flatten()), "not measured".to_owned()),
        Ok(None) => (BTreeMap::new(), "not measured".to_owned()),
        Err(why) => (BTreeMap::new(), why.clone()),
    };
    let mut all = known.clone();
    for share in measured.keys() {
        all.entry(share.clone()).or_insert(0);
    }
    let row = |(share, volumes): ((String, String), usize)| {
        let space = measured.get(&share);
        Share {
            place: format!("{}:{}", share.0, share.1),
            volumes,
            size: space.and_then(|space| space.size),
            available: space.and_then(|space| space.available),
            measured: space.and_then(|space| space.at).map(|at| age::since(at, now)),
            why: match space {
                Some(Space { size: Some(_), .. }) => None,
                Some(_) => Some("its server does not answer, or does not tell it".to_owned()),
                None => Some(why.clone()),
            },
        }
    };
    all.into_iter().map(row).collect()
}

/// Reads the values of the `ConfigMap`: each is a share in JSON, or a list of shares. What is not valid is skipped.
fn measured<'a>(data: impl Iterator<Item = (&'a String, &'a String)>) -> BTreeMap<(String, String), Space> {
    let mut measured = BTreeMap::new();
    for (_, text) in data {
        let shares = match serde_json::from_str(text) {
            Ok(Value::Array(shares)) => shares,
            Ok(share) => vec![share],
            Err(_) => continue,
        };
        for share in &shares {
            if let Some((name, space)) = read(share) {
                measured.insert(name, space);
            }
        }
    }
    measured
}

fn read(share: &Value) -> Option<((String, String), Space)> {
    let text = |key: &str| share[key].as_str().map(str::to_owned);
    let space = Space {
        size: share["size"].as_u64(),
        available: share["available"].as_u64(),
        at: text("measuredAt").and_then(|time| time.parse().ok()),
    };
    Some(((text("server")?, text("share")?), space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_valid_is_skipped() {
        let data = [
            r#"{"server": "nas1", "share": "/a", "size": 10, "available": 4, "measuredAt": "2026-11-30T00:00:00Z"}"#,
            r#"[{"server": "nas1", "share": "/b", "size": 1, "available": 0}, {"server": "nas1", "share": "/c"}, {"server": "nas1"}, 3]"#,
            "no JSON",
            "null",
        ];
        let data: Vec<(String, String)> = data.iter().map(|text| (String::new(), (*text).to_owned())).collect();
        let share = |path: &str| ("nas1".to_owned(), path.to_owned());
        let space = |size, available, at: Option<&str>| Space {
            size,
            available,
            at: at.map(|at| at.parse().unwrap()),
        };
        let expected = [
            (share("/a"), space(Some(10), Some(4), Some("2026-11-30T00:00:00Z"))),
            (share("/b"), space(Some(1), Some(0), None)),
            (share("/c"), space(None, None, None)),
        ];
        assert_eq!(
            measured(data.iter().map(|(key, text)| (key, text))),
            BTreeMap::from(expected)
        );
    }
}
