//! Sectors in memory, in front of a disk that takes its time.
//!
//! Nothing here waits. Whoever reads a sector that is not there gets
//! [`Trouble::NotReady`], and the sector is fetched; the operation leaves
//! nothing behind and is run again when something arrived. So the cache is
//! transactional: what an operation changes is *staged*, seen by itself alone,
//! and becomes part of the *active* epoch ([`epoch`](super::epoch)) only by
//! [`finish`](Cache::finish).
//!
//! ```text
//!  read:   staged -> active -> writing -> clean -> fetch
//!  write:  staged --finish--> active --disk idle--> writing --durable--> clean
//! ```
//!
//! While one epoch is written the next one gathers; the disk is never idle
//! while there are changes, so they are durable soon even if nobody asks for it.
//!
//! A write that fails makes the disk read-only from then on: what could not be
//! written stays visible, and whoever asked for it to be durable is told.
//!
//! An operation that is run again and again needs all that it has looked at so far
//! at once. So what one operation uses, the *owner*, is kept although others run
//! in between, until it is done; then another can be the owner. What needs more
//! than [`MAX_USED`] sectors never gets done, and is told so at once.
//!
//! Limits: [`MAX_STAGED`] sectors changed by one operation, or so many changes of
//! [`Kind::Move`]; [`MAX_USED`] sectors that it looks at; [`MAX_CLEAN`] sectors
//! besides changed ones. With them, all takes less memory than
//! `strait_abi::vfs::heap` counts for it.

use alloc::{boxed::Box, collections::BTreeMap, collections::BTreeSet, collections::VecDeque, rc::Rc, vec::Vec};
use core::fmt;

use strait_abi::{Errno, blk::SECTOR};

use super::{
    Content, Disk, End, MAX_RUN, NOT_READY,
    epoch::{Epoch, Kind, Layout, Step, Width},
    lru::Lru,
};

/// Most sectors that one operation may change.
pub const MAX_STAGED: usize = 2048;
/// Most sectors that are kept although they are on the disk.
pub const MAX_CLEAN: usize = 4096;
/// Most of them that one operation may look at.
pub const MAX_USED: usize = 3072;
/// Most times that an operation is run because sectors were missing. Each brings
/// new ones, unless others change what it looks at all the time.
const MAX_TRIES: u32 = 4096;
/// From so many changed sectors on, the epoch takes no further operation.
const EPOCH_FULL: usize = 1024;
/// Fewest sectors that are fetched, if the disk has them.
const WINDOW: u64 = 16;
/// Requests that writing leaves to reading.
const RESERVED: usize = 4;
/// Most places that wait to be fetched.
const MAX_WANTED: usize = 64;

/// Why sectors cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Not yet: run the operation again.
    NotReady,
    /// The disk failed.
    Failed,
    /// The disk cannot be written, or not any more.
    ReadOnly,
    /// The operation changes, or looks at, too much.
    TooMuch,
    /// The disk has no such sectors.
    Outside,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "not ready",
            Self::Failed => "the disk failed",
            Self::ReadOnly => "the disk cannot be written",
            Self::TooMuch => "too many sectors for one operation",
            Self::Outside => "no such sectors",
        })
    }
}

impl core::error::Error for Trouble {}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sectors that were fetched.
    pub fetched: u64,
    /// Sectors that were written.
    pub written: u64,
    /// Epochs that became durable.
    pub epochs: u64,
}

enum Pending {
    Fetch {
        sector: u64,
        count: usize,
        /// Written since: what comes is old.
        stale: bool,
    },
    Write,
}

struct Writing {
    epoch: Epoch,
    steps: VecDeque<Step>,
    /// What is left to begin of the current step, and how much of it has not
    /// ended.
    step: VecDeque<(u64, Content)>,
    under_way: usize,
    /// Whether the current step is to be flushed, and whether it is.
    flush: bool,
}

/// The cache of one disk.
pub struct Cache {
    disk: Box<dyn Disk>,
    layout: Option<Layout>,
    staged: BTreeMap<u64, Content>,
    /// Its changes in their order; of [`Kind::Move`] only.
    staged_log: Vec<(u64, Content)>,
    staged_kind: Option<Kind>,
    active: Option<Epoch>,
    writing: Option<Writing>,
    clean: Lru,
    /// The operation that runs met something that is not ready.
    blocked: bool,
    /// It met sectors that are not there.
    missed: bool,
    /// Whose it is.
    who: usize,
    /// Whose operation is the owner, and how often it has been run.
    owner: Option<(usize, u32)>,
    wanted: VecDeque<(u64, usize)>,
    /// Sectors that could not be read.
    unreadable: BTreeSet<u64>,
    pending: BTreeMap<u32, Pending>,
    next_tag: u32,
    sequence: u64,
    durable: u64,
    write_failed: bool,
    buffer: Vec<u8>,
    counters: Counters,
}

