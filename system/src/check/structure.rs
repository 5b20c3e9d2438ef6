//! Rules that hold for every Microkit system: names, numbers, sizes, places.

use std::collections::HashMap;

use super::Report;
use crate::model::{Map, Pd, Region, System};

/// Most PDs that Microkit takes.
const MAX_PDS: usize = 63;
/// Below this address lie a PD's program and stack, in both worlds.
const LOWEST_VADDR: u64 = 0x10_0000_0000;
/// More memory than a board has.
const MAX_SIZE: u64 = 1 << 40;
const PAGE: u64 = 0x1000;

pub fn check(system: &System, report: &mut Report<'_>) {
    names(system, report);
    for region in &system.regions {
        size(system, region, report);
    }
    for pd in &system.pds {
        numbers(system, pd, report);
        children(system, pd, report);
        maps(system, pd, report);
    }
    channels(system, report);
    interrupts(system, report);
    virtio(system, report);
    devices(system, report);
}

fn names(system: &System, report: &mut Report<'_>) {
    if system.pds.is_empty() {
        report.at(0, "there is no <protection_domain>");
    }
    if let Some(pd) = system.pds.get(MAX_PDS) {
        report.at(pd.line, format!("{} PDs; Microkit takes {MAX_PDS} at most", system.pds.len()));
    }
    let pds = system.pds.iter().map(|p| ("PD", &p.name, p.line));
    let regions = system.regions.iter().map(|r| ("memory region", &r.name, r.line));
    let mut seen = HashMap::new();
    for (what, name, line) in pds.chain(regions) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.chars().all(plain) {
            report.at(line, format!("{what} `{name}`: use lower-case letters, digits and _ only"));
        }
        if let Some(first) = seen.insert((what, name), line) {
            report.at(line, format!("a second {what} called `{name}`; the first is in line {first}; rename one"));
        }
    }
    if let Some(pd) = system.pd("monitor") {
        report.at(pd.line, "the PD name `monitor` is Microkit's own; rename it");
    }
}

fn size(system: &System, region: &Region, report: &mut Report<'_>) {
    let name = &region.name;
    let page = region.page_size.unwrap_or(PAGE);
    if ![0x1000, 0x20_0000].contains(&page) {
        report.at(region.line, format!("page_size of `{name}` must be 0x1000 or 0x200000"));
    } else if region.size > MAX_SIZE {
        report.at(region.line, format!("size of `{name}` is {:#x}; at most {MAX_SIZE:#x}", region.size));
    } else if !region.size.is_multiple_of(page) {
        let up = region.size.next_multiple_of(page);
        report.at(
            region.line,
            format!("size of `{name}` is {:#x}, no multiple of its page size {page:#x}; make it {up:#x}", region.size),
        );
    } else if region.phys_addr.is_some_and(|a| !a.is_multiple_of(page)) {
        report.at(region.line, format!("phys_addr of `{name}` is no multiple of its page size {page:#x}"));
    }
    if region.size == 0 && region.prefill_path.is_none() {
        report.at(region.line, format!("`{name}` is empty; give it a size"));
    }
    if region.prefill > region.size {
        let up = region.prefill.next_multiple_of(PAGE);
        report.at(region.line, format!("`{name}` is too small for its prefill file; make its size at least {up:#x}"));
    }
    if system.users(name).next().is_none() {
        report.at(region.line, format!("no PD maps `{name}`; add a <map mr=\"{name}\" .../> or remove the region"));
    }
}

fn numbers(system: &System, pd: &Pd, report: &mut Report<'_>) {
    let ends = system.ends(&pd.name).map(|(mine, _)| (u64::from(mine.id), mine.line));
    let irqs = pd.irqs.iter().map(|i| (u64::from(i.id), i.line));
    let mut used: Vec<(u64, u32)> = ends.chain(irqs).collect();
    used.sort_by_key(|&(_, line)| line);
    let mut first: HashMap<u64, u32> = HashMap::new();
    let taken: Vec<u64> = used.iter().map(|&(id, _)| id).collect();
    for (id, line) in used {
        if let Some(before) = first.get(&id) {
            let free = (0..strait_pd::MAX_CHANNELS as u64).find(|n| !taken.contains(n));
            let advice = free.map_or("no number is free".into(), |n| format!("{n} is free"));
            report.at(line, format!("id {id} of PD `{}` is already used in line {before}; {advice}", pd.name));
        } else {
            first.insert(id, line);
        }
    }
}

fn children(system: &System, pd: &Pd, report: &mut Report<'_>) {
    let mut first: HashMap<u8, &str> = HashMap::new();
    for (child, id) in system.children(&pd.name) {
        if let Some(other) = first.insert(id, &child.name) {
            report.at(
                child.line,
                format!("`{}` has the number {id} in `{}`, as `{other}` has; change one", child.name, pd.name),
            );
        }
    }
}

