//! What one API server accepts and another one does not: versions of Kubernetes, channels of the definition of
//! `ClusterNetworkPolicy`.

use std::fmt;

/// A version of Kubernetes: the API server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u16,
    minor: u16,
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version of Kubernetes: write it as 1.36")]
pub struct NotAVersion(String);

/// From this version on, an API server rejects loose forms of addresses in objects that are created, and keeps those that exist
/// (feature gate `StrictIPCIDRValidation`: alpha and off from 1.33, beta and on from 1.36; KEP-4858).
pub const STRICT_ADDRESSES: Version = Version { major: 1, minor: 36 };

/// A channel of the custom resource definition of `ClusterNetworkPolicy`: a cluster has one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Channel {
    /// `config/crd/standard` of network-policy-api.
    #[default]
    Standard,
    /// `config/crd/experimental`: with `nodes` and `domainNames`.
    Experimental,
}

/// Which API servers reject something, if not all of them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Only {
    /// Those of this version and later.
    Since(Version),
    /// Those that have the definition of this channel.
    With(Channel),
    /// None: it is inside a custom resource, where the API server does not look.
    Nobody,
}

/// What is known about the API server that a policy is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiServer {
    /// Its version, if that is known.
    pub version: Option<Version>,
    /// The channel of its definition of `ClusterNetworkPolicy`.
    pub channel: Channel,
}

impl ApiServer {
    /// Whether this API server certainly rejects what only some do.
    #[must_use]
    pub fn rejects(&self, only: Only) -> bool {
        match only {
            Only::Since(since) => self.version.is_some_and(|version| version >= since),
            Only::With(channel) => channel == self.channel,
            Only::Nobody => false,
        }
    }
}

impl std::str::FromStr for Version {
    type Err = NotAVersion;

    /// Reads `1.36`, `v1.36.2` and what clouds make of it (`v1.36.2-gke.100`).
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let wrong = || NotAVersion(text.to_owned());
        let (major, rest) = text.strip_prefix('v').unwrap_or(text).split_once('.').ok_or_else(wrong)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (minor, patch) = rest.split_at(end);
        let number = |text: &str| text.parse().map_err(|_| wrong());
        if !(patch.is_empty() || patch.starts_with(['.', '+', '-'])) {
            return Err(wrong());
        }
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Channel {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Experimental => "experimental",
        }
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Since(version) => write!(f, "Kubernetes {version} and later reject it"),
            Self::With(channel) => {
                write!(f, "the {} channel of the API's definition rejects it", channel.as_str())
            }
            Self::Nobody => f.write_str(
                "the API server does not look into it, and what an implementation makes of it is left open",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version = |text: &str| text.parse::<Version>();
        assert_eq!(version("1.36"), Ok(STRICT_ADDRESSES));
        assert_eq!(version("v1.36.2-gke.100"), Ok(STRICT_ADDRESSES));
        assert_eq!(version("1.37").expect("a version").to_string(), "1.37");
        assert!(version("1.9").expect("a version") < version("1.10").expect("a version"));
        for wrong in ["", "1", "one.two", "1.", "1.36x", ".36", "1.36 "] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_depends_on_a_version_is_not_rejected_where_none_is_known() {
        let since = Only::Since(STRICT_ADDRESSES);
        let of = |text: &str| ApiServer { version: text.parse().ok(), ..ApiServer::default() };
        assert!(!of("").rejects(since) && !of("1.35").rejects(since) && of("1.37").rejects(since));
        assert!(of("").rejects(Only::With(Channel::Standard)));
        assert!(!of("").rejects(Only::With(Channel::Experimental)));
    }
}
