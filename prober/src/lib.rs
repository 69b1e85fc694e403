//! The program in the pods: listens, tries flows, and reports what happened at its end.
//!
//! It knows nothing of Kubernetes, policies or scenarios. Over a stream ([`flowproof_wire`]), a runner tells it what to listen on
//! and what to try, and it reports what it saw.
//!
//! One thread, one owner: `serve` holds the record, the attempts and the listeners, and waits for whatever comes first.
//! - `record` remembers what was seen, in spans with revisions; it has no sockets.
//! - `attempt` tries flows: one scheduler and one epoll set for all attempts in flight, no task and no timer per attempt.
//! - `listen` answers nonces and DNS queries, and checks over loopback that it still does.
//! - `capture` watches the interfaces for packets of attempts, if that was asked for.
//! - `session` carries out commands and makes reports; `link` is the stream to the runner.
//! - `relay` connects standard input and output to the socket of a running prober.
//!
//! Every time is microseconds since the start of the program.

mod args;
mod attempt;
mod capture;
mod clock;
mod link;
mod listen;
mod record;
mod relay;
mod serve;
mod session;
mod surroundings;

pub use args::run;
