//! The calls to the kernel, by their numbers, and the very first instructions.

use core::{
    arch::{asm, naked_asm},
    ffi::c_char,
};

/// `memfd_create`: closed on execution.
const MFD_CLOEXEC: usize = 1;
/// `memfd_create`: may be executed, even if that is not the default (Linux 6.3, `vm.memfd_noexec`).
const MFD_EXEC: usize = 0x10;
/// `execveat`: the file itself, by its descriptor.
const AT_EMPTY_PATH: usize = 0x1000;

const EINTR: i32 = 4;
const EINVAL: i32 = 22;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const EXIT_GROUP: usize = 231;
    pub const MEMFD_CREATE: usize = 319;
    pub const EXECVEAT: usize = 322;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const MEMFD_CREATE: usize = 279;
    pub const EXECVEAT: usize = 281;
}

/// Where the kernel begins: hands the stack as it finds it to [`start`](crate::start).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2", start = sym crate::start)
}

/// Where the kernel begins: hands the stack as it finds it to [`start`](crate::start).
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {start}", "brk 1", start = sym crate::start)
}

/// Creates an empty file in memory that can be executed; returns its descriptor, or the error number.
pub fn memory_file() -> Result<i32, i32> {
    let name = c"flowproof-prober".as_ptr() as usize;
    let create = |flags| call(number::MEMFD_CREATE, [name, flags, 0, 0, 0]);
    match create(MFD_CLOEXEC | MFD_EXEC) {
        // A kernel that does not know the flag allows every such file to be executed.
        Err(EINVAL) => create(MFD_CLOEXEC),
        created => created,
    }
    .map(|descriptor| descriptor as i32)
}

/// Writes all bytes; returns the error number if that fails.
pub fn write(file: i32, mut bytes: &[u8]) -> Result<(), i32> {
    while !bytes.is_empty() {
        match call(number::WRITE, [file as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0]) {
            Ok(written) => bytes = &bytes[written..],
            Err(EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Becomes the program in a file; returns the error number if that fails.
pub fn execute(file: i32, arguments: *const *const c_char, environment: *const *const c_char) -> i32 {
    let path = c"".as_ptr() as usize;
    let how = [file as usize, path, arguments as usize, environment as usize, AT_EMPTY_PATH];
    call(number::EXECVEAT, how).err().unwrap_or_default()
}

/// Writes to standard error, if that is possible.
pub fn complain(text: &str) {
    let _ = write(2, text.as_bytes());
}

/// Ends the program.
pub fn exit(code: usize) -> ! {
    loop {
        let _ = call(number::EXIT_GROUP, [code, 0, 0, 0, 0]);
    }
}

/// Calls the kernel; returns the result, or an error number.
fn call(number: usize, arguments: [usize; 5]) -> Result<usize, i32> {
    let [first, second, third, fourth, fifth] = arguments;
    let returned: isize;
    // SAFETY: the callers above pass pointers that are valid for what the call does with them, and none of the calls changes
    // other memory.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => returned, in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth,
            options(nostack),
        );
    }
    // Errors are -4095 to -1 (`syscall(2)`).
    if (-4095..0).contains(&returned) { Err(-returned as i32) } else { Ok(returned as usize) }
}
