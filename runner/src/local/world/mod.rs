//! The world: the process with the namespaces of a local cluster, and the runner's side of it.
//!
//! | module | job |
//! |---|---|
//! | [`client`] | [`LocalCluster`], the runner's side |
//! | [`channel`], [`message`] | how the two sides talk |
//! | [`birth`] | creates the namespaces, and the process with which they end |
//! | [`serve`] | takes requests and answers them |
//! | [`state`] | the state of the API, the running pods, and what each request does |
//! | [`node`], [`pod`] | network namespaces, links, routes, probers |
//! | [`route`] | routes out of an interface, in batches |
//! | [`nft`], [`enforcer`] | loads rule sets into the kernel, for each node |
//! | [`dns`] | the cluster DNS |
//! | [`inside`] | runs code in a namespace |

mod birth;
mod channel;
mod client;
mod dns;
mod enforcer;
mod inside;
mod message;
mod nft;
mod node;
mod pod;
mod route;
mod serve;
mod state;

pub use birth::become_world_if_asked;
pub use client::LocalCluster;
