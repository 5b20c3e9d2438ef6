//! Writing files, which grow, and shrink, in steps: no operation changes more than
//! the cache lets it.

use strait_abi::Errno;

use hadris_fs::NodeId;

use super::{Fat, MAX_SIZE, Node, STEP};
use crate::{
    disk::{NOT_READY, epoch::Kind},
    file_system::Window,
    identity::Caller,
};

/// Most clusters that are freed at once, in one step.
pub const MAX_CUT: u32 = 4096;
/// So many can always be freed at once, wherever they are: fewer than half of what
/// an operation may change.
pub const ALWAYS_FREED: u32 = 512;

impl Fat {
    /// Brings the file nearer to `size` if that is far; then the operation must
    /// be run again. What size it has.
    fn approach(&mut self, caller: &Caller, node: Node, size: u64) -> Result<u64, Errno> {
        let now = self.metadata(node)?.len();
        if size.saturating_sub(now) <= STEP {
            return Ok(now);
        }
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let id = self.id(node)?;
        self.change(Kind::Grow, caller, |volume| volume.truncate(id, now + STEP))?;
        (self.keep, self.again) = (true, true);
        self.cache.block();
        Err(NOT_READY)
    }

    /// Writes to a file, as much as there is room for.
    pub(super) fn write_file(
        &mut self,
        caller: &Caller,
        node: Node,
        offset: u64,
        from: Window,
    ) -> Result<usize, Errno> {
        let mut buffer = alloc::vec![0; from.len()];
        from.read(0, &mut buffer)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let size = self.approach(caller, node, offset)?;
        let id = self.id(node)?;
        let cluster = u64::from(self.cluster_size.max(1));
        let there = size.next_multiple_of(cluster);
        let mut end = offset.saturating_add(buffer.len() as u64);
        if self.full {
            end = end.min(there);
        }
        // As much as there is room for.
        while let Some(len @ 1..) = end.checked_sub(offset) {
            let part = buffer.get(..len as usize).unwrap_or(&buffer);
            match self.change(Kind::Grow, caller, |volume| volume.write(id, offset, part)) {
                Err(Errno::ENOSPC) if end > there => match (end - there).div_ceil(cluster) {
                    1 => (self.full, end) = (true, there),
                    clusters => end = there + clusters / 2 * cluster,
                },
                done => return done,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Sets the size of a file.
    pub(super) fn resize(&mut self, caller: &Caller, node: Node, size: u64) -> Result<(), Errno> {
        let now = self.approach(caller, node, size)?;
        self.positions.remove(&node);
        let id = self.id(node)?;
        match size < now {
            true => self.cut(caller, id, size),
            false => self.change(Kind::Grow, caller, |volume| volume.truncate(id, size)),
        }
    }

    /// Frees what a file has behind `size`; of much of it a part, then the operation
    /// must be run again.
    pub(super) fn cut(&mut self, caller: &Caller, id: NodeId, size: u64) -> Result<(), Errno> {
        let now = self.with(|volume| volume.stat(id))?.len();
        let next = size.max(now.saturating_sub(u64::from(self.cut) * u64::from(self.cluster_size)));
        match self.change(Kind::Shrink, caller, |volume| volume.truncate(id, next)) {
            Ok(()) if next == size => {
                self.cut = MAX_CUT;
                return Ok(());
            }
            Ok(()) => self.keep = true,
            // They are in too many places.
            Err(Errno::EFBIG) if self.cut > ALWAYS_FREED => self.cut /= 2,
            failed => return failed,
        }
        self.again = true;
        self.cache.block();
        Err(NOT_READY)
    }

    /// Whether a file has more than can be freed together with its name.
    pub(super) fn is_large(&mut self, node: Node) -> Result<bool, Errno> {
        Ok(self.metadata(node)?.len() > u64::from(ALWAYS_FREED) * u64::from(self.cluster_size))
    }
}
