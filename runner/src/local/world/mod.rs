//! The world: the process with the namespaces of a local cluster.
//!
//! | module | job |
//! |---|---|
//! | [`birth`] | creates the namespaces, and the process with which they end |
//! | [`serve`] | takes requests and answers them |
//! | [`state`] | the state of the API, the running pods, and what each request does |
//! | [`node`], [`pod`] | network namespaces, links, routes, probers |
//! | [`route`] | routes out of an interface, in batches |
//! | [`nft`], [`enforcer`] | loads rule sets into the kernel, for each node |
//! | [`dns`] | the cluster DNS |
//! | [`inside`] | runs code in a namespace |

pub(crate) mod birth;
mod dns;
mod enforcer;
mod inside;
mod nft;
mod node;
mod pod;
mod route;
mod serve;
mod state;

pub(crate) use birth::OUTER;
pub use birth::become_world_if_asked;
pub(crate) use state::node_name;
