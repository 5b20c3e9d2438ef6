//! Why a PD stopped.

use core::fmt;

/// What stopped a PD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub kind: FaultKind,
    /// Address of the instruction, in its program; 0 if that is not known.
    pub ip: u64,
    /// Of [`FaultKind::Memory`] the address that was touched; otherwise a number of
    /// the world: the exception's, the signal's, the exit code.
    pub detail: u64,
}

/// See [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It touched memory that it may not, or an address where there is none.
    Memory,
    /// An instruction that there is not, or one that traps: a panic ends so.
    Exception,
    /// A system call that there is not, or on something that it has not.
    Call,
    /// Its program ended by itself or was ended from outside (hosted only).
    Exit,
    /// Anything else.
    Other,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, detail, .. } = self;
        match self.kind {
            FaultKind::Memory => write!(f, "memory fault at {detail:#x}")?,
            FaultKind::Exception => write!(f, "exception {detail:#x}")?,
            FaultKind::Call => write!(f, "impossible system call {detail:#x}")?,
            FaultKind::Exit => write!(f, "exit {detail}")?,
            FaultKind::Other => write!(f, "fault {detail:#x}")?,
        }
        if *ip != 0 { write!(f, ", instruction {ip:#x}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn says_what_and_where() {
        let fault = Fault { kind: FaultKind::Memory, ip: 0x400_1234, detail: 0x10_3000_0000 };
        assert_eq!(format!("{fault}"), "memory fault at 0x1030000000, instruction 0x4001234");
        assert_eq!(format!("{}", Fault { kind: FaultKind::Exit, ip: 0, detail: 101 }), "exit 101");
    }
}
