//! Puts the packed prober where the program finds it, and links the program without foreign start code.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLOWPROOF_PACKED` | the prober, compressed with LZMA (`.lzma`); without it, the program carries nothing and only reports that |
//! | `FLOWPROOF_LINKER` | `rust-lld` if that links the program; otherwise a C compiler does |

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=FLOWPROOF_PACKED");
    let packed = match env::var_os("FLOWPROOF_PACKED") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", PathBuf::from(&path).display());
            fs::read(&path).expect("FLOWPROOF_PACKED names a file that can be read")
        }
        None => Vec::new(),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("build scripts run under cargo"));
    fs::write(out.join("packed"), packed).expect("OUT_DIR can be written to");
    println!("cargo::rerun-if-env-changed=FLOWPROOF_LINKER");
    // A linker adds no start code, and does not know the option against it.
    let lld = env::var("FLOWPROOF_LINKER").is_ok_and(|linker| linker == "rust-lld");
    let arguments = ["-nostartfiles", "-nostdlib", "-static", "-no-pie"];
    for argument in arguments.into_iter().skip(usize::from(lld)) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
