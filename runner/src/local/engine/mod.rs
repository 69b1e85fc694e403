//! The policy engine: computes the rules of every node from the state of the API. Pure.
//!
//! | module | job |
//! |---|---|
//! | [`view`] | what the API holds |
//! | [`read`], [`policy`], [`selector`] | NetworkPolicies: checked, with defaults filled in |
//! | [`tier`] | ClusterNetworkPolicies |
//! | [`memory`] | the API's state as an engine with a faulty memory sees it |
//! | [`compile`] | policies to rules, for the pods of one node |
//! | [`services`] | Services to translations |
//! | [`ruleset`], [`ranges`] | the rules of a node, as values |
//! | [`walk`] | what becomes of a connection under such rules, without a kernel |

pub(crate) mod compile;
pub(crate) mod memory;
pub(crate) mod policy;
pub(crate) mod ranges;
pub(crate) mod read;
pub(crate) mod ruleset;
pub(crate) mod selector;
pub(crate) mod services;
pub(crate) mod tier;
pub(crate) mod view;
pub(crate) mod walk;
