//! What observations show about one flow.
//!
//! | module | job |
//! |---|---|
//! | `attempt` | the truth table: what one attempt shows |
//! | [`assess`] | whether a flow has settled: what a series of attempts shows |
//! | `words` | verdicts and reasons in words |

pub mod assess;
mod attempt;
mod words;

pub use attempt::{Case, Control, Kind, Reason, Verdict, judge};
pub use words::saw_text;
