//! From the text of a scenario to a checked [`Scenario`](crate::scenario::Scenario), or to every problem in it.
//!
//! The text becomes a tree in which every value knows its place. The tree is then read field by field, so that one mistake never
//! hides another. The caller loads files that a scenario refers to, through [`Load`]: nothing here opens a file.
//!
//! ```
//! use flowproof_core::parse::{Load, scenario};
//! let text = "
//! scenario: the database answers
//! namespaces: { app: , data: }
//! workloads: { app/api: , data/postgres: { listens: [tcp/5432] } }
//! expect: { allow: [app/api -> data/postgres] }
//! ";
//! let load: &mut Load<'_> = &mut |_| Err("there are no files here".to_owned());
//! let scenario = scenario("example.yaml", text.as_bytes(), load).unwrap();
//! assert_eq!(scenario.steps[0].expectations[0].flow.to_string(), "app/api -> data/postgres tcp/5432");
//! ```

mod application;
mod deviations;
mod document;
mod expand;
mod expect;
mod fields;
mod flow_text;
mod listener_text;
mod manifest;
mod placement;
mod schema;
mod service;
mod shadow;
mod step;
mod topology;

pub use deviations::{Comparison, Deviation, Flows, Subject as DeviationSubject, deviations};
pub use document::{Load, Loaded, is_scenario, scenario};
pub use expand::MAX_FLOWS;
pub use listener_text::MAX_LISTENERS;
pub use schema::json_schema;
pub use topology::MAX_NAMESPACE_LENGTH;

#[cfg(test)]
mod tests;
