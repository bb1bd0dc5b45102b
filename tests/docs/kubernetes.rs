//! Versions of Kubernetes: what documents promise is what tests can run on.

use super::page::read;

/// Returns the minor versions that the tests can run on, oldest first.
fn versions() -> Vec<String> {
    let older = read("tests/bed/kubernetes-versions");
    let module = read("tests/bed/control-plane/go.mod");
    let older = older.lines().filter(|line| !line.starts_with('#'));
    let default = module
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("k8s.io/kubernetes v"));
    let patches = older.chain(default).filter_map(|line| line.split_whitespace().next());
    patches
        .map(|patch| patch[..patch.rfind('.').unwrap()].to_owned())
        .collect()
}

#[test]
fn documents_and_chart_promise_the_oldest_version_that_is_tested() {
    let oldest = versions().remove(0);
    for (page, words) in [
        ("README.md", format!("Kubernetes {oldest} or newer")),
        ("docs/install.md", format!("Kubernetes {oldest} or newer")),
        ("deploy/chart/Chart.yaml", format!("kubeVersion: \">={oldest}.0-0\"")),
    ] {
        assert!(read(page).contains(&words), "{page} does not say {words}");
    }
}

#[test]
fn the_workflow_tests_the_oldest_and_the_newest_version() {
    let versions = versions();
    let workflow = read(".github/workflows/ci.yml");
    for version in [&versions[0], versions.last().unwrap()] {
        let words = format!("kubernetes: \"{version}\"");
        assert!(workflow.contains(&words), "the workflow does not say {words}");
    }
}