fn maps(system: &System, pd: &Pd, report: &mut Report<'_>) {
    let mut placed: Vec<(&Map, u64)> = Vec::new();
    for map in &pd.maps {
        let Some(region) = system.region(&map.region) else {
            report.at(map.line, format!("no memory region `{0}`; add <memory_region name=\"{0}\" .../>", map.region));
            continue;
        };
        let page = region.page_size.unwrap_or(PAGE).max(1);
        if !map.vaddr.is_multiple_of(page) {
            report.at(
                map.line,
                format!("vaddr {:#x} of `{}` is no multiple of its page size {page:#x}", map.vaddr, map.region),
            );
        }
        if map.vaddr < LOWEST_VADDR {
            report.at(
                map.line,
                format!(
                    "vaddr {:#x} of `{}` may meet the program itself; map it at {LOWEST_VADDR:#x} or above",
                    map.vaddr, map.region
                ),
            );
        }
        let Some(end) = map.vaddr.checked_add(region.size.max(PAGE)) else {
            report.at(map.line, format!("`{}` reaches beyond the address space; lower its vaddr", map.region));
            continue;
        };
        if placed.iter().any(|(other, _)| other.region == map.region) {
            report.at(map.line, format!("PD `{}` maps `{}` twice; remove one", pd.name, map.region));
        } else if let Some((other, _)) =
            placed.iter().find(|(other, other_end)| map.vaddr < *other_end && other.vaddr < end)
        {
            report.at(
                map.line,
                format!(
                    "`{}` ({:#x} to {end:#x}) overlaps `{}` of line {} in PD `{}`; move one",
                    map.region, map.vaddr, other.region, other.line, pd.name
                ),
            );
        }
        placed.push((map, end));
    }
    for setvar in &pd.setvars {
        if system.region(&setvar.region).is_none() {
            report.at(setvar.line, format!("no memory region `{}`; correct region_paddr", setvar.region));
        }
    }
}

fn channels(system: &System, report: &mut Report<'_>) {
    for (index, channel) in system.channels.iter().enumerate() {
        let [a, b] = &channel.ends;
        for end in [a, b] {
            if system.pd(&end.pd).is_none() {
                report.at(end.line, format!("no PD is called `{}`", end.pd));
            }
        }
        if a.pd == b.pd {
            report.at(channel.line, format!("a channel of PD `{}` with itself; it must join two PDs", a.pd));
        }
        if a.can_call && b.can_call {
            report.at(channel.line, "both ends have pp=\"true\"; only the PD of lower priority may call the other");
        }
        for (caller, callee) in [(a, b), (b, a)] {
            let (Some(low), Some(high)) = (system.pd(&caller.pd), system.pd(&callee.pd)) else { continue };
            if caller.can_call && low.priority >= high.priority {
                report.at(
                    caller.line,
                    format!(
                        "`{}` (priority {}) calls `{}` (priority {}); the callee's priority must be higher: raise it in line {} or lower the caller's in line {}",
                        low.name, low.priority, high.name, high.priority, high.line, low.line
                    ),
                );
            }
        }
        let same = |other: &[crate::model::End; 2]| {
            (other[0].pd == a.pd && other[1].pd == b.pd) || (other[0].pd == b.pd && other[1].pd == a.pd)
        };
        if let Some(first) = system.channels[..index].iter().find(|c| same(&c.ends)) {
            report.at(
                channel.line,
                format!("a second channel between `{}` and `{}`; components find channels by the peer's name: keep the one of line {}", a.pd, b.pd, first.line),
            );
        }
    }
}

fn interrupts(system: &System, report: &mut Report<'_>) {
    let mut seen = HashMap::new();
    for (pd, irq) in system.pds.iter().flat_map(|pd| pd.irqs.iter().map(move |irq| (pd, irq))) {
        if let Some((other, line)) = seen.insert(irq.number, (&pd.name, irq.line)) {
            report.at(irq.line, format!("interrupt {} already belongs to PD `{other}` (line {line})", irq.number));
        }
    }
}

/// On QEMU's `virt` boards the interrupt of a virtio-mmio slot follows from
/// its address. A driver that waits for another's would hang without a word.
fn virtio(system: &System, report: &mut Report<'_>) {
    const BUS: std::ops::Range<u64> = 0xa00_0000..0xa00_4000;
    const STRIDE: u64 = 0x200;
    const FIRST_IRQ: u64 = 48;
    for pd in &system.pds {
        let regions = pd.maps.iter().filter_map(|m| system.region(&m.region)).filter(|r| r.name.starts_with("virtio_"));
        let [irq] = &pd.irqs[..] else { continue };
        for (region, address) in regions.filter_map(|r| Some((r, r.phys_addr.filter(|a| BUS.contains(a))?))) {
            let first = FIRST_IRQ + (address - BUS.start) / STRIDE;
            let last = first + PAGE / STRIDE - 1;
            if !(first..=last).contains(&irq.number) {
                report.at(irq.line, format!("interrupt {} is not that of a device in the page of `{}`, which has {first} to {last}: slot N has {FIRST_IRQ} + N", irq.number, region.name));
            }
        }
    }
}

/// Whether a region is a device's registers: at a fixed address, uncached.
pub fn is_device(system: &System, region: &Region) -> bool {
    region.phys_addr.is_some() && system.users(&region.name).any(|(_, map)| !map.cached)
}

fn devices(system: &System, report: &mut Report<'_>) {
    let devices: Vec<_> = system.regions.iter().filter(|r| is_device(system, r)).collect();
    for (index, region) in devices.iter().enumerate() {
        let users: Vec<_> = system.users(&region.name).collect();
        if let [(first, _), (second, map), ..] = users[..] {
            report.at(
                map.line,
                format!("device `{}` is mapped into `{}` and `{}`: each could drive the other's device; give each a page of its own (for virtio-mmio, slots whose numbers differ after division by 8)", region.name, first.name, second.name),
            );
        }
        for (_, map) in users.iter().filter(|(_, map)| map.cached) {
            report.at(map.line, format!("device `{}` is mapped cached; add cached=\"false\"", region.name));
        }
        let extent = |r: &Region| (r.phys_addr.unwrap_or(0), r.phys_addr.unwrap_or(0).saturating_add(r.size));
        let (start, end) = extent(region);
        for other in &devices[..index] {
            let (other_start, other_end) = extent(other);
            if start < other_end && other_start < end {
                report.at(
                    region.line,
                    format!("device `{}` shares a page with `{}` (line {}); one driver could reach the other's device: use a slot in another page", region.name, other.name, other.line),
                );
            }
        }
    }
}
