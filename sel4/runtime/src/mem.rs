//! memcpy, memmove, memset and memcmp for the board's processor.
//!
//! The versions that come with Rust's bare-metal target move 8 bytes per four
//! instructions, and assemble every word from bytes when source and destination
//! are aligned differently, as packet payloads are. These move 128 bytes per 18
//! instructions at any alignment.
//!
//! How: up to 64 bytes are moved by loads from the start and from the end that
//! may overlap in the middle; all loads come before the first store, so this
//! part serves overlapping areas too. Longer areas go in steps, and the rest is
//! moved as the last full step's worth before the end.
//!
//! General registers only: protection domains run without the floating point
//! unit, which spares the kernel saving and loading 512 bytes of its registers
//! at each switch between two of them.
//!
//! Limits: for Normal memory only, as the accesses are not aligned; never for
//! device registers.

use core::arch::naked_asm;

/// Copies `n` bytes; the areas must not overlap (but see `memmove`).
///
/// x0 dest, x1 src, x2 n, x4 end of src, x5 end of dest; x0 is returned as is.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "add x4, x1, x2",
        "add x5, x0, x2",
        "cmp x2, #16",
        "b.lo 30f",
        "cmp x2, #64",
        "b.hi 10f",
        "ldp x6, x7, [x1]",
        "ldp x8, x9, [x4, #-16]",
        "cmp x2, #32",
        "b.hi 20f",
        // 16 to 32 bytes.
        "stp x6, x7, [x0]",
        "stp x8, x9, [x5, #-16]",
        "ret",
        // 33 to 64 bytes.
        "20:",
        "ldp x10, x11, [x1, #16]",
        "ldp x12, x13, [x4, #-32]",
        "stp x6, x7, [x0]",
        "stp x8, x9, [x5, #-16]",
        "stp x10, x11, [x0, #16]",
        "stp x12, x13, [x5, #-32]",
        "ret",
        // More than 64 bytes: x2 counts what lies before the last 64, or 128.
        "10:",
        "mov x3, x0",
        "subs x2, x2, #128",
        "b.ls 12f",
        "11:",
        "ldp x8, x9, [x1, #16]",
        "ldp x10, x11, [x1, #32]",
        "ldp x12, x13, [x1, #48]",
        "ldp x6, x7, [x1], #64",
        "stp x8, x9, [x3, #16]",
        "stp x10, x11, [x3, #32]",
        "stp x12, x13, [x3, #48]",
        "stp x6, x7, [x3], #64",
        "ldp x8, x9, [x1, #16]",
        "ldp x10, x11, [x1, #32]",
        "ldp x12, x13, [x1, #48]",
        "ldp x6, x7, [x1], #64",
        "subs x2, x2, #128",
        "stp x8, x9, [x3, #16]",
        "stp x10, x11, [x3, #32]",
        "stp x12, x13, [x3, #48]",
        "stp x6, x7, [x3], #64",
        "b.hi 11b",
        // Up to 128 bytes are left: one more step if there are more than 64.
        "12:",
        "cmn x2, #64",
        "b.le 13f",
        "ldp x8, x9, [x1, #16]",
        "ldp x10, x11, [x1, #32]",
        "ldp x12, x13, [x1, #48]",
        "ldp x6, x7, [x1]",
        "stp x8, x9, [x3, #16]",
        "stp x10, x11, [x3, #32]",
        "stp x12, x13, [x3, #48]",
        "stp x6, x7, [x3]",
        "13:",
        "ldp x6, x7, [x4, #-64]",
        "ldp x8, x9, [x4, #-48]",
        "ldp x10, x11, [x4, #-32]",
        "ldp x12, x13, [x4, #-16]",
        "stp x6, x7, [x5, #-64]",
        "stp x8, x9, [x5, #-48]",
        "stp x10, x11, [x5, #-32]",
        "stp x12, x13, [x5, #-16]",
        "ret",
        // Fewer than 16 bytes.
        "30:",
        "tbz x2, #3, 31f",
        "ldr x6, [x1]",
        "ldr x7, [x4, #-8]",
        "str x6, [x0]",
        "str x7, [x5, #-8]",
        "ret",
        "31:",
        "tbz x2, #2, 32f",
        "ldr w6, [x1]",
        "ldr w7, [x4, #-4]",
        "str w6, [x0]",
        "str w7, [x5, #-4]",
        "ret",
        // One to three bytes: the first, the middle and the last.
        "32:",
        "cbz x2, 33f",
        "lsr x8, x2, #1",
        "ldrb w6, [x1]",
        "ldrb w7, [x1, x8]",
        "ldrb w9, [x4, #-1]",
        "strb w6, [x0]",
        "strb w7, [x0, x8]",
        "strb w9, [x5, #-1]",
        "33:",
        "ret",
    )
}

