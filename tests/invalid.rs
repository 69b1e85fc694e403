//! Every scenario in `invalid/` is refused with exactly the text beside it.
//!
//! `UPDATE=1 cargo test -p flowproof-tests --test invalid` rewrites the texts. Read the difference before you commit it.

use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    // Problems show paths as they were given, here relative to the root of the repository.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    env::set_current_dir(root).expect("the repository has a root");
    let mut trials: Vec<Trial> =
        files("yaml").into_iter().map(|path| Trial::test(stem(&path), move || refused(&path))).collect();
    trials.push(Trial::test("every text has its scenario", || {
        match files("stderr").iter().find(|text| !text.with_extension("yaml").exists()) {
            Some(text) => Err(format!("{} is left over", text.display()).into()),
            None => Ok(()),
        }
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn files(extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/invalid")
        .expect("the invalid scenarios are there")
        .map(|entry| entry.expect("a directory can be read to its end").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn refused(path: &Path) -> Result<(), Failed> {
    let Err(problems) = flowproof::scenarios::load(&[path.to_owned()]) else {
        return Err(format!("{} is accepted", path.display()).into());
    };
    let shown = flowproof::problems::report(&problems);
    let expected = path.with_extension("stderr");
    if env::var_os("UPDATE").is_some() {
        fs::write(&expected, &shown)?;
        return Ok(());
    }
    let wanted = fs::read_to_string(&expected).map_err(|error| format!("{}: {error}", expected.display()))?;
    if shown == wanted {
        return Ok(());
    }
    Err(format!("--- expected\n{wanted}\n--- shown\n{shown}").into())
}
