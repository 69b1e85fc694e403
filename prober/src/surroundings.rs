//! What the prober finds where it runs: name servers, limits, randomness.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
};

/// The limit of open files that POSIX guarantees (`_POSIX_OPEN_MAX`); assumed if the kernel does not report one.
const LEAST_OPEN_FILES: u64 = 20;

/// Name servers and search list, as `/etc/resolv.conf` has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) name_servers: Vec<IpAddr>,
    pub(crate) search: Vec<String>,
}

/// Reads `/etc/resolv.conf`; the lists are empty if it cannot be read.
pub(crate) fn resolver() -> Resolver {
    std::fs::read_to_string("/etc/resolv.conf").map_or_else(|_| Resolver::default(), |text| parse(&text))
}

/// Parses the format of resolv.conf(5): the last `search` or `domain` counts; an invalid address is left out.
fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                resolver.name_servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
            }
            Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    resolver
}

/// Raises the limit of open files to the most that is allowed, because every attempt in flight holds one.
///
/// Returns the limit in force afterwards.
pub(crate) fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return LEAST_OPEN_FILES;
    };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Returns a random number, from the kernel's randomness that seeds the standard library's hashes.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_resolv_conf_is_read() {
        let text = "# made by somebody\nsearch a.svc.cluster.local svc.cluster.local ; note\n\
                    nameserver 10.96.0.10\nnameserver fd00::a\nnameserver nonsense\noptions ndots:5\n";
        assert_eq!(
            parse(text),
            Resolver {
                name_servers: vec![
                    "10.96.0.10".parse().expect("an address"),
                    "fd00::a".parse().expect("an address")
                ],
                search: vec!["a.svc.cluster.local".to_owned(), "svc.cluster.local".to_owned()],
            }
        );
    }
}
