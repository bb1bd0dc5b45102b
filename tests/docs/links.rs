//! Checks the links between Markdown files: the file exists, and the heading exists in it.

use std::collections::HashMap;

use super::page::{files, path, prose, read};

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in files("", "md") {
        for (line, target) in links(&read(&page)) {
            if let Err(why) = check(&page, &target) {
                broken.push(format!("{page}:{line}: ({target}) {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn headings_become_anchors_as_on_the_forge_and_on_the_site() {
    let text = "# What it's called\n## The `failurePolicy`\n```sh\n# no heading\n```\n## A, b/c: 3.1\n## A, b/c: 3.1\n";
    assert_eq!(
        anchors(text),
        ["what-its-called", "the-failurepolicy", "a-bc-31", "a-bc-31-1"]
    );
}

#[test]
fn links_are_found_in_prose_only() {
    let text = "A [b](c.md) and `[no](d.md)` and [`e`](f.md#g).\n```\n[no](h.md)\n```\n![i](j.png)\n";
    let found: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
    assert_eq!(found, ["c.md", "f.md#g", "j.png"]);
}

fn check(page: &str, target: &str) -> Result<(), String> {
    if target.starts_with("https://") {
        return Ok(());
    }
    let (file, anchor) = target
        .split_once('#')
        .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let file = if file.is_empty() {
        page.to_owned()
    } else {
        join(folder, file)?
    };
    if !path(&file).exists() {
        return Err(format!("leads to {file}, which does not exist"));
    }
    // The site has the pages of docs/ and the plain files that they link to, which `make docs` copies.
    let is_page = path(&file).extension().is_some_and(|ending| ending == "md");
    if page.starts_with("docs/") && !file.starts_with("docs/") && (is_page || path(&file).is_dir()) {
        return Err(format!(
            "leads to {file}, which the site does not have: name it without a link"
        ));
    }
    if let Some(anchor) = anchor
        && !anchors(&read(&file)).iter().any(|heading| heading == anchor)
    {
        return Err(format!("leads to a heading that {file} does not have"));
    }
    Ok(())
}

/// Resolves a path that is relative to a folder.
fn join(folder: &str, relative: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.trim_end_matches('/').split('/') {
        match part {
            "" => return Err("is neither relative nor https".to_owned()),
            "." => {}
            ".." => drop(parts.pop().ok_or("leads out of the repository")?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Returns the targets of all links and pictures of a text, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Code spans contain no links. If a code span is the text of a link, the brackets of the link remain.
        let outside: Vec<&str> = line.split('`').step_by(2).collect();
        let outside = outside.join("");
        let mut rest = outside.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else {
                break;
            };
            found.push((number, target.to_owned()));
            rest = after;
        }
    }
    found
}

/// Returns the anchors of the headings of a text.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    let mut anchors = Vec::new();
    for title in headings {
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 {
            anchor
        } else {
            format!("{anchor}-{count}")
        });
        *count += 1;
    }
    anchors
}
