//! The names in a directory, by name and in the order in which they came.
//!
//! The order makes reading a directory stable: a name keeps its place as long
//! as it is there, so who goes on reading misses none of those that stay and
//! sees none of them twice.

use alloc::{collections::BTreeMap, rc::Rc};

use crate::{file_system::Node, pool::Charge};

/// What a name stands for.
pub struct Entry {
    pub node: Node,
    place: u64,
    /// Pays for a further name of a file; the first is paid with the file.
    pub charge: Option<Charge>,
}

/// The directory.
pub struct Directory {
    by_name: BTreeMap<Rc<[u8]>, Entry>,
    by_place: BTreeMap<u64, Rc<[u8]>>,
    next: u64,
    /// Where it is, and under which name.
    pub parent: Node,
    pub name: Rc<[u8]>,
    /// How many of its entries are directories.
    pub directories: u32,
}

impl Directory {
    pub fn new(parent: Node, name: Rc<[u8]>) -> Self {
        Self { by_name: BTreeMap::new(), by_place: BTreeMap::new(), next: 0, parent, name, directories: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn get(&self, name: &[u8]) -> Option<Node> {
        self.by_name.get(name).map(|entry| entry.node)
    }

    /// Adds a name that is not there.
    pub fn insert(&mut self, name: Rc<[u8]>, node: Node, charge: Option<Charge>) {
        let place = self.next;
        self.next += 1;
        self.by_place.insert(place, name.clone());
        self.by_name.insert(name, Entry { node, place, charge });
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let entry = self.by_name.remove(name)?;
        self.by_place.remove(&entry.place);
        Some(entry)
    }

    /// The entries from `from` on: name, node, where to go on behind it.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = (&[u8], Node, u64)> {
        self.by_place
            .range(from..)
            .filter_map(|(place, name)| Some((&**name, self.by_name.get(name)?.node, place.saturating_add(1))))
    }
}
