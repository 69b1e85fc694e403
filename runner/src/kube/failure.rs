//! Puts a deadline on every request, and says in words what went wrong and what would help.

use crate::cluster::ClusterError;
use std::{error::Error, future::Future, io, time::Duration};
use tokio::time::timeout;

/// Limit for one request. The longest ordinary one creates a pod under a slow admission webhook, for which Kubernetes' default
/// timeout is 10 s.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

/// Runs a request; an error of the API keeps the server's message.
pub(super) async fn request<T>(
    context: &str,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    answered(context, future).await?.map_err(|status| failed(context, &status))
}

/// Runs a request; if the API server refuses it, the caller decides by the code.
pub(super) async fn answered<T>(
    context: &str,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, Box<kube::core::Status>>, ClusterError> {
    match timeout(REQUEST_DEADLINE, future).await {
        Ok(Ok(answer)) => Ok(Ok(answer)),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(ClusterError::Unreachable {
            what: format!("the API server does not accept the credentials: {}", status.message),
            hint: "log in again, or check the user of the context in the kubeconfig".into(),
        }),
        Ok(Err(kube::Error::Api(status))) => Ok(Err(status)),
        Ok(Err(error)) => Err(unreachable(context, &error)),
        Err(_) => Err(ClusterError::Unreachable {
            what: format!(
                "cannot {context}: no answer from the API server within {} s",
                REQUEST_DEADLINE.as_secs()
            ),
            hint: "is the API server up and not overloaded? `kubectl get --raw /readyz` asks it".into(),
        }),
    }
}

/// The API server's refusal of a request that is not about an object of the user.
pub(super) fn failed(context: &str, status: &kube::core::Status) -> ClusterError {
    ClusterError::Failed { context: format!("cannot {context}"), message: said(status) }
}

/// The server's message, or its reason if it has no message.
pub(super) fn said(status: &kube::core::Status) -> String {
    match (status.message.is_empty(), status.reason.is_empty()) {
        (false, _) => status.message.clone(),
        (true, false) => format!("{} ({})", status.reason, status.code),
        (true, true) => format!("HTTP status {}", status.code),
    }
}

/// An error with its causes, each once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn unreachable(context: &str, error: &kube::Error) -> ClusterError {
    if let kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) = error {
        return ClusterError::Failed { context: format!("cannot {context}"), message: chain(error) };
    }
    let kind = io_kind(error);
    let hint = match kind {
        Some(io::ErrorKind::ConnectionRefused) => {
            "nothing listens there: is the cluster up, and the context the right one?"
        }
        Some(io::ErrorKind::TimedOut) => "check the network, a VPN, or the context",
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            "there is no route to that address: check the network or a VPN"
        }
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            "the TLS handshake failed: the certificate authority in the kubeconfig may belong to an older cluster, or \
             something else listens there"
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            "the connection was cut: did the API server restart?"
        }
        _ => "does `kubectl version` reach the cluster with the same context?",
    };
    let why = match (kind, error) {
        (Some(io::ErrorKind::TimedOut), _) => "no answer in time".to_owned(),
        // The outer layers name the parts of the client; the innermost one says what happened.
        (_, kube::Error::Service(error)) => root(&**error).to_string(),
        (_, kube::Error::HyperError(error)) => root(error).to_string(),
        _ => chain(error),
    };
    ClusterError::Unreachable { what: format!("cannot {context}: {why}"), hint: hint.into() }
}

/// The innermost cause.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root
}

/// The kind of the innermost I/O error among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            found = Some(io.kind());
            // `source` skips the error that an I/O error wraps, so `get_ref` comes first.
            next = io.get_ref().map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        } else {
            next = error.source();
        }
    }
    found
}
