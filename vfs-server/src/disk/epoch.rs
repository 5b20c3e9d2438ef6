//! Changes that are written together, and in which order.
//!
//! FAT has no journal. What holds it together when the power goes is the order
//! in which things reach the disk: space is marked as used, and filled, before
//! a directory names it, and is marked as free after no directory does any
//! more. So changes are gathered in *epochs* of one [`Kind`] each, and an epoch
//! is written in steps, each of which is durable before the next begins:
//!
//! | kind | operations | steps |
//! |---|---|---|
//! | [`Grow`](Kind::Grow) | create, mkdir, write, extend | new clusters; the FAT; the rest: directories |
//! | [`Shrink`](Kind::Shrink) | unlink, rmdir, cut off | all but the FAT; the FAT |
//! | [`Move`](Kind::Move) | rename | each change as it was made: the new name before the old one goes |
//!
//! Within the FAT, sectors are steps of their own: of what grows the last ones
//! come first, as chains lead to later clusters as a rule, and of what shrinks
//! the first ones; so no chain leads to a cluster that is free. Copies of the FAT
//! follow.
//!
//! New clusters are those whose entry in the FAT was 0 before the epoch, so
//! nothing on the disk leads to them. At worst a loss of power leaves clusters
//! that no file has, files cut at a length they had before, or one file under
//! two names: nothing that was durable is lost.

use alloc::{collections::BTreeMap, vec::Vec};

use super::Content;

/// What the changes of an epoch do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They use space.
    Grow,
    /// They free space.
    Shrink,
    /// They move names.
    Move,
}

/// Width of an entry in the FAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// FAT12.
    Bits12,
    /// FAT16.
    Bits16,
    /// FAT32.
    Bits32,
}

/// Where things are on the volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Where the FAT that counts begins.
    pub fat: u64,
    /// Bytes of one FAT.
    pub fat_size: u64,
    /// What is before it belongs to the FATs and what describes the volume.
    pub fat_end: u64,
    /// Where cluster 2 begins.
    pub data: u64,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Width of an entry.
    pub width: Width,
}

/// Bytes of a sector.
const SECTOR: u64 = strait_abi::blk::SECTOR as u64;

impl Layout {
    /// Whether the sector belongs to the first FAT.
    pub fn is_first_fat(&self, sector: u64) -> bool {
        (self.fat..self.fat + self.fat_size).contains(&(sector * SECTOR))
    }

    /// Whether the sector belongs to a FAT, or to what describes the volume.
    fn is_fat(&self, sector: u64) -> bool {
        sector * SECTOR < self.fat_end
    }

    /// The cluster that the sector is in.
    fn cluster_of(&self, sector: u64) -> Option<u64> {
        let offset = (sector * SECTOR).checked_sub(self.data)?;
        Some(offset.checked_div(self.cluster)? + 2)
    }

    /// Where the entry of a cluster begins in the first FAT, and how many bytes
    /// it reaches over.
    pub fn entry(&self, cluster: u64) -> (u64, usize) {
        match self.width {
            Width::Bits12 => (self.fat + cluster * 3 / 2, 2),
            Width::Bits16 => (self.fat + cluster * 2, 2),
            Width::Bits32 => (self.fat + cluster * 4, 4),
        }
    }

    fn is_free(&self, cluster: u64, entry: [u8; 4]) -> bool {
        let [a, b, ..] = entry;
        match self.width {
            Width::Bits12 if cluster.is_multiple_of(2) => a == 0 && b & 0x0f == 0,
            Width::Bits12 => a & 0xf0 == 0 && b == 0,
            Width::Bits16 => a == 0 && b == 0,
            Width::Bits32 => u32::from_le_bytes(entry) & 0x0fff_ffff == 0,
        }
    }
}

/// One step: the sectors that may be written in any order.
pub type Step = Vec<(u64, Content)>;

/// Changes that are written together.
pub struct Epoch {
    /// What they do.
    pub kind: Kind,
    /// The number of the last operation in it.
    pub sequence: u64,
    /// What the changed sectors hold now.
    pub sectors: BTreeMap<u64, Content>,
    /// What those of the FAT held before.
    before: BTreeMap<u64, Content>,
    /// All changes in their order; of [`Kind::Move`] only.
    log: Step,
}

