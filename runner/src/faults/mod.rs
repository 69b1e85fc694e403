//! What a suite of scenarios catches: every scenario is played in local clusters that each have one fault of a real plugin.
//!
//! The correct engine comes first, and must match everything. It keeps the states of the API that each scenario led to. If a
//! fault would have led to the same rules in every kernel at every moment, that scenario cannot notice it and is not played with
//! it. All others are played, each in a local cluster of its own, many side by side, because a play is mostly waiting.
//!
//! | module | job |
//! |---|---|
//! | [`matrix`] | the result, as JSON shows it |
//! | [`play`](fn@play) | scenarios and faults in, matrix out |
//! | [`table`] | the result for people |

pub mod matrix;
pub mod play;
pub mod table;

pub use matrix::Matrix;
pub use play::{Depth, Event, Options, jobs, play};
