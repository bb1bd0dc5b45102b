//! Labels that a class sets on its volumes: `team=storage,tier=gold`.

use std::collections::BTreeMap;

use super::invalid::Invalid;
use crate::model::names::{PREFIX, is_label_key, is_label_value};

/// Keys and values.
pub type Labels = BTreeMap<String, String>;

/// Reads a list of labels. `parameter` is the class parameter that contains it. Each error names the label.
pub fn read(parameter: &str, text: &str, invalid: &mut Vec<Invalid>) -> Labels {
    let mut labels = Labels::new();
    for label in text.split(',').map(str::trim).filter(|label| !label.is_empty()) {
        if let Err(error) = add(&mut labels, label) {
            invalid.push(Invalid(format!("{parameter}: {error}")));
        }
    }
    labels
}

/// The list as a class parameter.
pub fn write(labels: &Labels) -> String {
    let all: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    all.join(",")
}

fn add(labels: &mut Labels, label: &str) -> Result<(), String> {
    let (key, value) = label
        .split_once('=')
        .ok_or_else(|| format!("{label:?} is not a label; write key=value, with commas between labels"))?;
    if !is_label_key(key) {
        return Err(format!(
            "label key {key:?} is not valid (its value is {value:?}): a key has letters, digits, - _ and . only (63 at \
            most), begins and ends with a letter or a digit, and may have a DNS name and / before it"
        ));
    }
    if !is_label_value(value) {
        return Err(format!(
            "label {key}: value {value:?} is not valid: a value has letters, digits, - _ and . only (63 at most), and \
            begins and ends with a letter or a digit"
        ));
    }
    if key.starts_with(PREFIX) {
        return Err(format!(
            "label {key} (value {value:?}) cannot be set: labels that begin with {PREFIX} are reserved for Bindery"
        ));
    }
    match labels.insert(key.to_owned(), value.to_owned()) {
        Some(before) => Err(format!(
            "label {key} is set twice, to {before:?} and to {value:?}; keep one"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_labels(text: &str) -> (String, Vec<String>) {
        let mut invalid = Vec::new();
        let labels = read("volumeLabels", text, &mut invalid);
        (write(&labels), invalid.into_iter().map(|invalid| invalid.0).collect())
    }

    #[test]
    fn valid_labels_are_read() {
        let longest = format!("x/{}={}", "k".repeat(63), "v".repeat(63));
        for (text, labels) in [
            ("", ""),
            ("team=storage", "team=storage"),
            (" tier=gold , team=storage ,", "team=storage,tier=gold"),
            ("example.com/cost-center=A_1.b", "example.com/cost-center=A_1.b"),
            ("empty=", "empty="),
            (&longest, &longest),
        ] {
            assert_eq!(read_labels(text), (labels.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn each_error_names_the_key_and_the_value() {
        let (_, invalid) = read_labels("team,a b=c,team=-x,bindery.dev/area=y,t=1,t=2,=v,k=a=b");
        let expected = [
            "volumeLabels: \"team\" is not a label; write key=value, with commas between labels",
            "volumeLabels: label key \"a b\" is not valid (its value is \"c\"): a key has letters, digits, - _ and . \
            only (63 at most), begins and ends with a letter or a digit, and may have a DNS name and / before it",
            "volumeLabels: label team: value \"-x\" is not valid: a value has letters, digits, - _ and . only (63 at \
            most), and begins and ends with a letter or a digit",
            "volumeLabels: label bindery.dev/area (value \"y\") cannot be set: labels that begin with bindery.dev/ are \
            reserved for Bindery",
            "volumeLabels: label t is set twice, to \"1\" and to \"2\"; keep one",
            "volumeLabels: label key \"\" is not valid (its value is \"v\"): a key has letters, digits, - _ and . only \
            (63 at most), begins and ends with a letter or a digit, and may have a DNS name and / before it",
            "volumeLabels: label k: value \"a=b\" is not valid: a value has letters, digits, - _ and . only (63 at \
            most), and begins and ends with a letter or a digit",
        ];
        assert_eq!(invalid, expected);
    }
}
