//! Reads the archive back as a container runtime would.

use crate::image::{Image, ImageError, Prober, elf::Elf, embedded, oci::digest};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, io::Read, path::Path};

type Files = BTreeMap<String, (u32, u64, Vec<u8>)>;

fn unpack(archive: &[u8]) -> Files {
    let mut tar = tar::Archive::new(archive);
    tar.entries()
        .expect("it is a tar file")
        .map(|entry| {
            let mut entry = entry.expect("every entry can be read");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("the content can be read");
            let header = entry.header().clone();
            let name = entry.path().expect("the name is text").display().to_string();
            (name, (header.mode().expect("a mode"), header.mtime().expect("a time"), content))
        })
        .collect()
}

fn path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
    format!("blobs/{}", digest.replace(':', "/"))
}

fn read(files: &Files, name: &str) -> Value {
    serde_json::from_slice(&files[name].2).expect("it is JSON")
}

/// Follows a descriptor and checks size and digest on the way.
fn follow<'a>(files: &'a Files, descriptor: &Value) -> &'a [u8] {
    let content = &files[&path(descriptor)].2;
    assert_eq!(descriptor["size"], content.len());
    assert_eq!(descriptor["digest"], format!("sha256:{}", digest(content)));
    content
}

#[test]
fn the_embedded_prober_is_static_and_small() {
    for Prober { architecture, program, .. } in crate::image::probers() {
        let elf = Elf::read(program).expect("it is ELF");
        assert_eq!(elf.loader, None, "{architecture}: it must not need one");
        assert!(program.len() <= 4 << 20, "{architecture}: {} bytes", program.len());
    }
}

#[test]
fn every_descriptor_leads_to_its_content() {
    let own = Prober::own();
    let image = Image::pack(&[own.program], "1").expect("the prober can be packed");
    let files = unpack(&image.archive());
    let index = read(&files, "index.json");
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], image.reference.as_str());
    assert_eq!(entry["platform"]["architecture"], own.architecture);
    let manifest: Value = serde_json::from_slice(follow(&files, entry)).expect("a manifest");
    let config: Value = serde_json::from_slice(follow(&files, &manifest["config"])).expect("a config");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/flowproof-prober"]));
    let layer = follow(&files, &manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(layer)));

    let layer = unpack(layer);
    assert_eq!(layer["flowproof-prober"], (0o755, 0, Prober::own().program.to_vec()));
    assert!(["dev/", "etc/", "proc/", "sys/", "tmp/"].iter().all(|name| layer.contains_key(*name)));

    let docker = read(&files, "manifest.json");
    assert_eq!(docker[0]["RepoTags"], json!([image.reference]));
    assert_eq!(docker[0]["Config"], path(&manifest["config"]));
    assert_eq!(docker[0]["Layers"], json!([path(&manifest["layers"][0])]));
    assert!(files.values().all(|(_, time, _)| *time == 0));
}

#[test]
fn the_same_prober_gives_the_same_bytes_and_another_one_another_name() {
    let image = embedded().expect("it can be packed");
    assert_eq!(image, embedded().expect("it can be packed again"));
    let mut other = Prober::own().program.to_vec();
    other.push(0);
    let other = Image::pack(&[&other], env!("CARGO_PKG_VERSION")).expect("trailing bytes do no harm");
    assert_ne!(image.reference, other.reference);
}

/// The same program, said to be for the other architecture.
fn for_the_other(program: &[u8]) -> Vec<u8> {
    const MACHINE: usize = 18; // e_machine: 62 is x86-64, 183 is AArch64
    let mut other = program.to_vec();
    other[MACHINE] = if other[MACHINE] == 62 { 183 } else { 62 };
    other
}

#[test]
fn two_architectures_make_one_image_with_an_index() {
    let own = Prober::own().program;
    let other = for_the_other(own);
    let image = Image::pack(&[own, &other], "1").expect("both can be packed");
    let files = unpack(&image.archive());
    let entry = &read(&files, "index.json")["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], image.reference.as_str());
    let index: Value = serde_json::from_slice(follow(&files, entry)).expect("an index");
    let mut found = Vec::new();
    for manifest in index["manifests"].as_array().expect("manifests") {
        let architecture = manifest["platform"]["architecture"].as_str().expect("an architecture");
        let manifest: Value = serde_json::from_slice(follow(&files, manifest)).expect("a manifest");
        let layer = unpack(follow(&files, &manifest["layers"][0]));
        let elf = Elf::read(&layer["flowproof-prober"].2).expect("a program");
        assert_eq!(elf.architecture, Some(architecture));
        found.push(architecture.to_owned());
    }
    assert_eq!(found, image.architectures().collect::<Vec<_>>());
    found.sort();
    assert_eq!(found, ["amd64", "arm64"]);
    let alone = Image::pack(&[own], "1").expect("one can be packed");
    assert_ne!(image.reference, alone.reference);
    assert_eq!(image.reference, Image::pack(&[&other, own], "1").expect("in any order").reference);
}

#[test]
fn what_cannot_run_in_the_image_is_refused() {
    let own = Prober::own().program;
    assert!(matches!(Image::pack(&[own, own], "1"), Err(ImageError::Twice(_))));
    assert!(matches!(Image::pack(&[b"#!/bin/sh"], "1"), Err(ImageError::Machine(_))));
    let dynamic = fs::read("/proc/self/exe").expect("the test can read itself");
    assert!(matches!(Image::pack(&[&dynamic], "1"), Err(ImageError::Dynamic)));
}

#[test]
fn the_runner_is_packed_with_what_it_needs() {
    // Here the program that runs is this test, which is linked as the runner is.
    let image = crate::image::runner().expect("the test can be packed");
    let files = unpack(&image.archive());
    let index = read(&files, "index.json");
    assert!(image.reference.starts_with("localhost/flowproof:"), "{}", image.reference);
    let manifest: Value = serde_json::from_slice(follow(&files, &index["manifests"][0])).expect("a manifest");
    let config: Value = serde_json::from_slice(follow(&files, &manifest["config"])).expect("a config");
    assert_eq!(
        (&config["config"]["Entrypoint"], &config["config"]["User"]),
        (&json!(["/flowproof"]), &json!("65532:65532"))
    );
    let layer = unpack(&files[&path(&manifest["layers"][0])].2);
    let own = fs::read("/proc/self/exe").expect("the test can read itself");
    assert_eq!(layer["flowproof"].0, 0o755);
    assert!(layer["flowproof"].2 == own, "the program is another one");
    let loader = Elf::read(&own).expect("it is ELF").loader;
    let Some(loader) = loader else { return };
    let loader = loader.trim_start_matches('/');
    assert!(layer.contains_key(loader), "{loader} is not among {:?}", layer.keys());
    assert!(layer.keys().any(|path| path.ends_with("libc.so.6")), "{:?}", layer.keys());
    let above = |path: &str| Path::new(path).parent().map(|above| format!("{}/", above.display()));
    let files = layer.keys().filter(|path| path.contains(".so"));
    assert!(
        files.filter_map(|path| above(path)).all(|directory| layer.contains_key(&directory)),
        "{:?}",
        layer.keys()
    );
}
