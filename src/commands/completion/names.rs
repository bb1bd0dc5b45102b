//! Completes names of objects, which are read from the cluster.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgMatches, Command, FromArgMatches};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, Client, ResourceExt};

use crate::cli::program::Program;
use crate::cli::{ClusterArgs, NamespaceArgs};
use crate::commands::archives::read;
use crate::commands::connect::connect;
use crate::policy::restore_claim::{is_of_claim, is_restorable};

/// The longest time for all that a completion reads. A person waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Archives,
    /// Only those that a claim can get.
    Restorable,
    Claims,
    Namespaces,
    Classes,
    Contexts,
    Clusters,
    Users,
}

/// The kinds of names that the arguments of commands take: command (any, if empty), argument, kind.
const ARGUMENTS: [(&str, &str, Names); 10] = [
    ("archives", "name", Names::Archives),
    ("restore", "archive", Names::Restorable),
    ("restore", "class", Names::Classes),
    ("explain", "claim", Names::Claims),
    ("check", "classes", Names::Classes),
    ("", "namespace", Names::Namespaces),
    ("", "bindery_namespace", Names::Namespaces),
    ("", "context", Names::Contexts),
    ("", "cluster", Names::Clusters),
    ("", "user", Names::Users),
];

/// Adds the completion of names to the arguments of the commands. `line` has the words after the name of the program; its
/// flags choose the cluster and the namespace.
pub fn attach(command: Command, line: Vec<OsString>) -> Command {
    let line: Arc<[OsString]> = line.into();
    command.mut_subcommands(|mut sub| {
        for (of, argument, kind) in ARGUMENTS {
            let has = sub.get_arguments().any(|known| known.get_id() == argument);
            if has && (of.is_empty() || of == sub.get_name()) {
                let line = Arc::clone(&line);
                let completer = ArgValueCompleter::new(move |typed: &OsStr| complete(kind, &line, typed));
                sub = sub.mut_arg(argument, |known| known.add(completer));
            }
        }
        sub
    })
}

/// Returns the names that begin with what was typed. If they cannot be read, there are none: a completion has no place for
/// a message.
fn complete(kind: Names, line: &[OsString], typed: &OsStr) -> Vec<CompletionCandidate> {
    let (flags, namespace) = read_flags(line);
    let found = match kind {
        Names::Contexts | Names::Clusters | Names::Users => in_kubeconfig(kind, &flags),
        kind => in_cluster(kind, flags, namespace),
    };
    let typed = typed.to_string_lossy();
    let mut found: Vec<_> = found.unwrap_or_default();
    found.retain(|(name, _)| name.starts_with(&*typed));
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    let candidate = |(name, help): (String, String)| {
        let help = Some(help).filter(|help| !help.is_empty());
        CompletionCandidate::new(name).help(help.map(Into::into))
    };
    found.into_iter().map(candidate).collect()
}

/// Reads the flags that choose the cluster and the namespace. The command line may be incomplete.
fn read_flags(line: &[OsString]) -> (ClusterArgs, NamespaceArgs) {
    let words = [OsString::from("bindery")].into_iter().chain(line.iter().cloned());
    let read = Program::Bindery
        .command()
        .ignore_errors(true)
        .try_get_matches_from(words);
    let flags = |matches: &ArgMatches| {
        let has_cluster = matches.try_contains_id("as_user").is_ok();
        let cluster = has_cluster.then(|| ClusterArgs::from_arg_matches(matches).unwrap_or_default());
        let namespace = matches.try_get_one::<String>("namespace").ok().flatten();
        (
            cluster.unwrap_or_default(),
            NamespaceArgs {
                namespace: namespace.cloned(),
            },
        )
    };
    let read = read.ok();
    let sub = read.as_ref().and_then(|matches| matches.subcommand());
    sub.map(|(_, matches)| flags(matches)).unwrap_or_default()
}

fn in_kubeconfig(kind: Names, flags: &ClusterArgs) -> Result<Vec<(String, String)>> {
    let read = match &flags.kubeconfig {
        Some(file) => Kubeconfig::read_from(file)?,
        None => Kubeconfig::read()?,
    };
    let names: Vec<String> = match kind {
        Names::Contexts => read.contexts.into_iter().map(|context| context.name).collect(),
        Names::Clusters => read.clusters.into_iter().map(|cluster| cluster.name).collect(),
        _ => read.auth_infos.into_iter().map(|user| user.name).collect(),
    };
    Ok(names.into_iter().map(|name| (name, String::new())).collect())
}

/// Reads names from the cluster, with their descriptions.
fn in_cluster(kind: Names, flags: ClusterArgs, namespace: NamespaceArgs) -> Result<Vec<(String, String)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let read = async {
            let client = connect(flags).await?;
            let namespace = namespace
                .namespace
                .unwrap_or_else(|| client.default_namespace().to_owned());
            read_names(kind, client, &namespace).await
        };
        tokio::time::timeout(PATIENCE, read).await?
    })
}

async fn read_names(kind: Names, client: Client, namespace: &str) -> Result<Vec<(String, String)>> {
    let all = ListParams::default().match_any();
    let mut names = Vec::new();
    match kind {
        Names::Namespaces => {
            let found = Api::<Namespace>::all(client).list_metadata(&all).await?;
            names.extend(found.iter().map(|object| (object.name_any(), String::new())));
        }
        Names::Classes => {
            let found = Api::<StorageClass>::all(client).list(&all).await?;
            names.extend(found.iter().map(|class| (class.name_any(), class.provisioner.clone())));
        }
        Names::Claims => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
            let found = claims.list_metadata(&all).await?;
            names.extend(found.iter().map(|object| (object.name_any(), String::new())));
        }
        _ => {
            let is_to_restore = kind == Names::Restorable;
            let of_claim = if is_to_restore {
                "the newest archive of this claim"
            } else {
                "the archives of this claim"
            };
            let mut archives = read::list(&client, Some(namespace)).await?;
            archives.retain(|archive| !is_to_restore || is_restorable(archive, Timestamp::now()).is_ok());
            for archive in archives {
                let claim = archive.spec.claim_name.clone();
                names.push((archive.name_any(), format!("archive of claim {claim}")));
                if !is_to_restore || is_of_claim(&archive, &claim) {
                    names.push((claim, of_claim.to_owned()));
                }
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_with_names_exists() {
        let command = Program::Bindery.command();
        for (of, argument, _) in ARGUMENTS {
            let mut subs = command
                .get_subcommands()
                .filter(|sub| of.is_empty() || sub.get_name() == of);
            let has = |sub: &Command| sub.get_arguments().any(|known| known.get_id() == argument);
            assert!(subs.any(has), "{of} {argument}");
        }
    }

    #[test]
    fn the_flags_of_an_incomplete_line_are_read() {
        let read = |line: &str| read_flags(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let (cluster, namespace) = read("restore --context there -n team-a da");
        assert_eq!(
            (cluster.context.as_deref(), namespace.namespace.as_deref()),
            (Some("there"), Some("team-a"))
        );
        let (cluster, namespace) = read("archives --kubeconfig /a --as eve --namespace=team-b --outp");
        assert_eq!(
            (cluster.as_user.as_deref(), namespace.namespace.as_deref()),
            (Some("eve"), Some("team-b"))
        );
        assert_eq!(cluster.kubeconfig, Some("/a".into()));
        for line in [
            "",
            "archives -n",
            "completion ba",
            "nothing --context x",
            "serve --namespace a",
        ] {
            assert_eq!(read(line).0, ClusterArgs::default(), "{line}");
        }
    }
}
