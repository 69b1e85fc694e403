//! What the harness tests share.
