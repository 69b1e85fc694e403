//! What is a valid destination. A registry's answers are tested against a real one in tests/registry.

use super::*;

fn image() -> Image {
    crate::image::embedded().expect("the prober can be packed")
}

fn reference(text: &str) -> Result<String, String> {
    Destination::new(text, &image()).map(|to| to.reference.whole()).map_err(|error| error.to_string())
}

#[test]
fn a_destination_is_a_registry_a_path_and_the_images_tag_unless_another_is_given() {
    let image = image();
    let tag = image.reference.rsplit(':').next().expect("a tag");
    assert_eq!(reference("r.example/net/prober"), Ok(format!("r.example/net/prober:{tag}")));
    assert_eq!(reference("r.example:5000/prober:7"), Ok("r.example:5000/prober:7".into()));
    assert_eq!(reference("localhost/prober:7"), Ok("localhost/prober:7".into()));
}

#[test]
fn what_is_not_a_destination_is_refused_with_the_reason() {
    let why = |text: &str| reference(text).expect_err("it is not a destination");
    assert_eq!(why("prober"), "'prober' is not a valid destination: it does not begin with a registry");
    assert_eq!(
        why("team/prober"),
        "'team/prober' is not a valid destination: it does not begin with a registry"
    );
    assert!(why("r.example/prober@sha256:00").contains("cannot be chosen"));
    assert!(why("r.example/Prober").contains("not a valid destination"));
}

#[test]
fn only_a_registry_on_this_machine_may_do_without_a_certificate() {
    let encryption = |text: &str| Destination::new(text, &image()).expect("a destination").encryption;
    for local in ["localhost:5001/p", "127.0.0.1:5000/p"] {
        assert_eq!(encryption(local), Encryption::Optional, "{local}");
    }
    for other in ["r.example/p", "10.0.0.1:5000/p", "localhost.example:5000/p"] {
        assert_eq!(encryption(other), Encryption::Checked, "{other}");
    }
    assert_eq!(
        Destination::new("r.example/p", &image()).expect("one").insecure().encryption,
        Encryption::Optional
    );
}

#[test]
fn a_file_without_certificates_is_refused_by_its_name() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let destination = Destination::new("r.example/p", &image()).expect("a destination");
    let error = destination.trust(file.path()).expect_err("it is empty").to_string();
    assert!(
        error.contains(&file.path().display().to_string()) && error.contains("BEGIN CERTIFICATE"),
        "{error}"
    );
}
