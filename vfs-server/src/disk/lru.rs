//! Sectors that are as on the disk. When there are too many, the one that was
//! not used for longest is dropped.

use alloc::collections::BTreeMap;

use super::Content;

/// The sectors.
pub struct Lru {
    most: usize,
    sectors: BTreeMap<u64, (u64, Content)>,
    /// By time of last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
}

impl Lru {
    /// Room for `most` sectors.
    pub fn new(most: usize) -> Self {
        Self { most, sectors: BTreeMap::new(), order: BTreeMap::new(), clock: 0 }
    }

    /// Whether it has the sector.
    pub fn contains(&self, sector: u64) -> bool {
        self.sectors.contains_key(&sector)
    }

    /// The sector, which counts as used now.
    pub fn get(&mut self, sector: u64) -> Option<&Content> {
        let (used, content) = self.sectors.get_mut(&sector)?;
        self.order.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.order.insert(self.clock, sector);
        Some(content)
    }

    /// Puts a sector in, in place of what it had of it.
    pub fn put(&mut self, sector: u64, content: Content) {
        self.clock += 1;
        if let Some((used, _)) = self.sectors.insert(sector, (self.clock, content)) {
            self.order.remove(&used);
        }
        self.order.insert(self.clock, sector);
        while self.sectors.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.sectors.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;

    #[test]
    fn the_one_not_used_for_longest_goes() {
        let mut lru = Lru::new(2);
        for n in 0..2 {
            lru.put(n, Rc::new([n as u8; 512]));
        }
        assert_eq!(lru.get(0).unwrap()[0], 0);
        lru.put(7, Rc::new([7; 512]));
        assert!(lru.contains(0) && !lru.contains(1) && lru.contains(7));
        lru.put(0, Rc::new([9; 512]));
        assert_eq!(lru.get(0).unwrap()[0], 9);
        assert_eq!((lru.sectors.len(), lru.order.len()), (2, 2));
    }
}
