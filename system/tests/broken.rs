//! A table of broken descriptions, each with the line and message expected.
//!
//! Every case takes `good.system` (or `good.toml`, below), replaces one piece
//! of text, and names a piece of the line that must be blamed.

use strait_system::{Settings, System, check};

const SYSTEM: &str = include_str!("good.system");
const SETTINGS: &str = r#"
[net_server.ipv4]
mode = "static"
address = "10.0.2.15/24"
gateway = "10.0.2.2"
dns = ["10.0.2.3"]
[echo]
port = 7
[httpd]
port = 80
root = "/"
[net_server.policy.echo]
ports = [7]
sockets = 64
[net_server.policy.httpd]
ports = ["80/tcp"]
destinations = []
"#;

/// What is wrong with the two texts: the line at fault and the message.
fn problems(system: &str, settings: &str) -> Vec<(String, String)> {
    let found = match (System::parse(system, "s"), Settings::parse(settings, "t")) {
        (Ok(system), Ok(settings)) => check(&system, &settings),
        (Err(problems), _) | (_, Err(problems)) => problems,
    };
    let line = |p: &strait_system::Problem| {
        let text = if p.file == "s" { system } else { settings };
        text.lines().nth((p.line as usize).wrapping_sub(1)).unwrap_or_default().trim().to_string()
    };
    found.iter().map(|p| (line(p), p.text.clone())).collect()
}

/// Expects that replacing `from` by `to` is refused, in a line that contains
/// `line`, with a message that contains `text`.
#[track_caller]
fn refused(from: &str, to: &str, line: &str, text: &str) {
    assert!(SYSTEM.contains(from) || SETTINGS.contains(from), "the test's own text {from:?} is not there");
    let found = problems(&SYSTEM.replacen(from, to, 1), &SETTINGS.replacen(from, to, 1));
    let hit = found.iter().any(|(l, t)| l.contains(line) && t.contains(text));
    assert!(hit, "wanted {text:?} in {line:?}, got {found:#?}");
    // One mistake may have consequences, but not a flood of them.
    assert!(found.len() <= 4, "{found:#?}");
}

#[test]
fn the_good_one_passes() {
    assert_eq!(problems(SYSTEM, SETTINGS), []);
}

