//! The world: the process in whose namespaces a local cluster lives.
//!
//! | module | job |
//! |---|---|
//! | [`birth`] | makes the namespaces, and the process with which they end |
//! | [`serve`] | takes requests and answers them |
//! | [`state`] | what the API holds, what runs, what each request does |
//! | [`node`], [`pod`] | network namespaces, links, routes, probers |
//! | [`route`] | routes out of an interface, in batches |
//! | [`nft`], [`enforcer`] | carries rule sets into the kernels of the nodes |
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
