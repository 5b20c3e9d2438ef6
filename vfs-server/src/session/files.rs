//! Commands on open files.

use strait_abi::{
    Errno,
    vfs::{
        Buffer, CONSTANT, CURRENT, EntryHeader, Handle, mode, open, seek,
        token::{Export, FILE, Token},
    },
};
use zerocopy::{FromZeros, IntoBytes};

use super::{DONE, Outcome, Session};
use crate::{open_files::OpenFile, shared::Shared};

impl Session {
    pub(super) fn read(&mut self, shared: &mut Shared, handle: Handle, offset: u64, into: Buffer) -> Outcome {
        let id = self.id(handle)?;
        let file = *shared.files.get(id)?;
        if !file.readable {
            return Err(Errno::EBADF);
        }
        if file.is_directory {
            return Err(Errno::EISDIR);
        }
        let window = self.window(into)?;
        let (n, behind) = match file.pipe {
            Some(end) => (shared.files.pipes.read(end.pipe, window)?, 0),
            None => {
                let at = position(&file, offset)?;
                let n = shared.tree.read(file.place, at, window)?;
                (n, at + n as u64)
            }
        };
        if offset == CURRENT {
            shared.files.get_mut(id)?.position = behind;
        }
        self.counters.bytes_read += n as u64;
        Ok((n as i64, [behind, 0]))
    }

    pub(super) fn write(
        &mut self,
        shared: &mut Shared,
        handle: Handle,
        flags: u32,
        offset: u64,
        from: Buffer,
    ) -> Outcome {
        let id = self.id(handle)?;
        let file = *shared.files.get(id)?;
        if !file.writable {
            return Err(Errno::EBADF);
        }
        if flags & !open::APPEND != 0 {
            return Err(Errno::EINVAL);
        }
        let caller = self.caller(shared);
        let mut window = self.window(from)?;
        let (n, behind) = match file.pipe {
            Some(end) => (shared.files.pipes.write(end.pipe, window, caller.payer)?, 0),
            None => {
                let at = match flags & open::APPEND {
                    0 => position(&file, offset)?,
                    _ => shared.tree.stat(file.place)?.size,
                };
                let room = i64::MAX as u64 - at;
                if room == 0 && !window.is_empty() {
                    return Err(Errno::EFBIG);
                }
                window = window.cut(usize::try_from(room).unwrap_or(usize::MAX));
                let n = shared.tree.write(&caller, file.place, at, window)?;
                (n, at + n as u64)
            }
        };
        if offset == CURRENT {
            shared.files.get_mut(id)?.position = behind;
        }
        self.counters.bytes_written += n as u64;
        Ok((n as i64, [behind, 0]))
    }

    pub(super) fn seek(&mut self, shared: &mut Shared, handle: Handle, offset: u64, whence: u32) -> Outcome {
        let id = self.id(handle)?;
        let file = *shared.files.get(id)?;
        if file.pipe.is_some() {
            return Err(Errno::ESPIPE);
        }
        let base = match whence {
            seek::SET => 0,
            seek::CUR => file.position,
            seek::END => shared.tree.stat(file.place)?.size,
            _ => return Err(Errno::EINVAL),
        };
        let to = base.checked_add_signed(offset as i64).ok_or(Errno::EINVAL)?;
        let result = i64::try_from(to).map_err(|_| Errno::EINVAL)?;
        shared.files.get_mut(id)?.position = to;
        Ok((result, [0; 2]))
    }

    pub(super) fn truncate(&mut self, shared: &mut Shared, handle: Handle, size: u64) -> Outcome {
        let file = self.file(shared, handle)?;
        if file.pipe.is_some() || !file.writable || i64::try_from(size).is_err() {
            return Err(Errno::EINVAL);
        }
        shared.tree.truncate(&self.caller(shared), file.place, size)?;
        DONE
    }

