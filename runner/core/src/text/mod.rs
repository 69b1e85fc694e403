//! Reads text and says what is wrong with it: YAML in which every value knows its place, ports, problems and their hints.
//!
//! | module | job |
//! |---|---|
//! | `position` | places in files |
//! | `problem` | what is wrong with a file, and where; the nearest word that is known |
//! | `yaml`, `raw`, `scalar`, `tree` | from bytes to a tree in which every value knows its place |
//! | `port_text` | transports and ports as people write them |

pub(crate) mod port_text;
mod position;
pub(crate) mod problem;
mod raw;
mod scalar;
pub(crate) mod tree;
pub(crate) mod yaml;

pub use position::{Places, Position};
pub(crate) use problem::nearest;
pub use problem::{Problem, Severity};
pub(crate) use tree::field_path;
pub use yaml::{MAX_DEPTH, MAX_FILE_BYTES, MAX_MANIFEST_BYTES};
