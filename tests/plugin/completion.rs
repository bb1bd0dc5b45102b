//! Completion of `kubectl bindery`, through kubectl and through bash.

use super::archive_a_claim;
use crate::support::plugin::{Plugin, run};
use crate::support::scene::Scene;

/// Returns the completions that kubectl prints for these words, without descriptions.
fn completed(plugin: &Plugin, words: &[&str]) -> Vec<String> {
    let printed = plugin.kubectl(&[&["__complete", "bindery"], words].concat());
    assert_eq!(printed.status, Some(0), "{printed:?}");
    let mut lines: Vec<String> = printed.out.lines().map(str::to_owned).collect();
    let directive = lines.pop().expect("a directive");
    assert_eq!(directive, ":4", "no names of files: {lines:?}");
    let value = |line: &String| line.split('\t').next().unwrap_or_default().to_owned();
    lines.iter().map(value).collect()
}

#[tokio::test]
async fn kubectl_completes_commands_flags_and_names_of_the_cluster() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    scene.bound(scene.claim("live")).await;

    let commands = completed(&plugin, &[""]);
    for command in ["explain", "archives", "restore", "console"] {
        assert!(commands.contains(&command.to_owned()), "{commands:?}");
    }
    assert!(
        !commands.contains(&"serve".to_owned()) && !commands.contains(&"__complete".to_owned()),
        "{commands:?}"
    );
    assert_eq!(completed(&plugin, &["arch"]), ["archives"]);
    assert_eq!(completed(&plugin, &["archives", "--all"]), ["--all-namespaces"]);
    assert_eq!(
        completed(&plugin, &["archives", "-o", ""]),
        ["wide", "json", "yaml", "name"]
    );
    assert_eq!(
        completed(&plugin, &["archives", "-n", namespace, ""]),
        ["data", archive.as_str()]
    );
    assert_eq!(
        completed(&plugin, &["restore", "--namespace", namespace, "data-"]),
        [archive.as_str()]
    );
    assert_eq!(completed(&plugin, &["explain", "-n", namespace, "li"]), ["live"]);
    assert_eq!(completed(&plugin, &["explain", "-n", namespace]), [namespace]);
    assert_eq!(completed(&plugin, &["restore", "x", "--class", namespace]), [namespace]);
    // What the user may not read is not completed.
    assert_eq!(
        completed(&plugin, &["archives", "--as", "outsider", "-n", namespace, "d"]),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn bash_completes_the_program_itself() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let archive = archive_a_claim(&scene, "data").await;
    let script = "set -e\n. <(kubectl-bindery completion bash)\n\
                  COMP_WORDS=(kubectl-bindery \"$@\") COMP_CWORD=$#\n\
                  f=$(complete -p kubectl-bindery | sed 's/.* -F \\([^ ]*\\) .*/\\1/')\n\
                  $f kubectl-bindery \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"\n\
                  printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let completed = |words: &[&str]| {
        let mut command = plugin.command("bash");
        let printed = run(command.args(["-c", script, "bash"]).args(words));
        printed.success()
    };
    assert_eq!(completed(&["unin"]), "uninstall\n");
    assert_eq!(
        completed(&["restore", "-n", &scene.name, "data-"]),
        format!("{archive}\n")
    );
    for shell in ["zsh", "fish"] {
        let script = plugin.bindery(&["completion", shell]).success();
        assert!(script.contains("kubectl-bindery"), "{script}");
    }
}
