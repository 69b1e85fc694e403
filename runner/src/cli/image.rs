//! `flowproof image`: save, load, push, name.

use super::{Failure, console, say};
use crate::image::{self, Destination, Image, Place, PushError, Pushed};
use clap::{Args, Subcommand};
use flowproof_core::outcome::Exit;
use std::path::PathBuf;

/// `flowproof image`.
#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// What to do with it.
    #[command(subcommand)]
    command: ImageCommand,
    /// Use flowproof's own image instead, made of the running program, for `flowproof manifest job`
    #[arg(long, global = true)]
    runner: bool,
}

/// What to do with the image.
#[derive(Debug, Clone, Subcommand)]
enum ImageCommand {
    /// Write an OCI archive; the same version always gives the same bytes
    Save {
        /// The file
        file: PathBuf,
    },
    /// Load it where a cluster finds it
    Load(LoadArgs),
    /// Push it to a registry, and print the reference with its digest, for --image
    Push(PushArgs),
    /// Print the image reference
    Name,
}

/// `flowproof image load`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct LoadArgs {
    /// Into all nodes of a kind cluster
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "kind")]
    kind: Option<String>,
    /// Into this machine's containerd
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    containerd: Option<String>,
    /// Into this machine's k3s
    #[arg(long)]
    k3s: bool,
}

/// `flowproof image push`.
#[derive(Debug, Clone, Args)]
struct PushArgs {
    /// Where to, as registry.example.com/team/flowproof-prober [default tag: the image's own]
    #[arg(value_name = "REF")]
    reference: String,
    /// Also trust the certificates in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Accept any certificate, and HTTP; a registry on localhost may always use HTTP
    #[arg(long)]
    insecure: bool,
}

/// Carries out the command.
pub async fn image(args: ImageArgs) -> Result<Exit, Failure> {
    let image = if args.runner { image::runner() } else { image::embedded() };
    let image = image.map_err(|error| Failure::set_up(error.to_string()))?;
    match args.command {
        ImageCommand::Name => say(&format!("{}\n", image.reference)),
        ImageCommand::Save { file } => {
            image.save(&file).map_err(|error| Failure::set_up(error.to_string()))?;
            say(&format!("{} written to {}\n", image.reference, file.display()))
        }
        ImageCommand::Load(load) => {
            image::load(&image, &place(load)).await.map_err(|error| {
                let hint = error.hint().map(str::to_owned);
                Failure { hint, ..Failure::set_up(error.to_string()) }
            })?;
            say(&format!("{} loaded\n", image.reference))
        }
        ImageCommand::Push(args) => {
            let pushed = push(&image, &args).await.map_err(not_pushed)?;
            let architectures = image.architectures().collect::<Vec<_>>().join(" and ");
            let (sent, there) = (pushed.sent.div_ceil(1000), pushed.there.div_ceil(1000));
            console::note(format_args!(
                "pushed for {architectures}: {sent} kB sent, {there} kB were there already"
            ));
            say(&format!("{}\n", pushed.reference))
        }
    }
}

fn place(args: LoadArgs) -> Place {
    match (args.kind, args.containerd) {
        (Some(name), _) => Place::Kind(name),
        (_, Some(address)) => Place::Containerd(Some(address).filter(|address| !address.is_empty())),
        _ => Place::K3s,
    }
}

async fn push(image: &Image, args: &PushArgs) -> Result<Pushed, PushError> {
    let mut destination = Destination::new(&args.reference, image)?;
    if let Some(file) = &args.ca {
        destination = destination.trust(file)?;
    }
    if args.insecure {
        destination = destination.insecure();
    }
    image::push(image, &destination).await
}

fn not_pushed(error: PushError) -> Failure {
    let failure = match &error {
        PushError::Reference { .. } | PushError::Roots { .. } => Failure::usage(error.to_string()),
        _ => Failure::set_up(error.to_string()),
    };
    Failure { hint: error.hint(), ..failure }
}
