//! Sectors that are as on the disk. When there are too many, the one that was
//! not used for longest is dropped, but for those that are [kept](Lru::keep).

use alloc::collections::{BTreeMap, BTreeSet};

use super::Content;

/// The sectors.
pub struct Lru {
    most: usize,
    sectors: BTreeMap<u64, (u64, Content)>,
    /// By time of last use.
    order: BTreeMap<u64, u64>,
    clock: u64,
    /// When the operation that runs began, and how many it has used.
    begun: u64,
    used: usize,
    kept: BTreeSet<u64>,
}

impl Lru {
    /// Room for `most` sectors.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            sectors: BTreeMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            begun: 0,
            used: 0,
            kept: BTreeSet::new(),
        }
    }

    /// An operation begins.
    pub fn begin(&mut self) {
        (self.begun, self.used) = (self.clock, 0);
    }

    /// How many sectors it has used.
    pub fn used(&self) -> usize {
        self.used
    }

    /// What it has used is kept until [`let_go`](Self::let_go), in place of what
    /// was kept before: fewer than there is room for.
    pub fn keep(&mut self) {
        self.kept = self.order.range(self.begun + 1..).map(|(_, sector)| *sector).collect();
    }

    /// Nothing is kept any more.
    pub fn let_go(&mut self) {
        self.kept.clear();
    }

    /// Whether it has the sector.
    pub fn contains(&self, sector: u64) -> bool {
        self.sectors.contains_key(&sector)
    }

    /// The sector, which counts as used now.
    pub fn get(&mut self, sector: u64) -> Option<&Content> {
        let (used, content) = self.sectors.get_mut(&sector)?;
        self.order.remove(used);
        self.used += usize::from(*used <= self.begun);
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
            if !self.kept.contains(&oldest) {
                self.sectors.remove(&oldest);
            } else if let Some((used, _)) = self.sectors.get_mut(&oldest) {
                // It takes its turn again behind the others.
                self.clock += 1;
                *used = self.clock;
                self.order.insert(self.clock, oldest);
            }
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

    #[test]
    fn what_is_kept_stays() {
        let mut lru = Lru::new(4);
        let content = |n: u64| Rc::new([n as u8; 512]);
        (0..4).for_each(|n| lru.put(n, content(n)));
        lru.begin();
        for n in [0, 2, 0] {
            lru.get(n);
        }
        assert_eq!(lru.used(), 2);
        lru.keep();
        (10..20).for_each(|n| lru.put(n, content(n)));
        assert!(lru.contains(0) && lru.contains(2) && lru.contains(19) && !lru.contains(17));
        assert_eq!((lru.sectors.len(), lru.order.len()), (4, 4));
        lru.let_go();
        (20..24).for_each(|n| lru.put(n, content(n)));
        assert!((20..24).all(|n| lru.contains(n)));
    }
}