    pub(super) fn list(&mut self, shared: &mut Shared, handle: Handle, from: u64, into: Buffer) -> Outcome {
        let window = self.window(into)?;
        let id = self.id(handle)?;
        let file = *shared.files.get(id)?;
        if !file.is_directory {
            return Err(Errno::ENOTDIR);
        }
        if !file.readable {
            return Err(Errno::EBADF);
        }
        let from_here = if from == CURRENT { file.position } else { from };
        let (mut used, mut next, mut result) = (0, from_here, Ok(()));
        shared.tree.list(file.place, from_here, &mut |entry| {
            let len = EntryHeader::record(entry.name.len());
            if len > window.len() - used {
                result = if used == 0 { Err(Errno::EINVAL) } else { Ok(()) };
                return false;
            }
            let header = EntryHeader {
                ino: entry.ino,
                next: entry.next,
                len: len as u16,
                kind: entry.kind,
                name_len: entry.name.len() as u8,
                reserved: [0; 4],
            };
            let mut record = [0; EntryHeader::record(u8::MAX as usize)];
            record[..EntryHeader::BYTES].copy_from_slice(header.as_bytes());
            record[EntryHeader::BYTES..][..entry.name.len()].copy_from_slice(entry.name);
            result = window.write(used, &record[..len]);
            (used, next) = (used + len, entry.next);
            result.is_ok()
        })?;
        result?;
        if from == CURRENT {
            shared.files.get_mut(id)?.position = next;
        }
        Ok((used as i64, [next, 0]))
    }

    pub(super) fn pipe(&mut self, shared: &mut Shared) -> Outcome {
        self.check_free(2)?;
        let caller = self.caller(shared);
        let (read, write) = shared.files.make_pipe(&mut shared.tree, &caller)?;
        let read = self.add_handle(shared, read)?;
        let write = self.add_handle(shared, write)?;
        Ok((read.into(), [write.into(), 0]))
    }

    pub(super) fn export(
        &mut self,
        shared: &mut Shared,
        handle: Handle,
        flags: u32,
        offset: u64,
        into: Buffer,
    ) -> Outcome {
        let id = self.id(handle)?;
        shared.take_news();
        let place = shared.files.exports.place(self.index)?;
        let window = self.window(into)?;
        let Some(tokens) = &mut shared.tokens else { return Err(Errno::EOPNOTSUPP) };
        if window.len() < size_of::<Token>() {
            return Err(Errno::EFAULT);
        }
        let (export, token) = tokens.export(self.index, place)?;
        let file = shared.files.get_mut(id)?;
        if !file.shared {
            (file.shared, file.position, file.status) = (true, offset, flags);
        }
        shared.files.retain(id)?;
        shared.files.exports.put(export, id);
        window.write(0, token.as_bytes())?;
        DONE
    }

    pub(super) fn import(&mut self, shared: &mut Shared, token: Buffer, keep: bool) -> Outcome {
        self.check_free(1)?;
        let tokens = shared.tokens.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let mut shown = Token::new_zeroed();
        self.window(token)?.read(0, shown.as_mut_bytes())?;
        tokens.check(&shown, FILE, "").map_err(|_| Errno::EBADF)?;
        let export = Export::of(&shown);
        let id = shared.files.exports.get(export, self.index).ok_or(Errno::EBADF)?;
        // First what may not be ready.
        let stat = shared.files.stat(&mut shared.tree, id)?;
        if keep {
            shared.files.retain(id)?;
        } else {
            shared.files.exports.take(export, self.index);
        }
        let handle = self.add_handle(shared, id)?;
        let file = shared.files.get(id)?;
        let constant = constant(shared, file, stat.mode);
        Ok((handle.into(), [file.status.into(), u64::from(stat.mode) | constant]))
    }
}

/// The position that a read or write means. EINVAL beyond what off_t has.
fn position(file: &OpenFile, offset: u64) -> Result<u64, Errno> {
    let at = if offset == CURRENT { file.position } else { offset };
    if i64::try_from(at).is_err() { Err(Errno::EINVAL) } else { Ok(at) }
}

/// What [`CONSTANT`] says of what was opened.
pub(super) fn constant(shared: &Shared, file: &OpenFile, mode: u32) -> u64 {
    let regular = mode & mode::FORMAT == mode::REGULAR;
    if regular && shared.tree.is_constant(file.place) { CONSTANT } else { 0 }
}
