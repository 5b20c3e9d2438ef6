//! How a PD's process ends. What the kernel tells only the process itself, where
//! it was and what it touched, it writes down before it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::{io, mem, ptr};

use anyhow::{Context, Result};
use strait_pd::{Fault, FaultKind};

use crate::control::Epitaph;

/// Signals that an instruction of the process itself raises.
const SIGNALS: [(i32, FaultKind); 4] = [
    (libc::SIGSEGV, FaultKind::Memory),
    (libc::SIGBUS, FaultKind::Memory),
    (libc::SIGILL, FaultKind::Exception),
    (libc::SIGFPE, FaultKind::Exception),
];

/// Where to write, and who handled the signals before.
static LAST_WORDS: OnceLock<(Epitaph, [libc::sigaction; SIGNALS.len()])> = OnceLock::new();

/// What the end of a process says by itself.
pub fn of_status(status: ExitStatus) -> Fault {
    let kind = |signal| SIGNALS.iter().find(|(s, _)| *s == signal).map(|(_, kind)| *kind);
    match (status.signal(), status.code()) {
        (Some(signal), _) if kind(signal) == Some(FaultKind::Exception) => {
            Fault { kind: FaultKind::Exception, ip: 0, detail: signal as u64 }
        }
        // As a shell has it.
        (Some(signal), _) => Fault { kind: FaultKind::Exit, ip: 0, detail: 128 + signal as u64 },
        (None, code) => Fault { kind: FaultKind::Exit, ip: 0, detail: code.unwrap_or_default() as u64 },
    }
}

/// From here on a fault of this process is written to `epitaph` before it ends
/// the process.
pub fn write_down(epitaph: Epitaph) -> Result<()> {
    // SAFETY: `sigaction` is plain data, for which zeros are a value.
    let mut before: [libc::sigaction; SIGNALS.len()] = unsafe { mem::zeroed() };
    for ((signal, _), old) in SIGNALS.iter().zip(&mut before) {
        // SAFETY: only asks; `old` is valid for writing.
        if unsafe { libc::sigaction(*signal, ptr::null(), old) } != 0 {
            return Err(io::Error::last_os_error()).context("cannot ask for signal handlers");
        }
    }
    if LAST_WORDS.set((epitaph, before)).is_err() {
        return Ok(());
    }
    for (signal, _) in SIGNALS {
        // SAFETY: as above.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and
        // does only what is allowed in one: atomic accesses and sigaction(2).
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error()).context("cannot catch faults");
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some((epitaph, before)) = LAST_WORDS.get() else { return };
    let Some(at) = SIGNALS.iter().position(|(s, _)| *s == signal) else { return };
    let kind = SIGNALS[at].1;
    // SAFETY: what sigaction(2) gave. From here on the signal is again theirs
    // who handled it before, and end the process.
    unsafe { libc::sigaction(signal, &before[at], ptr::null_mut()) };
    // SAFETY: the kernel passes both for a handler with SA_SIGINFO.
    let (code, address, ip) = unsafe { ((*info).si_code, (*info).si_addr() as u64, instruction(&*context.cast())) };
    if code > 0 {
        let detail = if kind == FaultKind::Memory { address } else { signal as u64 };
        // The instruction runs once more.
        epitaph.write(&Fault { kind, ip, detail });
    } else {
        // Somebody sent it. SAFETY: allowed in a handler.
        unsafe { libc::raise(signal) };
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction(context: &libc::ucontext_t) -> u64 {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64
}

#[cfg(target_arch = "aarch64")]
fn instruction(context: &libc::ucontext_t) -> u64 {
    context.uc_mcontext.pc
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction(_: &libc::ucontext_t) -> u64 {
    0
}
