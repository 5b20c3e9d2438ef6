//! Prints the logs of all PDs: what each wrote into its ring `<pd>_log`, line
//! by line, behind its name.
//!
//! A line is printed whole or not yet; lines of different PDs never mix, and
//! no PD can print more than one line before the others have had their turn.
//! Control characters are replaced, so that no PD can pass its lines off as
//! another's.
//!
//! Limits: a line of more than 256 bytes is printed in parts; what a PD writes
//! faster than the console prints is lost in that PD's ring and counted.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{string::String, vec::Vec};

use strait_pd::{Channel, ChannelSet, Component, Environment};
use strait_ring::{SharedMemory, bytes::Reader};

/// Longest part of a line that is printed at once.
const LINE: usize = 256;

/// Where lines go.
pub trait Output {
    /// Writes all of `bytes`.
    fn write(&mut self, bytes: &[u8]);
}

/// The log of one PD.
struct Log {
    prefix: String,
    reader: Reader,
    line: [u8; LINE],
    len: usize,
    /// Writes lost, as last reported.
    lost: u32,
}

impl Log {
    /// Prints one line, or the part of one that fills the buffer. Returns
    /// whether there was something to read.
    fn step(&mut self, output: &mut impl Output) -> bool {
        loop {
            if let Some(end) = self.line[..self.len].iter().position(|b| *b == b'\n') {
                self.print(end, output);
                self.line.copy_within(end + 1..self.len, 0);
                self.len -= end + 1;
                return true;
            }
            if self.len == LINE {
                self.print(LINE, output);
                self.len = 0;
                return true;
            }
            match self.reader.read(&mut self.line[self.len..]) {
                Ok(n) if n > 0 => self.len += n,
                // Nothing, or an index that cannot be: nothing to trust.
                _ => return self.report_lost(output),
            }
        }
    }

    fn print(&self, len: usize, output: &mut impl Output) {
        let mut text = [0; LINE];
        for (to, from) in text.iter_mut().zip(&self.line[..len]) {
            *to = if from.is_ascii_control() && *from != b'\t' { b'.' } else { *from };
        }
        output.write(self.prefix.as_bytes());
        output.write(&text[..len]);
        output.write(b"\r\n");
    }

    fn report_lost(&mut self, output: &mut impl Output) -> bool {
        let lost = self.reader.lost();
        if lost == self.lost {
            return false;
        }
        let text = alloc::format!("{}({} writes lost)\r\n", self.prefix, lost.wrapping_sub(self.lost));
        self.lost = lost;
        output.write(text.as_bytes());
        false
    }
}

/// The component.
pub struct Console<O> {
    output: O,
    logs: Vec<Log>,
}

impl<O: Output> Console<O> {
    /// A console that prints all the logs that are mapped into this PD: the
    /// regions whose names end in `_log`.
    pub fn new(env: &Environment, output: O) -> Self {
        let logs = env.config.regions.iter().filter_map(|r| {
            let pd = r.name.strip_suffix("_log").filter(|pd| *pd != env.config.name)?;
            let reader = Reader::new(SharedMemory::attach(env.region(&r.name).ok()?))?;
            Some(Log { prefix: alloc::format!("{pd}| "), reader, line: [0; LINE], len: 0, lost: 0 })
        });
        let mut console = Self { output, logs: logs.collect() };
        console.drain();
        console
    }

    /// Prints all there is, then asks for notifications.
    fn drain(&mut self) {
        loop {
            let mut any = false;
            for log in &mut self.logs {
                any |= log.step(&mut self.output);
            }
            if any {
                continue;
            }
            for log in &mut self.logs {
                log.reader.request_signal();
                // What came before the request was seen is not announced.
                any |= log.step(&mut self.output);
            }
            if !any {
                return;
            }
            for log in &mut self.logs {
                log.reader.cancel_signal();
            }
        }
    }
}

impl<O: Output> Component for Console<O> {
    /// Runs at the lowest priority, so going on until all rings are empty
    /// keeps nobody from working.
    fn notified(&mut self, _: ChannelSet) -> Option<Channel> {
        self.drain();
        None
    }
}

#[cfg(test)]
mod tests;