/// Copies `n` bytes; the areas may overlap.
///
/// Short and disjoint areas are `memcpy`'s. Others go in steps of 32 bytes in
/// the direction that reads each byte before it is overwritten; the last 32
/// bytes of that direction are loaded before the loop and stored after it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "cmp x2, #64",
        "b.ls memcpy",
        "sub x6, x0, x1",
        "sub x7, x1, x0",
        "cmp x6, x2",
        "ccmp x7, x2, #0, hs",
        "b.hs memcpy",
        "add x4, x1, x2",
        "add x5, x0, x2",
        "cmp x6, x2",
        "sub x2, x2, #32",
        "b.lo 12f",
        // dest lies before src: forwards.
        "ldp x10, x11, [x4, #-32]",
        "ldp x12, x13, [x4, #-16]",
        "mov x3, x0",
        "11:",
        "ldp x8, x9, [x1, #16]",
        "ldp x6, x7, [x1], #32",
        "subs x2, x2, #32",
        "stp x8, x9, [x3, #16]",
        "stp x6, x7, [x3], #32",
        "b.hi 11b",
        "stp x10, x11, [x5, #-32]",
        "stp x12, x13, [x5, #-16]",
        "ret",
        // dest lies inside src: backwards.
        "12:",
        "ldp x10, x11, [x1]",
        "ldp x12, x13, [x1, #16]",
        "13:",
        "ldp x8, x9, [x4, #-16]",
        "ldp x6, x7, [x4, #-32]!",
        "subs x2, x2, #32",
        "stp x8, x9, [x5, #-16]",
        "stp x6, x7, [x5, #-32]!",
        "b.hi 13b",
        "stp x10, x11, [x0]",
        "stp x12, x13, [x0, #16]",
        "ret",
    )
}

/// Sets `n` bytes to `c`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memset(dest: *mut u8, c: i32, n: usize) -> *mut u8 {
    naked_asm!(
        "and x1, x1, #0xff",
        "orr x1, x1, x1, lsl #8",
        "orr x1, x1, x1, lsl #16",
        "orr x1, x1, x1, lsl #32",
        "add x5, x0, x2",
        "cmp x2, #16",
        "b.lo 30f",
        "cmp x2, #64",
        "b.hi 10f",
        "stp x1, x1, [x0]",
        "stp x1, x1, [x5, #-16]",
        "cmp x2, #32",
        "b.ls 19f",
        "stp x1, x1, [x0, #16]",
        "stp x1, x1, [x5, #-32]",
        "19:",
        "ret",
        "10:",
        "sub x2, x2, #64",
        "mov x3, x0",
        "11:",
        "subs x2, x2, #64",
        "stp x1, x1, [x3, #16]",
        "stp x1, x1, [x3, #32]",
        "stp x1, x1, [x3, #48]",
        "stp x1, x1, [x3], #64",
        "b.hi 11b",
        "stp x1, x1, [x5, #-64]",
        "stp x1, x1, [x5, #-48]",
        "stp x1, x1, [x5, #-32]",
        "stp x1, x1, [x5, #-16]",
        "ret",
        "30:",
        "tbz x2, #3, 31f",
        "str x1, [x0]",
        "str x1, [x5, #-8]",
        "ret",
        "31:",
        "tbz x2, #2, 32f",
        "str w1, [x0]",
        "str w1, [x5, #-4]",
        "ret",
        "32:",
        "cbz x2, 33f",
        "lsr x8, x2, #1",
        "strb w1, [x0]",
        "strb w1, [x0, x8]",
        "strb w1, [x5, #-1]",
        "33:",
        "ret",
    )
}

/// Compares `n` bytes: less than, equal to or greater than 0.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!(
        "subs x2, x2, #8",
        "b.lo 20f",
        // Eight bytes a step; the last step may overlap the one before.
        "add x6, x0, x2",
        "add x7, x1, x2",
        "10:",
        "ldr x3, [x0], #8",
        "ldr x4, [x1], #8",
        "cmp x3, x4",
        "b.ne 15f",
        "subs x2, x2, #8",
        "b.hs 10b",
        "ldr x3, [x6]",
        "ldr x4, [x7]",
        "15:",
        // As big endian numbers they compare as the bytes do.
        "rev x3, x3",
        "rev x4, x4",
        "cmp x3, x4",
        "cset w0, hi",
        "csinv w0, w0, wzr, hs",
        "ret",
        // Fewer than eight bytes.
        "20:",
        "adds x2, x2, #8",
        "b.eq 25f",
        "21:",
        "ldrb w3, [x0], #1",
        "ldrb w4, [x1], #1",
        "subs w5, w3, w4",
        "b.ne 26f",
        "subs x2, x2, #1",
        "b.ne 21b",
        "25:",
        "mov w0, #0",
        "ret",
        "26:",
        "mov w0, w5",
        "ret",
    )
}

/// As [`memcmp`], where only zero or not matters.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("b memcmp")
}
