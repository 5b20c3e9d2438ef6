//! Reads `strait.toml`: one table for each PD that has something to set.
//!
//! Nested tables become dotted keys and every value becomes text, which is
//! what a PD gets in its configuration:
//!
//! ```toml
//! [net_server.ipv4]
//! mode = "static"              # ("ipv4.mode", "static")
//! dns = ["10.0.2.3", "9.9.9.9"]  # ("ipv4.dns", "10.0.2.3,9.9.9.9")
//! ```

use toml::de::{DeTable, DeValue};

use crate::Problem;

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Name of the file, as given; for messages.
    pub file: String,
    /// The tables, one for a PD.
    pub pds: Vec<PdSettings>,
}

/// What is set for one PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdSettings {
    /// The PD's name.
    pub pd: String,
    /// Line of the table.
    pub line: u32,
    /// Its keys and values.
    pub entries: Vec<Setting>,
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, dotted.
    pub key: String,
    /// The value as text; the elements of an array with a comma between them.
    pub value: String,
    /// Line of the key.
    pub line: u32,
}

impl PdSettings {
    /// The setting called `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.entries.iter().find(|s| s.key == key)
    }
}

impl Settings {
    /// Reads the settings; `file` names them in messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Problem>> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                let line = e.span().map_or(0, |span| line_of(text, span.start));
                return Err(vec![Problem::new(file, line, format!("not TOML: {}", e.message()))]);
            }
        };
        let mut reader = Reader { text, file, problems: Vec::new() };
        let mut settings = Self { file: file.into(), pds: Vec::new() };
        for (name, value) in table.get_ref() {
            let line = line_of(text, name.span().start);
            let pd = name.get_ref().to_string();
            match value.get_ref() {
                DeValue::Table(table) => {
                    let mut entries = Vec::new();
                    reader.flatten("", table, &mut entries);
                    entries.sort_by(|a, b| a.key.cmp(&b.key));
                    settings.pds.push(PdSettings { pd, line, entries });
                }
                _ => reader.refuse(line, format!("`{pd}` stands outside any table; write it below the [pd] it is for")),
            }
        }
        if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems) }
    }

    /// What is set for the PD called `name`.
    pub fn pd(&self, name: &str) -> Option<&PdSettings> {
        self.pds.iter().find(|p| p.pd == name)
    }

    /// Sets `key` of `pd`, in place of what the file says.
    pub fn set(&mut self, pd: &str, key: &str, value: &str) {
        let index = self.pds.iter().position(|p| p.pd == pd).unwrap_or_else(|| {
            self.pds.push(PdSettings { pd: pd.into(), line: 0, entries: Vec::new() });
            self.pds.len() - 1
        });
        let entries = &mut self.pds[index].entries;
        entries.retain(|s| s.key != key);
        entries.push(Setting { key: key.into(), value: value.into(), line: 0 });
        entries.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// Takes `key` of `pd` away.
    pub fn unset(&mut self, pd: &str, key: &str) {
        if let Some(table) = self.pds.iter_mut().find(|p| p.pd == pd) {
            table.entries.retain(|s| s.key != key);
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn refuse(&mut self, line: u32, text: String) {
        self.problems.push(Problem::new(self.file, line, text));
    }

    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>, into: &mut Vec<Setting>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let line = line_of(self.text, name.span().start);
            match value.get_ref() {
                DeValue::Table(table) => self.flatten(&format!("{key}."), table, into),
                DeValue::Array(items) => {
                    let items: Vec<_> = items.iter().map(|item| self.scalar(&key, line, item.get_ref())).collect();
                    if items.iter().any(|i| i.contains(',')) {
                        self.refuse(
                            line,
                            format!("an element of `{key}` contains a comma, which separates them; leave it out"),
                        );
                    }
                    into.push(Setting { key, value: items.join(","), line });
                }
                scalar => {
                    let value = self.scalar(&key, line, scalar);
                    into.push(Setting { key, value, line });
                }
            }
        }
    }

    fn scalar(&mut self, key: &str, line: u32, value: &DeValue<'_>) -> String {
        match value {
            DeValue::String(s) => s.to_string(),
            DeValue::Boolean(b) => b.to_string(),
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => {
                    self.refuse(line, format!("the number of `{key}` is out of range"));
                    String::new()
                }
            },
            other => {
                self.refuse(
                    line,
                    format!("`{key}` is a {}; write a string, a whole number, true or false", other.type_str()),
                );
                String::new()
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    before.bytes().filter(|&b| b == b'\n').count() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text_and_tables_dotted_keys() {
        let s = Settings::parse("[a]\nx = 0x10\ny = true\n[a.b]\nz = [\"p\", \"q\"]\nw.v = \"t\"\n", "f").unwrap();
        let entries: Vec<_> =
            s.pd("a").unwrap().entries.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(entries, [("b.w.v", "t", 6), ("b.z", "p,q", 5), ("x", "16", 2), ("y", "true", 3)]);
    }

    #[test]
    fn what_is_no_setting_is_refused_with_its_line() {
        let refusal = |text| Settings::parse(text, "f").unwrap_err()[0].to_string();
        assert_eq!(refusal("x = 1"), "f:1: `x` stands outside any table; write it below the [pd] it is for");
        assert_eq!(refusal("[a]\n\nx = 1.5"), "f:3: `x` is a float; write a string, a whole number, true or false");
        assert!(refusal("[a]\nx = ").starts_with("f:2: not TOML: "));
        assert!(refusal("[a]\nx = 1\nx = 2").starts_with("f:3: not TOML: "));
    }

    #[test]
    fn a_setting_can_be_replaced() {
        let mut s = Settings::parse("[a]\nx = 1\n", "f").unwrap();
        s.set("a", "x", "2");
        s.set("b", "y", "3");
        s.unset("b", "y");
        assert_eq!(s.pd("a").unwrap().get("x").unwrap().value, "2");
        assert!(s.pd("b").unwrap().entries.is_empty());
    }
}
