//! Pushes an image to a registry (OCI distribution specification 1.1): what the registry already has is not sent again.

mod credentials;
mod failure;

pub use failure::PushError;

use super::oci::{Descriptor, Image};
use http::HeaderValue;
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};
use std::{fs, net::IpAddr, path::Path, time::Duration};
use tokio::time::timeout;

/// Limit for the whole push: three megabytes, which a slow connection sends in a minute.
pub(super) const DEADLINE: Duration = Duration::from_mins(5);

/// Limit for establishing a connection, and for an answer of the registry.
const ANSWER: Duration = Duration::from_secs(30);

/// How a certificate in PEM form begins (RFC 7468).
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Where an image goes, and whom to trust there.
#[derive(Debug, Clone)]
pub struct Destination {
    reference: Reference,
    roots: Vec<Vec<u8>>,
    encryption: Encryption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    /// HTTPS, with a certificate that is verified.
    Checked,
    /// HTTPS with any certificate, or HTTP if the registry does not speak HTTPS.
    Optional,
}

/// What a push has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The image with its digest, as `--image` takes it.
    pub reference: String,
    /// Bytes that were sent.
    pub sent: usize,
    /// Bytes that the registry already had.
    pub there: usize,
}

impl Destination {
    /// Reads `REGISTRY/PATH[:TAG]`; without a tag, the image's own is used.
    ///
    /// A registry on this machine may use HTTPS or HTTP, as with Docker.
    pub fn new(text: &str, image: &Image) -> Result<Self, PushError> {
        let wrong = |problem: String| PushError::Reference { text: text.to_owned(), problem };
        let (registry, path) = text.split_once('/').unwrap_or(("", text));
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(wrong("it does not begin with a registry".into()));
        }
        if path.contains('@') {
            return Err(wrong("a digest follows from what is pushed, and cannot be chosen".into()));
        }
        let own_tag = image.reference.rsplit(':').next().unwrap_or_default();
        let full = if path.contains(':') { text.to_owned() } else { format!("{text}:{own_tag}") };
        let reference = full.parse::<Reference>().map_err(|error| wrong(error.to_string()))?;
        let encryption = if is_local(registry) { Encryption::Optional } else { Encryption::Checked };
        Ok(Self { reference, roots: Vec::new(), encryption })
    }

    /// Also trusts the certificates in a file, in PEM form.
    pub fn trust(mut self, file: &Path) -> Result<Self, PushError> {
        let wrong = |problem: String| PushError::Roots { file: file.display().to_string(), problem };
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        self.roots = text.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{rest}").into_bytes()).collect();
        if self.roots.is_empty() {
            return Err(wrong(format!("it has no line '{BEGIN}'")));
        }
        Ok(self)
    }

    /// Accepts any certificate, and HTTP.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.encryption = Encryption::Optional;
        self
    }

    fn registry(&self) -> &str {
        self.reference.registry()
    }

    fn client(&self, protocol: ClientProtocol) -> Result<Client, PushError> {
        // Only the first call in a process has an effect; the Kubernetes client may have made it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = |pem: &Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() };
        let config = ClientConfig {
            protocol,
            accept_invalid_certificates: self.encryption == Encryption::Optional,
            extra_root_certificates: self.roots.iter().map(root).collect(),
            read_timeout: Some(ANSWER),
            connect_timeout: Some(ANSWER),
            user_agent: concat!("flowproof/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(|error| PushError::of(self.registry(), error))
    }

    /// A client that has logged in, if the registry asks for that before anything is sent.
    async fn connect(&self, auth: &RegistryAuth) -> Result<Client, PushError> {
        let failed = |error| PushError::of(self.registry(), error);
        let client = self.client(ClientProtocol::Https)?;
        match client.auth(&self.reference, auth, RegistryOperation::Push).await {
            Err(OciDistributionError::RequestError(error))
                if error.is_connect() && self.encryption == Encryption::Optional =>
            {
                let client = self.client(ClientProtocol::Http)?;
                client.auth(&self.reference, auth, RegistryOperation::Push).await.map_err(failed)?;
                Ok(client)
            }
            answer => answer.map(|_| client).map_err(failed),
        }
    }
}

/// A registry on this machine's loopback.
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pushes an image, with the credentials that `docker login` or `podman login` has saved.
pub async fn push(image: &Image, destination: &Destination) -> Result<Pushed, PushError> {
    let auth = credentials::of(destination.registry())?;
    timeout(DEADLINE, push_with(image, destination, &auth))
        .await
        .map_err(|_| PushError::Late { registry: destination.registry().to_owned() })?
}

async fn push_with(image: &Image, to: &Destination, auth: &RegistryAuth) -> Result<Pushed, PushError> {
    let failed = |error| PushError::of(to.registry(), error);
    let client = to.connect(auth).await?;
    let mut pushed = Pushed { reference: String::new(), sent: 0, there: 0 };
    for blob in image.platforms.iter().flat_map(|platform| [&platform.layer, &platform.config]) {
        if client.blob_exists(&to.reference, &blob.sha256()).await.map_err(failed)? {
            pushed.there += blob.size;
        } else {
            client.push_blob(&to.reference, content(image, blob), &blob.sha256()).await.map_err(failed)?;
            pushed.sent += blob.size;
        }
    }
    let by_digest = |manifest: &Descriptor| to.reference.clone_with_digest(manifest.sha256());
    let several = image.platforms.iter().filter(|_| image.platforms.len() > 1);
    let mut manifests: Vec<_> = several.map(|one| (&one.manifest, by_digest(&one.manifest))).collect();
    manifests.push((&image.top, to.reference.clone()));
    for (manifest, reference) in manifests {
        let media_type = HeaderValue::from_static(manifest.media_type);
        client.push_manifest_raw(&reference, content(image, manifest), media_type).await.map_err(failed)?;
        pushed.sent += manifest.size;
    }
    let tag = to.reference.tag().unwrap_or_default();
    pushed.reference =
        format!("{}/{}:{tag}@{}", to.registry(), to.reference.repository(), image.top.sha256());
    Ok(pushed)
}

fn content(image: &Image, descriptor: &Descriptor) -> Vec<u8> {
    image.blobs[&descriptor.digest].clone()
}

#[cfg(test)]
mod tests;
