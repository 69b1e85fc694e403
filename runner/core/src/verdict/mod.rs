//! What observations amount to, for one flow.
//!
//! | module | job |
//! |---|---|
//! | `attempt` | the one place where verdicts are decided: the truth table of a single case |
//! | [`assess`] | whether a flow has settled: what a series of attempts shows |
//! | `words` | verdicts and reasons in words |

pub mod assess;
mod attempt;
mod words;

pub use attempt::{Case, Control, Kind, Reason, Verdict, judge};
pub use words::saw_text;