#[test]
fn grammar() {
    refused(
        r#"perms="r" setvar"#,
        r#"perm="r" setvar"#,
        "timer_driver_config",
        "<map> has no attribute `perm`; it takes mr, vaddr, perms",
    );
    refused(
        r#"mr="echo_log" vaddr="0x10_4000_0000""#,
        r#"mr="echo_log""#,
        "echo_log",
        "<map> needs the attribute `vaddr`",
    );
    refused(r#"perms="r" setvar"#, r#"perms="w" setvar"#, "timer_driver_config", "is not a right; write \"r\"");
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net" size="2M""#,
        "echo_net",
        "size=\"2M\" is not a number",
    );
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net""#,
        "echo_net",
        "<memory_region> needs the attribute `size`",
    );
    refused(
        r#"id="0" pp="true"/><end pd="net_server" id="8""#,
        r#"id="0" pp="yes"/><end pd="net_server" id="8""#,
        "net_server",
        "must be \"true\" or \"false\"",
    );
    refused(r#"<end pd="net_server" id="8"/>"#, "", "echo", "exactly two <end>");
    refused(
        r#"<end pd="net_server" id="8"/>"#,
        r#"<end pd="net_server" id="62"/>"#,
        "net_server",
        "id 62 is too large",
    );
    refused(r#"priority="120""#, r#"priority="255""#, "timer_driver", "the highest is 254");
    refused(r#"<program_image path="echo.elf"/>"#, "", "name=\"echo\"", "no <program_image");
    refused(
        r#"<program_image path="echo.elf"/>"#,
        r#"<program_image path="echo.elf"/><mpa/>"#,
        "echo.elf",
        "<protection_domain> takes no <mpa>",
    );
    refused("</system>", "", "", "not well-formed XML");
    refused("<system>", "<sys>", "", "not well-formed XML");
}

#[test]
fn names() {
    refused(
        r#"<memory_region name="httpd_log""#,
        r#"<memory_region name="echo_log" size="0x1000"/><memory_region name="httpd_log""#,
        "httpd_log",
        "a second memory region called `echo_log`",
    );
    refused(r#"mr="eth_driver_dma""#, r#"mr="eth_dma""#, "eth_dma", "no memory region `eth_dma`");
    refused(r#"<end pd="console" id="6"/>"#, r#"<end pd="consol" id="6"/>"#, "consol", "no PD is called `consol`");
    refused(
        r#"region_paddr="eth_rx_data""#,
        r#"region_paddr="eth_rx""#,
        "eth_rx",
        "no memory region `eth_rx`; correct region_paddr",
    );
    refused(
        r#"<memory_region name="echo_log""#,
        r#"<memory_region name="spare" size="0x1000"/><memory_region name="echo_log""#,
        "spare",
        "no PD maps `spare`",
    );
    refused(
        r#"<memory_region name="echo_log""#,
        r#"<memory_region name="../x" size="0x1000"/><memory_region name="echo_log""#,
        "../x",
        "lower-case letters",
    );
}

#[test]
fn sizes_and_places() {
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net" size="0x200001""#,
        "echo_net",
        "no multiple of its page size 0x1000; make it 0x201000",
    );
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net" size="0xf000""#,
        "echo_net",
        "it must have 0x10000 (64 KiB)",
    );
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net" size="0xffff_ffff_ffff_ffff""#,
        "echo_net",
        "at most 0x10000000000",
    );
    refused(
        r#"name="echo_net" size="0x200000""#,
        r#"name="echo_net" size="0x10001000""#,
        "echo_net",
        "0x10000000 (256 MiB)",
    );
    refused(
        r#"name="eth_rx_free" size="0x4000""#,
        r#"name="eth_rx_free" size="0x2000""#,
        "eth_rx_free",
        "`eth_rx_free` has 0x2000 bytes; make it 0x3000 or more",
    );
    refused(
        r#"phys_addr="0xa003000""#,
        r#"phys_addr="0xa003e00""#,
        "virtio_net",
        "phys_addr of `virtio_net` is no multiple",
    );
    refused(
        r#"mr="eth_rx_active" vaddr="0x11_4000_0000""#,
        r#"mr="eth_rx_active" vaddr="0x11_0000_3000""#,
        "eth_rx_active",
        "overlaps `eth_rx_free`",
    );
    refused(
        r#"mr="eth_rx_data" vaddr="0x12_0000_0000""#,
        r#"mr="eth_rx_data" vaddr="0x12_0000_1000""#,
        "eth_rx_data",
        "no multiple of its page size 0x200000",
    );
    refused(
        r#"mr="vfs_archive" vaddr="0x13_0000_0000""#,
        r#"mr="vfs_archive" vaddr="0x20_0000""#,
        "vfs_archive",
        "may meet the program itself",
    );
    refused(
        r#"mr="vfs_archive" vaddr="0x13_0000_0000""#,
        r#"mr="vfs_archive" vaddr="0xffff_ffff_ffff_f000""#,
        "vfs_archive",
        "beyond the address space",
    );
}

#[test]
fn the_heap_holds_what_clients_may_ask_for() {
    refused(
        r#"name="net_server_heap" size="0x1400000""#,
        r#"name="net_server_heap" size="0x1200000""#,
        "net_server_heap",
        "for the 128 sockets that all sessions have places for; write size=\"0x1400000\"",
    );
    refused(
        r#"name="httpd_net" size="0x200000""#,
        r#"name="httpd_net" size="0x800000""#,
        "_heap",
        "write size=\"0x2200000\"",
    );
    refused(
        "        <map mr=\"net_server_heap\" vaddr=\"0x16_0000_0000\" perms=\"rw\"/>\n",
        "",
        "net_server",
        "must map",
    );
    refused(
        r#"name="vfs_server_heap" size="0x400000""#,
        r#"name="vfs_server_heap" size="0x200000""#,
        "vfs_server_heap",
        "too small for its clients (1); write size=\"0x400000\"",
    );
    // A policy that grants fewer sockets needs less.
    let system = SYSTEM.replacen("0x1400000", "0x1000000", 1);
    assert_eq!(problems(&system, &SETTINGS.replacen("sockets = 64", "sockets = 16", 1)), []);
    assert_eq!(problems(&system, SETTINGS).len(), 1);
}

#[test]
fn channels_and_priorities() {
    refused(
        r#"<end pd="net_server" id="8"/>"#,
        r#"<end pd="net_server" id="3"/>"#,
        "console",
        "id 3 of PD `net_server` is already used",
    );
    refused(
        r#"<end pd="eth_driver" id="1"/>"#,
        r#"<end pd="eth_driver" id="0"/>"#,
        "eth_driver",
        "id 0 of PD `eth_driver` is already used",
    );
}

#[test]
fn equal_priorities_blame_each_caller() {
    let text = SYSTEM.replacen(r#"name="vfs_server" priority="90""#, r#"name="vfs_server" priority="20""#, 1);
    let found = problems(&text, SETTINGS);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].1.starts_with("`httpd` (priority 20) calls `vfs_server` (priority 20)"), "{found:#?}");
}

