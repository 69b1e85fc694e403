//! What is shown while faults are played: a bar on a terminal, lines elsewhere. Always on stderr.

use super::counted;
use crate::{faults::Event, run::duration_text};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};
use tokio::sync::mpsc;

/// Shows all events of this number of faults until there are no more.
pub async fn show(mut events: mpsc::UnboundedReceiver<Event>, faults: usize) {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} faults  {msg}")
        .expect("the template is a constant");
    let bar = std::io::stderr()
        .is_terminal()
        .then(|| ProgressBar::new(faults as u64).with_style(style).with_message("the correct engine first"));
    let line = |text: String| match &bar {
        Some(bar) => bar.println(text),
        None => {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    while let Some(event) = events.recv().await {
        match event {
            Event::Correct { scenarios, took } => line(format!(
                "without a fault, {} ({})",
                counted(scenarios, "scenario matches", "scenarios match"),
                duration_text(took.max(Duration::from_millis(1)))
            )),
            Event::Done { fault, catches, played } => {
                line(match (catches, played) {
                    (_, 0) => format!("· {fault}: no scenario leads to rules that it changes"),
                    (0, played) => {
                        format!("○ {fault}: not noticed by {}", counted(played, "scenario", "scenarios"))
                    }
                    (catches, played) => {
                        format!(
                            "● {fault}: caught by {catches} of {}",
                            counted(played, "scenario", "scenarios")
                        )
                    }
                });
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
