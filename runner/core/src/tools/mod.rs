//! What people ask about scenarios, policies and results; each tool answers one kind of question.
//!
//! | module | job |
//! |---|---|
//! | [`lint`] | what is wrong with a scenario although it parses |
//! | [`explain`] | why a flow is allowed or denied |
//! | [`generate`] | scenarios that test given policies |
//! | [`reach`] | who may reach whom by given policies |
//! | [`picture`] | who reaches whom as an SVG |
//! | [`mutate`] | which edits of its policies a scenario would not notice |
//! | [`compare`] | two outcomes, flow by flow |

pub mod compare;
pub mod explain;
pub mod generate;
pub mod lint;
pub mod mutate;
pub mod picture;
pub mod reach;