#[test]
fn both_ends_may_not_call() {
    refused(
        r#"<end pd="net_server" id="0" pp="true"/>"#,
        r#"<end pd="net_server" id="0" pp="true"/></channel><channel><end pd="echo" id="9"/><end pd="echo" id="10"/>"#,
        "echo",
        "with itself",
    );
    refused(
        r#"<end pd="net_server" id="0" pp="true"/>"#,
        r#"<end pd="net_server" id="0" pp="true"/></channel><channel><end pd="eth_driver" id="9"/><end pd="net_server" id="20"/>"#,
        "eth_driver",
        "a second channel between",
    );
}

#[test]
fn configuration() {
    refused(
        r#"<map mr="echo_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>"#,
        r#"<map mr="echo_config" vaddr="0x10_0000_0000" perms="r"/>"#,
        "echo_config",
        "write setvar_vaddr=\"strait_config\"",
    );
    refused(
        r#"<map mr="echo_config" vaddr="0x10_0000_0000" perms="r""#,
        r#"<map mr="echo_config" vaddr="0x10_0000_0000" perms="rw""#,
        "echo_config",
        "is mapped rw; write perms=\"r\"",
    );
    refused("config/echo.bin", "config/httpd.bin", "echo_config", "write prefill_path=\"config/echo.bin\"");
    refused(r#" prefill_path="config/echo.bin""#, "", "echo_config", "write prefill_path=\"config/echo.bin\"");
}

#[test]
fn a_pd_without_configuration_is_told_how_to_get_it() {
    let text = SYSTEM
        .replacen(r#"<memory_region name="echo_config" size="0x1000" prefill_path="config/echo.bin"/>"#, "", 1)
        .replacen(r#"<map mr="echo_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>"#, "", 1);
    let found = problems(&text, SETTINGS);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].1.contains("<memory_region name=\"echo_config\" size=\"0x1000\" prefill_path=\"config/echo.bin\"/>"),
        "{found:#?}"
    );
}

#[test]
fn sessions() {
    let channel = r#"<channel><end pd="echo" id="0" pp="true"/><end pd="net_server" id="8"/></channel>"#;
    refused(channel, "", "\"echo_net\"", "session `echo_net` has no channel; add <channel><end pd=\"echo\"");
    refused(
        r#"<end pd="echo" id="0" pp="true"/>"#,
        r#"<end pd="echo" id="0"/>"#,
        "echo",
        "must be able to call net_server; write pp=\"true\"",
    );
    refused(
        r#"<end pd="httpd" id="1" pp="true"/>"#,
        r#"<end pd="httpd" id="1"/>"#,
        "httpd",
        "must be able to call vfs_server",
    );
    refused(
        r#"<map mr="echo_net" vaddr="0x14_0000_0000" perms="rw"/>"#,
        "",
        "name=\"net_server\"",
        "PD `net_server` must map `echo_net`",
    );
    refused(
        r#"<map mr="echo_net" vaddr="0x14_0000_0000" perms="rw"/>"#,
        r#"<map mr="echo_net" vaddr="0x14_0000_0000" perms="r"/>"#,
        "echo_net",
        "`echo_net` is mapped r; write perms=\"rw\"",
    );
    refused(
        r#"<map mr="echo_net" vaddr="0x14_0000_0000" perms="rw"/>"#,
        r#"<map mr="echo_net" vaddr="0x14_0000_0000" cached="false"/>"#,
        "echo_net",
        "must be cached",
    );
    refused(
        r#"<map mr="httpd_log" vaddr="0x10_4000_0000" perms="rw"/>"#,
        r#"<map mr="httpd_log" vaddr="0x10_4000_0000" perms="rw"/><map mr="echo_net" vaddr="0x14_8000_0000"/>"#,
        "httpd_log",
        "`echo_net` is for echo and net_server alone",
    );
    refused(
        r#"<end pd="net_server" id="0" pp="true"/>"#,
        r#"<end pd="net_server" id="0" pp="true"/></channel><channel><end pd="vfs_server" id="20" pp="true"/><end pd="net_server" id="20"/>"#,
        "vfs_server",
        "`vfs_server` calls net_server but has no session; add <memory_region name=\"vfs_server_net\"",
    );
}

#[test]
fn a_session_of_nobody_is_refused() {
    let text = SYSTEM.replace("\"echo_net\"", "\"ehco_net\"");
    let found = problems(&text, SETTINGS);
    assert!(found.iter().any(|(_, t)| t.contains("`ehco_net` would be the session of a PD `ehco`")), "{found:#?}");
    assert!(found.iter().any(|(_, t)| t.contains("`echo` needs a session with net_server")), "{found:#?}");
}

#[test]
fn logs() {
    refused(
        r#"<channel><end pd="console" id="5"/><end pd="echo" id="2"/></channel>"#,
        "",
        "\"echo_log\"",
        "log `echo_log` has no channel",
    );
    refused(
        r#"<map mr="echo_log" vaddr="0x17_4000_0000" perms="rw"/>"#,
        "",
        "name=\"console\"",
        "PD `console` must map `echo_log`",
    );
    refused(
        r#"<map mr="echo_log" vaddr="0x17_4000_0000" perms="rw"/>"#,
        r#"<map mr="echo_log" vaddr="0x17_4000_0000" perms="r"/>"#,
        "echo_log",
        "write perms=\"rw\"",
    );
}

#[test]
fn a_pd_without_log_is_told_how_to_get_it() {
    let text: String = SYSTEM.lines().filter(|l| !l.contains("echo_log")).map(|l| format!("{l}\n")).collect();
    let found = problems(&text, SETTINGS);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].1.contains("PD `echo` has no log; add <memory_region name=\"echo_log\""), "{found:#?}");
}

