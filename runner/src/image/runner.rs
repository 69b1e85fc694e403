//! The runner's own image: the running program, and the libraries that it needs if it is linked dynamically.

use super::{
    elf::Elf,
    oci::{Content, Image, ImageError, Program},
};
use std::{fs, path::Path, process::Command};

/// Packs the running program, for a Job inside a cluster.
///
/// A static program, as in a release, goes in alone. A dynamic one comes with its loader and its libraries from this machine.
pub fn runner() -> Result<Image, ImageError> {
    let path = std::env::current_exe().map_err(|error| unreadable("the program itself", error))?;
    let program = fs::read(&path).map_err(|error| unreadable(&path.display().to_string(), error))?;
    let loader = Elf::read(&program).ok_or(ImageError::Machine("flowproof"))?.loader;
    let libraries = loader.map(|loader| libraries(&loader, &path)).transpose()?.unwrap_or_default();
    Image::pack_with(&Content {
        name: "flowproof",
        description: "Proves that a Kubernetes network does what its policies say",
        version: env!("CARGO_PKG_VERSION"),
        programs: vec![Program { bytes: &program, libraries }],
    })
}

/// The loader and what it would load, by their absolute paths.
fn libraries(loader: &str, program: &Path) -> Result<Vec<(String, Vec<u8>)>, ImageError> {
    let output = Command::new(loader).arg("--list").arg(program).output();
    let output = output.map_err(|error| unreadable(loader, error))?;
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(unreadable(&format!("what {loader} would load"), problem));
    }
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut paths = vec![loader.to_owned()];
    paths.extend(listed.lines().filter_map(listed_path).filter(|path| *path != loader).map(str::to_owned));
    let read = |path: String| match fs::read(&path) {
        Ok(library) => Ok((path.trim_start_matches('/').to_owned(), library)),
        Err(error) => Err(unreadable(&path, error)),
    };
    paths.into_iter().map(read).collect()
}

/// The path in a line such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f…)`; the vDSO and the loader have none.
fn listed_path(line: &str) -> Option<&str> {
    let (_, path) = line.split_once(" => ")?;
    path.split(" (0x").next().map(str::trim).filter(|path| path.starts_with('/'))
}

fn unreadable(what: &str, problem: impl std::fmt::Display) -> ImageError {
    ImageError::Read { what: what.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaders_list_is_read() {
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f52)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlibgone.so => not found\n";
        assert_eq!(
            list.lines().filter_map(listed_path).collect::<Vec<_>>(),
            ["/lib/x86_64-linux-gnu/libc.so.6"]
        );
    }
}
