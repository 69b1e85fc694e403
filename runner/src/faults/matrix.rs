//! The kill matrix: which scenario catches which fault, and by which flow.

use crate::local::fault::{Effect, FaultInfo};
use flowproof_core::{outcome::Exit, scenario::flow::Family, verdict::Reason};
use serde::Serialize;

/// Name and version of the schema of `--json`.
pub const SCHEMA: &str = "flowproof.faults/1";

/// Scenarios against faults.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matrix {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of flowproof.
    pub flowproof: &'static str,
    /// How long everything took.
    pub took_ms: u64,
    /// The scenarios, in order.
    pub scenarios: Vec<Row>,
    /// The faults, in the order of the catalog.
    pub faults: Vec<Column>,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its file.
    pub file: String,
    /// Its claim.
    pub claim: String,
    /// Why it took no part, if it did not.
    pub skipped: Option<String>,
    /// How many faults it catches.
    pub catches: usize,
}

/// A fault, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Which.
    pub fault: &'static FaultInfo,
    /// What became of it with each scenario, in the order of [`Matrix::scenarios`].
    pub cells: Vec<Cell>,
}

/// One scenario with one fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Cell {
    /// At least one flow did not do what the scenario expects.
    Caught {
        /// The flows of the first step in which that happened.
        by: Vec<Catch>,
    },
    /// It was played, and everything matched.
    Unnoticed,
    /// It was not played, because the scenario leads to the same rules in the kernel with the fault and without it.
    SameRules,
    /// It was played, and neither everything matched nor anything mismatched.
    Unclear {
        /// What prevents a result.
        why: String,
    },
    /// It was not played, because another scenario had caught the fault.
    LeftOut,
    /// The scenario took no part.
    Skipped,
}

/// A flow that catches a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Catch {
    /// Title of the step.
    pub step: String,
    /// The flow.
    pub flow: String,
    /// Its address family.
    pub family: Family,
    /// File, line and column of its expectation.
    pub at: String,
    /// What it did instead.
    pub reason: Reason,
    /// The same in words.
    pub text: String,
}

impl Column {
    /// Scenarios (by index) and flows that catch it.
    pub fn catches(&self) -> impl Iterator<Item = (usize, &[Catch])> {
        self.cells.iter().enumerate().filter_map(|(at, cell)| match cell {
            Cell::Caught { by } => Some((at, by.as_slice())),
            _ => None,
        })
    }

    /// Whether nothing catches it.
    pub fn survives(&self) -> bool {
        self.catches().next().is_none()
    }

    /// Whether it is wrong. What the API leaves open is not, so no suite has to notice it.
    pub fn is_wrong(&self) -> bool {
        self.fault.effect != Effect::Neither
    }
}

impl Matrix {
    /// The faults that are wrong and that nothing catches.
    pub fn survivors(&self) -> impl Iterator<Item = &Column> {
        self.faults.iter().filter(|column| column.is_wrong() && column.survives())
    }

    /// The scenarios that took part, were played with every fault that affects them, and catch nothing.
    pub fn vacuous(&self) -> impl Iterator<Item = &Row> {
        let left_out =
            |at: usize| self.faults.iter().any(|column| column.cells.get(at) == Some(&Cell::LeftOut));
        let rows = self.scenarios.iter().enumerate();
        rows.filter(move |(at, row)| row.skipped.is_none() && row.catches == 0 && !left_out(*at))
            .map(|(_, row)| row)
    }

    /// The exit code: a fault that survives counts as a mismatch.
    pub fn exit(&self) -> Exit {
        if self.survivors().next().is_some() { Exit::Mismatched } else { Exit::Success }
    }
}
