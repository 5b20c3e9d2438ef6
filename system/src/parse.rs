//! Reads `microkit.system`.
//!
//! The grammar is that of the Microkit manual, "System Description File". An
//! unknown element or attribute is refused, since a misspelt one would fall
//! back to a default: `perm="r"` would map a region read-write.

use roxmltree::{Document, Node};

use crate::Problem;
use crate::model::{Channel, End, Irq, Map, Parent, Pd, Perms, Region, SetVar, System};

/// Most channels, interrupts and children of a PD.
const MAX_ID: u64 = strait_pd::MAX_CHANNELS as u64 - 1;

impl System {
    /// Reads a description; `file` names it in messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Problem>> {
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(e) => return Err(vec![Problem::new(file, e.pos().row, format!("not well-formed XML: {e}"))]),
        };
        let mut reader = Reader { document: &document, file, problems: Vec::new() };
        let system = reader.system(document.root_element());
        if reader.problems.is_empty() { Ok(system) } else { Err(reader.problems) }
    }
}

struct Reader<'a> {
    document: &'a Document<'a>,
    file: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, node: Node<'_, '_>) -> u32 {
        self.document.text_pos_at(node.range().start).row
    }

    fn refuse(&mut self, node: Node<'_, '_>, text: impl Into<String>) {
        let line = self.line(node);
        self.problems.push(Problem::new(self.file, line, text));
    }

    fn unknown_element(&mut self, node: Node<'_, '_>, inside: &str) {
        let name = node.tag_name().name();
        self.refuse(node, format!("<{inside}> takes no <{name}>; the Microkit manual lists what it takes"));
    }

    fn attributes(&mut self, node: Node<'_, '_>, known: &[&str]) {
        for attribute in node.attributes().filter(|a| !known.contains(&a.name())) {
            let (element, name, known) = (node.tag_name().name(), attribute.name(), known.join(", "));
            self.refuse(node, format!("<{element}> has no attribute `{name}`; it takes {known}"));
        }
    }

    fn text(&mut self, node: Node<'_, '_>, attribute: &str) -> String {
        match node.attribute(attribute) {
            Some(value) if !value.is_empty() => value.into(),
            _ => {
                let element = node.tag_name().name();
                self.refuse(node, format!("<{element}> needs the attribute `{attribute}`"));
                String::new()
            }
        }
    }

    fn optional_number(&mut self, node: Node<'_, '_>, attribute: &str) -> Option<u64> {
        let value = node.attribute(attribute)?;
        let digits = value.replace('_', "");
        let number = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        if number.is_err() {
            self.refuse(
                node,
                format!("{attribute}=\"{value}\" is not a number; write decimal, or hexadecimal after 0x"),
            );
        }
        number.ok()
    }

    fn number(&mut self, node: Node<'_, '_>, attribute: &str) -> u64 {
        if node.attribute(attribute).is_none() {
            self.text(node, attribute);
        }
        self.optional_number(node, attribute).unwrap_or(0)
    }

    fn id(&mut self, node: Node<'_, '_>) -> u8 {
        match self.number(node, "id") {
            id @ 0..=MAX_ID => id as u8,
            id => {
                self.refuse(
                    node,
                    format!("id {id} is too large; channels, interrupts and children are numbered 0 to {MAX_ID}"),
                );
                0
            }
        }
    }

    fn flag(&mut self, node: Node<'_, '_>, attribute: &str, default: bool) -> bool {
        match node.attribute(attribute) {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.refuse(node, format!("{attribute}=\"{other}\" must be \"true\" or \"false\""));
                default
            }
        }
    }

    fn system(&mut self, root: Node<'_, '_>) -> System {
        let mut system = System { file: self.file.into(), ..System::default() };
        if root.tag_name().name() != "system" {
            self.refuse(root, "the outermost element must be <system>");
            return system;
        }
        for node in root.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "memory_region" => {
                    let region = self.region(node);
                    system.regions.push(region);
                }
                "protection_domain" => self.pd(node, None, &mut system.pds),
                "channel" => system.channels.extend(self.channel(node)),
                "domains" | "io_address_space" => {}
                _ => self.unknown_element(node, "system"),
            }
        }
        system
    }

    fn region(&mut self, node: Node<'_, '_>) -> Region {
        self.attributes(node, &["name", "size", "page_size", "phys_addr", "prefill_path", "prefill_bootinfo"]);
        let prefilled = node.has_attribute("prefill_path") || node.has_attribute("prefill_bootinfo");
        Region {
            name: self.text(node, "name"),
            size: if prefilled { self.optional_number(node, "size").unwrap_or(0) } else { self.number(node, "size") },
            page_size: self.optional_number(node, "page_size"),
            phys_addr: self.optional_number(node, "phys_addr"),
            prefill_path: node.attribute("prefill_path").map(Into::into),
            prefill: 0,
            line: self.line(node),
        }
    }

    fn pd(&mut self, node: Node<'_, '_>, parent: Option<&str>, into: &mut Vec<Pd>) {
        const KNOWN: [&str; 10] =
            ["name", "priority", "budget", "period", "passive", "stack_size", "cpu", "smc", "fpu", "domain"];
        match parent {
            None => self.attributes(node, &KNOWN),
            Some(_) => self.attributes(node, &[&KNOWN[..], &["id", "setvar_id"]].concat()),
        }
        let mut pd = Pd {
            name: self.text(node, "name"),
            parent: parent.map(|pd| Parent { pd: pd.into(), id: self.id(node) }),
            priority: self.priority(node),
            passive: self.flag(node, "passive", false),
            stack_size: self.optional_number(node, "stack_size").unwrap_or(0x2000),
            image: String::new(),
            maps: Vec::new(),
            irqs: Vec::new(),
            setvars: Vec::new(),
            line: self.line(node),
        };
        let mut children = Vec::new();
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "program_image" => {
                    self.attributes(child, &["path", "path_for_symbols"]);
                    pd.image = self.text(child, "path");
                }
                "map" => pd.maps.push(self.map(child)),
                "irq" => pd.irqs.push(self.irq(child)),
                "setvar" => pd.setvars.push(self.setvar(child)),
                "protection_domain" => self.pd(child, Some(&pd.name), &mut children),
                "virtual_machine" | "ioport" | "cspace" => {}
                _ => self.unknown_element(child, "protection_domain"),
            }
        }
        if !node.children().any(|c| c.has_tag_name("program_image")) {
            self.refuse(node, format!("PD `{}` has no <program_image path=\"...\"/>", pd.name));
        }
        into.push(pd);
        into.append(&mut children);
    }

    fn priority(&mut self, node: Node<'_, '_>) -> u8 {
        match self.optional_number(node, "priority").unwrap_or(0) {
            priority @ 0..=254 => priority as u8,
            priority => {
                self.refuse(node, format!("priority {priority} is too high; the highest is 254"));
                0
            }
        }
    }

    fn map(&mut self, node: Node<'_, '_>) -> Map {
        self.attributes(
            node,
            &["mr", "vaddr", "perms", "cached", "setvar_vaddr", "setvar_size", "setvar_prefill_size"],
        );
        Map {
            region: self.text(node, "mr"),
            vaddr: self.number(node, "vaddr"),
            perms: self.perms(node),
            cached: self.flag(node, "cached", true),
            setvar_vaddr: node.attribute("setvar_vaddr").map(Into::into),
            line: self.line(node),
        }
    }

    fn perms(&mut self, node: Node<'_, '_>) -> Perms {
        let Some(text) = node.attribute("perms") else { return Perms::RW };
        let perms = Perms { read: text.contains('r'), write: text.contains('w'), execute: text.contains('x') };
        if text.is_empty() || text.contains(|c| !"rwx".contains(c)) || text == "w" {
            self.refuse(node, format!("perms=\"{text}\" is not a right; write \"r\", \"rw\" or \"rx\""));
        }
        perms
    }

    fn irq(&mut self, node: Node<'_, '_>) -> Irq {
        self.attributes(node, &["irq", "id", "trigger", "setvar_id"]);
        Irq {
            number: self.number(node, "irq"),
            id: self.id(node),
            setvar_id: node.attribute("setvar_id").map(Into::into),
            line: self.line(node),
        }
    }

    fn setvar(&mut self, node: Node<'_, '_>) -> SetVar {
        self.attributes(node, &["symbol", "region_paddr"]);
        SetVar { symbol: self.text(node, "symbol"), region: self.text(node, "region_paddr"), line: self.line(node) }
    }

    fn channel(&mut self, node: Node<'_, '_>) -> Option<Channel> {
        self.attributes(node, &[]);
        let mut ends = Vec::new();
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "end" => ends.push(self.end(child)),
                _ => self.unknown_element(child, "channel"),
            }
        }
        match ends.try_into() {
            Ok(ends) => Some(Channel { ends, line: self.line(node) }),
            Err(_) => {
                self.refuse(node, "a channel has exactly two <end> elements");
                None
            }
        }
    }

    fn end(&mut self, node: Node<'_, '_>) -> End {
        self.attributes(node, &["pd", "id", "pp", "notify", "setvar_id"]);
        End {
            pd: self.text(node, "pd"),
            id: self.id(node),
            can_call: self.flag(node, "pp", false),
            can_notify: self.flag(node, "notify", true),
            line: self.line(node),
        }
    }
}
