//! Why a push failed, in words that say what to do.

use super::DEADLINE;
use http::StatusCode;
use oci_client::errors::{OciDistributionError, OciErrorCode};
use rustls::CertificateError;
use std::{error::Error, io};

/// Why the image could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The destination is not the name of an image in a registry.
    #[error("'{text}' is not a valid destination: {problem}")]
    Reference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file has no certificates that could be trusted.
    #[error("{file} cannot be used as certificates: {problem}")]
    Roots {
        /// Which file.
        file: String,
        /// Why not.
        problem: String,
    },
    /// A file with credentials cannot be used.
    #[error("the credentials in {file} cannot be used: {problem}")]
    Credentials {
        /// Which file.
        file: String,
        /// Why not.
        problem: String,
    },
    /// The registry does not answer.
    #[error("the registry {registry} cannot be reached: {problem}")]
    Unreachable {
        /// Which one.
        registry: String,
        /// How it failed.
        problem: String,
    },
    /// It does not speak HTTPS as it should.
    #[error("the registry {registry} does not speak HTTPS: {problem}")]
    Unencrypted {
        /// Which one.
        registry: String,
        /// What it does instead.
        problem: String,
    },
    /// It has a certificate that no trusted authority has signed.
    #[error("the certificate of the registry {registry} is not trusted: {problem}")]
    Untrusted {
        /// Which one.
        registry: String,
        /// Why not.
        problem: String,
    },
    /// It does not allow the login, or does not allow to write there.
    #[error("the registry {registry} refuses: {problem}")]
    Refused {
        /// Which one.
        registry: String,
        /// What it says.
        problem: String,
    },
    /// It reports another error.
    #[error("the registry {registry} does not take the image: {problem}")]
    Failed {
        /// Which one.
        registry: String,
        /// What it says.
        problem: String,
    },
    /// The push did not finish in time.
    #[error("the image was not pushed to {registry} within {} s", DEADLINE.as_secs())]
    Late {
        /// Which one.
        registry: String,
    },
}

impl PushError {
    /// What would help, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Reference { .. } => {
                Some("write it as registry.example.com/team/flowproof-prober, with :TAG if you want one of your own".into())
            }
            Self::Untrusted { .. } => {
                Some("--ca FILE trusts the certificate of a private authority; --insecure trusts any".into())
            }
            Self::Refused { registry, .. } => Some(format!(
                "log in with `docker login {registry}` or `podman login {registry}`; their files and credential helpers are read"
            )),
            Self::Unreachable { .. } => {
                Some("is its name right? A proxy is taken from HTTPS_PROXY and NO_PROXY".into())
            }
            Self::Unencrypted { .. } => Some("--insecure allows HTTP".into()),
            Self::Roots { .. } | Self::Credentials { .. } | Self::Failed { .. } | Self::Late { .. } => None,
        }
    }

    /// Makes it from an error of the registry's client.
    pub(super) fn of(registry: &str, error: OciDistributionError) -> Self {
        let registry = registry.to_owned();
        match error {
            OciDistributionError::RequestError(error) => Self::of_request(registry, &error),
            OciDistributionError::UnauthorizedError { .. } => {
                Self::Refused { registry, problem: unauthorized() }
            }
            OciDistributionError::AuthenticationFailure(said) => {
                let said = said.trim();
                let problem = if said.is_empty() { unauthorized() } else { said.to_owned() };
                Self::Refused { registry, problem }
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let refused = envelope
                    .errors
                    .iter()
                    .any(|one| matches!(one.code, OciErrorCode::Unauthorized | OciErrorCode::Denied));
                let said: Vec<_> = envelope.errors.into_iter().map(|one| one.message).collect();
                let problem = said.join("; ");
                if refused { Self::Refused { registry, problem } } else { Self::Failed { registry, problem } }
            }
            OciDistributionError::ServerError { code, message, .. } => {
                let problem = format!("HTTP status {code} {}", message.trim());
                if code == 403 {
                    Self::Refused { registry, problem }
                } else {
                    Self::Failed { registry, problem }
                }
            }
            other => Self::Failed { registry, problem: other.to_string() },
        }
    }

    fn of_request(registry: String, error: &reqwest::Error) -> Self {
        match error.status() {
            Some(StatusCode::UNAUTHORIZED) => return Self::Refused { registry, problem: unauthorized() },
            Some(status @ StatusCode::FORBIDDEN) => {
                return Self::Refused { registry, problem: format!("HTTP status {status}") };
            }
            Some(status) => return Self::Failed { registry, problem: format!("HTTP status {status}") },
            None => {}
        }
        let causes = causes(error);
        match causes.iter().find_map(|cause| cause.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(problem)) => {
                return Self::Untrusted { registry, problem: untrusted(problem) };
            }
            Some(problem) => return Self::Unencrypted { registry, problem: problem.to_string() },
            None => {}
        }
        let problem = if error.is_timeout() {
            "it does not answer in time".into()
        } else {
            causes.last().map_or_else(|| error.to_string(), ToString::to_string)
        };
        Self::Unreachable { registry, problem }
    }
}

fn unauthorized() -> String {
    "it was given no credentials, or none that it knows".into()
}

fn untrusted(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => "no authority that this machine trusts has issued it".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".into()
        }
        other => other.to_string(),
    }
}

/// The causes of an error, the deepest one last. An I/O error does not include the error that it wraps in its own chain.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        causes.push(error);
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source());
    }
    causes
}
