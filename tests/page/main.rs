//! The HTML report in a real browser: Chromium, driven over `WebDriver`. Without it the trials are ignored.

mod browser;
mod trials;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = browser::missing();
    let trials = trials::ALL.iter().map(|(name, trial)| {
        let name =
            missing.map_or_else(|| (*name).to_owned(), |program| format!("{name}: there is no {program}"));
        let run = *trial;
        Trial::test(name, move || browser::with_page(run).map_err(|error| format!("{error:#}").into()))
            .with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