#[test]
fn programs() {
    refused(
        r#"<map mr="eth_rx_data" vaddr="0x12_0000_0000" perms="r"/>"#,
        r#"<map mr="eth_rx_data" vaddr="0x12_0000_0000" perms="rw"/>"#,
        "eth_rx_data",
        "PD `eth_driver` maps `eth_rx_data` rw; write perms=\"r\"",
    );
    refused(
        r#"<map mr="eth_tx_free" vaddr="0x11_8000_0000" perms="rw"/>"#,
        "",
        "name=\"eth_driver\"",
        "PD `eth_driver` must map the region `eth_tx_free`",
    );
    refused(
        r#"<setvar symbol="eth_rx_data_paddr" region_paddr="eth_rx_data"/>"#,
        "",
        "name=\"eth_driver\"",
        "add <setvar symbol=\"eth_rx_data_paddr\"",
    );
    refused(r#"<irq irq="79" id="0"/>"#, "", "name=\"eth_driver\"", "`eth_driver` needs an interrupt");
    refused(
        r#"<irq irq="79" id="0"/>"#,
        r#"<irq irq="30" id="0"/>"#,
        "irq=\"30\"",
        "interrupt 30 already belongs to PD `timer_driver`",
    );
    refused(
        r#"<channel><end pd="eth_driver" id="1"/><end pd="net_server" id="0" pp="true"/></channel>"#,
        r#"<channel><end pd="eth_driver" id="1" notify="false"/><end pd="net_server" id="0" pp="true"/></channel>"#,
        "eth_driver",
        "remove notify=\"false\"",
    );
    refused(
        r#"<end pd="net_server" id="1" pp="true"/>"#,
        r#"<end pd="net_server" id="1"/>"#,
        "net_server",
        "must be able to call timer_driver",
    );
    refused(
        r#"<channel><end pd="net_server" id="2" pp="true"/><end pd="entropy_driver" id="1"/></channel>"#,
        "",
        "name=\"net_server\"",
        "`net_server` needs a channel to entropy_driver; add <channel><end pd=\"net_server\" id=\"...\" pp=\"true\"/>",
    );
    refused(
        r#"<channel><end pd="net_server" id="4"/><end pd="vfs_server" id="3"/></channel>"#,
        "",
        "name=\"net_server\"",
        "`net_server` needs a channel to vfs_server; add <channel><end pd=\"net_server\" id=\"...\"/><end pd=\"vfs_server\"",
    );
    refused(
        r#"<map mr="httpd_vfs" vaddr="0x15_0000_0000" perms="rw"/>"#,
        r#"<map mr="httpd_vfs" vaddr="0x15_0000_0000" perms="rw"/><map mr="eth_driver_dma" vaddr="0x12_8000_0000"/>"#,
        "httpd_vfs",
        "`eth_driver_dma` is for eth_driver alone; remove this map from PD `vfs_server`",
    );
    refused(
        r#"<map mr="echo_log" vaddr="0x10_4000_0000" perms="rw"/>"#,
        r#"<map mr="echo_log" vaddr="0x10_4000_0000" perms="rw"/><irq irq="99" id="50"/>"#,
        "irq=\"99\"",
        "`echo` takes no interrupt",
    );
}

#[test]
fn devices() {
    refused(
        r#"irq="79""#,
        r#"irq="71""#,
        "irq=\"71\"",
        "interrupt 71 is not that of a device in the page of `virtio_net`, which has 72 to 79",
    );
    refused(
        r#"phys_addr="0xa002000""#,
        r#"phys_addr="0xa003000""#,
        "virtio_rng",
        "device `virtio_rng` shares a page with `virtio_net`",
    );
    refused(
        r#"<map mr="virtio_rng" vaddr="0x10_8000_0000" perms="rw" cached="false"/>"#,
        r#"<map mr="virtio_rng" vaddr="0x10_8000_0000" perms="rw" cached="false"/><map mr="virtio_net" vaddr="0x10_c000_0000" cached="false"/>"#,
        "virtio_net",
        "is mapped into `entropy_driver` and `eth_driver`",
    );
    refused(
        r#"<map mr="pl011" vaddr="0x10_8000_0000" perms="rw" cached="false"/>"#,
        r#"<map mr="pl011" vaddr="0x10_8000_0000" perms="rw"/>"#,
        "name=\"console\"",
        "drives the device `pl011`",
    );
}

#[test]
fn settings() {
    refused("gateway =", "gatewy =", "gatewy", "net_server has no setting `ipv4.gatewy`; it takes ipv4.mode");
    refused(
        "10.0.2.15/24",
        "10.0.2.15",
        "address",
        "ipv4.address = \"10.0.2.15\" is not valid; write an IPv4 address with its prefix",
    );
    refused("gateway = \"10.0.2.2\"", "gateway = \"10.0.2\"", "gateway", "is not valid; write an IPv4 address");
    refused("[\"10.0.2.3\"]", "[\"ns\"]", "dns", "a list of IPv4 addresses");
    refused("port = 80", "port = 65536", "port", "a port from 1 to 65535");
    refused("root = \"/\"", "root = \"www\"", "root", "a path that starts with /");
    refused("[echo]", "[ehco]", "[ehco]", "[ehco] is for no PD of s");
    refused("address = \"10.0.2.15/24\"\n", "", "mode", "needs ipv4.address");
    refused("mode = \"static\"", "mode = \"dhcp\"", "address", "needs ipv4.mode = \"static\"");
}

#[test]
fn a_wrong_mode_is_refused() {
    let found = problems(SYSTEM, &SETTINGS.replacen("static", "auto", 1));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found.iter().any(|(line, text)| line.starts_with("mode") && text.contains("write \"dhcp\" or \"static\"")),
        "{found:#?}"
    );
}

