//! `flowproof image`: save, load, name.

use super::{
    Failure,
    args::{ImageArgs, ImageCommand, ImageLoadArgs},
    say,
};
use crate::image::{self, Place};

/// Carries out the command.
pub async fn image(args: ImageArgs) -> Result<u8, Failure> {
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
                let failure = Failure::set_up(error.to_string());
                match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?;
            say(&format!("{} loaded\n", image.reference))
        }
    }
}

fn place(args: ImageLoadArgs) -> Place {
    match (args.kind, args.containerd) {
        (Some(name), _) => Place::Kind(name),
        (_, Some(address)) => Place::Containerd(Some(address).filter(|address| !address.is_empty())),
        _ => Place::K3s,
    }
}
