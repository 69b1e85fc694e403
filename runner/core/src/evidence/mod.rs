//! What was observed: moments, records of both ends, signs of life, and what both ends captured.
//!
//! | module | job |
//! |---|---|
//! | [`time`] | moments of a run |
//! | [`record`] | what both ends reported about a flow |
//! | [`life`] | when probers and their listeners were alive |
//! | [`hindrance`] | when an end got too little CPU, and which attempts prove nothing because of it |
//! | [`capture`] | where attempts died, according to the packets that both ends captured |

pub mod capture;
pub mod hindrance;
pub mod life;
pub mod record;
pub mod time;