#[test]
fn policies() {
    refused("sockets = 64", "socket = 64", "socket = 64", "a policy has no `socket`; it takes families, types, raw");
    refused("sockets = 64", "sockets = 0", "sockets", "write a number of sockets from 1 to 65535");
    refused("sockets = 64", "raw = \"yes\"", "raw", "raw = \"yes\" is not valid; write true or false");
    refused("sockets = 64", "families = [\"ipv4\"]", "families", "write a list of families such as [\"inet\"");
    refused("sockets = 64", "types = [\"raw\"]", "types", "raw sockets are granted by raw = true");
    refused("sockets = 64", "pages = 3", "pages", "write a number of pages from 4");
    refused("ports = [7]", "ports = [\"7-\"]", "ports", "ports = \"7-\" is not valid; write a list of ports");
    refused(
        "ports = [7]",
        "ports = [8]",
        "ports",
        "echo listens on port 7, which is not granted; write ports = [7] below",
    );
    refused("ports = [7]\n", "", "sockets", "echo listens on port 7, which is not granted");
    refused("port = 80", "port = 81", "ports", "httpd listens on port 81, which is not granted");
    refused("destinations = []", "destinations = [\"10.0.2.15/24\"]", "destinations", "write a list of destinations");
    refused(
        "policy.echo]",
        "policy.ehco]",
        "ports",
        "[net_server.policy.ehco] is for no client of net_server; they are echo",
    );
    refused("[net_server.policy.echo]\nports", "[net_server.policy]\nports", "ports", "`ports` names no client");
}

#[test]
fn a_program_of_the_user_sets_what_it_likes() {
    let text = SYSTEM.replacen("echo.elf", "mine.elf", 1);
    assert_eq!(problems(&text, &SETTINGS.replacen("[echo]\nport", "[echo]\ncolour", 1)), []);
}