impl Cache {
    /// An empty cache of `disk`.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            disk,
            layout: None,
            staged: BTreeMap::new(),
            staged_log: Vec::new(),
            staged_kind: None,
            active: None,
            writing: None,
            clean: Lru::new(MAX_CLEAN),
            blocked: false,
            missed: false,
            who: 0,
            owner: None,
            wanted: VecDeque::new(),
            unreadable: BTreeSet::new(),
            pending: BTreeMap::new(),
            next_tag: 0,
            sequence: 0,
            durable: 0,
            write_failed: false,
            buffer: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Size of the disk in sectors.
    pub fn capacity(&self) -> u64 {
        self.disk.capacity()
    }

    /// Whether nothing can be written.
    pub fn read_only(&self) -> bool {
        self.write_failed || self.disk.read_only()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Says where things are on the volume.
    pub fn set_layout(&mut self, layout: Layout) {
        self.layout = Some(layout);
    }

    /// Whether the operation that runs met something that is not ready.
    pub fn blocked(&self) -> bool {
        self.blocked
    }

    /// The operation that runs must be run again.
    pub fn block(&mut self) {
        self.blocked = true;
    }

    /// An operation of `who` begins, perhaps not for the first time.
    pub fn start(&mut self, who: usize) {
        self.who = who;
        self.clean.begin();
    }

    /// What the epochs hold of a sector, without what is staged.
    fn committed(&mut self, sector: u64) -> Option<Content> {
        let changed = |epoch: &Epoch| epoch.sectors.get(&sector).cloned();
        self.active
            .as_ref()
            .and_then(changed)
            .or_else(|| self.writing.as_ref().and_then(|w| changed(&w.epoch)))
            .or_else(|| self.clean.get(sector).cloned())
    }

    fn check(&self, sector: u64, bytes: usize) -> Result<usize, Trouble> {
        let count = bytes / SECTOR;
        let end = sector.checked_add(count as u64);
        if !bytes.is_multiple_of(SECTOR) || end.is_none_or(|end| end > self.disk.capacity()) {
            return Err(Trouble::Outside);
        }
        Ok(count)
    }

    /// Reads whole sectors.
    pub fn read(&mut self, sector: u64, into: &mut [u8]) -> Result<(), Trouble> {
        let count = self.check(sector, into.len())?;
        let mut missing: Option<(u64, u64)> = None;
        for (at, chunk) in (sector..).zip(into.chunks_exact_mut(SECTOR)).take(count) {
            match self.staged.get(&at).cloned().or_else(|| self.committed(at)) {
                Some(content) => chunk.copy_from_slice(&content[..]),
                None if self.unreadable.remove(&at) => return Err(Trouble::Failed),
                None => missing = Some((missing.map_or(at, |(first, _)| first), at)),
            }
        }
        if self.clean.used() > MAX_USED {
            return Err(Trouble::TooMuch);
        }
        let Some((first, last)) = missing else { return Ok(()) };
        if self.owner.is_some_and(|(owner, tries)| owner == self.who && tries >= MAX_TRIES) {
            return Err(Trouble::Failed);
        }
        (self.blocked, self.missed) = (true, true);
        let want = (first, (last - first) as usize + 1);
        if !self.wanted.contains(&want) && self.wanted.len() < MAX_WANTED {
            self.wanted.push_back(want);
        }
        Err(Trouble::NotReady)
    }

    /// Changes whole sectors; only after [`begin`](Self::begin).
    pub fn write(&mut self, sector: u64, from: &[u8]) -> Result<(), Trouble> {
        self.stage(sector, from, true)
    }

    /// Changes whole sectors, which must be [written](Self::write) later in the
    /// same operation: this change by itself never reaches the disk.
    pub fn amend(&mut self, sector: u64, from: &[u8]) -> Result<(), Trouble> {
        self.stage(sector, from, false)
    }

    fn stage(&mut self, sector: u64, from: &[u8], logged: bool) -> Result<(), Trouble> {
        let count = self.check(sector, from.len())?;
        if self.staged_kind.is_none() || self.read_only() {
            return Err(Trouble::ReadOnly);
        }
        let logged = logged && self.staged_kind == Some(Kind::Move);
        if self.staged_log.len().max(self.staged.len()) + count > MAX_STAGED {
            return Err(Trouble::TooMuch);
        }
        for (at, chunk) in (sector..).zip(from.chunks_exact(SECTOR)).take(count) {
            let mut content = [0; SECTOR];
            content.copy_from_slice(chunk);
            let content = Rc::new(content);
            self.staged.insert(at, content.clone());
            match self.staged_log.last_mut() {
                _ if !logged => {}
                Some((last, newest)) if *last == at => *newest = content,
                _ => self.staged_log.push((at, content)),
            }
        }
        Ok(())
    }

    /// An operation is going to change something of this kind, and of no other.
    /// EROFS; [`NOT_READY`] if it must wait for what came before it.
    pub fn begin(&mut self, kind: Kind) -> Result<(), Errno> {
        if self.read_only() {
            return Err(Errno::EROFS);
        }
        if self.staged_kind.is_some_and(|before| before != kind) {
            return Err(Errno::EIO);
        }
        let fits = |e: &Epoch| e.kind == kind && kind != Kind::Move && e.sectors.len() < EPOCH_FULL;
        if !self.active.as_ref().is_none_or(fits) {
            self.promote();
        }
        if !self.active.as_ref().is_none_or(fits) {
            self.blocked = true;
            return Err(NOT_READY);
        }
        self.staged_kind = Some(kind);
        Ok(())
    }

    /// What the operation that runs has staged is forgotten.
    pub fn forget(&mut self) {
        self.staged_kind = None;
        self.staged.clear();
        self.staged_log.clear();
    }

    /// The operation has ended: what it staged is kept or forgotten.
    pub fn finish(&mut self, keep: bool) {
        self.own();
        self.blocked = false;
        let kind = self.staged_kind.take();
        let changed = core::mem::take(&mut self.staged);
        let log = core::mem::take(&mut self.staged_log);
        let (Some(kind), true, false) = (kind, keep, changed.is_empty()) else { return };
        self.sequence += 1;
        let mut epoch = self.active.take().unwrap_or_else(|| Epoch::new(kind));
        epoch.sequence = self.sequence;
        // Only what grows asks what was free.
        let layout = self.layout.filter(|_| kind == Kind::Grow);
        for sector in changed.keys() {
            let Some(layout) = layout.filter(|l| l.is_first_fat(*sector)) else { continue };
            // Before this epoch; what is in it already is remembered.
            if let Some(before) = self.committed(*sector) {
                epoch.remember(*sector, before);
            }
            if layout.width == Width::Bits12 {
                for beside in [sector.saturating_sub(1), sector + 1] {
                    if let Some(content) = self.committed(beside).filter(|_| !epoch.sectors.contains_key(&beside)) {
                        epoch.remember(beside, content);
                    }
                }
            }
        }
        match kind {
            Kind::Move => log.into_iter().for_each(|(sector, content)| epoch.change(sector, content)),
            _ => changed.into_iter().for_each(|(sector, content)| epoch.change(sector, content)),
        }
        self.active = Some(epoch);
    }

    /// Decides whether what the operation has used is to be kept for it.
    fn own(&mut self) {
        let missed = core::mem::take(&mut self.missed);
        let owns = self.owner.is_none_or(|(owner, _)| owner == self.who);
        if owns && missed {
            let tries = self.owner.map_or(0, |(_, tries)| tries);
            self.owner = Some((self.who, tries + 1));
            self.clean.keep();
        } else if owns && !self.blocked {
            self.owner = None;
            self.clean.let_go();
        }
    }

    /// A number that [`synced`](Self::synced) takes: all that is changed now.
    pub fn sync(&mut self) -> u64 {
        self.promote();
        self.sequence
    }

    /// Whether all is durable that was changed before [`sync`](Self::sync) gave
    /// `ticket`. EIO if it will never be.
    pub fn synced(&mut self, ticket: u64) -> Result<(), Errno> {
        if self.durable >= ticket {
            Ok(())
        } else if self.write_failed {
            Err(Errno::EIO)
        } else {
            self.blocked = true;
            Err(NOT_READY)
        }
    }

    /// If nothing is being written, the active epoch is from here on.
    fn promote(&mut self) {
        if self.writing.is_some() || self.write_failed {
            return;
        }
        let Some(epoch) = self.active.take() else { return };
        let steps = epoch.steps(self.layout.as_ref()).into();
        self.writing = Some(Writing { epoch, steps, step: VecDeque::new(), under_way: 0, flush: false });
    }

    fn tag(&mut self, pending: Pending) -> u32 {
        while self.pending.contains_key(&self.next_tag) {
            self.next_tag = self.next_tag.wrapping_add(1);
        }
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        self.pending.insert(tag, pending);
        tag
    }

    /// Moves requests to the disk and their ends back. Whether anything ended:
    /// what is not ready may be so now.
    pub fn service(&mut self) -> bool {
        let mut ended = false;
        let mut buffer = core::mem::take(&mut self.buffer);
        while let Some(end) = self.disk.poll(&mut buffer) {
            ended = true;
            self.end(end, &buffer);
        }
        self.buffer = buffer;
        self.fetch();
        self.write_back();
        self.disk.submit();
        ended
    }

    /// Asks for a wake-up. Whether there is something to do already.
    pub fn arm(&mut self) -> bool {
        self.disk.arm()
    }

    fn end(&mut self, End { tag, ok }: End, data: &[u8]) {
        match self.pending.remove(&tag) {
            Some(Pending::Fetch { stale: true, .. }) | None => {}
            Some(Pending::Fetch { sector, count, .. }) if ok => {
                for (at, chunk) in (sector..).zip(data.chunks_exact(SECTOR)).take(count) {
                    if !self.has(at) {
                        let mut content = [0; SECTOR];
                        content.copy_from_slice(chunk);
                        self.clean.put(at, Rc::new(content));
                    }
                }
            }
            Some(Pending::Fetch { sector, count, .. }) => self.unreadable.extend(sector..sector + count as u64),
            Some(Pending::Write) => {
                self.write_failed |= !ok;
                if let Some(writing) = &mut self.writing {
                    writing.under_way -= 1;
                }
            }
        }
    }

    fn has(&self, sector: u64) -> bool {
        self.is_changed(sector) || self.clean.contains(sector)
    }

    fn is_changed(&self, sector: u64) -> bool {
        let changed = |e: &Epoch| e.sectors.contains_key(&sector);
        self.active.as_ref().is_some_and(changed) || self.writing.as_ref().is_some_and(|w| changed(&w.epoch))
    }

    fn is_fetched(&self, sector: u64) -> bool {
        self.pending.values().any(|p| match p {
            Pending::Fetch { sector: first, count, stale } => {
                !stale && (*first..*first + *count as u64).contains(&sector)
            }
            Pending::Write => false,
        })
    }

    /// Begins to fetch what is wanted.
    fn fetch(&mut self) {
        while let Some((mut first, mut count)) = self.wanted.pop_front() {
            while count > 0 && (self.has(first) || self.is_fetched(first)) {
                (first, count) = (first + 1, count - 1);
            }
            if count == 0 {
                continue;
            }
            if self.disk.room() == 0 {
                self.wanted.push_front((first, count));
                return;
            }
            // Around it, what is on the disk only.
            let end = self.disk.capacity().min((first + count as u64).next_multiple_of(WINDOW));
            let (mut from, mut to) = (first, first + 1);
            while from % WINDOW != 0 && !self.has(from - 1) && !self.is_fetched(from - 1) {
                from -= 1;
            }
            while to < end && to - from < MAX_RUN as u64 && !self.is_changed(to) && !self.is_fetched(to) {
                to += 1;
            }
            let run = (to - from) as usize;
            let tag = self.tag(Pending::Fetch { sector: from, count: run, stale: false });
            self.counters.fetched += run as u64;
            self.disk.read(tag, from, run);
            let rest = (first + count as u64).saturating_sub(to) as usize;
            if rest > 0 {
                self.wanted.push_front((to, rest));
            }
        }
    }

    /// Goes on writing.
    fn write_back(&mut self) {
        loop {
            self.promote();
            let Some(mut writing) = self.writing.take() else { return };
            let done = !self.write_failed && self.write_some(&mut writing);
            if !done {
                self.writing = Some(writing);
                return;
            }
            let Epoch { sequence, sectors, .. } = writing.epoch;
            self.durable = sequence;
            self.counters.epochs += 1;
            for (sector, content) in sectors {
                self.clean.put(sector, content);
            }
        }
    }

    /// Begins what can be begun; whether all of it is durable.
    fn write_some(&mut self, writing: &mut Writing) -> bool {
        loop {
            while let Some((first, _)) = writing.step.front() {
                if self.disk.room() <= RESERVED {
                    return false;
                }
                let first = *first;
                let mut run: Vec<Content> = Vec::new();
                while run.len() < MAX_RUN
                    && let Some((_, content)) = writing.step.pop_front_if(|(at, _)| *at == first + run.len() as u64)
                {
                    run.push(content);
                }
                let range = first..first + run.len() as u64;
                for pending in self.pending.values_mut() {
                    if let Pending::Fetch { sector, count, stale } = pending {
                        *stale |= *sector < range.end && range.start < *sector + *count as u64;
                    }
                }
                let tag = self.tag(Pending::Write);
                self.counters.written += run.len() as u64;
                self.disk.write(tag, first, &run);
                writing.under_way += 1;
            }
            if writing.under_way > 0 {
                return false;
            }
            if writing.flush {
                if self.disk.room() == 0 {
                    return false;
                }
                writing.flush = false;
                let tag = self.tag(Pending::Write);
                self.disk.flush(tag);
                writing.under_way += 1;
                return false;
            }
            let Some(step) = writing.steps.pop_front() else { return true };
            writing.step = step.into();
            writing.flush = true;
        }
    }
}

#[cfg(test)]
mod tests;
