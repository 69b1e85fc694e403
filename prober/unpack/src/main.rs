//! Unpacks the prober into memory and becomes it, with its own arguments and environment.
//!
//! This is how the prober fits into a `ConfigMap`, which holds 1 MiB: the prober is more than twice as large, but smaller when
//! compressed. In a pod, only the kernel is certain to exist, neither files of the image nor a directory to write to. So this is a
//! static program without a C library: it has its own start code, calls the kernel, and takes its memory from a fixed space.
//!
//! | exit code | meaning |
//! |---|---|
//! | that of the prober | it was started |
//! | 126 | it was not; standard error says why |
#![no_std]
#![no_main]

extern crate alloc;

mod kernel;
mod memory;

use alloc::{format, string::String};
use core::{ffi::c_char, panic::PanicInfo};
use lzma_rust2::{LzmaReader, Read as _};

/// The prober, as `.lzma`.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/packed"));

/// How much memory unpacking may use, in KiB; its dictionary is at most as large as the prober.
const MEMORY_LIMIT_KIB: u32 = 12 * 1024;

/// How many unpacked bytes are written at once.
const CHUNK: usize = 64 * 1024;

/// What the kernel leaves on the stack of a new program: the number of arguments, the arguments, a null pointer, the environment.
#[repr(C)]
struct Start {
    arguments: usize,
    first: *const c_char,
}

unsafe extern "C" fn start(start: *const Start) -> ! {
    // SAFETY: the kernel has put everything there (System V ABI, "Initial Stack and Register State").
    let (arguments, environment) = unsafe {
        let arguments = &raw const (*start).first;
        (arguments, arguments.add((*start).arguments + 1))
    };
    let why = match unpack() {
        Ok(file) => {
            let errno = kernel::execute(file, arguments, environment);
            format!("it cannot be executed from memory: errno {errno}")
        }
        Err(why) => why,
    };
    kernel::complain(&format!("flowproof: the prober does not start: {why}\n"));
    kernel::exit(126)
}

/// Unpacks the prober into a file in memory and returns its descriptor.
fn unpack() -> Result<i32, String> {
    if PACKED.is_empty() {
        return Err("this program was built without one".into());
    }
    let damaged = |error| format!("it cannot be unpacked: {error:?}");
    let mut reader = LzmaReader::new_mem_limit(PACKED, MEMORY_LIMIT_KIB, None).map_err(damaged)?;
    let file =
        kernel::memory_file().map_err(|errno| format!("no file can be made in memory: errno {errno}"))?;
    let mut chunk = alloc::vec![0; CHUNK];
    loop {
        let length = reader.read(&mut chunk).map_err(damaged)?;
        if length == 0 {
            return Ok(file);
        }
        kernel::write(file, &chunk[..length])
            .map_err(|errno| format!("it cannot be written to memory: errno {errno}"))?;
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    kernel::complain("flowproof: the prober does not start: what unpacks it has a fault\n");
    kernel::exit(126)
}
