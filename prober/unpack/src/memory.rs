//! Memory without a C library: a fixed space from which all memory is taken, and the functions that compilers call.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The size of the space: the dictionary, the decoder, a chunk, and messages. Pages that are not touched cost nothing.
const SPACE: usize = 16 * 1024 * 1024;

/// Hands out a fixed space from its beginning to its end. Nothing is freed, because the program ends soon; the last allocation
/// can grow.
struct Space {
    bytes: UnsafeCell<[u8; SPACE]>,
    taken: AtomicUsize,
}

// SAFETY: each byte is handed out once.
unsafe impl Sync for Space {}

#[global_allocator]
static MEMORY: Space = Space { bytes: UnsafeCell::new([0; SPACE]), taken: AtomicUsize::new(0) };

// SAFETY: what is returned is within the space, is aligned, and was not handed out before. There is one thread.
unsafe impl GlobalAlloc for Space {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let begin = self.bytes.get().cast::<u8>();
        let free = begin.addr() + self.taken.load(Ordering::Relaxed);
        let offset = free.next_multiple_of(layout.align()) - begin.addr();
        if offset > SPACE || layout.size() > SPACE - offset {
            return ptr::null_mut();
        }
        self.taken.store(offset + layout.size(), Ordering::Relaxed);
        begin.wrapping_add(offset)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is that of `alloc`. Nothing has been written to it yet, so it is zero.
        unsafe { self.alloc(layout) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let offset = old.addr() - self.bytes.get().addr();
        let is_last = offset + layout.size() == self.taken.load(Ordering::Relaxed);
        if is_last && size <= SPACE - offset {
            self.taken.store(offset + size, Ordering::Relaxed);
            return old;
        }
        // SAFETY: the caller's promise is that of `alloc`.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are valid for this many bytes, and the new one is not used by anything else.
            unsafe { memcpy(new, old, size.min(layout.size())) };
        }
        new
    }
}

/// As in C.
///
/// # Safety
/// As in C: both ends are valid for that many bytes and do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: the caller's promise. Volatile, so that the compiler does not turn the loop into a call of this very function.
        unsafe { ptr::write_volatile(to.add(index), ptr::read(from.add(index))) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C: both ends are valid for that many bytes; they may overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: the caller's promise; from the beginning, no byte is overwritten before it is read.
        return unsafe { memcpy(to, from, length) };
    }
    for index in (0..length).rev() {
        // SAFETY: as in `memcpy`; from the end, no byte is overwritten before it is read.
        unsafe { ptr::write_volatile(to.add(index), ptr::read(from.add(index))) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C: it is valid for that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: as in `memcpy`.
        unsafe { ptr::write_volatile(to.add(index), byte as u8) };
    }
    to
}

/// As in C.
///
/// # Safety
/// As in C: both are valid for that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for index in 0..length {
        // SAFETY: the caller's promise; volatile as in `memcpy`.
        let (one, other) = unsafe { (ptr::read_volatile(one.add(index)), ptr::read(other.add(index))) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// As in C.
///
/// # Safety
/// As in C: both are valid for that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(one, other, length) }
}
