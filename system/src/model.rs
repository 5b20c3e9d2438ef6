//! The system description as plain data: what `microkit.system` says, with the
//! line of every element.
//!
//! Only what Strait needs is kept. `cspace`, `ioport`, `domains` and
//! `virtual_machine` elements are left to the `microkit` tool.

/// A whole system description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// Name of the file, as given; for messages.
    pub file: String,
    /// All memory regions, in the order of the file.
    pub regions: Vec<Region>,
    /// All protection domains (PDs), parents before their children.
    pub pds: Vec<Pd>,
    /// All channels.
    pub channels: Vec<Channel>,
}

/// A `memory_region`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its size in bytes. A region with a `prefill_path` may leave it out; then
    /// it is 0 until [`System::resolve_prefill`](crate::System::resolve_prefill).
    pub size: u64,
    /// The page size, if given.
    pub page_size: Option<u64>,
    /// The physical address, if given.
    pub phys_addr: Option<u64>,
    /// The file that it is filled from, if given.
    pub prefill_path: Option<String>,
    /// How many bytes come from that file; 0 until
    /// [`System::resolve_prefill`](crate::System::resolve_prefill).
    pub prefill: u64,
    /// Line of the element.
    pub line: u32,
}

/// A `protection_domain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pd {
    /// Its name.
    pub name: String,
    /// The PD it is a child of, if it is nested in one.
    pub parent: Option<Parent>,
    /// Its priority; Microkit's default is 0.
    pub priority: u8,
    /// Whether it is passive.
    pub passive: bool,
    /// Its stack size in bytes; Microkit's default is 0x2000.
    pub stack_size: u64,
    /// The `path` of its `program_image`.
    pub image: String,
    /// The regions mapped into it.
    pub maps: Vec<Map>,
    /// Its interrupts.
    pub irqs: Vec<Irq>,
    /// Symbols that are set to the physical address of a region.
    pub setvars: Vec<SetVar>,
    /// Line of the element.
    pub line: u32,
}

/// The parent of a nested PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its name.
    pub pd: String,
    /// The child's number there.
    pub id: u8,
}

/// A `map` of a PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Name of the region.
    pub region: String,
    /// Where it is mapped.
    pub vaddr: u64,
    /// With which rights.
    pub perms: Perms,
    /// Whether cached; Microkit's default is yes.
    pub cached: bool,
    /// The symbol that is set to the address, if any.
    pub setvar_vaddr: Option<String>,
    /// Line of the element.
    pub line: u32,
}

/// The rights of a `map`; Microkit's default is `rw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Perms {
    /// The PD may read.
    pub read: bool,
    /// The PD may write.
    pub write: bool,
    /// The PD may execute.
    pub execute: bool,
}

impl Perms {
    /// `rw`
    pub const RW: Self = Self { read: true, write: true, execute: false };
    /// `r`
    pub const R: Self = Self { read: true, write: false, execute: false };
}

impl std::fmt::Display for Perms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (set, letter) in [(self.read, "r"), (self.write, "w"), (self.execute, "x")] {
            if set {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// An `irq` of a PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irq {
    /// The hardware interrupt number.
    pub number: u64,
    /// Its channel number in the PD.
    pub id: u8,
    /// The symbol that is set to the channel number, if any.
    pub setvar_id: Option<String>,
    /// Line of the element.
    pub line: u32,
}

/// A `setvar`: a symbol set to the physical address of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVar {
    /// The symbol.
    pub symbol: String,
    /// Name of the region.
    pub region: String,
    /// Line of the element.
    pub line: u32,
}

/// A `channel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its two ends.
    pub ends: [End; 2],
    /// Line of the element.
    pub line: u32,
}

/// An `end` of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Name of the PD.
    pub pd: String,
    /// The channel's number there.
    pub id: u8,
    /// Whether it may make protected procedure calls to the other end (`pp`).
    pub can_call: bool,
    /// Whether it may signal the other end (`notify`).
    pub can_notify: bool,
    /// Line of the element.
    pub line: u32,
}

impl System {
    /// The region called `name`.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|r| r.name == name)
    }

    /// The PD called `name`.
    pub fn pd(&self, name: &str) -> Option<&Pd> {
        self.pds.iter().find(|p| p.name == name)
    }

    /// The PDs nested in the one called `pd`, each with its number there.
    pub fn children<'a>(&'a self, pd: &'a str) -> impl Iterator<Item = (&'a Pd, u8)> {
        self.pds.iter().filter_map(move |child| Some((child, child.parent.as_ref().filter(|p| p.pd == pd)?.id)))
    }

    /// The PDs that map the region called `name`, each with its map.
    pub fn users<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Pd, &'a Map)> {
        self.pds.iter().flat_map(|pd| pd.maps.iter().map(move |m| (pd, m))).filter(move |(_, m)| m.region == name)
    }

    /// The channel ends of the PD called `pd`, each with the other end.
    pub fn ends<'a>(&'a self, pd: &'a str) -> impl Iterator<Item = (&'a End, &'a End)> {
        self.channels
            .iter()
            .flat_map(|c| [(&c.ends[0], &c.ends[1]), (&c.ends[1], &c.ends[0])])
            .filter(move |(mine, _)| mine.pd == pd)
    }

    /// The end of `pd` of its channel to `peer`, and the other end.
    pub fn end_between<'a>(&'a self, pd: &'a str, peer: &'a str) -> Option<(&'a End, &'a End)> {
        self.ends(pd).find(|(_, other)| other.pd == peer)
    }
}

impl Pd {
    /// The program that it runs: the name of its image file without folder and
    /// extension.
    pub fn program(&self) -> &str {
        let file = self.image.rsplit('/').next().unwrap_or_default();
        file.split_once('.').map_or(file, |(stem, _)| stem)
    }

    /// Its map of the region called `region`.
    pub fn map(&self, region: &str) -> Option<&Map> {
        self.maps.iter().find(|m| m.region == region)
    }
}
