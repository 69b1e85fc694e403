//! Finds the credentials for a registry where `podman login` and `docker login` keep them, credential helpers included.

use super::PushError;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;
use std::{
    env,
    fs::File,
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
};

/// The name under which Docker's clients keep the credentials for `docker.io`.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The credentials for a registry, from the first file that has some; none if there are none.
pub(super) fn of(registry: &str) -> Result<RegistryAuth, PushError> {
    for file in files(|name| env::var_os(name).map(PathBuf::from)) {
        if let Some(found) = in_file(&file, registry)? {
            return Ok(found);
        }
    }
    Ok(RegistryAuth::Anonymous)
}

/// The files that may have credentials: those that a variable names come before the default ones.
fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME");
    let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
    [
        variable("REGISTRY_AUTH_FILE"),
        variable("DOCKER_CONFIG").map(|folder| folder.join("config.json")),
        variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        in_home(".config/containers/auth.json"),
        in_home(".docker/config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn in_file(path: &Path, registry: &str) -> Result<Option<RegistryAuth>, PushError> {
    let wrong = |problem: String| PushError::Credentials { file: path.display().to_string(), problem };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(wrong(error.to_string())),
    };
    let server = if matches!(registry, "docker.io" | "index.docker.io") { DOCKER_HUB } else { registry };
    match get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Some(RegistryAuth::Basic(name, password)))
        }
        Ok(DockerCredential::IdentityToken(_)) => Err(wrong(format!(
            "for {registry} it has an identity token, which flowproof cannot use: log in with a password or an access token"
        ))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // What every helper prints if it has none (docker-credential-helpers, credentials/error.go).
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            let said = [stderr, stdout]
                .iter()
                .map(|text| text.trim())
                .find(|text| !text.is_empty())
                .map(str::to_owned);
            Err(wrong(format!(
                "{helper}, which it names, failed: {}",
                said.unwrap_or_else(|| "it does not say why".into())
            )))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => Err(wrong(format!(
            "the credential helper that it names for {registry} cannot be run: is it on PATH?"
        ))),
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err(wrong("it is not a JSON file as `docker login` writes".into()))
        }
        Err(error) => Err(wrong(format!("for {registry}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// `name:password` in base64.
    const AUTH: &str = "bmFtZTpwYXNzd29yZA==";

    fn found(text: &str, registry: &str) -> Result<Option<RegistryAuth>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        fs::write(&file, text).expect("it can be written");
        in_file(&file, registry).map_err(|error| error.to_string())
    }

    #[test]
    fn a_login_is_found_by_its_registry() {
        let kept = format!(
            r#"{{"auths":{{"r.example:5000":{{"auth":"{AUTH}"}},"{DOCKER_HUB}":{{"auth":"{AUTH}"}}}}}}"#
        );
        let basic = Ok(Some(RegistryAuth::Basic("name".into(), "password".into())));
        assert_eq!(found(&kept, "r.example:5000"), basic);
        assert_eq!(found(&kept, "docker.io"), basic);
        assert_eq!(found(&kept, "r.example"), Ok(None));
        assert_eq!(
            in_file(Path::new("/nowhere/config.json"), "r").map_err(|error| error.to_string()),
            Ok(None)
        );
    }

    #[test]
    fn what_cannot_be_used_is_said_with_the_file() {
        assert!(
            found("{", "r").is_err_and(|why| why.contains("config.json") && why.contains("not a JSON file"))
        );
        let token = r#"{"auths":{"r":{"auth":"","identitytoken":"t"}}}"#;
        assert!(
            found(token, "r").is_err_and(|why| why.contains("identity token")),
            "{:?}",
            found(token, "r")
        );
        let missing = r#"{"credsStore":"flowproof-test-that-is-nowhere"}"#;
        assert!(found(missing, "r").is_err_and(|why| why.contains("on PATH")), "{:?}", found(missing, "r"));
    }

    #[test]
    fn files_that_a_variable_names_come_first() {
        let set = |name: &str| match name {
            "HOME" => Some("/h".into()),
            "DOCKER_CONFIG" => Some("/d".into()),
            _ => None,
        };
        let expected = ["/d/config.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(files(set), expected.map(PathBuf::from));
    }
}
