//! `flowproof generate`: scenarios that test given policies, or a cluster's own on shadows of its workloads.

use super::{
    Failure,
    args::GenerateArgs,
    explain::{live, read},
    say,
};
use flowproof_core::{
    generate::{scenarios, shadows},
    outcome::Exit,
};
use std::{fs, io::Write as _};

/// Carries out `flowproof generate`; returns the exit code.
pub async fn generate(args: &GenerateArgs) -> Result<Exit, Failure> {
    let snapshot = match read(&args.given.files)? {
        None => live(&args.given.kube).await?,
        Some(sources) => sources.snapshot.ok_or_else(|| {
            Failure::usage("these are scenarios").hint("scenarios are made from manifests of policies")
        })?,
    };
    let (made, left_out) = if args.from_cluster { shadows(&snapshot) } else { scenarios(&snapshot) };
    // Under policies that cannot be read, a run tries flows and expects nothing of them.
    let unread = if args.from_cluster { &[][..] } else { &snapshot.left_out };
    for why in left_out.iter().chain(unread) {
        let _ = writeln!(std::io::stderr(), "note: no scenario for {why}");
    }
    if made.is_empty() {
        return Err(Failure::nothing("there are no policies to generate scenarios from"));
    }
    let failed = |what: &std::path::Path, error: std::io::Error| {
        Failure::set_up(format!("{}: {error}", what.display()))
    };
    let there = |file: &&flowproof_core::generate::Generated| args.out.join(&file.file).exists();
    if let Some(there) = made.iter().find(there).filter(|_| !args.force) {
        return Err(Failure::usage(format!("{} is there already", args.out.join(&there.file).display()))
            .hint("--force writes over it"));
    }
    fs::create_dir_all(&args.out).map_err(|error| failed(&args.out, error))?;
    for scenario in &made {
        let path = args.out.join(&scenario.file);
        fs::write(&path, &scenario.text).map_err(|error| failed(&path, error))?;
        say(&format!("{}: {} flows\n", path.display(), scenario.flows))?;
    }
    Ok(Exit::Success)
}
