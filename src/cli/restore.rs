//! The flags of `bindery restore`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::cluster::{ClusterArgs, NamespaceArgs};
use super::output::ManifestFormat;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Print the claim that gets an archive back
  bindery restore data-20261128t163115z-e4c2a1b0 --as data-restored

  # Create it: the newest archive of claim data, under the same name
  bindery restore data --apply

  # Ask Bindery what would happen
  bindery restore data --as data-restored --dry-run";

/// The access modes of claims, and the short forms that kubectl prints.
const ACCESS_MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];

fn access_mode() -> impl TypedValueParser<Value = String> {
    let mode = |(long, short): (&'static str, &'static str)| PossibleValue::new(long).alias(short);
    PossibleValuesParser::new(ACCESS_MODES.map(mode)).map(|typed| {
        let known = ACCESS_MODES.iter().find(|(_, short)| *short == typed);
        known.map_or(typed, |(long, _)| (*long).to_owned())
    })
}

/// Flags of `bindery restore`. In every other command `--as` is the user to impersonate, as kubectl has it; here it is the
/// name of the claim, and the user is `--as-user`.
#[derive(Debug, Args)]
#[command(mut_arg("as_user", |arg| arg
    .long("as-user")
    .help("The user to impersonate. In all other commands, and in kubectl, this flag is called --as")))]
pub struct Restore {
    /// The name of an archive, or of a claim; a claim means its newest archive.
    #[arg(value_name = "ARCHIVE")]
    pub archive: String,

    /// The name of the new claim. It is not the user to impersonate, as in kubectl and in all other commands; that is
    /// --as-user [default: the name of the claim whose archive it is].
    #[arg(long = "as", value_name = "NAME")]
    pub as_name: Option<String>,

    /// The namespace of the archive and of the new claim.
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// The size of the new claim; not less than that of the archive [default: the size of the archive].
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// The StorageClass of the new claim [default: that of the archive].
    #[arg(long, value_name = "STORAGECLASS")]
    pub class: Option<String>,

    /// An access mode of the new claim, also as RWO, ROX, RWX or RWOP. Can be repeated [default: those of the archive].
    #[arg(long = "access-mode", value_name = "MODE", value_parser = access_mode())]
    pub access_modes: Vec<String>,

    /// Creates the claim instead of printing it.
    #[arg(long)]
    pub apply: bool,

    /// Asks the API server and Bindery what would happen with --apply, and creates nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// The output format of the claim [default: yaml, and with --apply one line].
    #[arg(long, short = 'o', value_enum)]
    pub output: Option<ManifestFormat>,

    /// The namespace of Bindery, where the archives of deleted namespaces are.
    #[arg(long, default_value = "bindery", value_name = "NAMESPACE")]
    pub bindery_namespace: String,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}
