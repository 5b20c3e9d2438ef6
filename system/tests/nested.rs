//! Clients nested in a supervisor: what it and the servers are told, and what
//! is missing.

use strait_pd::ChildConfig;
use strait_system::{Settings, System, check, config};

/// good.system with `echo` and `httpd` in a supervisor.
fn nested() -> String {
    let good = include_str!("good.system");
    let (before, clients) = good.split_once("    <protection_domain name=\"echo\"").unwrap();
    let (clients, after) = clients.split_once("    <protection_domain name=\"console\"").unwrap();
    let clients = clients.replace("name=\"httpd\"", "name=\"httpd\" id=\"7\"");
    let after = after
        .replace("</system>", CHANNELS)
        .replace("pl011\" v", "supervisor_log\" vaddr=\"0x18_0000_0000\" perms=\"rw\"/>\n        <map mr=\"pl011\" v");
    format!(
        "{}{SUPERVISOR}    <protection_domain name=\"echo\" id=\"0\"{clients}    </protection_domain>\n    <protection_domain name=\"console\"{after}",
        before.replace("<system>", REGIONS)
    )
}

const REGIONS: &str = r#"<system>
    <memory_region name="supervisor_config" size="0x1000" prefill_path="config/supervisor.bin"/>
    <memory_region name="supervisor_log" size="0x1000"/>"#;
const SUPERVISOR: &str = r#"    <protection_domain name="supervisor" priority="80">
        <program_image path="supervisor.elf"/>
        <map mr="supervisor_config" vaddr="0x10_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <map mr="supervisor_log" vaddr="0x18_0000_0000" perms="rw"/>
"#;
const CHANNELS: &str = r#"
    <channel><end pd="supervisor" id="0" pp="true"/><end pd="net_server" id="30"/></channel>
    <channel><end pd="supervisor" id="1" pp="true"/><end pd="vfs_server" id="30"/></channel>
    <channel><end pd="supervisor" id="2"/><end pd="console" id="30"/></channel>
</system>"#;

fn settings() -> Settings {
    let text = "[net_server.policy.echo]\nports = [7]\n[net_server.policy.httpd]\nports = [80]\n";
    Settings::parse(text, "t").unwrap()
}

fn problems(text: &str) -> Vec<String> {
    match System::parse(text, "s") {
        Ok(system) => check(&system, &settings()).into_iter().map(|p| p.text).collect(),
        Err(problems) => problems.into_iter().map(|p| p.text).collect(),
    }
}

#[test]
fn the_parent_knows_its_children_and_the_servers_the_parent() {
    let text = nested();
    assert_eq!(problems(&text), [] as [&str; 0]);
    let system = System::parse(&text, "s").unwrap();
    let of = |pd: &str| config(&system, &Settings::default(), system.pd(pd).unwrap());
    let child = |name: &str, id| ChildConfig { name: name.into(), id };
    assert_eq!(of("supervisor").children, [child("echo", 0), child("httpd", 7)]);
    assert_eq!(of("echo").children, []);
    for (server, client, parent) in [
        ("net_server", "echo", Some("supervisor")),
        ("vfs_server", "httpd", Some("supervisor")),
        ("net_server", "console", None),
    ] {
        assert_eq!(of(server).setting(&format!("parent.{client}")), parent);
    }
}

#[test]
fn who_cannot_call_is_believed_by_nobody() {
    let text = nested().replace("\"supervisor\" id=\"1\" pp=\"true\"", "\"supervisor\" id=\"1\"");
    let system = System::parse(&text, "s").unwrap();
    let server = config(&system, &Settings::default(), system.pd("vfs_server").unwrap());
    assert_eq!(server.setting("parent.httpd"), None);
    assert_eq!(server.setting("identity.httpd"), Some("1001:1001"));
}

#[test]
fn what_is_wrong_is_said() {
    for (from, to, wanted) in [
        (
            "\"supervisor\" id=\"1\" pp=\"true\"",
            "\"supervisor\" id=\"1\"",
            "`supervisor` must be able to tell vfs_server of the end of `httpd`",
        ),
        ("id=\"7\"", "id=\"0\"", "`httpd` has the number 0 in `supervisor`, as `echo` has"),
        (" id=\"7\"", "", "needs the attribute `id`"),
        ("priority=\"80\"", "priority=\"95\"", "the callee's priority must be higher"),
        // Nobody's parent.
        (
            " id=\"0\" pp=\"true\"/><end pd=\"net_server\" id=\"8\"",
            " id=\"0\"/><end pd=\"net_server\" id=\"8\"",
            "`echo` must be able to call",
        ),
    ] {
        let text = nested();
        assert!(text.contains(from), "the test's own {from}");
        let found = problems(&text.replacen(from, to, 1));
        assert!(found.iter().any(|text| text.contains(wanted)), "wanted {wanted:?}, got {found:#?}");
    }
    let stranger = nested().replace("pd=\"supervisor\" id=\"1\" pp=\"true\"", "pd=\"console\" id=\"31\" pp=\"true\"");
    assert!(problems(&stranger).iter().any(|text| text.contains("`console` calls vfs_server but has no session")));
}
