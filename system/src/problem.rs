//! What is wrong with a description, where, and what to do about it.

use std::fmt;

/// One thing at fault. Shown as `file:line: text`, as compilers do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file at fault.
    pub file: String,
    /// The line at fault, from 1; 0 when it is the file as a whole.
    pub line: u32,
    /// What is wrong, and what to do.
    pub text: String,
}

impl Problem {
    /// A problem of `file` at `line`.
    pub fn new(file: &str, line: u32, text: impl Into<String>) -> Self {
        Self { file: file.into(), line, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}