impl Epoch {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        Self { kind, sequence: 0, sectors: BTreeMap::new(), before: BTreeMap::new(), log: Vec::new() }
    }

    /// A sector changes.
    pub fn change(&mut self, sector: u64, content: Content) {
        if self.kind == Kind::Move {
            match self.log.last_mut() {
                Some((last, newest)) if *last == sector => *newest = content.clone(),
                _ => self.log.push((sector, content.clone())),
            }
        }
        self.sectors.insert(sector, content);
    }

    /// What a sector of the FAT holds before it changes, or that beside it: an
    /// entry of 12 bits may lie in both. The first time counts.
    pub fn remember(&mut self, sector: u64, content: Content) {
        self.before.entry(sector).or_insert(content);
    }

    /// Whether the sector is in a cluster that was free before.
    fn is_new(&self, layout: &Layout, sector: u64) -> bool {
        let Some(cluster) = layout.cluster_of(sector) else { return false };
        let (at, len) = layout.entry(cluster);
        let mut entry = [0; 4];
        for (i, byte) in entry.iter_mut().take(len).enumerate() {
            let at = at + i as u64;
            // A sector of the FAT that does not change allocates nothing.
            let Some(content) = self.before.get(&(at / SECTOR)) else { return false };
            *byte = content[(at % SECTOR) as usize];
        }
        layout.is_free(cluster, entry)
    }

    /// The steps in which it is written; after each the disk is flushed.
    /// Without a layout, each change by itself.
    pub fn steps(&self, layout: Option<&Layout>) -> Vec<Step> {
        let all = || self.sectors.iter().map(|(sector, content)| (*sector, content.clone()));
        let one_by_one = |step: Step| step.into_iter().map(|change| alloc::vec![change]).collect();
        let steps: Vec<Step> = match (self.kind, layout) {
            (Kind::Move, _) => return one_by_one(self.log.clone()),
            (_, None) => return one_by_one(all().collect()),
            (Kind::Shrink, Some(layout)) => {
                let (fat, rest): (Step, Step) = all().partition(|(sector, _)| layout.is_fat(*sector));
                core::iter::once(rest).chain(fat_steps(layout, fat.into_iter())).collect()
            }
            (Kind::Grow, Some(layout)) => {
                let (fat, rest): (Step, Step) = all().partition(|(sector, _)| layout.is_fat(*sector));
                let (new, rest) = rest.into_iter().partition(|(sector, _)| self.is_new(layout, *sector));
                let fat = fat_steps(layout, fat.into_iter().rev());
                core::iter::once(new).chain(fat).chain([rest]).collect()
            }
        };
        steps.into_iter().filter(|step| !step.is_empty()).collect()
    }
}

/// Each sector of the first FAT, in this order, then all others.
fn fat_steps(layout: &Layout, sectors: impl Iterator<Item = (u64, Content)>) -> Vec<Step> {
    let (first, others): (Step, Step) = sectors.partition(|(sector, _)| layout.is_first_fat(*sector));
    let mut steps: Vec<Step> = first.into_iter().map(|change| alloc::vec![change]).collect();
    steps.push(others);
    // In the order of the disk, so that neighbours are written at once.
    steps.last_mut().into_iter().for_each(|step| step.sort_unstable_by_key(|(sector, _)| *sector));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{rc::Rc, vec};

    fn content(n: u8) -> Content {
        Rc::new([n; 512])
    }

    fn sectors(steps: &[Step]) -> Vec<Vec<u64>> {
        steps.iter().map(|step| step.iter().map(|(s, _)| *s).collect()).collect()
    }

    const FAT16: Layout =
        Layout { fat: 512, fat_size: 1024, fat_end: 2560, data: 5120, cluster: 1024, width: Width::Bits16 };

    #[test]
    fn what_grows_is_named_last() {
        let mut e = Epoch::new(Kind::Grow);
        // Cluster 2 (sectors 10, 11) was in use, 3 (12, 13) and 4 were free.
        let mut fat = [0; 512];
        fat[4] = 0xff;
        e.change(10, content(1));
        e.change(13, content(1));
        e.remember(1, Rc::new(fat));
        e.change(1, content(1));
        // Later changes do not make what was free used.
        e.remember(1, content(1));
        e.change(1, content(2));
        e.change(3, content(2));
        e.change(2, content(2));
        e.change(14, content(1));
        e.change(6, content(1));
        let steps = e.steps(Some(&FAT16));
        assert_eq!(sectors(&steps), [vec![13, 14], vec![2], vec![1], vec![3], vec![6, 10]]);
        assert_eq!(steps[2][0].1[0], 2);
        assert_eq!(e.steps(None).len(), 7);
    }

    #[test]
    fn what_shrinks_is_freed_last() {
        let mut e = Epoch::new(Kind::Shrink);
        for sector in [3, 2, 1, 0, 10] {
            e.change(sector, content(1));
        }
        assert_eq!(sectors(&e.steps(Some(&FAT16))), [vec![10], vec![1], vec![2], vec![0, 3]]);
    }

    #[test]
    fn moves_keep_their_order() {
        let mut e = Epoch::new(Kind::Move);
        for (sector, n) in [(9, 1), (9, 2), (7, 1), (9, 3)] {
            e.change(sector, content(n));
        }
        let steps = e.steps(Some(&FAT16));
        assert_eq!(sectors(&steps), [vec![9], vec![7], vec![9]]);
        assert_eq!((steps[0][0].1[0], steps[2][0].1[0]), (2, 3));
    }

    #[test]
    fn entries_of_twelve_bits() {
        let layout = Layout { width: Width::Bits12, ..FAT16 };
        let mut e = Epoch::new(Kind::Grow);
        // Entries 2 and 3 are bytes 3 to 5: 2 used, 3 free, then 4 free, 5 used.
        let mut fat = [0; 512];
        (fat[3], fat[4], fat[7], fat[8]) = (0xff, 0x0f, 0x10, 0x00);
        e.remember(1, Rc::new(fat));
        e.change(1, content(1));
        for sector in [10, 12, 14, 16] {
            e.change(sector, content(1));
        }
        assert_eq!(sectors(&e.steps(Some(&layout))), [vec![12, 14], vec![1], vec![10, 16]]);
    }
}
