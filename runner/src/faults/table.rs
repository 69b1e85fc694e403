//! The kill matrix and the list of faults for people.

use super::matrix::{Catch, Cell, Column, Matrix};
use crate::{local::fault::FaultInfo, report::counted, run::duration_text};
use comfy_table::Table;
use std::{fmt::Write as _, time::Duration};

/// The matrix: one line for each fault, a column for each scenario, the flow that catches it, and a summary.
pub fn text(matrix: &Matrix) -> String {
    let mut text = String::new();
    for (number, row) in matrix.scenarios.iter().enumerate() {
        let _ = match &row.skipped {
            None => writeln!(text, "{:>3}  {} ({})", number + 1, row.file, row.claim),
            Some(why) => writeln!(text, "{:>3}  {}: skipped: {why}", number + 1, row.file),
        };
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let numbers = (1..=matrix.scenarios.len()).map(|number| number.to_string());
    table.set_header(
        [String::new(), "fault".to_owned()].into_iter().chain(numbers).chain(["caught by".to_owned()]),
    );
    for column in &matrix.faults {
        let cells = column.cells.iter().map(|cell| sign(cell).to_owned());
        let name = [column.fault.id.to_owned(), column.fault.name.to_owned()];
        table.add_row(name.into_iter().chain(cells).chain([first_catch(column)]));
    }
    text.push('\n');
    for line in table.to_string().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(
        "\n● caught   ○ played, and not noticed   · the same rules in the kernel as without the fault   ? unclear   - skipped\n",
    );
    text + &conclusion(matrix)
}

fn sign(cell: &Cell) -> &'static str {
    match cell {
        Cell::Caught { .. } => "●",
        Cell::Unnoticed => "○",
        Cell::SameRules => "·",
        Cell::Unclear { .. } => "?",
        Cell::LeftOut => "",
        Cell::Skipped => "-",
    }
}

/// The first scenario that catches a fault, and the flow that does.
fn first_catch(column: &Column) -> String {
    let mut catches = column.catches();
    let Some((scenario, by)) = catches.next() else {
        return if column.is_wrong() {
            "NOTHING".to_owned()
        } else {
            "nothing: the API allows it".to_owned()
        };
    };
    let others = catches.count();
    let more = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    let flow = by.first().map(|Catch { flow, family, text, .. }| format!("{flow} ({family}): {text}"));
    format!("{}: {}{more}", scenario + 1, flow.unwrap_or_default())
}

fn conclusion(matrix: &Matrix) -> String {
    let mut text = String::new();
    let unclear = matrix.faults.iter().flat_map(|column| {
        column.cells.iter().zip(&matrix.scenarios).filter_map(move |(cell, row)| match cell {
            Cell::Unclear { why } => Some(format!("{} with {}: {why}", row.file, column.fault.name)),
            _ => None,
        })
    });
    for line in unclear {
        let _ = writeln!(text, "unclear: {line}");
    }
    for row in matrix.vacuous() {
        let _ = writeln!(text, "catches nothing: {}", row.file);
    }
    for column in matrix.survivors() {
        let _ = writeln!(text, "SURVIVES: {} ({})", column.fault.name, column.fault.summary);
    }
    let wrong = matrix.faults.iter().filter(|column| column.is_wrong()).count();
    let survivors = matrix.survivors().count();
    let took = duration_text(Duration::from_millis(matrix.took_ms));
    let scenarios = matrix.scenarios.iter().filter(|row| row.skipped.is_none()).count();
    let _ = writeln!(
        text,
        "{} of {} caught by {}, {}, {took}",
        wrong - survivors,
        counted(wrong, "fault", "faults"),
        counted(scenarios, "scenario", "scenarios"),
        counted(survivors, "survives", "survive"),
    );
    text
}

/// The list of faults.
pub fn list(faults: &[&FaultInfo]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["", "fault", "lies in", "effect", "what it does", "seen in"]);
    for fault in faults {
        table.add_row([
            fault.id.to_owned(),
            fault.name.to_owned(),
            fault.category.to_string(),
            fault.effect.to_string(),
            fault.summary.to_owned(),
            fault.references.join(", "),
        ]);
    }
    table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
